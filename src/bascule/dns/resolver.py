"""The resolver: every sandbox's 127.0.0.11, in one process and one thread that may do nothing else.

It holds what the daemon gave it (tables, views, sockets opened inside the namespaces) and goes on answering when
the daemon stops, crashes or is replaced.  It ends by itself when no daemon is there and nothing is left to serve.
"""

import os
import random
import socket
import struct
import time
from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

from bascule.dns import control
from bascule.dns.answers import TTL, Scope
from bascule.dns.control import Inbox, Message
from bascule.dns.forward import Forwarder, Pool
from bascule.dns.loop import READ, Loop
from bascule.dns.streams import Door, Streams
from bascule.dns.zone import Directory, Member, member
from bascule.wire.dns import SERVFAIL, STREAM_SIZE, Malformed, read_query, refusal, reply, to_text, to_wire

# So many datagrams from one sandbox, then the others have their turn.
BATCH = range(64)
# No query of a sane asker is longer; a longer one is cut off here and then malformed.
DATAGRAM_MAX = 4096
# Who started this and never came.
NEWBORN = 30.0
# Three servers' time, and a client's.
RETIREMENT = 15.0


class Sandbox:
    """One served sandbox."""

    __slots__ = ("door", "families", "key", "netns", "pool", "scope", "servers", "udp")

    def __init__(self, key: str, netns: str, scope: Scope, udp: socket.socket) -> None:
        self.key = key
        self.netns = netns
        self.scope = scope
        self.udp = udp
        self.servers: list[str] = []
        self.families: list[int] = []
        self.pool = Pool()
        self.door: Door


