"""Several hosts as one: who they are, and what they tell each other.  See docs/cluster.md."""

from dataclasses import dataclass, field
from typing import Literal

from bascule.model.addresses import IPAddress, IPNetwork
from bascule.model.names import check_node_name

# Docker's port for it (--data-path-port); the kernel's own default is another one, from before IANA chose.
VXLAN_PORT = 4789
# Docker's first; below are those that people give by hand.
VNI_FIRST, VNI_LAST = 4096, (1 << 24) - 1

Seal = Literal["wireguard", "esp"]
"""What a tunnel's packets are encrypted with."""


@dataclass(frozen=True, slots=True)
class Tunnel:
    """How an overlay network leaves a host: inside VXLAN, under *vni*; frames of *mtu* bytes fit in.

    The rest is this host's own and in no shared store: *local* is the address that it sends from (None: it is no
    member any more), *mac* that of its end, and *blocks* are the ranges that it alone gives addresses out of.
    """

    vni: int
    mtu: int
    port: int = VXLAN_PORT
    local: IPAddress | None = None
    mac: str = ""
    blocks: tuple[IPNetwork, ...] = ()
    seal: Literal["wireguard", "esp", ""] = ""
    """How it is encrypted, "" where it is not; everybody's."""


@dataclass(frozen=True, slots=True)
class Remote:
    """An endpoint on another host, as that host tells of it.  *via* is the address of the host.

    *epoch* counts how often the host has joined; *generation* is nanoseconds since the epoch on that host's clock,
    and is compared with other generations of the same host only.
    """

    id: str
    network: str
    node: str
    epoch: int
    generation: int
    name: str
    via: IPAddress
    addresses: tuple[IPAddress, ...]
    mac: str
    dns_names: tuple[str, ...] = ()
    service: str = ""
    """The name of the service that it belongs to."""


@dataclass(frozen=True, slots=True)
class Node:
    """A host of the cluster.  *address* is where its tunnels end, *mtu* what the link there carries; *epoch* is one
    more at each joining.  *joined* is nanoseconds since the epoch."""

    id: str
    name: str
    address: IPAddress
    mtu: int
    epoch: int
    joined: int
    seals: tuple[Seal, ...] = ()
    """What its kernel can encrypt with."""
    key: str = ""
    """WireGuard's public key, in base64."""

    def __post_init__(self) -> None:
        """Raises Invalid: other hosts print the name."""
        check_node_name(self.name)


@dataclass(frozen=True, slots=True)
class Ring:
    """The secrets of ESP, in hex: the previous, the current and the next.  *turns* counts how often they moved on,
    at *turned*, which is nanoseconds since the epoch on the clock of whoever did it."""

    id: str
    secrets: tuple[str, ...] = field(repr=False)
    turns: int
    turned: int


@dataclass(frozen=True, slots=True)
class Alive:
    """The node *id* lives: this record has a lease, and goes with it."""

    id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Down:
    """The node *id* is down, says *by*, another.  It counts only while there is no Alive of that node."""

    id: str
    by: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """Written by whoever adds or takes something of which there is one in the cluster, so that two who do it at the
    same time notice.  *id* says what."""

    id: str
    generation: int


@dataclass(frozen=True, slots=True)
class StoreAccess:
    """Where the cluster's etcd is (`https://host:2379`, several), and who we are to it; *ca*, *cert* and *key* are
    paths."""

    endpoints: tuple[str, ...] = ()
    user: str = ""
    password: str = field(default="", repr=False)
    ca: str = ""
    cert: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Membership:
    """What this host knows of the cluster that it is in, so that it finds it again.  *id* is its node's."""

    id: str
    name: str
    cluster: str
    address: IPAddress
    mtu: int
    epoch: int
    joined: int
    port: int = VXLAN_PORT
    secret: str = field(default="", repr=False)
    """WireGuard's private key, in base64."""
    store: StoreAccess = field(default_factory=StoreAccess)
    embedded: bool = False
    """The store is the cluster's own: its hosts run it, and sign its certificates."""
