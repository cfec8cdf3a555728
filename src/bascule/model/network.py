"""Networks: what is asked for (Spec) and what was decided."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bascule.model.addresses import Family, IPAddress, IPNetwork
from bascule.model.cluster import Tunnel
from bascule.model.spans import Span, span


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """One entry of IPAM.Config as the user gave it; None means "you choose"."""

    subnet: IPNetwork | None = None
    range: IPNetwork | None = None
    gateway: IPAddress | None = None
    aux: Mapping[str, IPAddress] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pool:
    """A subnet of a network with its gateway decided.

    *gateway* is None only where nobody holds one (isolated bridges, macvlan without --gateway).  Dynamic
    addresses come from *range*, which is the subnet where none was given.
    """

    subnet: IPNetwork
    range: IPNetwork
    gateway: IPAddress | None
    aux: Mapping[str, IPAddress] = field(default_factory=dict)
    span: Span = field(init=False, repr=False, compare=False)
    """The subnet again, as what a thousand others are compared with."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "span", span(self.subnet))

    @property
    def family(self) -> Family:
        return self.span[0]


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """A network as it is asked for.  *ipv4* and *ipv6* None: as the options and the driver's defaults say, which
    is IPv4 alone where they say nothing."""

    name: str
    driver: str = "bridge"
    pools: tuple[PoolSpec, ...] = ()
    ipv4: bool | None = None
    ipv6: bool | None = None
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    scope: str = ""
    config_only: bool = False
    config_from: str = ""
    ipam_driver: str = "default"
    ipam_options: Mapping[str, str] | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Network:
    """A network as it was decided.  *asked* is what `inspect` echoes; *pools* is what addresses come from.

    *link* is the network's link on the host (a bridge's name, a macvlan's parent), "" where it has none;
    *mac* the link's fixed address.  *created* is nanoseconds since the epoch.
    """

    id: str
    name: str
    driver: str
    created: int
    pools: tuple[Pool, ...] = ()
    asked: tuple[PoolSpec, ...] = ()
    ipv4: bool = True
    ipv6: bool = False
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    scope: str = "local"
    config_only: bool = False
    config_from: str = ""
    ipam_driver: str = "default"
    ipam_options: Mapping[str, str] | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    link: str = ""
    mac: str = ""
    predefined: bool = False
    adopted: bool = False
    """The link was there before us (an existing bridge named by an option) and stays when the network goes."""
    closes: tuple[Family, ...] = ()
    """Of the default bridge: the families that this host forwards only because we made it, and so only for us."""
    left: tuple[str, ...] = ()
    """Of the default bridge: the firewall's tables under the names of bridges it was before, which are to go."""
    tunnel: Tunnel | None = None
    """Of an overlay network: how it reaches other hosts."""

    def pools_of(self, version: Family) -> tuple[Pool, ...]:
        return tuple(p for p in self.pools if p.family == version)
