"""Sandboxes that ask, servers that are asked, and a resolver between them: for the tests of names."""

import itertools
import os
import select
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from tests.patience import patient

from bascule.dns.client import ResolverClient
from bascule.engine.names import Member, View, Zone
from bascule.kernel.namespaces import in_namespace
from bascule.model.sandbox import Sandbox
from bascule.wire.dns import (
    NOERROR,
    NXDOMAIN,
    PTR,
    REFUSED,
    SERVFAIL,
    TRUNCATED,
    A,
    query,
    read_message,
    read_query,
    reply,
    to_text,
    to_wire,
)

DEADLINE = patient(10.0)
RESOLVER = ("127.0.0.11", 53)
CODES = {
    NOERROR: "NOERROR",
    NXDOMAIN: "NXDOMAIN",
    SERVFAIL: "SERVFAIL",
    REFUSED: "REFUSED",
    1: "FORMERR",
    4: "NOTIMP",
}
ASKER, SERVER, OTHER = "10.77.0.2", "10.77.0.53", "10.77.0.54"
_number = itertools.count()


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@dataclass(frozen=True)
class Box:
    """A namespace with loopback."""

    name: str

    @property
    def key(self) -> str:
        return f"/run/netns/{self.name}"

    @property
    def sandbox(self) -> Sandbox:
        return Sandbox(self.name, self.name, self.name, self.key, 0)

    def socket(self, kind: int = socket.SOCK_DGRAM, bind: tuple[str, int] | None = None) -> socket.socket:
        def opened() -> socket.socket:
            sock = socket.socket(socket.AF_INET, kind)
            sock.settimeout(DEADLINE)
            if bind:
                sock.bind(bind)
            return sock

        return in_namespace(self.key, opened)

    def send(self, data: bytes, *, stream: bool = False) -> bytes:
        """The answer to one packet.  Raises TimeoutError."""
        with self.socket(socket.SOCK_STREAM if stream else socket.SOCK_DGRAM) as sock:
            sock.connect(RESOLVER)
            sock.sendall(len(data).to_bytes(2) + data if stream else data)
            return read_framed(sock) if stream else sock.recv(65535)

    def ask(self, name: str, kind: int = A, *, stream: bool = False, edns: int | None = None) -> str:
        """What the resolver says, as text: `NOERROR 10.0.0.2 10.0.0.3`, addresses sorted."""
        return shown(self.send(query(to_wire(name), kind, ident=4711, edns=edns), stream=stream))


def read_framed(sock: socket.socket) -> bytes:
    """One message from a stream; what there is, if it ends before."""
    data = b""
    while len(data) < 2 or len(data) < 2 + int.from_bytes(data[:2]):
        some = sock.recv(65535)
        if not some:
            break
        data += some
    return data[2:]


def shown(data: bytes) -> str:
    message = read_message(data)
    assert message.ident == 4711
    found = sorted(to_text(r.data) if r.kind == PTR else str(ip_address(r.data)) for r in message.answers)
    return " ".join([CODES[message.rcode], *(["TC"] if message.truncated else []), *found])


@contextmanager
def box() -> Iterator[Box]:
    """A new one, gone afterwards."""
    one = Box(f"bdns-{os.getpid()}-{next(_number)}")
    ip("netns", "add", one.name)
    try:
        ip("-n", one.name, "link", "set", "lo", "up")
        yield one
    finally:
        ip("netns", "del", one.name)


@dataclass
class Upstream:
    """A nameserver in a namespace of its own that says what the first label of a name asks for, and remembers."""

    heard: list[tuple[str, tuple[str, int]]] = field(default_factory=list)
    """Name asked for, and by whom, in order; over TCP the name has a `+` before it."""

    def names(self) -> list[str]:
        return [name for name, _ in self.heard]

    def answer(self, data: bytes, sender: tuple[str, int], *, stream: bool) -> bytes | None:
        asked = read_query(data)
        name = to_text(asked.name)
        self.heard.append(("+" * stream + name, sender))
        limit = 65535 if stream else asked.limit
        match name.partition(".")[0]:
            case "silent":
                return None
            case "nx":
                return reply(data, asked, ttl=1, rcode=NXDOMAIN, limit=limit)
            case "servfail":
                return reply(data, asked, ttl=1, rcode=SERVFAIL, limit=limit)
            case "long" if not stream:
                cut = bytearray(reply(data, asked, ttl=1, limit=limit))
                cut[2] |= TRUNCATED >> 8
                return bytes(cut)
            case _:
                return reply(data, asked, [(A, ip_address("192.0.2.1").packed)], ttl=1, limit=limit)


