"""A kernel in memory: for tests, for the library without root, and for trying out what a command would do.

It keeps the promises of kernel/protocol.py and gives the refusals that Linux gives, with Linux's errno; both are
held to tests/kernel_cases.py.  It forwards no packets, and a link that was removed is gone at once.
"""

import errno
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import groupby

from bascule.kernel.fakelinks import (
    OF_A_LINK,
    End,
    Fact,
    Place,
    born_up,
    key_of,
    kind_of,
    lost_when_down,
    outcome_of,
    parent_of,
    place_of,
    places_of,
    same,
    shown,
    told,
    why_no_link,
    why_no_route,
    without,
)
from bascule.kernel.fakesealing import FakeSealing
from bascule.kernel.protocol import Outcome
from bascule.model.addresses import IPAddress, IPInterface, IPNetwork
from bascule.model.cluster import Seal
from bascule.model.endpoint import Proto
from bascule.model.errors import Failed, KernelError
from bascule.model.firewall import Element, Rule, elements
from bascule.model.hostlink import HostLink
from bascule.model.spans import Span, span
from bascule.model.thing import (
    Address,
    Fdb,
    Link,
    Namespace,
    Neigh,
    Route,
    Sealing,
    Sysctl,
    Thing,
    Up,
    Veth,
    Vxlan,
)


