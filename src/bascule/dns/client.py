"""The daemon's end of the resolver: `engine.names.Names`, kept by a process that outlives this one.

What the engine says is remembered here and then told; when the resolver dies, another is started and told all of
it.  When this process dies, the next one's client finds the resolver by its socket, still answering, and goes on.
A resolver of other code is replaced: a new one gets the listening sockets themselves from the old one, so that
there is no moment in which nobody reads them.
"""

import contextlib
import logging
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bascule.dns import control
from bascule.dns.control import Message
from bascule.dns.forward import SERVERS_MAX, family_of, is_the_hosts
from bascule.dns.line import Line, Told
from bascule.dns.sockets import namespace_of, open_sockets
from bascule.engine.names import Member, View, Zone
from bascule.kernel.namespaces import HERE
from bascule.model.addresses import IPAddress
from bascule.model.errors import Failed
from bascule.model.sandbox import Sandbox

logger = logging.getLogger("bascule.dns")

ATTEMPTS = 3
# How long after a resolver that could not be started the next one is tried, while nobody asks for anything.
RETRY = 1.0
# Seconds in which a resolver has started: 0.1 here, 11 where the processor was emulated and shared with others.
STARTING = 60.0


class ResolverClient:
    """`Names` by a resolver process that listens at *exec_root*/resolver.sock, started when first it is needed.

    *version* says which code a resolver must be to be kept; the default is: this.  Errors are Failed.
    """

    def __init__(self, exec_root: str, *, version: str = "") -> None:
        self._root = exec_root
        self._version = version or control.version()
        self._lock = threading.RLock()
        self._zones: dict[str, tuple[str, dict[str, Member]]] = {}
        self._views: dict[str, tuple[str, View]] = {}
        self._line: Line | None = None
        self._closed = threading.Event()
        with self._lock:
            found = self._find()
            if found:
                self._begin(found)

    @property
    def pid(self) -> int:
        """The resolver's process, 0 while none is needed."""
        line = self._line
        return line.pid if line else 0

    def serve(self, sandbox: Sandbox, view: View, *, soon: bool = False) -> None:
        with self._lock:
            before = self._views.get(view.sandbox)
            self._views[view.sandbox] = (sandbox.key, view)
            try:
                self._tell(lambda line: self._serve(line, sandbox.key, view, soon=soon))
            except (OSError, Failed) as refusal:
                del self._views[view.sandbox]
                if before:
                    self._views[view.sandbox] = before
                why = refusal.strerror if isinstance(refusal, OSError) else refusal
                raise Failed(f"serving names to {sandbox.name} in {sandbox.key}: {why}") from refusal

    def leave(self, sandbox: str) -> None:
        with self._lock:
            self._views.pop(sandbox, None)
            self._tell(lambda line: self._leave(line, sandbox))

    def publish(self, zone: Zone, *, soon: bool = False) -> None:
        with self._lock:
            if zone.gone:
                self._zones.pop(zone.network, None)
                self._tell(lambda line: line.note({"op": "forget", "network": zone.network}))
            else:
                self._zones[zone.network] = (zone.name, {m.endpoint: m for m in zone.members})
                self._tell(lambda line: self._publish(line, zone.network))
            if not soon:
                self.flush()

    def join(self, zone: Zone, member: Member) -> None:
        with self._lock:
            _, members = self._zones.get(zone.network, ("", {}))
            self._zones[zone.network] = (zone.name, members)
            members[member.endpoint] = member
            message = {"op": "join", "network": zone.network, "name": zone.name, "member": _words(member)}
            self._tell(lambda line: line.note(message))

    def part(self, network: str, endpoint: str) -> None:
        with self._lock:
            _, members = self._zones.get(network, ("", {}))
            members.pop(endpoint, None)
            self._tell(lambda line: line.note({"op": "part", "network": network, "endpoint": endpoint}))

    def flush(self) -> None:
        with self._lock:
            self._tell(lambda line: line.settle())

    def settle(self) -> None:
        """All has been said: what an earlier daemon left behind, and this one did not serve or publish, goes."""
        with self._lock:
            self._tell(
                lambda line: line.ask({"op": "keep", "sandboxes": list(self._views), "networks": list(self._zones)})
            )
            if self._line:
                for ident in self._line.served.keys() - self._views.keys():
                    del self._line.served[ident]

    def close(self) -> None:
        """Give up the connection.  The resolver goes on as long as there is somebody to serve, and no longer."""
        with self._lock:
            self._closed.set()
            line, self._line = self._line, None
            if line is None:
                return
            with contextlib.suppress(OSError, EOFError, Failed):  # it is gone: so much the better
                if line.ask({"op": "bye"})["ends"]:
                    Path(self._root, "resolver.sock").unlink(missing_ok=True)
            line.close()

    # -- one line at a time; all of this is called under the lock

    def _tell(self, say: Callable[[Line], object]) -> None:
        """Say it to a resolver that knows the rest.  Where nobody is served there need be none."""
        for _ in range(ATTEMPTS):
            if self._line is None and not self._views:
                return
            try:
                line = self._line or self._begin(self._find() or self._start())
                say(line)
                return
            except (ConnectionError, TimeoutError, EOFError) as loss:
                logger.warning("the resolver went away: %r", loss)
                self._lose()
        raise Failed(f"the resolver does not stay: see {self._root}/resolver.log")

    def _lose(self) -> None:
        line, self._line = self._line, None
        if line:
            line.close()

    def _begin(self, line: Line) -> Line:
        """From now on this is the resolver: one of our code, which knows all that we know."""
        line = self._of_our_code(line)
        self._line = line
        threading.Thread(target=self._watch, args=(line, os.dup(line.sock.fileno())), daemon=True).start()
        self._leave_the_lost(line)
        for network in self._zones:
            self._publish(line, network)
        for ident, (key, view) in list(self._views.items()):
            try:
                self._serve(line, key, view)
            except (ConnectionError, TimeoutError):
                raise
            except (OSError, Failed) as refusal:
                logger.warning("no names for %s in %s: %s", ident[:12], key, refusal)
        return line

    def _leave_the_lost(self, line: Line) -> None:
        """Sandboxes whose namespace went while nobody said so are held in being by our sockets alone."""
        for ident, message in self._hello(line)["sandboxes"].items():
            line.served[ident] = Told(message["netns"], set(message["families"]))
            if not _is(message["key"], message["netns"]):
                self._leave(line, ident)

    def _publish(self, line: Line, network: str) -> None:
        name, members = self._zones[network]
        words = [_words(m) for m in members.values()]
        line.note({"op": "publish", "network": network, "name": name, "members": words})

    def _serve(self, line: Line, key: str, view: View, *, soon: bool = False) -> None:
        netns = namespace_of(key)
        if netns == namespace_of(HERE):
            raise Failed(f"serving names in {key}: this is the host's own namespace")
        servers = [str(address) for address in view.upstream[:SERVERS_MAX]]
        families = {int(family_of(server)) for server in servers if not is_the_hosts(server)}
        told = line.served.get(view.sandbox)
        fresh = told is None or told.netns != netns
        had = set() if told is None or fresh or not servers else told.families
        with _sockets(key, listeners=fresh, families=sorted(families - had)) as sockets:
            message = _view_words(view) | {
                "op": "serve",
                "key": key,
                "netns": netns,
                "upstream": servers,
                "families": sorted(families | had),
                "listeners": fresh,
                "descriptors": len(sockets),
            }
            (line.say if soon else line.ask)(message, [sock.fileno() for sock in sockets])
        line.served[view.sandbox] = Told(netns, families | had)

    def _leave(self, line: Line, ident: str) -> None:
        line.served.pop(ident, None)
        line.ask({"op": "leave", "sandbox": ident})

    def _watch(self, line: Line, fd: int) -> None:
        """Notice that the resolver died, even when nobody has anything to tell it."""
        poll = select.poll()
        poll.register(fd, select.POLLRDHUP)
        poll.poll()
        os.close(fd)
        while not self._closed.is_set():
            with self._lock:
                if self._line not in (line, None) or self._closed.is_set():
                    return
                self._lose()
                if not self._views:
                    return
                logger.warning("the resolver ended; starting another")
                try:
                    self._begin(self._find() or self._start())
                    return
                except (Failed, OSError, EOFError) as refusal:
                    logger.error("no names for the time being: %s", refusal)
            self._closed.wait(RETRY)

    # -- processes

    def _find(self) -> Line | None:
        """The resolver that listens, if one does and speaks."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        line = Line(sock)
        try:
            with self._place() as place:
                sock.connect(f"{place}/resolver.sock")
            line.pid = self._hello(line)["pid"]
        except (FileNotFoundError, ConnectionError, EOFError):
            # None, or one that was just about to end.
            line.close()
            return None
        return line

    def _start(self) -> Line:
        """A new resolver, listening where the next daemon will look for it."""
        Path(self._root).mkdir(mode=0o711, parents=True, exist_ok=True)
        with self._place() as place, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            fresh = Path(place, "resolver.sock.new")
            fresh.unlink(missing_ok=True)
            listener.bind(str(fresh))
            fresh.chmod(0o600)
            listener.listen()
            fresh.rename(f"{place}/resolver.sock")
            code = self._run(listener)
        line = None if code else self._find()
        if line is None:
            raise Failed(f"starting the resolver: exit code {code}, see {self._root}/resolver.log")
        logger.info("started the resolver, process %d", line.pid)
        return line

    def _run(self, listener: socket.socket) -> int:
        """The exit status of a process that leaves a resolver behind, which has *listener*."""
        with Path(self._root, "resolver.log").open("ab") as log:
            try:
                return subprocess.run(
                    [sys.executable, "-s", "-S", "-P", "-m", "bascule.dns", str(listener.fileno()), self._version],
                    env={"PYTHONPATH": str(Path(__file__).parents[2]), "LC_ALL": "C.UTF-8"},
                    pass_fds=(listener.fileno(),),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    timeout=STARTING,
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                raise Failed(f"starting the resolver: it took more than {STARTING:g} s") from None

    @contextlib.contextmanager
    def _place(self) -> Iterator[str]:
        """Our directory by a name short enough for a Unix socket's address, which has 108 bytes."""
        fd = os.open(self._root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield f"/proc/self/fd/{fd}"
        finally:
            os.close(fd)

    def _hello(self, line: Line) -> Message:
        return line.ask({"op": "hello", "version": self._version})

    def _of_our_code(self, line: Line) -> Line:
        """*line*, or a line to one that replaced its resolver and serves what it served by the same sockets."""
        if self._hello(line)["version"] == self._version:
            return line
        logger.info("replacing the resolver, process %d: it runs other code", line.pid)
        state = line.ask({"op": "state"})
        new = self._start()
        for zone in state["zones"]:
            new.ask({"op": "publish", **zone})
        for one in state["sandboxes"]:
            line.hear()
            with contextlib.ExitStack() as stack:
                sockets = [stack.enter_context(sock) for sock in line.sockets(2)]
                families = one["families"] if _is(one["key"], one["netns"]) else []
                sockets += stack.enter_context(_sockets(one["key"], listeners=False, families=families))
                more = {"op": "serve", "families": families, "listeners": True, "descriptors": len(sockets)}
                new.ask(one | more, [sock.fileno() for sock in sockets])
        line.ask({"op": "retire"})
        line.close()
        return new


@contextlib.contextmanager
def _sockets(key: str, *, listeners: bool, families: Sequence[int]) -> Iterator[list[socket.socket]]:
    """Sockets for the resolver; ours are closed when it has them."""
    sockets = open_sockets(key, listeners=listeners, families=families) if listeners or families else []
    try:
        yield sockets
    finally:
        for sock in sockets:
            sock.close()


def _is(key: str, netns: str) -> bool:
    """Whether *key* is still that namespace."""
    try:
        return namespace_of(key) == netns
    except Failed:
        return False


def _hex(addresses: Sequence[IPAddress]) -> list[str]:
    return [address.packed.hex() for address in addresses]


def _words(member: Member) -> list[object]:
    return [member.endpoint, list(member.names), _hex(member.addresses)]


def _view_words(view: View) -> Message:
    links = {alias: _hex(addresses) for alias, addresses in (view.links or {}).items()}
    return {"sandbox": view.sandbox, "networks": list(view.networks), "links": links}
