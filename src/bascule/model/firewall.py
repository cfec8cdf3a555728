"""Things of the firewall: each is one or a few *elements* of the sets and maps in `kernel/nft.py`'s rule set.

The rules themselves never change while networks come and go; only elements do.  `elements(thing)` is the only
place that knows which sets a thing touches, and `kernel/nft.py` declares every set named here.
"""

from dataclasses import dataclass
from typing import Literal, assert_never

from bascule.model.addresses import Family, IPAddress, family, identifier, nft_family
from bascule.model.endpoint import Proto

Mode = Literal["nat", "nat-unprotected", "routed"]


@dataclass(frozen=True, slots=True)
class Element:
    """`nft add element <family> <table> <set> { key . key : value . value }`."""

    family: Literal["inet", "bridge"]
    set: str
    key: tuple[str, ...]
    value: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"nft add element {self.family} bascule {self.set} '{{ {self.body} }}'"

    @property
    def body(self) -> str:
        value = " : " + " . ".join(self.value) if self.value else ""
        return " . ".join(self.key) + value


def _quoted(name: str) -> str:
    return f'"{name}"'


def _any(address: IPAddress) -> bool:
    return int(address) == 0


@dataclass(frozen=True, slots=True)
class Forward:
    """What may be forwarded to *link*'s network, for one family: see the chain `to-<mode>`."""

    link: str
    version: Family
    mode: Mode = "nat"

    def __str__(self) -> str:
        return _lines(self)


@dataclass(frozen=True, slots=True)
class Internal:
    """Nothing is forwarded from or to *link*'s network, and it reaches the host by its gateway only."""

    link: str

    def __str__(self) -> str:
        return _lines(self)


@dataclass(frozen=True, slots=True)
class Together:
    """Endpoints of *link*'s network reach one another.  Where it is not stated they are kept apart: see Apart."""

    link: str

    def __str__(self) -> str:
        return _lines(self)


@dataclass(frozen=True, slots=True)
class Apart:
    """The host's end *port* is kept apart from every other such port of its bridge (enable_icc=false)."""

    port: str

    def __str__(self) -> str:
        return _lines(self)


@dataclass(frozen=True, slots=True)
class Linked:
    """*source* may open connections to *target*'s port although they are kept apart (legacy --link)."""

    source: IPAddress
    target: IPAddress
    proto: Proto
    port: int

    def __str__(self) -> str:
        return _lines(self)


@dataclass(frozen=True, slots=True)
class Masquerade:
    """What leaves *link*'s network by another link has the host's address, or *source* where one is given."""

    link: str
    version: Family
    source: IPAddress | None = None

    def __str__(self) -> str:
        return _lines(self)


@dataclass(frozen=True, slots=True)
class Publish:
    """host:host_port of this machine is *to*:*port*.  An all-zero *host* is every address of its family."""

    proto: Proto
    host: IPAddress
    host_port: int
    to: IPAddress
    port: int

    def __str__(self) -> str:
        return _lines(self)


@dataclass(frozen=True, slots=True)
class Open:
    """A port of an endpoint on a routed network is reachable by routing."""

    to: IPAddress
    proto: Proto
    port: int

    def __str__(self) -> str:
        return _lines(self)


@dataclass(frozen=True, slots=True)
class Trusted:
    """What comes in by *interface* reaches every port of *link*'s network by routing."""

    interface: str
    link: str

    def __str__(self) -> str:
        return _lines(self)


@dataclass(frozen=True, slots=True)
class Closed:
    """What is neither from nor to a bridge of ours is not forwarded: the host forwards for our networks only."""

    version: Family

    def __str__(self) -> str:
        return _lines(self)


@dataclass(frozen=True, slots=True)
class Port:
    """*port* is a bridge port of ours: router advertisements and redirects that enter by it are dropped (S1)."""

    port: str

    def __str__(self) -> str:
        return _lines(self)


@dataclass(frozen=True, slots=True)
class Lawful:
    """What enters the bridge by *port* must have this MAC and one of these addresses, in frames and in ARP; or,
    where routers *advertise*, the address of whatever prefix that follows from the MAC."""

    port: str
    mac: str
    addresses: tuple[IPAddress, ...]
    advertise: bool = False

    def __str__(self) -> str:
        return _lines(self)


@dataclass(frozen=True, slots=True)
class Underlay:
    """What arrives at UDP *port* of this host is from one of the cluster's hosts (S7)."""

    port: int

    def __str__(self) -> str:
        return _lines(self)


