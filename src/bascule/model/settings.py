"""What the administrator chose for one engine; several engines on a host differ in these."""

from dataclasses import dataclass, field
from ipaddress import IPv4Network

from bascule.model.addresses import IPAddress, IPNetwork


@dataclass(frozen=True, slots=True)
class AddressPool:
    """Subnets of *size* prefix bits, cut from *base* in order."""

    base: IPNetwork
    size: int


# Docker's local pools (libnetwork ipamutils/utils.go), in its order.
DEFAULT_POOLS: tuple[AddressPool, ...] = (
    AddressPool(IPv4Network("172.17.0.0/16"), 16),
    AddressPool(IPv4Network("172.18.0.0/16"), 16),
    AddressPool(IPv4Network("172.19.0.0/16"), 16),
    AddressPool(IPv4Network("172.20.0.0/14"), 16),
    AddressPool(IPv4Network("172.24.0.0/14"), 16),
    AddressPool(IPv4Network("172.28.0.0/14"), 16),
    AddressPool(IPv4Network("192.168.0.0/16"), 20),
)
# Docker's for swarm (daemon/cluster: default-addr-pool).
GLOBAL_POOLS: tuple[AddressPool, ...] = (AddressPool(IPv4Network("10.0.0.0/8"), 24),)


def table(bridge: str) -> str:
    """What the nft tables of an engine are called: `bascule`, or with its *bridge*'s name where it is another."""
    return "bascule" if bridge == "bascule0" else f"bascule-{bridge}"


@dataclass(frozen=True, slots=True)
class Settings:
    """Paths are absolute.  *data_root* survives a reboot, *exec_root* need not."""

    data_root: str = "/var/lib/bascule"
    exec_root: str = "/run/bascule"
    bridge: str = "bascule0"
    """The default network's bridge; it also tells engines on one host apart (tables, groups)."""
    bip: str = ""
    """The default bridge's own address with its prefix, "" for the first free pool."""
    mtu: int = 1500
    icc: bool = True
    """--icc: whether the default bridge's containers reach one another without a link."""
    router: bool = False
    """--ip-forward-no-drop: a host that did not forward before us forwards for everybody from now on."""
    pools: tuple[AddressPool, ...] = DEFAULT_POOLS
    global_pools: tuple[AddressPool, ...] = GLOBAL_POOLS
    """Where subnets of networks on several hosts come from."""
    default_options: dict[str, dict[str, str]] = field(default_factory=dict)
    """--default-network-opt: driver -> options."""
    publish_host: IPAddress | None = None
    """--ip: where ports are published when the user names no address."""
    nameservers: tuple[IPAddress, ...] = ()
    ports: tuple[int, int] = (32768, 60999)
    """Ephemeral host ports, inclusive: the kernel's default ip_local_port_range, which Docker uses."""

    @property
    def table(self) -> str:
        """The nft tables' name."""
        return table(self.bridge)
