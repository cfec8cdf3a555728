"""The links of the kernel in memory: what is kept of each, and what follows from a thing."""

import errno
import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import assert_never

from bascule.kernel.protocol import Outcome
from bascule.model.errors import KernelError
from bascule.model.firewall import Element, Rule
from bascule.model.hostlink import HostLink
from bascule.model.names import LINK_NAME_MAX
from bascule.model.thing import (
    Address,
    Bridge,
    Dummy,
    Fdb,
    Ipvlan,
    Link,
    Macvlan,
    Neigh,
    Route,
    Up,
    Veth,
    Vlan,
    Vxlan,
    WireGuard,
    Xfrm,
)

Fact = Address | Route | Neigh | Fdb
Place = tuple[str, str]
"""A namespace and the name of a link in it."""

# net/bridge/br_private.h: BR_MAX_PORTS is 1024, and port 0 is no port.
PORTS_MAX = 1023
# include/uapi/linux/if_ether.h: ETH_MIN_MTU, ETH_MAX_MTU; 0 leaves it to the kernel.
MTUS = range(68, 65536)
# The sysctls that a link has for itself.
OF_A_LINK = re.compile(r"net/[a-z0-9]+/(?:conf|neigh)/([^/]+)/[^/]+")

_indexes = itertools.count(2)
"""Number 1 is the loopback's."""


@dataclass(slots=True)
class End:
    """One link as it is.  *thing* is None for somebody else's, and for the far end of a pair."""

    kind: str
    thing: Link | None = None
    up: bool = True
    master: str = ""
    peer: Place | None = None
    index: int = field(default_factory=lambda: next(_indexes))

    def become(self, thing: Link) -> None:
        """What can be set is as *thing* says."""
        self.thing, self.master = thing, getattr(thing, "master", "")


def told(name: str, end: End, parent: End | None) -> HostLink:
    """The link as the kernel tells of it."""
    mtu = getattr(end.thing, "mtu", 0) or 1500
    return HostLink(end.index, name, end.kind, end.up, end.up, mtu, parent=parent.index if parent else 0)


def same(thing: Link, other: Link | None) -> bool:
    """Whether *other* is *thing*; a far end's name and MAC are the business of whoever lives with it."""
    if isinstance(thing, Veth) and isinstance(other, Veth) and thing.ns != thing.peer_ns:
        return replace(other, peer=thing.peer, mac=thing.mac) == thing
    return thing == other


def nearly(thing: Link, other: Link | None) -> bool:
    """Whether *other* can be set to be *thing*."""
    if other is None or type(other) is not type(thing):
        return False
    changes = {name: getattr(thing, name) for name in ("mtu", "mac", "master") if hasattr(thing, name)}
    return replace(other, **changes) == thing and (not changes.get("mtu") or changes["mtu"] in MTUS)


def born_up(thing: Link) -> bool:
    return not isinstance(thing, Macvlan | Ipvlan)


def kind_of(thing: Link) -> str:
    return thing.kind if isinstance(thing, Dummy) else type(thing).__name__.lower()


def places_of(thing: Link) -> tuple[Place, ...]:
    """Where the link is, and its far end if it is a pair."""
    here = (thing.ns, thing.name)
    return (here, (thing.peer_ns, thing.peer)) if isinstance(thing, Veth) else (here,)


def parent_of(thing: Link) -> Place | None:
    """The link that it is made of; macvlans and ipvlans are the host's, wherever they are."""
    match thing:
        case Macvlan() | Ipvlan():
            return ("", thing.parent)
        case Vlan():
            return (thing.ns, thing.parent)
        case Bridge() | Veth() | Vxlan() | WireGuard() | Xfrm() | Dummy():
            return None
        case _:
            assert_never(thing)


def place_of(thing: Fact | Up) -> Place:
    return (thing.ns, thing.link if isinstance(thing, Address | Up) else thing.dev)


def why_no_link(thing: Link, ends: Mapping[Place, End], namespaces: Collection[str]) -> int:
    """The errno with which Linux refuses *thing* on a host with *ends*, or 0."""
    places = places_of(thing)
    if any(ns not in namespaces for ns, _ in places):
        return errno.ENOENT
    if any(len(name) > LINK_NAME_MAX for _, name in places):
        return errno.ERANGE
    here = ends.get(places[0])
    if here and nearly(thing, here.thing):
        return 0
    if any(place in ends for place in places):
        return errno.EEXIST
    mtu = getattr(thing, "mtu", 0)
    if mtu and mtu not in MTUS:
        return errno.EINVAL
    parent = parent_of(thing)
    if parent is not None and parent not in ends:
        return errno.ENODEV
    master = getattr(thing, "master", "")
    return _why_no_port((thing.ns, master), ends) if master else 0


def _why_no_port(master: Place, ends: Mapping[Place, End]) -> int:
    if master not in ends:
        return errno.ENODEV
    if ends[master].kind != "bridge":
        return errno.EOPNOTSUPP
    ports = [end for (ns, _), end in ends.items() if (ns, end.master) == master]
    return errno.EXFULL if len(ports) >= PORTS_MAX else 0


def lost_when_down(fact: Fact) -> bool:
    return isinstance(fact, Route) or (isinstance(fact, Address) and fact.address.version == 6)


def without(facts: Iterable[Fact], gone: Fact) -> dict[Fact, None]:
    """*facts* after *gone* was removed.  A link that loses its last IPv4 address loses its IPv4 routes
    (net/ipv4/fib_frontend.c: fib_inetaddr_event)."""
    left = dict.fromkeys(fact for fact in facts if fact != gone)
    if not isinstance(gone, Address) or gone.address.version == 6:
        return left
    here = [fact for fact in left if place_of(fact) == place_of(gone)]
    if any(isinstance(fact, Address) and fact.address.version == 4 for fact in here):
        return left
    routes = [fact for fact in here if isinstance(fact, Route) and fact.family == 4]
    return {fact: None for fact in left if fact not in routes}


def why_no_route(route: Route, up: bool, facts: Iterable[Fact]) -> int:
    """The errno with which Linux refuses *route* on a link that is *up* or not, or 0."""
    if route.via is None and not up:
        return errno.ENETDOWN
    known = list(facts)
    here = [fact for fact in known if place_of(fact) == place_of(route)]
    near = [fact.address.network for fact in here if isinstance(fact, Address)]
    near += [fact.to for fact in here if isinstance(fact, Route) and fact.via is None and fact.to]
    if route.via and not (up and any(route.via in net for net in near)):
        return errno.ENETUNREACH if route.family == 4 else errno.EHOSTUNREACH
    # Another route to the same place, whatever its next hop, is in the way.
    way = (route.ns, route.family, route.to)
    taken = any((f.ns, f.family, f.to) == way for f in known if isinstance(f, Route))
    return errno.EEXIST if taken else 0


def key_of(element: Element) -> tuple[str, str, tuple[str, ...]]:
    return (element.family, element.set, element.key)


def outcome_of(rule: Rule, held: bool, refused: int) -> Outcome:
    if held:
        return "held"
    return KernelError(refused, str(rule)) if refused else "made"


def shown(place: Place, end: End) -> Iterator[str]:
    """The lines of a dump about a link: itself, unless it is somebody else's or a far end, and that it is up, where
    that does not come with it."""
    if end.thing is not None:
        yield str(end.thing)
    if end.up and (end.peer if end.thing is None else not born_up(end.thing)):
        yield str(Up(place[1], place[0]))