@dataclass(frozen=True, slots=True)
class Vtep:
    """*address* is one of the cluster's hosts: see Underlay."""

    address: IPAddress

    def __str__(self) -> str:
        return _lines(self)


@dataclass(frozen=True, slots=True)
class Sealed:
    """VXLAN packets of *vni* come and leave by a Sealer only (S6)."""

    vni: int

    def __str__(self) -> str:
        return _lines(self)


@dataclass(frozen=True, slots=True)
class Sealer:
    """What passes by *link* is encrypted outside of this host; only tunnels come in by it."""

    link: str

    def __str__(self) -> str:
        return _lines(self)


Rule = (
    Forward
    | Internal
    | Together
    | Apart
    | Linked
    | Masquerade
    | Publish
    | Open
    | Trusted
    | Closed
    | Port
    | Lawful
    | Underlay
    | Vtep
    | Sealed
    | Sealer
)


def elements(rule: Rule) -> tuple[Element, ...]:
    """The elements that make *rule* true, in an order in which they can be added one by one.

    40 lines because it is one table, a row a kind.
    """
    match rule:
        case Forward(link, version, mode):
            proto = "ipv4" if version == 4 else "ipv6"
            return (
                Element("inet", f"hairpin_{nft_family(version)}", (_quoted(link), _quoted(link))),
                Element("inet", "forward_to", (proto, _quoted(link)), (f"goto to-{mode}",)),
            )
        case Internal(link):
            return (
                Element("inet", "internal_from", (_quoted(link),)),
                Element("inet", "internal_to", (_quoted(link),)),
            )
        case Together(link):
            return (Element("inet", "together", (_quoted(link), _quoted(link))),)
        case Apart(port):
            return (Element("bridge", "apart", (_quoted(port),)),)
        case Linked(source, target, proto, port):
            ip = nft_family(4 if source.version == 4 else 6)
            there = (str(source), str(target), proto, str(port))
            return (
                Element("inet", f"linked_{ip}", there),
                Element("bridge", f"linked_{ip}", there),
                Element("bridge", f"linked_back_{ip}", (str(target), str(source), proto, str(port))),
            )
        case Masquerade(link, version, None):
            return (Element("inet", f"masquerade_{nft_family(version)}", (_quoted(link),)),)
        case Masquerade(link, version, source):
            return (Element("inet", f"snat_{nft_family(version)}", (_quoted(link),), (str(source),)),)
        case Publish(proto, host, host_port, to, port):
            ip = nft_family(4 if host.version == 4 else 6)
            behind = (str(to), str(port))
            if _any(host):
                return (Element("inet", f"publish_{ip}", (proto, str(host_port)), behind),)
            return (Element("inet", f"publish_at_{ip}", (str(host), proto, str(host_port)), behind),)
        case Open(to, proto, port):
            ip = nft_family(4 if to.version == 4 else 6)
            return (Element("inet", f"open_{ip}", (str(to), proto, str(port))),)
        case Trusted(interface, link):
            return (Element("inet", "trusted", (_quoted(interface), _quoted(link))),)
        case Closed(version):
            return (Element("inet", "closed", (f"ipv{version}",)),)
        case Port(port):
            return (Element("bridge", "ports", (_quoted(port),)),)
        case Lawful():
            return _lawful(rule)
        case Underlay() | Vtep() | Sealed() | Sealer():
            return (_tunnels(rule),)
        case _:
            assert_never(rule)


def _tunnels(rule: Underlay | Vtep | Sealed | Sealer) -> Element:
    match rule:
        case Underlay(port):
            return Element("inet", "underlay", (str(port),))
        case Vtep(address):
            return Element("inet", f"vtep_{nft_family(family(address))}", (str(address),))
        case Sealed(vni):
            return Element("inet", "sealed", (f"{vni:#x}",))
        case Sealer(link):
            return Element("inet", "sealers", (_quoted(link),))


def _lawful(rule: Lawful) -> tuple[Element, ...]:
    port = _quoted(rule.port)
    addresses = [(f"lawful_{nft_family(family(a))}", str(a)) for a in rule.addresses]
    targets = [("lawful_target", hex(int(a))) for a in rule.addresses if a.version == 6]
    own = [("lawful_own", hex(identifier(rule.mac)))] if rule.advertise else []
    return (
        *(Element("bridge", name, (port, value)) for name, value in (*addresses, *targets, *own)),
        Element("bridge", "lawful_mac", (port, rule.mac)),
        Element("bridge", "guarded", (port,)),
    )


def _lines(rule: Rule) -> str:
    return "\n".join(str(element) for element in elements(rule))
