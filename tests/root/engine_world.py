"""An engine on the real kernel, and those it must keep apart: what is stated in a Docker user's words is asked with
real packets.

lan 192.0.2.2 --- 192.0.2.1 eth0  host with the engine  bridges  boxes (as many as a test wants)
    2001:db8::2   2001:db8::1
"""

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv6Address, ip_network
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

from tests.root.firewall_world import World, inside

from bascule.engine.engine import Engine
from bascule.engine.proxy import Carried
from bascule.kernel.linux import LinuxKernel
from bascule.model.addresses import IPAddress, ip_address
from bascule.model.endpoint import Endpoint, EndpointSpec, PortSpec, Proto
from bascule.model.network import Network, NetworkSpec, PoolSpec
from bascule.model.sandbox import SandboxSpec
from bascule.model.settings import Settings
from bascule.proxy.client import ProxyClient
from bascule.store.memory import MemoryStore

_count = itertools.count(1)
LAN, LAN6 = "192.0.2.2", "2001:db8::2"
HOST, HOST6 = "192.0.2.1", "2001:db8::1"
PREFIX = "com.docker.network.bridge."
NONE: Mapping[str, str] = MappingProxyType({})


class Carrier:
    """The real carrying process, which is the host's: its sockets are opened in the host's namespace."""

    def __init__(self, directory: str, ns: str) -> None:
        self._ns = ns
        self._client = ProxyClient(directory)

    def carry(self, key: str, ports: Sequence[Carried]) -> None:
        inside(self._ns, lambda: self._client.carry(key, ports))

    def keys(self) -> Iterable[str]:
        return self._client.keys()

    def close(self) -> None:
        """The process has ended."""
        pid = self._client.pid()
        for key in self.keys():
            self.carry(key, ())
        self._client.close()
        if pid:
            os.waitpid(pid, 0)


