"""A host with two bridges and a neighbour, each in a namespace of its own, for the firewall's tests.

lan 192.0.2.2 --- 192.0.2.1 eth0  host  br-a 10.1.0.1 --- a1 10.1.0.2, a2 10.1.0.3
    2001:db8::2   2001:db8::1                fd01::1      fd01::2      fd01::3
                                        br-b 10.2.0.1 --- b1 10.2.0.2
                                             fd02::1      fd02::2
"""

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import pytest
from tests.patience import patient
from tests.root.frames import Frame

from bascule.kernel.firewall import Firewall
from bascule.model.addresses import ip_address
from bascule.model.endpoint import Proto
from bascule.model.firewall import Forward, Lawful, Masquerade, Mode, Port, Publish, Rule, Together

T = TypeVar("T")
_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_ETH_P_ALL = 3
_END = "end"
NO_ANSWER = "no answer"
REFUSED = "refused"
# Long enough for a busy machine, and only waited for in full where nothing is to come.
PATIENCE = patient(0.9)

MACS = {"a1": "02:00:00:00:0a:01", "a2": "02:00:00:00:0a:02", "b1": "02:00:00:00:0b:01"}
ADDRESSES = {
    "a1": ("10.1.0.2", "fd01::2"),
    "a2": ("10.1.0.3", "fd01::3"),
    "b1": ("10.2.0.2", "fd02::2"),
    "lan": ("192.0.2.2", "2001:db8::2"),
}
GATEWAYS = {
    "br-a": ("10.1.0.1", "fd01::1"),
    "br-b": ("10.2.0.1", "fd02::1"),
    "eth0": ("192.0.2.1", "2001:db8::1"),
}


def inside(ns: str, work: Callable[[], T]) -> T:
    """What *work* returns when it runs in the namespace *ns*; its sockets stay there."""
    result: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            with open(f"/run/netns/{ns}") as namespace:
                if _libc.setns(namespace.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), f"setns {ns}")
            result.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return result[0]


