"""What a network type is: a module with these names.  Nothing in it acts; see docs/drivers.md."""

from dataclasses import dataclass
from typing import Protocol

from bascule.model.addresses import IPAddress
from bascule.model.endpoint import Endpoint
from bascule.model.network import Network, NetworkSpec
from bascule.model.thing import Thing


@dataclass(frozen=True, slots=True)
class Traits:
    """What the engine must know of a type before it decides anything."""

    name: str
    single: bool = False
    """One of its kind on a host (host, null)."""
    connects: bool = True
    """Endpoints of it have a link and addresses."""
    scope: str = "local"
    prefix: str = "br-"
    """How the network's link is called: prefix + id; "" where it makes none."""
    publishes: bool = False
    """Published ports work on it."""
    paired: bool = True
    """An endpoint has an end on the host."""
    own_mac: bool = True
    """An endpoint has a MAC of its own."""
    leases: bool = False
    """A DHCP server on the segment can give its endpoints their addresses."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a driver reads in the options when a network is made, for the engine to decide with."""

    link: str = ""
    """A link name the user insists on."""
    parent: str = ""
    """A link that endpoints are made of: it is there, or a VLAN of one that is."""
    alone: bool = False
    """No other network may have the same parent."""
    single: bool = False
    """One endpoint at a time has the parent."""
    onlink: bool = False
    """Everything is reached on the link itself, by no gateway."""
    leads_nowhere: bool = False
    """There is nobody on it but its endpoints, so it is no default route, though it is not called internal."""
    host_address: bool = False
    """The host wants an address of its own in each pool."""
    iface_prefix: str = "eth"
    has_gateway: tuple[bool, bool] = (True, True)
    """Whether somebody holds the pool's gateway address, IPv4 and IPv6 (not on isolated bridges)."""
    publish_host: IPAddress | None = None
    """Where ports are published when the user names no address; None or all-zero: everywhere."""


class Driver(Protocol):
    TRAITS: Traits

    def check(self, spec: NetworkSpec) -> Chosen:
        """Read the options once.  Raises Invalid or Failed, in Docker's words, for what cannot be."""
        ...

    def check_endpoint(self, net: Network, options: dict[str, str]) -> str:
        """Read an endpoint's options once; the interface name the user insists on, or ""."""
        ...

    def network(self, net: Network) -> list[Thing]:
        """What must be true for the network to exist."""
        ...

    def endpoint(self, net: Network, ep: Endpoint) -> list[Thing]:
        """What must be true for the endpoint to be on it."""
        ...
