"""The Kernel that is Linux.

It lives in the network namespace of the thread that makes it ("home", the host), wherever it is called from later:
its sockets stay where they were made.  How a run of things becomes one datagram is in `adding`, why a removed link
is gone at once and yet later in `removing` and `trash`.
"""

import errno
import os
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import cast

from bascule.kernel import announcing, arriving, asking, carrier, conntrack, journal, namespaces, nature, telling
from bascule.kernel.adding import LINKS, Adding, Name, Numbers, Wired, names
from bascule.kernel.claims import Claims
from bascule.kernel.firewall import Firewall
from bascule.kernel.linkwatch import LinkWatch, told
from bascule.kernel.netfilter import Netfilter
from bascule.kernel.nft import GROUPS
from bascule.kernel.path import reach
from bascule.kernel.place import Place, Places
from bascule.kernel.ports import answers, holder
from bascule.kernel.protocol import Outcome
from bascule.kernel.removing import Removing
from bascule.kernel.route_socket import ALL_DONE, RouteSocket
from bascule.kernel.sealing import Sealing
from bascule.kernel.survey import STAND_IN, Survey, is_namespace, needless, sysctl_file
from bascule.kernel.trash import Trash
from bascule.model.addresses import IPAddress, IPInterface
from bascule.model.cluster import Seal
from bascule.model.endpoint import Proto
from bascule.model.errors import Failed, KernelError
from bascule.model.hostlink import HostLink
from bascule.model.links import Dummy, Fdb, Ipvlan, Macvlan, Namespace, Neigh, Route, Sysctl, Vxlan
from bascule.model.sealing import Identity, Peer, XfrmPolicy, XfrmState
from bascule.model.sealing import Sealing as Entry
from bascule.model.spans import Span
from bascule.model.thing import Rule, Thing
from bascule.wire import rtnetlink
from bascule.wire.rtstate import LinkState

GROUP = GROUPS[0]
"""By the link group we know our links.  The trash is the next one, so groups of engines are even."""
OURS_ALONE = ("macvlan", "ipvlan", "vxlan")
"""Kinds of links of the host's on which nobody else has routes or entries."""


