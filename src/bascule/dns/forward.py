"""Asking others: the sockets that a sandbox's unanswered questions leave by, and the questions on their way.

The sockets were opened inside the sandbox's namespace by somebody who may enter it, and few: four for UDP and two
for TCP a family.  They serve for ever, because the kernel lets go of a socket's port when it is told to connect to
AF_UNSPEC (net/ipv4/udp.c: __udp_disconnect; tcp.c: tcp_disconnect) if the port was not bound by hand, and chooses
another at random with the next packet.  So each question that finds an idle socket leaves by a new random port,
without a privilege and without the daemon, which may be away.

An answer counts when it comes to the socket that asked, from the server that was asked, with the id and the
question that were sent.  What comes back as ICMP (nobody listens there) sends the question on to the next server.
"""

import ctypes
import random
import socket
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence

from bascule.dns.loop import ERROR, READ, WRITE, Loop
from bascule.wire.dns import NOERROR, REFUSED, SERVFAIL, Query, cut, reply

# Docker's limits (libnetwork/resolver.go: maxExtDNS, extIOTimeout, maxConcurrent).
SERVERS_MAX = 3
PATIENCE = 4.0
OUTSTANDING_MAX = 1024
# All sandboxes together.
WAITING_MAX = 16_384
PORT = 53
BATCH = 64
# What the resolver opens for itself, for servers on the host's loopback.
HOST_SOCKETS = 4

# include/uapi/linux/in.h and in6.h; Python 3.11 has no names for them.
_IP_RECVERR, _IPV6_RECVERR = 11, 25
_libc = ctypes.CDLL(None, use_errno=True)
# struct sockaddr with sa_family AF_UNSPEC.
_NOWHERE = bytes(16)


def _disconnect(sock: socket.socket) -> None:
    """Let go of the peer and of the port, TCP or UDP."""
    _libc.connect(sock.fileno(), _NOWHERE, len(_NOWHERE))


