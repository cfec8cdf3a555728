"""Making links, addresses, routes and entries untrue: at once for whoever looks, physically later (see `trash`)."""

import errno
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import assert_never

from bascule.kernel.adding import LINKS, Wired
from bascule.kernel.place import Place, Places
from bascule.kernel.route_socket import ALL_DONE
from bascule.kernel.survey import Survey, kinds
from bascule.kernel.trash import Trash
from bascule.model.errors import KernelError
from bascule.model.links import Address, Fdb, Link, Neigh, Route, Up, Veth
from bascule.wire import rtnetlink
from bascule.wire.netlink import Request
from bascule.wire.rtstate import LinkState

# The link, the address, the route or entry, or the namespace is gone already.
GONE = {errno.ENODEV, errno.EADDRNOTAVAIL, errno.ESRCH, errno.ENOENT, errno.ENXIO}

Step = tuple[Wired, Place, list[Request]]

AWAY = "gone-"
"""So the names of removed links begin, until they are deleted."""


class Removing:
    """Takes links of *group* away."""

    def __init__(self, places: Places, trash: Trash, group: int) -> None:
        self._places = places
        self._trash = trash
        self._group = group

    def remove(self, run: Sequence[Wired]) -> list[KernelError]:
        """Make the things of *run* untrue in order; steps in one namespace that follow one another go together."""
        refusals: list[KernelError] = []
        steps = [step for thing in run for step in self._steps(thing, refusals)]
        for place, group in groupby(steps, lambda step: step[1]):
            together = list(group)
            answered = place.routes.ask([request for _, _, requests in together for request in requests])
            if answered is ALL_DONE:
                continue
            answers = iter(answered)
            for thing, _, requests in together:
                # A link's requests depend on one another, and the first refusal says why.
                given = [next(answers) for _ in requests]
                refused = [a for a in given if a.errno and a.errno not in GONE]
                if refused:
                    refusals.append(KernelError(refused[0].errno, str(thing), refused[0].text))
        # A veth goes with its host's end.
        for place in {place for thing, place, _ in steps if isinstance(thing, LINKS) and thing.ns == place.path}:
            self._trash.empty(place)
        return refusals

    def _steps(self, thing: Wired, refusals: list[KernelError]) -> Iterator[Step]:
        try:
            yield from self._link(thing) if isinstance(thing, LINKS) else self._entry(thing)
        except KernelError as refusal:
            if refusal.errno not in GONE:
                refusals.append(KernelError(refusal.errno, str(thing), refusal.text))

    def _entry(self, thing: Address | Up | Route | Neigh | Fdb) -> Iterator[Step]:
        place = self._places.at(thing.ns)
        index = place.index(thing.link if isinstance(thing, Address | Up) else thing.dev)
        match thing:
            case Address():
                request = rtnetlink.address(thing, index, delete=True)
            case Up():
                request = rtnetlink.set_link(index, up=False)
            case Route():
                request = rtnetlink.route(thing, index, delete=True)
            case Neigh():
                request = rtnetlink.neigh(thing, index, delete=True)
            case Fdb():
                request = rtnetlink.fdb(thing, index, delete=True)
            case _:
                assert_never(thing)
        yield thing, place, [request]

    def _link(self, thing: Link) -> Iterator[Step]:
        """Somebody else's link of the same name is left alone."""
        place = self._places.at(thing.ns)
        state = place.link(thing.name)
        place.forgets(thing.name)
        if state is None or state.group != self._group or state.kind not in kinds(thing):
            return
        if isinstance(thing, Veth):
            yield from self._peer(thing, state)
        yield thing, place, self.away(state)

    def _peer(self, thing: Veth, state: LinkState) -> Iterator[Step]:
        try:
            place = self._places.at(thing.peer_ns)
        except KernelError:
            return  # It went with its namespace.
        peer = place.link(thing.peer)
        place.forgets(thing.peer)
        pair = (state.parent, state.index)
        if peer is None or (peer.index, peer.parent) != pair:
            # Whoever lives there may have given it another name.
            there = Survey(self._places).links(thing.peer_ns).values()
            peer = next((p for p in there if (p.index, p.parent) == pair), None)
        if peer is not None:
            yield thing, place, self.away(peer)

    def away(self, state: LinkState) -> list[Request]:
        """Down, out of its bridge, out of its name (which a new link may want at once), and into the trash."""
        return [
            rtnetlink.set_link(state.index, up=False, master=0 if state.master else None),
            rtnetlink.set_link(state.index, name=f"{AWAY}{state.index:x}", group=self._trash.group_for(state.kind)),
        ]
