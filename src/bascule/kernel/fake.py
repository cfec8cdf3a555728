"""A kernel in memory: for tests, for the library without root, and for trying out what a command would do.

It keeps the promises of kernel/protocol.py and gives the refusals that Linux gives, with Linux's errno; both are
held to tests/kernel_cases.py.  It forwards no packets, and a link that was removed is gone at once.
"""

import errno
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from bascule.kernel.places import Place, kind_of, lost_when_down, parent_of, place_of, places_of
from bascule.kernel.protocol import Outcome
from bascule.model.addresses import IPAddress, IPInterface, IPNetwork
from bascule.model.endpoint import Proto
from bascule.model.errors import Failed, KernelError
from bascule.model.firewall import Element, Rule, elements
from bascule.model.names import LINK_NAME_MAX
from bascule.model.thing import (
    Address,
    Bridge,
    Dummy,
    Fdb,
    Ipvlan,
    Link,
    Macvlan,
    Namespace,
    Neigh,
    Route,
    Sysctl,
    Thing,
    Up,
    Veth,
    Vlan,
    Vxlan,
)

# net/bridge/br_private.h: BR_MAX_PORTS is 1024, and port 0 is no port.
_PORTS_MAX = 1023
# include/uapi/linux/if_ether.h: ETH_MIN_MTU, ETH_MAX_MTU; 0 leaves it to the kernel.
_MTU = range(68, 65536)
_OF_A_LINK = re.compile(r"net/[a-z0-9]+/(?:conf|neigh)/([^/]+)/[^/]+")


@dataclass(slots=True)
class _End:
    """One link as it is.  *thing* is None for somebody else's, and for the far end of a pair."""

    kind: str
    thing: Link | None = None
    up: bool = True
    master: str = ""
    peer: Place | None = None


