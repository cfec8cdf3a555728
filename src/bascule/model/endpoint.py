"""Endpoints: a sandbox's place on a network, as asked for and as decided; and the ports published through it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bascule.model.addresses import Family, IPAddress, IPInterface

Proto = Literal["tcp", "udp", "sctp"]


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """What a user says of one container on one network; every field may be left to us."""

    addresses: tuple[IPAddress, ...] = ()
    """--ip, --ip6: at most one of each family."""
    link_local: tuple[IPAddress, ...] = ()
    mac: str = ""
    aliases: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    """`container:alias`, as Docker writes them."""
    options: Mapping[str, str] = field(default_factory=dict)
    gw_priority: int = 0


@dataclass(frozen=True, slots=True)
class PortSpec:
    """A port to publish.  *host* None: every address of the host, both families.  *host_ports* is an inclusive
    range to pick one from; None: any ephemeral port."""

    port: int
    proto: Proto = "tcp"
    host: IPAddress | None = None
    host_ports: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class PublishedPort:
    """A port as it was decided: host:host_port goes to this endpoint's *port*.  *host* is never None;
    0.0.0.0 and :: stand for every address of their family."""

    port: int
    proto: Proto
    host: IPAddress
    host_port: int


FOREVER = 0xFFFFFFFF
"""The seconds of a lease without an end (RFC 2131, 3.3)."""


@dataclass(frozen=True, slots=True)
class Lease:
    """What a DHCP server gave an endpoint, for so many *seconds* from *since* (nanoseconds since the epoch)."""

    address: IPInterface
    gateway: IPAddress | None
    server: str
    seconds: int
    since: int


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint as it was decided.  It exists in the store before the kernel is asked for it."""

    id: str
    network: str
    sandbox: str
    name: str
    """The container's name, as `network inspect` shows it."""
    created: int
    addresses: tuple[IPInterface, ...] = ()
    gateways: tuple[IPAddress, ...] = ()
    """The next hops the network offers, one a family at most; used as default routes for *default_for* only."""
    default_for: tuple[Family, ...] = ()
    """The families for which this endpoint carries its sandbox's default route (and its published ports)."""
    mac: str = ""
    link: str = ""
    """The host's end, "" where the type has none."""
    ifname: str = ""
    """The link's name inside the sandbox."""
    key: str = ""
    """The sandbox's namespace path: where *ifname* lives."""
    ports: tuple[PublishedPort, ...] = ()
    dns_names: tuple[str, ...] = ()
    exposed: tuple[tuple[Proto, int], ...] = ()
    """What legacy links may reach where the network's containers are kept apart."""
    linked: tuple[IPAddress, ...] = ()
    """Addresses of the containers that this one links to (legacy links on the default bridge)."""
    reaches: tuple[tuple[IPAddress, Proto, int], ...] = ()
    """What this one may open on *linked* where the network's containers are kept apart: their exposed ports."""
    spec: EndpointSpec = field(default_factory=EndpointSpec)
    mtu: int = 0
    """Where its network had another when it came; 0: as the network's."""
    leases: tuple[Lease, ...] = ()
    """Where the addresses are from, on a network whose addresses DHCP servers give: one a family at most."""

    def address(self, version: Family) -> IPInterface | None:
        return next((a for a in self.addresses if a.version == version), None)

    def gateway(self, version: Family) -> IPAddress | None:
        return next((g for g in self.gateways if g.version == version), None)

    def lease(self, version: Family) -> Lease | None:
        return next((lease for lease in self.leases if lease.address.version == version), None)