class FakeKernel:
    """A host with nothing on it but what is said here.

    *routes* are those it has, *links* somebody else's links by name and kind, *addresses* the host's own, *held*
    who keeps which port, *owners* the MACs of other machines by address, *seals* what it can encrypt with.
    `mtu` is that of the links with its addresses; what fits the way to another host may be put into `paths`.
    *refuse* and *stick* tell of a thing whether adding or removing it is refused (EPERM): a set's `__contains__`
    will do.
    """

    def __init__(
        self,
        *,
        routes: Sequence[IPNetwork] = (),
        links: Mapping[str, str] | None = None,
        addresses: Sequence[IPAddress] = (),
        held: Mapping[tuple[Proto, int], str] | None = None,
        owners: Mapping[IPAddress, str] | None = None,
        seals: tuple[Seal, ...] = ("wireguard", "esp"),
        refuse: Callable[[Thing], bool] = lambda _: False,
        stick: Callable[[Thing], bool] = lambda _: False,
    ) -> None:
        self.mtu = 1500
        self.paths: dict[IPAddress, int] = {}
        self.refuse = refuse
        self.stick = stick
        self._routes = tuple(routes)
        self._own = tuple(addresses)
        self._held = dict(held or {})
        self._owners = dict(owners or {})
        self._namespaces: dict[str, None] = {"": None}
        self._ends: dict[Place, End] = {("", name): End(kind) for name, kind in (links or {}).items()}
        self._facts: dict[Fact, None] = {}
        self._sysctls: dict[Place, Sysctl] = {}
        self._elements: dict[tuple[str, str, tuple[str, ...]], Element] = {}
        self._seals = seals
        self._sealing = FakeSealing()

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
                known = self._elements.get(key_of(element)) or fresh.setdefault(key_of(element), element)
                if known != element:
                    refused = refused or errno.EEXIST
        if not refused:
            self._elements |= fresh
        return [outcome_of(rule, was, refused) for rule, was in zip(rules, held, strict=True)]

    def _why_not(self, thing: Thing) -> int:
        """The errno with which Linux refuses *thing*, or 0."""
        match thing:
            case Namespace():
                return 0
            case _ if isinstance(thing, Link):
                return why_no_link(thing, self._ends, self._namespaces)
            case Route():
                end = self._ends.get(place_of(thing))
                return why_no_route(thing, end.up, self._facts) if end else self._nowhere(thing.ns)
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
                named = OF_A_LINK.fullmatch(key)
                known = not named or named[1] in ("all", "default", "lo") or (ns, named[1]) in self._ends
                return 0 if known else errno.ENOENT
            case _ if isinstance(thing, Sealing):
                end = self._ends.get(("", getattr(thing, "link", "")))
                return self._sealing.why_not(thing, end.kind if end else "")
            case _:
                return 0

    def _nowhere(self, ns: str) -> int:
        return errno.ENODEV if ns in self._namespaces else errno.ENOENT

    def _addresses_at(self, place: Place) -> list[IPInterface]:
        return [fact.address for fact in self._facts if isinstance(fact, Address) and place_of(fact) == place]

    def _make(self, thing: Thing) -> None:
        match thing:
            case Namespace(path):
                self._namespaces[path] = None
            case _ if isinstance(thing, Link):
                here = places_of(thing)[0]
                if known := self._ends.get(here):
                    return known.become(thing)
                peer = places_of(thing)[1] if isinstance(thing, Veth) else None
                self._ends[here] = End(kind_of(thing), thing, born_up(thing), getattr(thing, "master", ""), peer)
                if peer:
                    self._ends[peer] = End("veth", up=False, peer=here)
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
            case _ if isinstance(thing, Sealing):
                self._sealing.make(thing)
            case _:
                self._elements |= {key_of(element): element for element in elements(thing)}

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
            case _ if isinstance(thing, Link):
                here = places_of(thing)[0]
                end = self._ends.get(here)
                if end and end.thing is not None and end.kind == kind_of(thing):
                    self._drop(here)
            case Up():
                self._down(place_of(thing))
            case Address() | Route() | Neigh() | Fdb():
                self._facts = without(self._facts, thing)
            case Sysctl():
                pass  # It goes with its link.
            case _ if isinstance(thing, Sealing):
                self._sealing.unmake(thing)
            case _:
                for element in elements(thing):
                    if self._elements.get(key_of(element)) == element:
                        del self._elements[key_of(element)]

    def _drop(self, place: Place) -> None:
        """The link is gone, and what cannot be without it."""
        end = self._ends.pop(place, None)
        if end is None:
            return
        if not place[0]:
            self._sealing.drop(place[1])
        self._facts = {fact: None for fact in self._facts if place_of(fact) != place}
        self._sysctls = {
            (ns, key): s
            for (ns, key), s in self._sysctls.items()
            if ns != place[0] or not (of := OF_A_LINK.fullmatch(key)) or of[1] != place[1]
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
            case _ if isinstance(thing, Link):
                end = self._ends.get(places_of(thing)[0])
                return end is not None and same(thing, end.thing)
            case Up():
                return bool((end := self._ends.get(place_of(thing))) and end.up)
            case Address() | Route() | Neigh() | Fdb():
                return thing in self._facts
            case Sysctl(key, _, ns):
                return self._sysctls.get((ns, key)) == thing
            case _ if isinstance(thing, Sealing):
                return self._sealing.holds(thing)
            case _:
                return all(self._elements.get(key_of(element)) == element for element in elements(thing))

    def guard(self, rules: Sequence[Rule], former: Sequence[str] = ()) -> None:  # noqa: ARG002 -- no tables
        self._elements = {key_of(element): element for rule in rules for element in elements(rule)}

    def sweep(self, keep: Iterable[Thing]) -> list[str]:
        kept = list(keep)
        places = {place for thing in kept if isinstance(thing, Link) for place in places_of(thing)}
        gone = [place for place, end in self._ends.items() if end.thing is not None and place not in places]
        lost = [one for path in self._namespaces if path and (one := Namespace(path)) not in kept]
        for place in gone:
            self._drop(place)
        entries = [f for f in self._facts if isinstance(f, Route | Neigh | Fdb) and not f.ns and f not in kept]
        stale = [f for f in entries if self._ends["", f.dev].kind in ("macvlan", "ipvlan", "vxlan")]
        secret = self._sealing.unstated(kept)
        self.remove([*lost, *stale, *secret])
        return [name for _, name in gone] + [one.path for one in lost] + list(map(str, [*stale, *secret]))

    def strays(self, things: Sequence[Thing]) -> list[Thing]:
        links = {(link.ns, link.name) for link in things if isinstance(link, Vxlan)}
        entries = (fact for fact in self._facts if isinstance(fact, Neigh | Fdb) and fact not in set(things))
        return [*(e for e in entries if (e.ns, e.dev) in links), *self._sealing.unstated(things)]

    def seals(self) -> tuple[Seal, ...]:
        return self._seals

    def underlay(self, address: IPAddress) -> int:
        if address not in self._host_addresses():
            raise Failed(f"no link of this host has the address {address}")
        return self.mtu

    def _host_addresses(self) -> set[IPAddress]:
        return {*self._own, *(f.address.ip for f in self._facts if isinstance(f, Address) and not f.ns)}

    def routes(self) -> list[Span]:
        facts = [f for f in self._facts if isinstance(f, Address | Route) and not f.ns]
        found = [f.address.network if isinstance(f, Address) else f.to for f in facts]
        return list(dict.fromkeys(span(net) for net in (*self._routes, *found) if net is not None))

    def links(self) -> dict[str, str]:
        return {"lo": "", **{name: end.kind for (ns, name), end in self._ends.items() if not ns}}

    def host_links(self) -> dict[str, HostLink]:
        found = {name: told(name, end, self._below(end)) for (ns, name), end in self._ends.items() if not ns}
        return {"lo": HostLink(1, "lo", "", up=True, carries=True, mtu=65536), **found}

    def below(self, ns: str, link: str) -> int:
        parent = self._below(self._ends.get((ns, link)))
        return parent.index if parent else 0

    def _below(self, end: End | None) -> End | None:
        above = end and (end.peer or (end.thing and parent_of(end.thing)))
        return self._ends.get(above) if above else None

    def addresses(self, ns: str, link: str) -> list[IPInterface]:
        return self._addresses_at((ns, link))

    def await_address(self, ns: str, link: str, seconds: float) -> bool:  # noqa: ARG002 -- nobody else adds any
        return any(a.version == 6 and not a.is_link_local for a in self.addresses(ns, link))

    def nature(self, link: str) -> str:
        return end.kind if (end := self._ends.get(("", link))) and end.thing is None else ""

    def as_made(self, things: Sequence[Thing]) -> list[Thing]:
        return list(things)

    def who_has(self, link: str, addresses: Sequence[IPAddress], but: Collection[str]) -> dict[IPAddress, str]:
        there = self._owners if ("", link) in self._ends else {}
        return {a: mac for a, mac in there.items() if a in addresses and mac not in but}

    def port_holder(self, proto: Proto, host: IPAddress, port: int) -> str | None:
        if int(host) and not host.is_loopback and host not in self._host_addresses():
            raise Failed("cannot assign requested address")
        return self._held.get((proto, port))

    def dump(self) -> str:
        """Somebody else's links are not in it, what was put on them is."""
        lines = {path: [str(Namespace(path))] if path else [] for path in self._namespaces}
        for place, end in self._ends.items():
            lines[place[0]] += shown(place, end)
        for thing in (*self._facts, *self._sysctls.values()):
            lines[thing.ns].append(str(thing))
        lines[""] += [*map(str, self._elements.values()), *self._sealing.lines()]
        return "\n".join(line for path in sorted(lines) for line in sorted(lines[path]))

    # ---- what a kernel in memory has no part in

    def answers(self, address: IPAddress, port: int) -> bool:  # noqa: ARG002 -- whoever is asked
        """There is no other host."""
        return False

    def reach(self, address: IPAddress, most: int) -> int:
        return min(most, self.paths.get(address, most))

    def announce(self, ns: str, link: str, addresses: Sequence[IPAddress]) -> None:
        """There is no other machine."""

    def forget_flows(self, addresses: Sequence[IPAddress]) -> None:
        """There are none."""

    def settle(self) -> None:
        """Links are gone at once."""

    def on_links(self, tell: Callable[[Collection[str]], None]) -> None:
        """Nobody else changes anything here."""

    def on_repair(self, tell: Callable[[str], None]) -> None:
        """Nobody else changes anything here."""

    def close(self) -> None:
        """What was made stays, and another engine may use it."""