@contextmanager
def upstream(asker: Box) -> Iterator[Upstream]:
    """A server at SERVER, linked to *asker*; nobody listens at OTHER, though it is there."""
    fake = Upstream()
    with box() as place, ExitStack() as stack:
        peer = ["peer", "name", "eth0", "netns", asker.name]
        ip("-n", place.name, "link", "add", "eth0", "type", "veth", *peer)
        for where, addresses in ((place, (SERVER, OTHER)), (asker, (ASKER,))):
            for address in addresses:
                ip("-n", where.name, "addr", "add", f"{address}/24", "dev", "eth0")
            ip("-n", where.name, "link", "set", "eth0", "up")
        datagrams = stack.enter_context(place.socket(bind=(SERVER, 53)))
        streams = stack.enter_context(place.socket(socket.SOCK_STREAM, bind=(SERVER, 53)))
        streams.listen()
        ends = os.eventfd(0)
        thread = threading.Thread(target=_answer_all, args=(fake, datagrams, streams, ends))
        thread.start()
        try:
            yield fake
        finally:
            os.eventfd_write(ends, 1)
            thread.join()
            os.close(ends)


def _answer_all(fake: Upstream, datagrams: socket.socket, streams: socket.socket, ends: int) -> None:
    while True:
        watched: list[socket.socket | int] = [datagrams, streams, ends]
        ready, _, _ = select.select(watched, [], [])
        if ends in ready:
            return
        if datagrams in ready:
            data, sender = datagrams.recvfrom(65535)
            answer = fake.answer(data, sender, stream=False)
            if answer:
                datagrams.sendto(answer, sender)
        if streams in ready:
            call, sender = streams.accept()
            with call:
                answer = fake.answer(read_framed(call), sender, stream=True)
                if answer:
                    call.sendall(len(answer).to_bytes(2) + answer)


def member(endpoint: str, names: str, *addresses: str) -> Member:
    return Member(endpoint, tuple(names.split()), tuple(map(ip_address, addresses)))


def view(one: Box, *networks: str, upstream: tuple[str, ...] = (), **links: str) -> View:
    told = {alias: (ip_address(address),) for alias, address in links.items()}
    return View(one.name, networks, told or None, tuple(map(ip_address, upstream)))


APP = Zone("n1", "app", (member("e1", "Web www", "10.0.0.2", "fd00::2"), member("e2", "db", "10.0.0.3")))
BACK = Zone("n2", "back", (member("e3", "store", "10.0.1.2"),))


def until(holds: Callable[[], bool]) -> None:
    """Wait until it holds, with a deadline; the state asked about has no event of its own."""
    waiting = threading.Event()
    for _ in range(int(DEADLINE / 0.01)):
        if holds():
            return
        waiting.wait(0.01)
    raise AssertionError("it never came true")


def sockets_in(one: Box) -> list[str]:
    """The UDP sockets of a namespace, by address."""
    lines = in_namespace(one.key, lambda: Path("/proc/thread-self/net/udp").read_text()).splitlines()[1:]
    local = [line.split()[1].split(":") for line in lines]
    return [f"{socket.inet_ntoa(bytes.fromhex(a)[::-1])}:{int(p, 16)}" for a, p in local]


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


@contextmanager
def resolver(root: Path, *boxes: Box, version: str = "") -> Iterator[ResolverClient]:
    """A client that knows APP and BACK; at the end the resolver must have ended too."""
    client = ResolverClient(str(root), version=version)
    try:
        client.publish(APP)
        client.publish(BACK)
        yield client
    finally:
        end(client, root, *boxes)


def end(client: ResolverClient, root: Path, *boxes: Box) -> None:
    """Nobody is served any more, and so there is nothing left: no process, no socket, and no complaint."""
    pid = client.pid
    for one in boxes:
        client.leave(one.name)
    client.close()
    until(lambda: not pid or not alive(pid))
    assert not (root / "resolver.sock").exists()
    log = root / "resolver.log"
    assert not log.exists() or log.read_text() == ""