class FakeKernel:
    """A host with nothing on it but what is said here.

    *routes* are those it has, *links* somebody else's links by name and kind, *addresses* the host's own, *held*
    who keeps which port.  *refuse* and *stick* tell of a thing whether adding or removing it is refused (EPERM):
    a set's `__contains__` will do.
    """

    def __init__(
        self,
        *,
        routes: Sequence[IPNetwork] = (),
        links: Mapping[str, str] | None = None,
        addresses: Sequence[IPAddress] = (),
        held: Mapping[tuple[Proto, int], str] | None = None,
        refuse: Callable[[Thing], bool] = lambda _: False,
        stick: Callable[[Thing], bool] = lambda _: False,
    ) -> None:
        self.refuse = refuse
        self.stick = stick
        self._routes = tuple(routes)
        self._own = tuple(addresses)
        self._held = dict(held or {})
        self._namespaces: dict[str, None] = {"": None}
        self._ends: dict[Place, _End] = {("", name): _End(kind) for name, kind in (links or {}).items()}
        self._facts: dict[Address | Route | Neigh | Fdb, None] = {}
        self._sysctls: dict[Place, Sysctl] = {}
        self._elements: dict[tuple[str, str, tuple[str, ...]], Element] = {}

    # ---- making true

    def add(self, things: Sequence[Thing]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for is_rule, run in groupby(things, lambda thing: isinstance(thing, Rule)):
            if is_rule:
                outcomes += self._add_rules([rule for rule in run if isinstance(rule, Rule)])
            else:
                outcomes += [self._add(thing) for thing in run]
        return outcomes

    def _add(self, thing: Thing) -> Outcome:
        if self._holds(thing):
            return "held"
        refused = errno.EPERM if self.refuse(thing) else self._why_not(thing)
        if refused:
            return KernelError(refused, str(thing))
        self._make(thing)
        return "made"

    def _add_rules(self, rules: Sequence[Rule]) -> list[Outcome]:
        """One transaction: where one is refused, all are that did not hold."""
        held = [self._holds(rule) for rule in rules]
        fresh: dict[tuple[str, str, tuple[str, ...]], Element] = {}
        refused = 0
        for rule in rules:
            if not self._holds(rule) and self.refuse(rule):
                refused = refused or errno.EPERM
            for element in elements(rule):
                known = self._elements.get(_key(element)) or fresh.setdefault(_key(element), element)
                if known != element:
                    refused = refused or errno.EEXIST
        if not refused:
            self._elements |= fresh
        return [_outcome(rule, was, refused) for rule, was in zip(rules, held, strict=True)]

    def _why_not(self, thing: Thing) -> int:
        """The errno with which Linux refuses *thing*, or 0."""
        match thing:
            case Namespace():
                return 0
            case Bridge() | Veth() | Macvlan() | Ipvlan() | Vlan() | Vxlan() | Dummy():
                return self._why_no_link(thing)
            case Route():
                return self._why_no_route(thing)
            case Address(link, address, ns) if (ns, link) in self._ends and address.version == 6:
                mine = [
                    f.address.ip for f in self._facts if isinstance(f, Address) and (f.ns, f.link) == (ns, link)
                ]
                # IPv4 may have one address in several prefixes of a link, IPv6 may not.
                return errno.EEXIST if address.ip in mine else 0
            case Fdb(dev, mac, _, ns) if not int(mac[:2], 16) & 1 and int(mac.replace(":", ""), 16):
                # Frames to everybody go to each destination, those for one MAC to one only.
                taken = any((f.dev, f.mac, f.ns) == (dev, mac, ns) for f in self._facts if isinstance(f, Fdb))
                return errno.EEXIST if taken else 0 if place_of(thing) in self._ends else self._nowhere(ns)
            case Address() | Up() | Neigh() | Fdb():
                return 0 if place_of(thing) in self._ends else self._nowhere(thing.ns)
            case Sysctl(key, _, ns):
                named = _OF_A_LINK.fullmatch(key)
                known = not named or named[1] in ("all", "default", "lo") or (ns, named[1]) in self._ends
                return 0 if known else errno.ENOENT
            case _:
                return 0

    def _nowhere(self, ns: str) -> int:
        return errno.ENODEV if ns in self._namespaces else errno.ENOENT

    def _why_no_link(self, thing: Link) -> int:
        ends = places_of(thing)
        if any(ns not in self._namespaces for ns, _ in ends):
            return errno.ENOENT
        if any(len(name) > LINK_NAME_MAX for _, name in ends):
            return errno.ERANGE
        if any(place in self._ends for place in ends):
            return errno.EEXIST
        mtu = getattr(thing, "mtu", 0)
        if mtu and mtu not in _MTU:
            return errno.EINVAL
        parent = parent_of(thing)
        if parent is not None and parent not in self._ends:
            return errno.ENODEV
        master = getattr(thing, "master", "")
        return self._why_no_port((thing.ns, master)) if master else 0

    def _why_no_port(self, master: Place) -> int:
        if master not in self._ends:
            return errno.ENODEV
        if self._ends[master].kind != "bridge":
            return errno.EOPNOTSUPP
        ports = [end for (ns, _), end in self._ends.items() if (ns, end.master) == master]
        return errno.EXFULL if len(ports) >= _PORTS_MAX else 0

    def _why_no_route(self, route: Route) -> int:
        end = self._ends.get((route.ns, route.dev))
        if end is None:
            return self._nowhere(route.ns)
        if route.via is None and not end.up:
            return errno.ENETDOWN
        if route.via and not (
            end.up and any(route.via in own.network for own in self._addresses_at(place_of(route)))
        ):
            return errno.ENETUNREACH if route.family == 4 else errno.EHOSTUNREACH
        # Another route to the same place, whatever its next hop, is in the way.
        way = (route.ns, route.family, route.to)
        taken = any((f.ns, f.family, f.to) == way for f in self._facts if isinstance(f, Route))
        return errno.EEXIST if taken else 0

    def _addresses_at(self, place: Place) -> list[IPInterface]:
        return [fact.address for fact in self._facts if isinstance(fact, Address) and place_of(fact) == place]

    def _make(self, thing: Thing) -> None:
        match thing:
            case Namespace(path):
                self._namespaces[path] = None
            case Bridge() | Veth() | Macvlan() | Ipvlan() | Vlan() | Vxlan() | Dummy():
                here = places_of(thing)[0]
                peer = places_of(thing)[1] if isinstance(thing, Veth) else None
                self._ends[here] = _End(kind_of(thing), thing, _born_up(thing), getattr(thing, "master", ""), peer)
                if peer:
                    self._ends[peer] = _End("veth", up=False, peer=here)
            case Up():
                self._ends[place_of(thing)].up = True
            case Neigh(dev, address, _, ns):
                for old in [f for f in self._facts if isinstance(f, Neigh)]:
                    if (old.dev, old.address, old.ns) == (dev, address, ns):
                        del self._facts[old]
                self._facts[thing] = None
            case Address() | Route() | Fdb():
                self._facts[thing] = None
            case Sysctl(key, _, ns):
                self._sysctls[ns, key] = thing
            case _:
                self._elements |= {_key(element): element for element in elements(thing)}

    # ---- making untrue

    def remove(self, things: Sequence[Thing]) -> list[KernelError]:
        refusals = []
        for thing in things:
            if self._there(thing) and self.stick(thing):
                refusals.append(KernelError(errno.EPERM, str(thing)))
            else:
                self._unmake(thing)
        return refusals

    def _there(self, thing: Thing) -> bool:
        return not isinstance(thing, Sysctl) and self._holds(thing)

    def _unmake(self, thing: Thing) -> None:
        match thing:
            case Namespace(path):
                if path and path in self._namespaces:
                    del self._namespaces[path]
                    for place in [place for place in self._ends if place[0] == path]:
                        self._drop(place)
                    self._sysctls = {place: s for place, s in self._sysctls.items() if place[0] != path}
            case Bridge() | Veth() | Macvlan() | Ipvlan() | Vlan() | Vxlan() | Dummy():
                here = places_of(thing)[0]
                end = self._ends.get(here)
                if end and end.thing is not None and end.kind == kind_of(thing):
                    self._drop(here)
            case Up():
                self._down(place_of(thing))
            case Address() | Route() | Neigh() | Fdb():
                self._facts.pop(thing, None)
            case Sysctl():
                pass  # It goes with its link.
            case _:
                for element in elements(thing):
                    if self._elements.get(_key(element)) == element:
                        del self._elements[_key(element)]

    def _drop(self, place: Place) -> None:
        """The link is gone, and what cannot be without it."""
        end = self._ends.pop(place, None)
        if end is None:
            return
        self._facts = {fact: None for fact in self._facts if place_of(fact) != place}
        self._sysctls = {
            (ns, key): s
            for (ns, key), s in self._sysctls.items()
            if ns != place[0] or not (of := _OF_A_LINK.fullmatch(key)) or of[1] != place[1]
        }
        if end.peer:
            self._drop(end.peer)
        for other, its in list(self._ends.items()):
            if its.thing is not None and parent_of(its.thing) == place:
                self._drop(other)
            elif (other[0], its.master) == place:
                its.master = ""

    def _down(self, place: Place) -> None:
        """A link that goes down loses its routes, and its IPv6 addresses (net/ipv6/addrconf.c: addrconf_ifdown)."""
        if place in self._ends:
            self._ends[place].up = False
            self._facts = {
                fact: None for fact in self._facts if place_of(fact) != place or not lost_when_down(fact)
            }

    # ---- telling

    def missing(self, things: Sequence[Thing]) -> list[Thing]:
        return [thing for thing in things if not self._holds(thing)]

    def _holds(self, thing: Thing) -> bool:
        match thing:
            case Namespace(path):
                return path in self._namespaces
            case Bridge() | Veth() | Macvlan() | Ipvlan() | Vlan() | Vxlan() | Dummy():
                end = self._ends.get(places_of(thing)[0])
                return end is not None and end.thing == thing
            case Up():
                end = self._ends.get(place_of(thing))
                return end is not None and end.up
            case Address() | Route() | Neigh() | Fdb():
                return thing in self._facts
            case Sysctl(key, _, ns):
                return self._sysctls.get((ns, key)) == thing
            case _:
                return all(self._elements.get(_key(element)) == element for element in elements(thing))

    def guard(self, rules: Sequence[Rule]) -> None:
        self._elements = {_key(element): element for rule in rules for element in elements(rule)}

    def sweep(self, keep: Iterable[Thing]) -> list[str]:
        kept = list(keep)
        places = {place for thing in kept if isinstance(thing, Link) for place in places_of(thing)}
        paths = {thing.path for thing in kept if isinstance(thing, Namespace)}
        gone = [place for place, end in self._ends.items() if end.thing is not None and place not in places]
        lost = [path for path in self._namespaces if path and path not in paths]
        for place in gone:
            self._drop(place)
        for path in lost:
            self._unmake(Namespace(path))
        return [name for _, name in gone] + lost

    def strays(self, things: Sequence[Thing]) -> list[Thing]:
        stated = set(things)
        links = {(link.ns, link.name) for link in things if isinstance(link, Vxlan)}
        entries = (fact for fact in self._facts if isinstance(fact, Neigh | Fdb) and fact not in stated)
        return [fact for fact in entries if (fact.ns, fact.dev) in links]

    def underlay(self, address: IPAddress) -> int:
        if address not in self._host_addresses():
            raise Failed(f"no link of this host has the address {address}")
        return 1500

    def _host_addresses(self) -> set[IPAddress]:
        return {*self._own, *(f.address.ip for f in self._facts if isinstance(f, Address) and not f.ns)}

    def routes(self) -> list[IPNetwork]:
        found = dict.fromkeys(self._routes)
        for fact in self._facts:
            if isinstance(fact, Address) and not fact.ns:
                found[fact.address.network] = None
            elif isinstance(fact, Route) and not fact.ns and fact.to is not None:
                found[fact.to] = None
        return list(found)

    def links(self) -> dict[str, str]:
        return {"lo": "", **{name: end.kind for (ns, name), end in self._ends.items() if not ns}}

    def port_holder(self, proto: Proto, host: IPAddress, port: int) -> str | None:
        if int(host) and not host.is_loopback and host not in self._host_addresses():
            raise Failed("cannot assign requested address")
        return self._held.get((proto, port))

    def dump(self) -> str:
        """Somebody else's links are not in it, what was put on them is."""
        lines: dict[str, list[str]] = {}
        for path in self._namespaces:
            lines[path] = [str(Namespace(path))] if path else []
        for (ns, name), end in self._ends.items():
            if end.thing is not None:
                lines[ns].append(str(end.thing))
            if end.up and (end.peer if end.thing is None else not _born_up(end.thing)):
                lines[ns].append(str(Up(name, ns)))
        for thing in (*self._facts, *self._sysctls.values()):
            lines[thing.ns].append(str(thing))
        lines[""] += [str(element) for element in self._elements.values()]
        return "\n".join(line for path in sorted(lines) for line in sorted(lines[path]))

    # ---- what a kernel in memory has no part in

    def answers(self, address: IPAddress, port: int) -> bool:  # noqa: ARG002 -- whoever is asked
        """There is no other host."""
        return False

    def forget_flows(self, addresses: Sequence[IPAddress]) -> None:
        """There are none."""

    def settle(self) -> None:
        """Links are gone at once."""

    def on_repair(self, tell: Callable[[str], None]) -> None:
        """Nobody else changes anything here."""

    def close(self) -> None:
        """What was made stays, and another engine may use it."""


def _key(element: Element) -> tuple[str, str, tuple[str, ...]]:
    return (element.family, element.set, element.key)


def _outcome(rule: Rule, held: bool, refused: int) -> Outcome:
    if held:
        return "held"
    return KernelError(refused, str(rule)) if refused else "made"


def _born_up(thing: Link) -> bool:
    return not isinstance(thing, Macvlan | Ipvlan)