class EngineWorld(World):
    """A host, its neighbour on a cable, and an engine that is the host's."""

    def __init__(self, *, carries: bool = False, nf_call: bool = True, **settings: Any) -> None:
        """*carries*: what the kernel cannot translate is carried by a process, as the daemon's is."""
        self.directory = Path(f"/run/bascule-world-{os.getpid()}-{next(_count)}")
        self.directory.mkdir()
        self._names = ["host", "lan"]
        self._settings = Settings(exec_root=str(self.directory), **settings)
        super().__init__(f"w{os.getpid()}-{next(_count)}", nf_call=nf_call)
        # The base's own table would stand beside the engine's.
        self.firewall.close()
        try:
            self.kernel = inside(self.ns("host"), lambda: LinuxKernel(namespaces=str(self.directory / "netns")))
            self._carrier = Carrier(str(self.directory), self.ns("host")) if carries else None
            self.engine = Engine(self.kernel, MemoryStore(), self._settings, proxy=self._carrier)
            self.engine.start()
        except BaseException:
            self._remove()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.hang_up()
        if self._carrier:
            self._carrier.close()
        self.engine.close()
        self._remove()

    def _build(self) -> None:
        for who in self._names:
            self._namespace(who)
        self.bridged_through_ip()
        self.cable("lan", "eth0", (HOST, HOST6), (LAN, LAN6))

    def cable(self, who: str, link: str, ours: tuple[str, str], theirs: tuple[str, str]) -> None:
        """*who* is a machine beside the host, at the other end of the host's *link*, and sends all to it."""
        if who not in self._names:
            self._names.append(who)
            self._namespace(who)
        self.ip("host", f"link add {link} up type veth peer name eth0 netns {self.ns(who)}")
        # A link without a link-local address cannot ask for neighbours on behalf of what it forwards.
        for end, dev, addresses in (("host", link, (*ours, "fe80::1")), (who, "eth0", theirs)):
            self.ip(end, f"link set {dev} up", f"addr add {addresses[0]}/24 dev {dev}")
            self.ip(end, *(f"-6 addr add {a}/64 dev {dev} nodad" for a in addresses[1:]))
        self.ip(who, f"route add default via {ours[0]}", f"-6 route add default via {ours[1]}")

    def _namespace(self, who: str) -> None:
        subprocess.run(["ip", "netns", "add", self.ns(who)], check=True)
        self.sysctl(who, "ipv6/conf/default/addr_gen_mode", "1")
        self.ip(who, "link set lo up")

    def _remove(self) -> None:
        for who in self._names:
            subprocess.run(["ip", "netns", "del", self.ns(who)], check=False, stderr=subprocess.DEVNULL)
        for bound in self.directory.glob("netns/*"):
            subprocess.run(["umount", "-l", str(bound)], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.directory)

    def network(
        self, name: str, *subnets: str, internal: bool = False, ipv4: bool = True, options: Mapping[str, str] = NONE
    ) -> Network:
        """A bridge network on *subnets*; an option's key is `enable_icc` for Docker's long one, or whole."""
        return self.engine.create(
            NetworkSpec(
                name,
                pools=tuple(PoolSpec(ip_network(s)) for s in subnets),
                ipv4=ipv4,
                ipv6=any(":" in s for s in subnets),
                internal=internal,
                options={key if "." in key else f"{PREFIX}{key}": value for key, value in options.items()},
            )
        )

    def ask_for(
        self, who: str, *, ports: tuple[PortSpec, ...] = (), exposed: tuple[tuple[Proto, int], ...] = ()
    ) -> SandboxSpec:
        """A sandbox called *who*, in a namespace that is made where it is not there yet."""
        if who not in self._names:
            self._names.append(who)
            self._namespace(who)
        return SandboxSpec(
            container=who * 16, name=who, key=f"/run/netns/{self.ns(who)}", ports=ports, exposed=exposed
        )

    def box(
        self,
        who: str,
        *networks: str,
        ports: tuple[PortSpec, ...] = (),
        exposed: tuple[tuple[Proto, int], ...] = (),
        spec: EndpointSpec | None = None,
    ) -> str:
        """A container called *who* on *networks*; its sandbox's id.  Its servers answer on 80 and 81."""
        ask = self.ask_for(who, ports=ports, exposed=exposed)
        sandbox = self.engine.open(ask).id
        for network in networks:
            self.engine.connect(network, sandbox, spec)
        for address in ("0.0.0.0", "::"):
            for port in (80, 81):
                self.serve(who, address, port)
                self.serve(who, address, port, "udp")
        return sandbox

    @staticmethod
    def sandbox_of(number: int) -> SandboxSpec:
        """One of many sandboxes, in a namespace that the engine makes."""
        return SandboxSpec(container=f"{number:064x}", name=f"box{number}")

    def end(self, sandbox: str, network: str = "") -> Endpoint:
        """The sandbox's endpoint, on *network* where it has several."""
        ends = self.engine.endpoints(sandbox=sandbox)
        return next(e for e in ends if not network or e.network == self.engine.network(network).id)

    def sh(self, who: str, command: str) -> str:
        """What a shell *command* prints."""
        return self.run(who, "sh", "-ec", command).strip()


def at(*addresses: str) -> EndpointSpec:
    """An endpoint at *addresses*."""
    return EndpointSpec(addresses=tuple(map(ip_address, addresses)))


def port(number: int, host_port: int, proto: Proto = "tcp", host: str = "") -> PortSpec:
    """`-p host:host_port:number/proto`."""
    where: IPAddress | None = ip_address(host) if host else None
    return PortSpec(number, proto, where, (host_port, host_port))


def link_local(mac: str) -> str:
    """The address that a link with *mac* makes up for itself (RFC 4291, appendix A)."""
    raw = bytes.fromhex(mac.replace(":", ""))
    ident = bytes([raw[0] ^ 2]) + raw[1:3] + b"\xff\xfe" + raw[3:]
    return str(IPv6Address(b"\xfe\x80" + bytes(6) + ident))