class LinuxKernel:
    """See kernel.protocol.Kernel.

    Links of ours are in the link *group*, what was removed in the next one (and see `trash`); engines that share a
    namespace need different groups, and different firewall *table*s.  Network namespaces of ours are below
    *namespaces*.
    """

    def __init__(
        self, *, table: str = "bascule", group: int = GROUP, namespaces: str = "/run/bascule/netns"
    ) -> None:
        self._group = group
        self._directory = Path(namespaces)
        self._places = Places()
        self._numbers = Numbers()
        self._trash = Trash(self._places.home, group + 1)
        self._sealing = Sealing(self._places.home, self._numbers, group)
        self._removing = Removing(self._places, self._trash, group)
        self._claims = Claims(self._places.home.routes)
        self._links = LinkWatch(self._places.home)
        self._firewall = Firewall(table)
        self._flows = Netfilter()
        self._flows_lock = threading.Lock()

    # ---- making true

    def add(self, things: Sequence[Thing]) -> list[Outcome]:
        self._trash.wait_a_little()
        outcomes: list[Outcome] = []
        born: set[Name] = set()
        for (kind, _), group in groupby(things, _request):
            run = list(group)
            try:
                match kind:
                    case "rule":
                        outcomes += self._firewall.add(cast(list[Rule], run))
                    case "sealing":
                        outcomes += self._sealing.add(cast(list[Entry], run))
                    case "namespace":
                        outcomes += [self._add_namespace(thing) for thing in cast(list[Namespace], run)]
                    case "sysctl":
                        outcomes += self._set(cast(list[Sysctl], run), born)
                    case _:
                        wired = cast(list[Wired], run)
                        outcomes += Adding(self._places, self._numbers, self._group, born, wired).outcomes()
            except KernelError as refusal:
                # Its namespace is not there: nothing of the run was tried.
                outcomes += [KernelError(refusal.errno, str(thing), refusal.text) for thing in run]
        carrier.settle(self._places, things, outcomes)
        journal.made(things, outcomes)
        return outcomes

    def _add_namespace(self, thing: Namespace) -> Outcome:
        if is_namespace(thing.path):
            return "held"

        def born() -> Place:
            place = Place(thing.path, namespaces.open_namespace(namespaces.HERE), RouteSocket())
            place.routes.ask([rtnetlink.set_link(place.index("lo"), up=True)])
            return place

        try:
            self._places.enter(namespaces.make(thing.path, born))
        except KernelError as refusal:
            return KernelError(refusal.errno, str(thing), refusal.text)
        except OSError as why:
            return KernelError(why.errno or errno.EIO, str(thing))
        return "made"

    def _set(self, run: Sequence[Sysctl], born: Collection[Name]) -> list[Outcome]:
        def write() -> list[Outcome]:
            # Of a link that has just been made nobody has set anything: what it is need not be read.
            return [_write(thing, look=(thing.ns, thing.key.split("/")[-2]) not in born) for thing in run]

        return self._places.at(run[0].ns).inside(write)

    # ---- making untrue

    def remove(self, things: Sequence[Thing]) -> list[KernelError]:
        self._trash.wait_a_little()
        journal.removed(things)
        refusals: list[KernelError] = []
        for kind, group in groupby(things, lambda thing: _request(thing)[0]):
            match kind:
                case "rule":
                    refusals += self._firewall.remove(cast(list[Rule], list(group)))
                case "sealing":
                    refusals += self._sealing.remove(cast(list[Entry], list(group)))
                case "namespace":
                    for thing in cast(list[Namespace], list(group)):
                        refusals += self._remove_namespace(thing)
                case "sysctl":
                    pass  # It goes with its link.
                case _:
                    refusals += self._removing.remove(cast(list[Wired], list(group)))
        return refusals

    def _remove_namespace(self, thing: Namespace) -> list[KernelError]:
        self._places.forget(thing.path)
        try:
            namespaces.drop(thing.path)
        except KernelError as refusal:
            return [KernelError(refusal.errno, str(thing), refusal.text)]
        except OSError as why:
            return [KernelError(why.errno or errno.EIO, str(thing))]
        return []

    def sweep(self, keep: Iterable[Thing]) -> list[str]:
        kept = list(keep)
        wanted: set[Name] = {end for thing in kept if isinstance(thing, LINKS) for end in names(thing)}
        paths = {thing.path for thing in kept if isinstance(thing, Namespace)}
        secret = self._unstated(kept)
        self.remove(secret)
        swept = list(map(str, secret))
        # The host's last: the other end of a pair is known by its pair, and has routes that would be in the way.
        gone = self._swept("", wanted)
        home = Survey(self._places).links("").values()
        kept_pairs = {(s.parent, s.index) for s in home if s.kind == "veth" and ("", s.name) in wanted}
        for path in sorted(paths | {ns for ns, _ in wanted if ns}):
            swept += self._sweep_links(path, self._swept(path, wanted, gone, kept_pairs))
        swept = self._sweep_links("", gone) + swept + self._sweep_entries(kept)
        for file in sorted(self._directory.iterdir()) if self._directory.is_dir() else ():
            if str(file) not in paths:
                self._remove_namespace(Namespace(str(file)))
                swept.append(str(file))
        return swept

    def _swept(
        self,
        path: str,
        wanted: Collection[Name],
        pairs: Collection[LinkState] = (),
        kept: Collection[tuple[int, int]] = (),
    ) -> list[LinkState]:
        """The links at *path* that are ours, and in *wanted* under no name nor the other ends of *kept*, or the
        other ends of *pairs*; with what is in the trash already."""
        ends = {(state.parent, state.index) for state in pairs if state.kind == "veth"}
        try:
            states = Survey(self._places).links(path).values()
        except KernelError:
            return []  # No such namespace: nothing to sweep.
        return [
            state
            for state in states
            if state.group in self._trash.groups
            or (
                state.group == self._group
                and (path, state.name) not in wanted
                and (state.index, state.parent) not in kept
            )
            or (state.kind == "veth" and (state.index, state.parent) in ends)
        ]

    def _sweep_links(self, path: str, states: Collection[LinkState]) -> list[str]:
        if not states:
            return []
        place = self._places.at(path)
        fresh = [state for state in states if state.group not in self._trash.groups]
        # Ports first: a bridge lets go of them one by one, each with a wait.
        fresh.sort(key=lambda state: (not state.master, state.name))
        place.routes.ask([request for state in fresh for request in self._removing.away(state)])
        for state in fresh:
            place.forgets(state.name)
        self._trash.empty(place)
        return [state.name for state in fresh]

    def _sweep_entries(self, kept: Sequence[Thing]) -> list[str]:
        """A bridge of ours is a place for others' routes as well; a shim or a VXLAN link is for what we state."""
        survey = Survey(self._places)
        if not any(s.group == self._group and s.kind in OURS_ALONE for s in survey.links("").values()):
            return []
        found = telling.things(survey, self._group, [])[""]
        alone = {thing.name for thing in found if isinstance(thing, Macvlan | Ipvlan | Vxlan)}
        stated = set(map(str, kept))
        stale = [t for t in found if isinstance(t, Route | Neigh | Fdb) and t.dev in alone and str(t) not in stated]
        self._removing.remove(stale)
        return [str(thing) for thing in stale]

    # ---- telling

    def missing(self, things: Sequence[Thing]) -> list[Thing]:
        survey = Survey(self._places)
        rules = [thing for thing in things if isinstance(thing, Rule)]
        lost: set[Thing] = set(self._firewall.missing(rules)) if rules else set()
        lost.update(self._sealing.missing([thing for thing in things if isinstance(thing, Entry)]))
        return [t for t in things if (t in lost if isinstance(t, Rule | Entry) else not survey.holds(t))]

    def strays(self, things: Sequence[Thing]) -> list[Thing]:
        return telling.strays(Survey(self._places), things) + self._unstated(things)

    def _unstated(self, things: Sequence[Thing]) -> list[Thing]:
        """What encrypts, is ours and not among *things*."""
        links = [state for state in Survey(self._places).links("").values() if state.group == self._group]
        stated = set(things)
        return [thing for thing in self._sealing.ours(links) if thing not in stated]

    def as_made(self, things: Sequence[Thing]) -> list[Thing]:
        if not any(isinstance(thing, Dummy) for thing in things):
            return list(things)
        # A kernel that knows the kind finds fault with the MTU, and makes nothing.
        probe = rtnetlink.new_link(
            Dummy("bascule-none", mtu=1 << 31), rtnetlink.Numbers(self._numbers.pick(), self._group)
        )
        answers = self._places.home.routes.ask(probe[:1])
        if answers is ALL_DONE or next(iter(answers)).errno != errno.EOPNOTSUPP:
            return list(things)
        return [replace(thing, kind=STAND_IN) if isinstance(thing, Dummy) else thing for thing in things]

    def seals(self) -> tuple[Seal, ...]:
        return self._sealing.seals()

    def underlay(self, address: IPAddress) -> int:
        survey = Survey(self._places)
        having = {own.index for own in survey.addresses("") if own.address.ip == address}
        for state in survey.links("").values():
            if state.index in having:
                return state.mtu
        raise Failed(f"no link of this host has the address {address}")

    def answers(self, address: IPAddress, port: int) -> bool:
        return self._places.home.inside(lambda: answers(address, port))

    def reach(self, address: IPAddress, most: int) -> int:
        return self._places.home.inside(lambda: reach(address, most))

    def routes(self) -> list[Span]:
        return self._claims.known()

    def links(self) -> dict[str, str]:
        return {name: state.kind for name, state in Survey(self._places).links("").items()}

    def host_links(self) -> dict[str, HostLink]:
        return {name: told(state) for name, state in Survey(self._places).links("").items()}

    def below(self, ns: str, link: str) -> int:
        try:
            state = self._places.at(ns).link(link)
        except KernelError:
            return 0  # The namespace has gone.
        return state.parent if state else 0

    def on_links(self, tell: Callable[[Collection[str]], None]) -> None:
        self._links.start(tell)

    def addresses(self, ns: str, link: str) -> list[IPInterface]:
        survey = Survey(self._places)
        try:
            index = survey.index(ns, link)
            return [state.address for state in survey.addresses(ns) if state.index == index]
        except KernelError:
            return []  # The namespace has gone.

    def await_address(self, ns: str, link: str, seconds: float) -> bool:
        try:
            return arriving.await_address(self._places.at(ns), link, seconds)
        except KernelError:
            return False  # The namespace has gone.

    def nature(self, link: str) -> str:
        state = self._places.home.link(link)
        return nature.nature(told(state)) if state else ""

    def who_has(self, link: str, addresses: Sequence[IPAddress], but: Collection[str]) -> dict[IPAddress, str]:
        return self._places.home.inside(lambda: asking.who_has(link, addresses, but))

    def announce(self, ns: str, link: str, addresses: Sequence[IPAddress]) -> None:
        try:
            self._places.at(ns).inside(lambda: announcing.announce(link, addresses))
        except KernelError:
            return  # The namespace has gone.

    def port_holder(self, proto: Proto, host: IPAddress, port: int) -> str | None:
        return self._places.home.inside(lambda: holder(proto, host, port))

    def dump(self) -> str:
        below = [str(file) for file in self._directory.iterdir()] if self._directory.is_dir() else []
        paths = sorted({path for path in (*below, *self._places.known()) if is_namespace(path)})
        lines: dict[str, list[str]] = {}
        for path, found in telling.things(Survey(self._places), self._group, paths).items():
            lines[path] = [*([str(Namespace(path))] if path else []), *map(str, found)]
        lines[""] += self._firewall.lines()
        return "\n".join(line for path in sorted(lines) for line in sorted(lines[path]))

    # ---- the firewall

    def guard(self, rules: Sequence[Rule], former: Sequence[str] = ()) -> None:
        self._firewall.guard(rules, former)
        journal.loaded(rules)

    def foreign_drops(self) -> list[str]:
        """The forward chains of other tables that drop what we accept, as "ip filter FORWARD"."""
        return self._firewall.foreign_drops()

    def on_repair(self, tell: Callable[[str], None]) -> None:
        self._firewall.on_repair(tell)

    def forget_flows(self, addresses: Sequence[IPAddress]) -> None:
        with self._flows_lock:
            conntrack.forget_by(self._flows, addresses)

    # ---- the end

    def settle(self) -> None:
        self._trash.settle()

    def close(self) -> None:
        self._links.close()
        self._trash.close()
        self._sealing.close()
        self._firewall.close()
        self._flows.close()
        self._claims.close()
        self._places.close()


def _request(thing: Thing) -> tuple[str, str]:
    """What kind of request makes *thing*; those with the same answer that follow one another go together."""
    if isinstance(thing, Wired):
        return "wired", ""
    match thing:
        case Identity() | Peer() | XfrmState() | XfrmPolicy():
            return "sealing", ""
        case Namespace():
            return "namespace", ""
        case Sysctl():
            return "sysctl", thing.ns
        case _:
            return "rule", ""


def _write(thing: Sysctl, *, look: bool) -> Outcome:
    try:
        file = sysctl_file(thing)
        if look and Path(file).read_text().split() == thing.value.split():
            return "held"
        # One write, whole: /proc/sys takes each for a value.
        fd = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, thing.value.encode())
        finally:
            os.close(fd)
    except KernelError as refusal:
        return refusal
    except OSError as why:
        return "held" if needless(thing) else KernelError(why.errno or errno.EIO, str(thing))
    return "made"
