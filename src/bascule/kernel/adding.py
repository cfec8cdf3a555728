"""Making links, addresses, routes and entries true: one datagram for a run of things in one namespace.

A message must name a link by its index, and the run's own links have none yet.  So we choose the indexes, in a
range where the kernel's own counting does not come, and a batch may use the index of a link that it makes itself.
Where that guess was wrong (the link was there already, the number was taken, a remembered index is no longer
right), what failed from there on is tried again with what is now known.  What failed changed nothing, so the order
is kept.
"""

import errno
import itertools
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import assert_never

from bascule.kernel.place import Place, Places
from bascule.kernel.protocol import Outcome
from bascule.kernel.route_socket import ALL_DONE
from bascule.kernel.survey import STAND_IN, Survey, settable
from bascule.model.errors import KernelError
from bascule.model.links import (
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
from bascule.wire import rtnetlink
from bascule.wire.netlink import Answer, Request

LINKS = (Bridge, Veth, Macvlan, Ipvlan, Vlan, Vxlan, WireGuard, Xfrm, Dummy)
Wired = Link | Address | Up | Route | Neigh | Fdb
"""What is made by rtnetlink alone."""
Name = tuple[str, str]
"""A link: the path of its namespace, and its name there."""

TRIES = 4
PARENT_PAUSE, PARENT_PAUSES = 0.05, 20
"""Seconds, and how often: a namespace's links are gone 15 to 40 ms after it was dropped, later on a busy host."""
OURS = 1 << 20
"""Links that we make have indexes from here on; the kernel counts from 1."""


def where(thing: Wired) -> str:
    """The namespace that the request for *thing* is made in."""
    match thing:
        case Macvlan() | Ipvlan():
            return ""  # Its parent's.
        case _:
            return thing.ns


class Numbers:
    """Interface indexes nobody has.  Several processes may draw from this range, so one can be taken after all."""

    def __init__(self, start: int = 0) -> None:
        self._next = itertools.count(start)
        if not start:
            self.again()

    def again(self) -> None:
        """Go on somewhere else."""
        self._next = itertools.count(OURS + secrets.randbelow(1 << 28))

    def pick(self) -> int:
        return next(self._next)


class Adding:
    """One run of things, and how far they are."""

    def __init__(self, places: Places, numbers: Numbers, group: int, born: set[Name], run: Sequence[Wired]) -> None:
        self._places = places
        self._numbers = numbers
        self._group = group
        self._born = born
        """Links that this call made: they were down, and nothing about them can have held before."""
        self._run = run
        self._there: dict[str, Place] = {}
        self._outcomes: dict[int, Outcome] = {}
        self._planned: dict[Name, int] = {}
        self._looked_up: set[Name] = set()
        self._refreshed: set[Name] = set()
        self._pauses = 0
        self._stand_in = False
        """This kernel has no dummy links."""

    def outcomes(self) -> list[Outcome]:
        """Ask until each thing has its outcome."""
        tried = 0
        while len(self._outcomes) < len(self._run):
            tried += 1
            # A pause for a parent is a try of its own.
            self._round(last=tried >= TRIES + min(self._pauses, PARENT_PAUSES))
        return [self._outcomes[i] for i in range(len(self._run))]

    def _see_who_is_up(self) -> None:
        """The kernel raises a link that is up without a word, so look at those that may be."""
        fresh = set(self._born)
        for i, thing in enumerate(self._run):
            if isinstance(thing, LINKS) and self._outcomes.get(i) != "held":
                fresh.update(names(thing))
            elif isinstance(thing, Up) and i not in self._outcomes and (thing.ns, thing.link) not in fresh:
                try:
                    state = self._at(thing.ns).link(thing.link)
                except KernelError:
                    continue  # Asked again, and then told.
                if state is not None and state.up and thing.mac in ("", state.mac):
                    self._outcomes[i] = "held"

    def _round(self, *, last: bool) -> None:
        self._see_who_is_up()
        self._planned.clear()
        batch: list[tuple[int, Place, list[Request]]] = []
        for i, thing in enumerate(self._run):
            if i not in self._outcomes:
                try:
                    place = self._at(where(thing))
                    batch.append((i, place, self._requests(thing, place)))
                except KernelError as refusal:
                    self._outcomes[i] = KernelError(refusal.errno, str(thing), refusal.text)
        failed: list[tuple[int, Answer]] = []
        for place, group in groupby(batch, _place):
            together = list(group)
            answers = place.routes.ask([request for _, _, requests in together for request in requests])
            if answers is ALL_DONE:
                for i, _, _ in together:
                    self._made(i)
            else:
                failed += self._failed(together, iter(answers))
        if failed:
            self._judge(failed, last=last)

    def _failed(
        self, together: Sequence[tuple[int, Place, list[Request]]], answers: Iterator[Answer]
    ) -> Iterator[tuple[int, Answer]]:
        """Those of *together* that were refused; the others are made."""
        for i, _, requests in together:
            given = [next(answers) for _ in requests]
            answer = _refusal(given)
            if answer is None:
                self._made(i)
                continue
            if not given[0].errno:
                self._unmake(self._run[i])
            yield i, answer

    def _made(self, i: int) -> None:
        self._outcomes[i] = "made"
        thing = self._run[i]
        if isinstance(thing, LINKS):
            for ns, name in names(thing):
                self._at(ns).knows(name, self._planned[ns, name])
                self._born.add((ns, name))

    def _unmake(self, thing: Wired) -> None:
        """The link was made, and would not become what it should be."""
        if isinstance(thing, LINKS):
            place = self._at(thing.ns)
            place.routes.ask([rtnetlink.delete_link(self._planned[thing.ns, thing.name])])

    # ---- what a refusal means

    def _judge(self, failed: Sequence[tuple[int, Answer]], *, last: bool) -> None:
        """Give those that failed their outcomes; leave without one what is worth another try."""
        survey = Survey(self._places)
        guessed_wrong = False
        for i, answer in failed:
            thing = self._run[i]
            if guessed_wrong and not last:
                continue
            if self._worth_retrying(thing, answer, survey) and not last:
                guessed_wrong = True
            elif answer.errno == errno.EEXIST and survey.holds(thing):
                self._outcomes[i] = "held"
                # What comes after meant another index by its name.
                guessed_wrong = isinstance(thing, LINKS)
            elif answer.errno == errno.EEXIST and isinstance(thing, LINKS) and self._put_back(thing, survey):
                self._outcomes[i] = "made"
                guessed_wrong = True
            elif answer.errno == errno.EEXIST and isinstance(thing, Neigh | Fdb):
                self._outcomes[i] = self._replace(thing)
            else:
                self._outcomes[i] = KernelError(answer.errno, str(thing), answer.text)

    def _worth_retrying(self, thing: Wired, answer: Answer, survey: Survey) -> bool:
        if isinstance(thing, Dummy) and answer.errno == errno.EOPNOTSUPP and not self._stand_in:
            self._stand_in = True
            return True
        if isinstance(thing, Macvlan | Ipvlan) and answer.errno in self._parent_is_busy(thing):
            # Links of a namespace that was dropped are on it until the kernel's own worker has come by.
            self._pauses += 1
            time.sleep(PARENT_PAUSE)
            return True
        if isinstance(thing, LINKS) and answer.errno in (errno.EEXIST, errno.EBUSY):
            if any(survey.index(ns, name) for ns, name in names(thing)):
                return False
            self._numbers.again()  # The name is free: somebody has the number.
            return True
        # A wrong parent or bridge is "no such device" or "invalid argument", by the kind of link.
        doubtful = (errno.ENODEV, errno.EINVAL) if isinstance(thing, LINKS) else (errno.ENODEV,)
        asked = (used(thing) & self._looked_up) - self._refreshed
        if answer.errno not in doubtful or not asked:
            return False
        for ns, name in asked:
            self._at(ns).forgets(name)
        self._refreshed |= asked
        return True

    @staticmethod
    def _parent_is_busy(thing: Macvlan | Ipvlan) -> tuple[int, ...]:
        """How the kernel says that something else has the parent (drivers/net/macvlan.c: macvlan_common_newlink;
        an rx handler of another kind)."""
        alone = isinstance(thing, Macvlan) and thing.mode == "passthru"
        return (errno.EBUSY, errno.EINVAL) if alone else (errno.EBUSY,)

    def _put_back(self, thing: Link, survey: Survey) -> bool:
        """Whether somebody had taken a link of ours down or out of its bridge, or it has another MTU or MAC than is
        stated now, and it is as it should be again."""
        state = survey.nearly(thing, self._group)
        if state is None:
            return False
        mtu, mac = settable(thing)
        request = rtnetlink.set_link(
            state.index,
            up=None if isinstance(thing, Macvlan | Ipvlan) else True,
            master=survey.master(thing) if survey.master(thing) != state.master else None,
            mtu=mtu if mtu != state.mtu else 0,
            mac=mac if mac != state.mac else "",
        )
        return self._at(thing.ns).routes.ask([request]) is ALL_DONE

    def _replace(self, thing: Neigh | Fdb) -> Outcome:
        """A neighbour has one address: the new one.  Frames to everybody go to each destination stated, but those
        for one MAC to one only."""
        place = self._at(thing.ns)
        index = place.index(thing.dev)
        match thing:
            case Neigh():
                request = rtnetlink.neigh(thing, index, replace=True)
            case Fdb():
                if not is_group(thing.mac):
                    return KernelError(errno.EEXIST, str(thing))
                request = rtnetlink.fdb(thing, index, append=True)
            case _:
                assert_never(thing)
        for answer in place.routes.ask([request]):
            return KernelError(answer.errno, str(thing), answer.text)
        return "made"

    # ---- requests

    def _requests(self, thing: Wired, place: Place) -> list[Request]:
        match thing:
            case Address():
                return [rtnetlink.address(thing, self._index(place, thing.link))]
            case Route():
                return [rtnetlink.route(thing, self._index(place, thing.dev))]
            case Up():
                index = self._index(place, thing.link)
                told = [rtnetlink.set_link(index, no_link_local=True)] if thing.silent else []
                return [*told, rtnetlink.set_link(index, up=True, mac=thing.mac)]
            case Neigh():
                return [rtnetlink.neigh(thing, self._index(place, thing.dev))]
            case Fdb():
                return [rtnetlink.fdb(thing, self._index(place, thing.dev))]
            case Bridge() | Veth() | Macvlan() | Ipvlan() | Vlan() | Vxlan() | WireGuard() | Xfrm() | Dummy():
                given = self._given(thing, place)
                # Known only now: a link is not its own parent.
                self._planned[thing.ns, thing.name] = given.number
                if isinstance(thing, Dummy) and self._stand_in:
                    thing = replace(thing, kind=STAND_IN)
                return rtnetlink.new_link(thing, given)
            case _:
                assert_never(thing)

    def _index(self, place: Place, name: str) -> int:
        key = (place.path, name)
        planned = self._planned.get(key)
        if planned is not None:
            return planned
        self._looked_up.add(key)
        return place.index(name)

    def _given(self, thing: Link, place: Place) -> rtnetlink.Numbers:
        index, group = self._numbers.pick(), self._group
        match thing:
            case Veth():
                peer = self._planned[thing.peer_ns, thing.peer] = self._numbers.pick()
                master = self._index(place, thing.master) if thing.master else 0
                return rtnetlink.Numbers(index, group, master=master, peer=peer, netns=self._at(thing.peer_ns).fd)
            case Macvlan() | Ipvlan():
                netns = self._at(thing.ns).fd if thing.ns else -1
                return rtnetlink.Numbers(index, group, parent=self._index(place, thing.parent), netns=netns)
            case Vlan():
                return rtnetlink.Numbers(index, group, parent=self._index(place, thing.parent))
            case Vxlan():
                return rtnetlink.Numbers(
                    index, group, master=self._index(place, thing.master) if thing.master else 0
                )
            case Bridge() | WireGuard() | Xfrm() | Dummy():
                return rtnetlink.Numbers(index, group)
            case _:
                assert_never(thing)

    def _at(self, path: str) -> Place:
        """The namespace at *path*, the same one all through the run, and its descriptor stays open."""
        known = self._there.get(path)
        if known is None:
            known = self._there[path] = self._places.at(path)
        return known


def _place(one: tuple[int, Place, list[Request]]) -> Place:
    return one[1]


def _refusal(answers: Sequence[Answer]) -> Answer | None:
    """The first refusal of a thing's requests.  Of several it is none that a host without IPv6 can't be told to
    leave a link alone with it."""
    harmless = (0, errno.EAFNOSUPPORT) if len(answers) > 1 else (0,)
    return next((a for a in answers if a.errno not in harmless), None)


def names(thing: Link) -> list[Name]:
    """The ends that come with *thing*."""
    own = (thing.ns, thing.name)
    return [own, (thing.peer_ns, thing.peer)] if isinstance(thing, Veth) else [own]


def used(thing: Wired) -> set[Name]:
    """The links that *thing* needs."""
    match thing:
        case Address() | Up():
            return {(thing.ns, thing.link)}
        case Route() | Neigh() | Fdb():
            return {(thing.ns, thing.dev)}
        case Veth() | Vxlan():
            return {(thing.ns, thing.master)}
        case Macvlan() | Ipvlan():
            return {("", thing.parent)}
        case Vlan():
            return {(thing.ns, thing.parent)}
        case Bridge() | WireGuard() | Xfrm() | Dummy():
            return set()
        case _:
            assert_never(thing)


def is_group(mac: str) -> bool:
    """Whether an entry for *mac* may have several destinations: a group's, and VXLAN's default, all zeros."""
    return bool(int(mac[:2], 16) & 1) or mac == "00:00:00:00:00:00"