class Resolver:
    """Serves what it is told over *listener*, by root or by whoever *owner* is."""

    def __init__(
        self, listener: socket.socket, version: str, owner: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._listener = listener
        self._version = version
        self._owners = {0, owner}
        self._clock = clock
        self._loop = Loop()
        self._forwarder = Forwarder(self._loop, clock, lambda: int.from_bytes(os.urandom(2)))
        self._streams = Streams(self._loop, clock)
        self._directory = Directory()
        self._scopes: WeakValueDictionary[Any, Scope] = WeakValueDictionary()
        self._sandboxes: dict[str, Sandbox] = {}
        self._controls: set[Inbox] = set()
        self._until: float | None = clock() + NEWBORN
        listener.setblocking(False)
        self._loop.watch(listener.fileno(), READ, lambda _: self._accept())

    def run(self) -> None:
        """Serve until nobody needs it."""
        while not self._done():
            waits = [self._forwarder.expire(), self._streams.expire()]
            if self._until is not None:
                waits.append(max(0.0, self._until - self._clock()))
            self._loop.turn(min((w for w in waits if w is not None), default=None))
        self._loop.close()

    def _done(self) -> bool:
        late = self._until is not None and self._clock() >= self._until
        if self._listener.fileno() < 0:
            # Retired.
            return late or not (len(self._streams) or self._forwarder.expire())
        return not self._controls and not self._sandboxes and (late or self._until is None)

    # -- the daemon

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            # It left before it was let in (accept(2)).
            return
        # struct ucred: pid, uid, gid.
        _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if uid not in self._owners:
            sock.close()
            return
        sock.setblocking(False)
        inbox = Inbox(sock)
        self._controls.add(inbox)
        self._until = None
        self._loop.watch(sock.fileno(), READ, lambda _: self._told(inbox))

    def _told(self, inbox: Inbox) -> None:
        try:
            inbox.read()
            answers = b""
            while (message := inbox.take()) is not None:
                answers += control.frame(self._obey(inbox, message))
                if message.get("op") == "state":
                    control.send_bytes(inbox.sock, answers)
                    answers = b""
                    self._hand_over(inbox)
            # In one piece: each would wake whoever waits for the last.
            control.send_bytes(inbox.sock, answers)
        except BlockingIOError:
            pass
        except (EOFError, OSError, ValueError):
            # The daemon is gone, or it is none of ours.  What it said before holds.
            self._hang_up(inbox)

    def _hang_up(self, inbox: Inbox) -> None:
        self._controls.discard(inbox)
        self._loop.forget(inbox.sock.fileno())
        inbox.close()

    def _obey(self, inbox: Inbox, message: Message) -> Message:
        """The answer."""
        # `serve` takes its descriptors even when it fails, or the next would get them.
        given = inbox.descriptors(message.get("descriptors", 0))
        try:
            answer = self._do(inbox, message, given)
        except (KeyError, TypeError, ValueError, OSError) as wrong:
            for sock in given:
                sock.close()
            answer = {"error": f"{message.get('op')}: {wrong!r}"}
        return answer

    def _do(self, inbox: Inbox, message: Message, given: list[socket.socket]) -> Message:
        match message["op"]:
            case "hello":
                return self._hello()
            case "publish":
                self._directory.publish(message["network"], message["name"], map(_member, message["members"]))
                self._changed(message["network"])
            case "forget":
                self._directory.forget(message["network"])
                self._changed(message["network"])
            case "join":
                self._directory.join(message["network"], message["name"], _member(message["member"]))
                self._changed(message["network"])
            case "part":
                self._directory.part(message["network"], message["endpoint"])
                self._changed(message["network"])
            case "serve":
                self._serve(message, given)
            case "leave":
                self._leave(message["sandbox"])
            case "keep":
                self._keep(set(message["sandboxes"]), set(message["networks"]))
            case "state":
                return self._state()
            case "retire":
                self._retire()
            case "bye":
                return {"ends": not self._sandboxes and self._controls == {inbox}}
            case unknown:
                raise ValueError(f"{unknown} is not known")
        return {}

    def _hello(self) -> Message:
        served = {
            ident: {"key": one.key, "netns": one.netns, "families": one.families}
            for ident, one in self._sandboxes.items()
        }
        return {"version": self._version, "pid": os.getpid(), "sandboxes": served}

    def _changed(self, network: str) -> None:
        """What was answered from the network's names is forgotten."""
        for scope in self._scopes.values():
            if network in scope.networks:
                scope.hot.clear()

    def _keep(self, sandboxes: set[str], networks: set[str]) -> None:
        for ident in self._sandboxes.keys() - sandboxes:
            self._leave(ident)
        for network in self._directory.tables.keys() - networks:
            self._directory.forget(network)
            self._changed(network)

    def _state(self) -> Message:
        zones = [
            {"network": network, "name": table.name, "members": [_text(m) for m in table.members.values()]}
            for network, table in self._directory.tables.items()
        ]
        sandboxes = [
            {
                "sandbox": ident,
                "key": one.key,
                "netns": one.netns,
                "networks": one.scope.networks,
                "links": {to_text(name): [a.hex() for a in found] for name, found in one.scope.links.items()},
                "upstream": one.servers,
                "families": one.families,
            }
            for ident, one in self._sandboxes.items()
        ]
        return {"zones": zones, "sandboxes": sandboxes}

    def _hand_over(self, inbox: Inbox) -> None:
        """The listening sockets themselves: both processes answer by them until this one retires, so no query
        falls between.  The daemon waits for them; this is the only time that anything waits for it."""
        inbox.sock.settimeout(5)
        for ident, one in self._sandboxes.items():
            control.send(inbox.sock, {"sandbox": ident}, [one.udp.fileno(), one.door.listener.fileno()])
        inbox.sock.setblocking(False)

    def _retire(self) -> None:
        """Answer nothing new and finish what is begun.  The sockets that questions are out by stay open."""
        for one in self._sandboxes.values():
            self._loop.forget(one.udp.fileno())
            self._streams.shut(one.door)
        self._sandboxes.clear()
        self._loop.forget(self._listener.fileno())
        self._listener.close()
        for inbox in list(self._controls):
            self._loop.forget(inbox.sock.fileno())
        self._until = self._clock() + RETIREMENT

    # -- the sandboxes

    def _serve(self, message: Message, given: list[socket.socket]) -> None:
        ident = message["sandbox"]
        links = {
            to_wire(name).lower(): [bytes.fromhex(a) for a in found] for name, found in message["links"].items()
        }
        scope = self._scope(tuple(message["networks"]), links)
        if message["listeners"]:
            self._leave(ident)
            one = Sandbox(message["key"], message["netns"], scope, given.pop(0))
            listener = given.pop(0)
            one.door = Door(listener, lambda data, send: self._slow(one, data, send, stream=True))
            for sock in (one.udp, listener):
                sock.setblocking(False)
            self._sandboxes[ident] = one
            self._loop.watch(one.udp.fileno(), READ, self._datagrams(one))
            self._streams.open(one.door)
        one = self._sandboxes[ident]
        one.scope = scope
        one.servers = message["upstream"]
        one.families = message["families"]
        if not one.servers:
            self._forwarder.drop(one.pool)
        for sock in given:
            sock.setblocking(False)
        self._forwarder.adopt(one.pool, given)

    def _scope(self, networks: tuple[str, ...], links: dict[bytes, list[bytes]]) -> Scope:
        key = (networks, tuple(sorted((name, tuple(found)) for name, found in links.items())))
        scope = self._scopes.get(key)
        if scope is None:
            scope = self._scopes[key] = Scope(self._directory, random.shuffle, networks, links)
        return scope

    def _leave(self, ident: str) -> None:
        one = self._sandboxes.pop(ident, None)
        if one is None:
            return
        self._loop.forget(one.udp.fileno())
        one.udp.close()
        self._streams.close(one.door)
        self._forwarder.drop(one.pool)

    def _datagrams(self, one: Sandbox) -> Callable[[int], None]:
        """The path that a query takes thousands of times a second: read, look up, write."""
        recvfrom, sendto = one.udp.recvfrom, one.udp.sendto

        def ready(_: int) -> None:
            hot = one.scope.hot
            try:
                for _ in BATCH:
                    data, asker = recvfrom(DATAGRAM_MAX)
                    answer = hot.get(data[2:])
                    if answer is None:
                        self._slow(one, data, lambda late, asker=asker: sendto(late, asker), stream=False)  # type: ignore[misc]
                    elif type(answer) is bytes:
                        sendto(data[:2] + answer, asker)
                    else:
                        sendto(data[:2] + next(answer), asker)  # type: ignore[arg-type]
            except OSError:
                # Nothing more to read; or the asker cannot be written to, and asks again.
                pass

        return ready

    def _slow(self, one: Sandbox, data: bytes, send: Callable[[bytes], object], *, stream: bool) -> None:
        """Read the query, then answer it or have it answered."""
        try:
            asked = read_query(data)
        except Malformed as wrong:
            if wrong.rcode is not None:
                send(refusal(data, wrong.rcode))
            return
        answer = one.scope.answer(data, asked, stream=stream)
        if answer is None and not one.servers:
            limit = STREAM_SIZE if stream else asked.limit
            answer = reply(data, asked, ttl=TTL, rcode=SERVFAIL, limit=limit)
        if answer is not None:
            send(answer)
            return

        def forwarded(late: bytes) -> None:
            try:
                send(late)
            except OSError:
                # The asker went away meanwhile.
                pass

        self._forwarder.ask(one.pool, one.servers, data, asked, forwarded, stream=stream)


def _member(told: list[Any]) -> Member:
    endpoint, names, addresses = told
    return member(endpoint, names, [bytes.fromhex(a) for a in addresses])


def _text(one: Member) -> list[Any]:
    names = [to_text(one.pointer)] if one.pointer else []
    return [one.endpoint, names + [to_text(n) for n in one.names[1:]], [a.hex() for a in one.addresses]]