class Port:
    """A UDP socket and the questions that left by it, by id."""

    __slots__ = ("asks", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.asks: dict[int, Ask] = {}


class Pool:
    """The sockets of one namespace by family, and how many questions its sandbox has open."""

    def __init__(self) -> None:
        self.ports: dict[int, list[Port]] = {}
        self.idle: dict[int, list[socket.socket]] = {}
        self.queue: deque[Ask] = deque()
        self.outstanding = 0

    def sockets(self) -> list[socket.socket]:
        """All that lie here; a TCP socket in use is its Call's."""
        ports = [port.sock for ports in self.ports.values() for port in ports]
        return ports + [sock for idle in self.idle.values() for sock in idle]


class Ask:
    """A question on its way: who waits (*send*), whom to ask yet, and where it is now."""

    __slots__ = ("asked", "data", "home", "ident", "send", "server", "servers", "stream", "where")

    def __init__(
        self,
        home: Pool,
        servers: Sequence[str],
        data: bytes,
        asked: Query,
        send: Callable[[bytes], None],
        stream: bool,
    ) -> None:
        self.home = home
        self.servers = deque(servers[:SERVERS_MAX])
        self.data = data
        self.asked = asked
        self.send = send
        self.stream = stream
        self.server = ""
        self.ident = 0
        self.where: Port | Call | deque[Ask] | None = None

    def answered_by(self, data: bytes) -> bool:
        """Whether *data*, which has the right id, is a response to this very question.  A server that could not
        even read it may leave it out."""
        end = self.asked.end
        if data[2] & 0x80 == 0:
            return False
        if data[4:6] == b"\0\0":
            return data[3] & 15 != NOERROR
        return (
            len(data) >= end
            and data[4:6] == b"\0\1"
            and data[12 : end - 4].lower() == self.asked.name
            and data[end - 4 : end] == self.data[end - 4 : end]
        )


class Call:
    """A question on its way over TCP."""

    __slots__ = ("ask", "family", "inbox", "outbox", "pool", "sock")

    def __init__(self, ask: Ask, pool: Pool, family: int, sock: socket.socket, outbox: bytes) -> None:
        self.ask = ask
        self.pool = pool
        self.family = family
        self.sock = sock
        self.outbox = outbox
        self.inbox = bytearray()


def family_of(server: str) -> int:
    return socket.AF_INET6 if ":" in server else socket.AF_INET


def is_the_hosts(server: str) -> bool:
    """Whether *server* means something only in the host's namespace: a loopback address, or one with a link."""
    return server.startswith("127.") or server == "::1" or "%" in server


def outgoing(family: int, datagram: int, stream: int) -> list[socket.socket]:
    """So many sockets to ask through, in the calling thread's namespace.  Unbound: see above."""
    kinds = [socket.SOCK_DGRAM] * datagram + [socket.SOCK_STREAM] * stream
    sockets = [socket.socket(family, kind | socket.SOCK_NONBLOCK) for kind in kinds]
    for sock in sockets[:datagram]:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
    return sockets


class Forwarder:
    """Asks servers on behalf of sandboxes.  *random_id* gives 16 bits that nobody can guess."""

    def __init__(
        self, loop: Loop, clock: Callable[[], float], random_id: Callable[[], int], *, port: int = PORT
    ) -> None:
        self._port = port
        self._loop = loop
        self._clock = clock
        self._random_id = random_id
        self._host = Pool()
        # Every attempt waits equally long, so the oldest is the first to give up.
        self._waiting: OrderedDict[Ask, float] = OrderedDict()

    def adopt(self, pool: Pool, sockets: Iterable[socket.socket]) -> None:
        """Use *sockets*, opened in the pool's namespace, from now on."""
        for sock in sockets:
            if sock.type == socket.SOCK_STREAM:
                pool.idle.setdefault(sock.family, []).append(sock)
            else:
                port = Port(sock)
                pool.ports.setdefault(sock.family, []).append(port)
                self._loop.watch(sock.fileno(), READ, lambda events, port=port: self._heard(port, events))  # type: ignore[misc]

    def drop(self, pool: Pool) -> None:
        """Close the pool's sockets; who waits for an answer through it waits in vain."""
        queued, pool.queue = pool.queue, deque()
        for ask in queued:
            ask.where = None
        for ask in [ask for ask in self._waiting if ask.home is pool]:
            self._waiting.pop(ask, None)
            self._stop(ask)
        for sock in pool.sockets():
            self._loop.forget(sock.fileno())
            sock.close()
        pool.ports.clear()
        pool.idle.clear()
        pool.outstanding = 0

    def close(self) -> None:
        """Give back the sockets for the host's own servers."""
        self.drop(self._host)

    def asking(self) -> list[str]:
        """The servers that are being asked or queued for, a mention for each question."""
        return [ask.server for ask in self._waiting]

    def ask(
        self,
        home: Pool,
        servers: Sequence[str],
        data: bytes,
        asked: Query,
        send: Callable[[bytes], None],
        *,
        stream: bool,
    ) -> None:
        """Have *data* answered by the first of *servers* that can, and *send* the answer; once, and always."""
        ask = Ask(home, servers, data, asked, send, stream)
        if home.outstanding >= OUTSTANDING_MAX or len(self._waiting) >= WAITING_MAX:
            send(reply(data, asked, ttl=0, rcode=REFUSED, limit=asked.limit))
            return
        home.outstanding += 1
        self._next(ask)

    def expire(self) -> float | None:
        """Send on what waited too long.  How long until the next one does, None: nothing waits."""
        while self._waiting:
            ask, until = next(iter(self._waiting.items()))
            left = until - self._clock()
            if left > 0:
                return left
            self._next(ask)
        return None

    def _next(self, ask: Ask) -> None:
        """Ask the next server, or give up."""
        self._stop(ask)
        self._waiting.pop(ask, None)
        while ask.servers:
            ask.server = ask.servers.popleft()
            pool = self._host_pool(family_of(ask.server)) if is_the_hosts(ask.server) else ask.home
            start = self._call if ask.stream else self._send
            if start(ask, pool, family_of(ask.server)):
                self._waiting[ask] = self._clock() + PATIENCE
                return
        self._finish(ask, reply(ask.data, ask.asked, ttl=0, rcode=SERVFAIL, limit=ask.asked.limit))

    def _stop(self, ask: Ask) -> None:
        """Nobody is asked any more."""
        where, ask.where = ask.where, None
        match where:
            case Port():
                where.asks.pop(ask.ident, None)
            case Call():
                self._hang_up(where)
            case deque():
                where.remove(ask)
            case None:
                pass

    def _finish(self, ask: Ask, answer: bytes) -> None:
        self._stop(ask)
        self._waiting.pop(ask, None)
        ask.home.outstanding -= 1
        answer = ask.data[:2] + answer[2:]
        if not ask.stream and len(answer) > ask.asked.limit:
            answer = cut(answer, ask.asked)
        ask.send(answer)

    def _weigh(self, ask: Ask, data: bytes) -> None:
        """A server answered.  What it could or would not answer, the next may; NXDOMAIN is an answer."""
        if data[3] & 15 in (SERVFAIL, REFUSED) or data[4:6] == b"\0\0":
            self._next(ask)
        else:
            self._finish(ask, data)

    def _host_pool(self, family: int) -> Pool:
        """The resolver's own sockets; its namespace is the host's."""
        if family not in self._host.ports:
            self.adopt(self._host, outgoing(family, HOST_SOCKETS, HOST_SOCKETS))
        return self._host

    def _send(self, ask: Ask, pool: Pool, family: int) -> bool:
        ports = pool.ports.get(family)
        if not ports:
            return False
        idle = [port for port in ports if not port.asks]
        port = random.choice(idle or ports)
        if idle:
            _disconnect(port.sock)
        ask.ident = self._random_id()
        while ask.ident in port.asks:
            ask.ident = self._random_id()
        packet = ask.ident.to_bytes(2) + ask.data[2:]
        # A first refusal may be an earlier packet's, which the socket kept for whoever comes next.
        for _ in range(2):
            try:
                port.sock.sendto(packet, (ask.server, self._port))
            except OSError:
                continue
            ask.where = port
            port.asks[ask.ident] = ask
            return True
        return False

    def _heard(self, port: Port, events: int) -> None:
        if events & ERROR:
            self._refused(port)
        for _ in range(BATCH):
            try:
                data, sender = port.sock.recvfrom(65535)
            except OSError:
                # Nothing more, or an error that _refused has dealt with.
                return
            ask = port.asks.get(int.from_bytes(data[:2])) if len(data) >= 12 else None
            # recvfrom leaves out the link of a link-local address.
            if ask and sender[:2] == (ask.server.partition("%")[0], self._port) and ask.answered_by(data):
                self._weigh(ask, data)

    def _refused(self, port: Port) -> None:
        """The kernel gives back what could not be delivered, with the address it was for (ip(7), IP_RECVERR)."""
        for _ in range(BATCH):
            try:
                data, _, _, to = port.sock.recvmsg(512, 512, socket.MSG_ERRQUEUE)
            except OSError:
                break
            ask = port.asks.get(int.from_bytes(data[:2]))
            if ask and len(data) >= 12 and to[0] == ask.server:
                self._next(ask)
        port.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def _call(self, ask: Ask, pool: Pool, family: int) -> bool:
        if family not in pool.idle:
            return False
        if not pool.idle[family]:
            ask.where = pool.queue
            pool.queue.append(ask)
            return True
        sock = pool.idle[family].pop()
        ask.ident = self._random_id()
        packet = ask.ident.to_bytes(2) + ask.data[2:]
        call = ask.where = Call(ask, pool, family, sock, len(packet).to_bytes(2) + packet)
        try:
            sock.connect((ask.server, self._port))
        except BlockingIOError:
            pass
        except OSError:
            _disconnect(sock)
            pool.idle[family].append(sock)
            ask.where = None
            return False
        self._loop.watch(sock.fileno(), READ | WRITE, lambda _: self._talk(call))
        return True

    def _talk(self, call: Call) -> None:
        try:
            if call.outbox:
                call.outbox = call.outbox[call.sock.send(call.outbox) :]
                if not call.outbox:
                    self._loop.watch(call.sock.fileno(), READ, lambda _: self._talk(call))
                return
            data = call.sock.recv(65535)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        call.inbox += data
        length = int.from_bytes(call.inbox[:2])
        if data and (len(call.inbox) < 2 or len(call.inbox) < 2 + length):
            return
        answer = bytes(call.inbox[2 : 2 + length])
        ask = call.ask
        if len(answer) >= 12 and answer[:2] == ask.ident.to_bytes(2) and ask.answered_by(answer):
            self._weigh(ask, answer)
        else:
            self._next(ask)

    def _hang_up(self, call: Call) -> None:
        """Put the socket back, unconnected, and let the next in the queue have it."""
        self._loop.forget(call.sock.fileno())
        _disconnect(call.sock)
        call.pool.idle[call.family].append(call.sock)
        while call.pool.idle.get(call.family):
            waiting = next((ask for ask in call.pool.queue if family_of(ask.server) == call.family), None)
            if waiting is None:
                return
            self._stop(waiting)
            waiting.servers.appendleft(waiting.server)
            self._next(waiting)
