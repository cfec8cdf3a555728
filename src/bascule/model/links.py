"""Things of the link layer and above: what a driver says should be true, in iproute2's words.

Each is a frozen value, and `str(thing)` is a command line that makes it true when pasted into a root shell.
`ns` is the path of the namespace in which the thing holds; "" is the engine's own ("the host").
Nothing here knows an ifindex: names are unique within a namespace, and the kernel room looks them up.
"""

import shlex
from dataclasses import dataclass

from bascule.model.addresses import IPAddress, IPInterface, IPNetwork


def inside(ns: str, line: str) -> str:
    """*line*, run in the namespace at *ns*."""
    return f"nsenter --net={shlex.quote(ns)} {line}" if ns else line


def _told(ns: str, add: str, link: str, up: str = "") -> str:
    """*add*, and then the link is told to make no link-local address of its own: one that a driver did not state
    would hear router advertisements (S1).  The kernel does not take that at a link's birth."""
    return f"{inside(ns, add)} && {inside(ns, f'ip link set {link} addrgenmode none {up}'.rstrip())}"


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace bound to *path*, its loopback up."""

    path: str

    def __str__(self) -> str:
        path, place = shlex.quote(self.path), shlex.quote(self.path.rpartition("/")[0] or "/")
        return f"mkdir -p {place} && touch {path} && unshare --net={path} ip link set lo up"


@dataclass(frozen=True, slots=True)
class Bridge:
    """A bridge of ours, up, without IPv6 addresses of its own making and deaf to router advertisements."""

    name: str
    mtu: int = 1500
    mac: str = ""
    ns: str = ""

    def __str__(self) -> str:
        mac = f"address {self.mac} " if self.mac else ""
        # A bridge keeps only an MTU that it is given after its birth.
        return _told(self.ns, f"ip link add {self.name} {mac}type bridge", f"{self.name} mtu {self.mtu}", "up")


@dataclass(frozen=True, slots=True)
class Veth:
    """A pair: *name* here, up and in *master*'s bridge; *peer* born inside *peer_ns*, still down."""

    name: str
    peer: str
    peer_ns: str
    mtu: int = 1500
    mac: str = ""
    """The peer's address; the host's end has one of the kernel's choosing."""
    master: str = ""
    ns: str = ""

    def __str__(self) -> str:
        mac = f"address {self.mac} " if self.mac else ""
        master = f"master {self.master} " if self.master else ""
        netns = f" netns {shlex.quote(self.peer_ns)}" if self.peer_ns else ""
        return _told(
            self.ns,
            f"ip link add {self.name} {master}mtu {self.mtu} numtxqueues 1 numrxqueues 1 up "
            f"type veth peer name {self.peer} {mac}mtu {self.mtu} numtxqueues 1 numrxqueues 1{netns}",
            self.name,
        )


@dataclass(frozen=True, slots=True)
class Macvlan:
    """A macvlan link *name* of the host's *parent*, born inside *ns*, down."""

    name: str
    parent: str
    mode: str = "bridge"
    mtu: int = 0
    mac: str = ""
    ns: str = ""

    def __str__(self) -> str:
        mac = f"address {self.mac} " if self.mac else ""
        mtu = f"mtu {self.mtu} " if self.mtu else ""
        netns = f"netns {shlex.quote(self.ns)} " if self.ns else ""
        return f"ip link add link {self.parent} name {self.name} {mac}{mtu}{netns}type macvlan mode {self.mode}"


@dataclass(frozen=True, slots=True)
class Ipvlan:
    """An ipvlan link *name* of the host's *parent*, born inside *ns*, down."""

    name: str
    parent: str
    mode: str = "l2"
    flag: str = "bridge"
    mtu: int = 0
    ns: str = ""

    def __str__(self) -> str:
        mtu = f"mtu {self.mtu} " if self.mtu else ""
        netns = f"netns {shlex.quote(self.ns)} " if self.ns else ""
        return (
            f"ip link add link {self.parent} name {self.name} {mtu}{netns}type ipvlan mode {self.mode} {self.flag}"
        )


@dataclass(frozen=True, slots=True)
class Vlan:
    """An 802.1Q link, up."""

    name: str
    parent: str
    vid: int
    ns: str = ""

    def __str__(self) -> str:
        return inside(self.ns, f"ip link add link {self.parent} name {self.name} up type vlan id {self.vid}")