class World:
    """The namespaces, their links, servers and the firewall of the host."""

    def __init__(self, name: str, *, nf_call: bool = False) -> None:
        self.name = name
        self._nf_call = nf_call
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        try:
            self._build()
            self.firewall = inside(self.ns("host"), lambda: Firewall("bascule"))
        except BaseException:
            self._remove()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.firewall.close()
        self.hang_up()
        self._remove()

    def ns(self, who: str) -> str:
        return f"{self.name}-{who}"

    def _build(self) -> None:
        for who in ("host", *ADDRESSES):
            subprocess.run(["ip", "netns", "add", self.ns(who)], check=True)
            # No link-local addresses: they would be tentative for two seconds.
            self.sysctl(who, "ipv6/conf/default/addr_gen_mode", "1")
        self.bridged_through_ip()
        lines = ["link set lo up"]
        for bridge in ("br-a", "br-b"):
            lines.append(f"link add {bridge} up type bridge")
        for who, (link, master) in {
            "a1": ("va1", "br-a"),
            "a2": ("va2", "br-a"),
            "b1": ("vb1", "br-b"),
            "lan": ("eth0", ""),
        }.items():
            mac = f"address {MACS[who]} " if who in MACS else ""
            to = f"master {master} " if master else ""
            lines.append(f"link add {link} {to}up type veth peer name eth0 {mac}netns {self.ns(who)}")
        for link, gateways in GATEWAYS.items():
            # Without a link-local address a link cannot ask for neighbours on behalf of what it forwards
            # (net/ipv6/ndisc.c: ndisc_send_ns).
            lines += [
                f"addr add {gateways[0]}/24 dev {link}",
                f"addr add {gateways[1]}/64 dev {link} nodad",
                f"addr add fe80::1/64 dev {link} nodad",
            ]
        self.ip("host", *lines)
        for who, (four, six) in ADDRESSES.items():
            link = {"a": "br-a", "b": "br-b", "l": "eth0"}[who[0]]
            self.ip(
                who,
                "link set lo up",
                "link set eth0 up",
                f"addr add {four}/24 dev eth0",
                f"addr add {six}/64 dev eth0 nodad",
                f"route add default via {GATEWAYS[link][0]}",
                f"-6 route add default via {GATEWAYS[link][1]}",
            )
        for key, value in {
            "ipv4/ip_forward": "1",
            "ipv6/conf/all/forwarding": "1",
            "ipv4/conf/br-a/route_localnet": "1",
            "ipv4/conf/br-b/route_localnet": "1",
        }.items():
            self.sysctl("host", key, value)

    def bridged_through_ip(self) -> None:
        """Whether what is bridged passes the IP hooks: it does by default where br_netfilter is there."""
        if not Path("/proc/sys/net/bridge").exists():
            if self._nf_call:
                pytest.skip("nothing bridged passes the IP hooks here (modprobe br_netfilter)")
            return
        for key in ("iptables", "ip6tables", "arptables"):
            self.sysctl("host", f"bridge/bridge-nf-call-{key}", str(int(self._nf_call)))

    def _remove(self) -> None:
        for who in ("host", *ADDRESSES):
            subprocess.run(["ip", "netns", "del", self.ns(who)], check=False, stderr=subprocess.DEVNULL)

    def sysctl(self, who: str, key: str, value: str) -> None:
        def write() -> None:
            Path(f"/proc/sys/net/{key}").write_text(value)

        inside(self.ns(who), write)

    def ip(self, who: str, *lines: str) -> None:
        """Commands of `ip` in one namespace; the lines of one family go in one process."""
        for six in (False, True):
            batch = "\n".join(line.removeprefix("-6 ") for line in lines if line.startswith("-6 ") == six)
            if batch:
                family = ["-6"] if six else []
                subprocess.run(
                    ["ip", *family, "-n", self.ns(who), "-batch", "-"], input=batch, text=True, check=True
                )

    def run(self, who: str, *command: str) -> str:
        """What a command in a namespace prints."""
        done = subprocess.run(
            ["ip", "netns", "exec", self.ns(who), *command], check=True, capture_output=True, text=True
        )
        return done.stdout

    def socket(self, who: str, family: int, kind: int, proto: int = 0) -> socket.socket:
        """A socket in a namespace, closed at the end."""
        made = inside(self.ns(who), lambda: socket.socket(family, kind, proto))
        made.settimeout(PATIENCE)
        self._open.append(made)
        return made

    def serve(self, who: str, address: str, port: int, proto: Proto = "tcp") -> None:
        """Answer everybody at address:port with the address that they seem to come from."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        server = self.socket(who, family, socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM)
        server.settimeout(None)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.bind((address, port))
        if proto == "tcp":
            server.listen()
        thread = threading.Thread(target=_answer, args=(server, proto), daemon=True)
        thread.start()
        self._threads.append(thread)

    def hang_up(self) -> None:
        """End every server."""
        for opened in self._open:
            try:
                opened.shutdown(socket.SHUT_RDWR)
            except OSError:
                # A datagram socket without a peer; the shutdown wakes its reader all the same.
                pass
        for thread in self._threads:
            thread.join()
        for opened in self._open:
            opened.close()
        self._open.clear()
        self._threads.clear()

    def ask(self, who: str, address: str, port: int, proto: Proto = "tcp", source: str = "") -> str:
        """Whom the server at address:port sees when *who* asks it, or NO_ANSWER, or REFUSED."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        kind = socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM
        made = inside(self.ns(who), lambda: socket.socket(family, kind))
        with made:
            made.settimeout(PATIENCE)
            try:
                if source:
                    made.bind((source, 0))
                made.connect((address, port))
                made.send(b"?")
                return made.recv(100).decode() or NO_ANSWER
            except TimeoutError:
                return NO_ANSWER
            except ConnectionError:
                return REFUSED
            except OSError as refused:
                return f"{refused.strerror}"

    def table(self, *questions: str) -> str:
        """The answers to questions like "lan 10.1.0.2 80" or "b1 fd01::2 53 udp", a line each, asked at once."""

        def line(question: str) -> str:
            who, address, *rest = question.split()
            if rest == ["ping"]:
                answer = self.ping(who, address)
            else:
                proto: Proto = "udp" if rest[1:] == ["udp"] else "tcp"
                answer = self.ask(who, address, int(rest[0]), proto)
            return f"{question}: {answer}"

        with ThreadPoolExecutor(8) as pool:
            return "\n".join(pool.map(line, questions))

    def ping(self, who: str, address: str) -> str:
        """ "answers", or NO_ANSWER."""
        command = ["ip", "netns", "exec", self.ns(who), "ping", "-nqc1", "-W1", address]
        done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
        return NO_ANSWER if done.returncode else "answers"

    def heard(self, sender: str, at: tuple[str, str], frames: dict[str, Frame], end: Frame) -> list[str]:
        """Which of *frames*, sent by *sender*, arrive *at* (whose, which link), told by their names at their ends.

        *end* is a frame that does arrive: what has not come before it does not come.
        """
        receiver, link = at
        ears = self.socket(receiver, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        ears.bind((link, _ETH_P_ALL))
        ears.settimeout(patient(5))
        mouth = self.socket(sender, socket.AF_PACKET, socket.SOCK_RAW)
        mouth.bind(("eth0", 0))
        for name, frame in {**frames, _END: end}.items():
            # Room, so that no padding of short frames comes behind the name.
            mouth.send(frame(f"{'.' * 40}<{name}>".encode()))
        names: list[str] = []
        while names[-1:] != [_END]:
            data, address = ears.recvfrom(2000)
            if address[2] != socket.PACKET_OUTGOING and data.endswith(b">") and b"<" in data:
                names.append(data[data.rindex(b"<") + 1 : -1].decode())
        return names[:-1]

    def mac(self, who: str, link: str = "eth0") -> str:
        """The MAC of a link."""
        return self.run(who, "cat", f"/sys/class/net/{link}/address").strip()


def _answer(server: socket.socket, proto: Proto) -> None:
    while True:
        try:
            if proto == "tcp":
                peer, address = server.accept()
                with peer:
                    peer.sendall(str(address[0]).encode())
            else:
                _, address = server.recvfrom(100)
                if not address:
                    return
                server.sendto(str(address[0]).encode(), address)
        except OSError:
            return


def network(link: str, mode: Mode = "nat", *, icc: bool = True, masquerade: bool = True) -> list[Rule]:
    """The rules of a network of both families on *link*."""
    rules: list[Rule] = [Forward(link, 4, mode), Forward(link, 6, mode)]
    if icc:
        rules.append(Together(link))
    if masquerade:
        rules += [Masquerade(link, 4), Masquerade(link, 6)]
    return rules


def guarded(*who: str) -> list[Rule]:
    """The rules that hold endpoints to their addresses."""
    rules: list[Rule] = []
    for name in who:
        rules += [Port(f"v{name}"), Lawful(f"v{name}", MACS[name], tuple(map(ip_address, ADDRESSES[name])))]
    return rules


def publish(host: str, host_port: int, who: str, port: int, proto: Proto = "tcp") -> Publish:
    """host:host_port leads to an endpoint's port."""
    at = ip_address(host)
    return Publish(proto, at, host_port, ip_address(ADDRESSES[who][at.version == 6]), port)


def name(topic: str) -> str:
    """A prefix for namespaces that no other process uses."""
    return f"fw-{topic}-{os.getpid()}"