@dataclass(frozen=True, slots=True)
class Vxlan:
    """A VXLAN link, up: nothing is learnt, neighbours are answered from the table."""

    name: str
    vni: int
    port: int = 4789
    local: IPAddress | None = None
    mtu: int = 1450
    mac: str = ""
    master: str = ""
    ns: str = ""

    def __str__(self) -> str:
        mac = f"address {self.mac} " if self.mac else ""
        master = f"master {self.master} " if self.master else ""
        local = f" local {self.local}" if self.local else ""
        return _told(
            self.ns,
            f"ip link add {self.name} {mac}{master}mtu {self.mtu} "
            f"type vxlan id {self.vni} dstport {self.port}{local} nolearning proxy",
            self.name,
            "up",
        )


@dataclass(frozen=True, slots=True)
class WireGuard:
    """A WireGuard link, up.  Who it is and whom it talks to: `sealing.Identity` and `sealing.Peer`."""

    name: str
    mtu: int = 1420
    ns: str = ""

    def __str__(self) -> str:
        return _told(self.ns, f"ip link add {self.name} mtu {self.mtu} type wireguard", self.name, "up")


@dataclass(frozen=True, slots=True)
class Xfrm:
    """A link whose packets are IPsec's, up: those of the states and policies with its *number*."""

    name: str
    number: int
    mtu: int = 1420
    ns: str = ""

    def __str__(self) -> str:
        made = f"ip link add {self.name} mtu {self.mtu} type xfrm if_id {self.number:#x}"
        return _told(self.ns, made, self.name, "up")


@dataclass(frozen=True, slots=True)
class Dummy:
    """A link with nothing behind it, up; *kind* is `dummy`, or `ifb` on a kernel without it."""

    name: str
    kind: str = "dummy"
    mtu: int = 1500
    ns: str = ""

    def __str__(self) -> str:
        return _told(self.ns, f"ip link add {self.name} mtu {self.mtu} type {self.kind}", self.name, "up")


@dataclass(frozen=True, slots=True)
class Address:
    """An address on a link, usable at once: no duplicate detection, the engine gives each out once."""

    link: str
    address: IPInterface
    ns: str = ""

    def __str__(self) -> str:
        nodad = " nodad" if self.address.version == 6 else ""
        return inside(self.ns, f"ip addr add {self.address} dev {self.link}{nodad}")


@dataclass(frozen=True, slots=True)
class Up:
    """A link that is up.  *silent*: it has made itself no IPv6 link-local address on the way.  *mac*: the address
    it has then, for one that cannot be born with it."""

    link: str
    ns: str = ""
    silent: bool = False
    mac: str = ""

    def __str__(self) -> str:
        # The kernel raises a link before it hears the rest of one request.
        told = inside(self.ns, f"ip link set {self.link} addrgenmode none") + " && " if self.silent else ""
        mac = f"address {self.mac} " if self.mac else ""
        return told + inside(self.ns, f"ip link set {self.link} {mac}up")


@dataclass(frozen=True, slots=True)
class Route:
    """A route; *to* None is the default route.  *via* None: on the link itself."""

    dev: str
    to: IPNetwork | None = None
    via: IPAddress | None = None
    version: int = 4
    """Only looked at where neither *to* nor *via* tells the family."""
    ns: str = ""

    @property
    def family(self) -> int:
        known = self.to or self.via
        return known.version if known else self.version

    def __str__(self) -> str:
        via = f" via {self.via}" if self.via else ""
        return inside(self.ns, f"ip -{self.family} route add {self.to or 'default'}{via} dev {self.dev}")


@dataclass(frozen=True, slots=True)
class Neigh:
    """A permanent neighbour entry."""

    dev: str
    address: IPAddress
    mac: str
    ns: str = ""

    def __str__(self) -> str:
        return inside(self.ns, f"ip neigh replace {self.address} lladdr {self.mac} dev {self.dev} nud permanent")


@dataclass(frozen=True, slots=True)
class Fdb:
    """A static forwarding entry of a VXLAN link: frames for *mac* go to *dst*."""

    dev: str
    mac: str
    dst: IPAddress
    ns: str = ""

    def __str__(self) -> str:
        return inside(self.ns, f"bridge fdb append {self.mac} dev {self.dev} dst {self.dst} self permanent")


@dataclass(frozen=True, slots=True)
class Sysctl:
    """A value under /proc/sys.  It is only ever stated of links of ours and goes with them: removing it does
    nothing.  *key* has slashes, because link names may have dots."""

    key: str
    value: str
    ns: str = ""

    def __str__(self) -> str:
        line = f"sysctl -qw {shlex.quote(self.key + '=' + self.value)}"
        return inside(self.ns, line)


Link = Bridge | Veth | Macvlan | Ipvlan | Vlan | Vxlan | WireGuard | Xfrm | Dummy
