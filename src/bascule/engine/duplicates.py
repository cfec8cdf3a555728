"""Addresses that other machines on the segment have: found out before use, or told as soon as they are.

A network straight on a parent shares its segment with machines that nobody asked.  Three things are done about it,
as its option `bascule.duplicate_detection` says (drivers/parent.py, decision 011):

- *report*: no endpoint waits.  The next addresses that we would choose are asked for ahead of time, the first ones
  by whoever makes the network (engine/ahead.py), and those that somebody has are passed over; each endpoint's
  addresses are asked for when it has them, and a conflict is told.
- *strict*: an endpoint is made only when nobody has its addresses, which takes the kernel's patience.
- *off*: nothing.

One thread asks, for all endpoints that came meanwhile together.  What it found out is kept here as long as it is of
use, and is nobody's intent.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from bascule.drivers.parent import detection
from bascule.engine.ahead import COUNT, Ahead
from bascule.engine.decide import Decisions
from bascule.engine.intent import Intent
from bascule.kernel.protocol import Kernel
from bascule.model.addresses import IPAddress
from bascule.model.endpoint import Endpoint
from bascule.model.errors import Forbidden
from bascule.model.network import Network

log = logging.getLogger(__name__)

STATUS = "bascule.duplicates"
HOST = "this host"
"""Instead of a MAC."""
FRESH = 60.0
"""Seconds for which it is known that nobody had an address."""
KEPT = 600.0
"""Seconds after which an address that somebody had may be asked for again; one that an endpoint has is."""
FIRST = 0.4
"""Seconds that an endpoint waits at most for the first answers about a network: they take 0.3."""

Lock = threading.RLock
Tell = Callable[[Network, Endpoint, IPAddress, str], None]


@dataclass(slots=True)
class _Known:
    """What is known of a network's addresses, each until when (time.monotonic)."""

    occupied: dict[IPAddress, float] = field(default_factory=dict)
    free: dict[IPAddress, float] = field(default_factory=dict)
    reserved: set[IPAddress] = field(default_factory=set)
    """Of endpoints that are about to be."""
    checked: set[str] = field(default_factory=set)
    """The endpoints, by their ids, whose addresses were asked for."""
    first: threading.Event = field(default_factory=threading.Event)
    """Set when something is known: not in a daemon's first moments, nor in those of a parent that is back."""


@dataclass(frozen=True, slots=True)
class _Conflict:
    """The MACs of others that have an endpoint's addresses, on the network with the id *network*; to be asked for
    again *then* (time.monotonic)."""

    network: str
    held: Mapping[IPAddress, str]
    then: float


class Duplicates:
    """*lock* is the engine's; *tell* hears of each conflict, on the asking thread."""

    def __init__(self, intent: Intent, kernel: Kernel, decide: Decisions, lock: Lock, tell: Tell) -> None:
        self._intent = intent
        self._kernel = kernel
        self._decide = decide
        self._lock = lock
        self._tell = tell
        self.kept = KEPT
        self._known: dict[str, _Known] = {}
        self._conflicts: dict[str, _Conflict] = {}
        """By the endpoint's id."""
        self._asked: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._begun = False
        decide.addressing.passed_over = self.passed_over

    def passed_over(self, network: str) -> set[IPAddress]:
        """The addresses of a network that no endpoint is given by itself."""
        known, now = self._known.get(network), time.monotonic()
        if known is None:
            return set()
        return {address for address, end in known.occupied.items() if end > now} | known.reserved

    def status(self, net: Network) -> dict[str, str]:
        """The addresses of the network's endpoints that others have, too; empty when there are none."""
        found = [
            f"{address} of {ep.name} is in use on {net.link} by {mac}"
            for ep in (self._intent.endpoints(network=net.id) if self._conflicts else ())
            if ep.id in self._conflicts
            for address, mac in self._conflicts[ep.id].held.items()
        ]
        return {STATUS: "; ".join(found)} if found else {}

    @contextmanager
    def vetted(self, net: Network, decide: Callable[[], Endpoint]) -> Iterator[tuple[IPAddress, ...]]:
        """Addresses that nobody has, for an endpoint as *decide* would have it, and nobody else's meanwhile; none
        where the network does not wait for that.  Raises Forbidden for one that was asked for and is in use."""
        if detection(net) != "strict":
            self._await_first(net)
            yield ()
            return
        addresses = self._vet(net, decide)
        try:
            yield addresses
        finally:
            with self._lock:
                self._of(net).reserved -= set(addresses)

    def _await_first(self, net: Network) -> None:
        known = self._known.get(net.id)
        if self._begun and known and detection(net) == "report":
            known.first.wait(FIRST)

    def ahead(self) -> Ahead:
        """For a network that is about to be."""
        who_has = (lambda net, asked: self._who_has(net, asked, self._ours(net))) if self._begun else None
        return Ahead(self._intent, self._kernel, self._decide, self._lock, who_has, self._made)

    def _made(self, net: Network, asked: Collection[IPAddress], found: Mapping[IPAddress, str]) -> Network:
        """This is known of a network that is new."""
        with self._lock:
            self._learn(net, asked, found)
            self._of(net).first.set()
        return net

    def _vet(self, net: Network, decide: Callable[[], Endpoint]) -> tuple[IPAddress, ...]:
        while True:
            with self._lock:
                ep = decide()
                addresses = tuple(a.ip for a in ep.addresses)
                self._of(net).reserved.update(addresses)
                ours = self._ours(net, ep.mac)
            found = self._who_has(net, addresses, ours)
            if not found:
                return addresses
            with self._lock:
                self._of(net).reserved -= set(addresses)
                self._learn(net, addresses, found)
            for address, mac in found.items():
                if address in ep.spec.addresses:
                    raise Forbidden(f"address {address} is in use on {net.link} by {mac}")
                log.warning("network %s: %s is in use by %s, and another is taken", net.name, address, mac)

    def ask(self, net: Network) -> None:
        """Whether somebody has the addresses of the network's endpoints, or those that come next, is found out soon
        and without waiting, once this has begun."""
        if not self._begun or detection(net) == "off":
            return
        self._asked.put(net.id)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="duplicates", daemon=True)
            self._thread.start()

    def begin(self) -> None:
        """What an earlier daemon knew is found out again."""
        self._begun = True
        for net in self._intent.networks():
            self.again(net)

    def again(self, net: Network) -> None:
        """Nothing is known of the network any more: its parent is back, perhaps on another segment."""
        if self._begun and detection(net) != "off":
            with self._lock:
                self._known[net.id] = _Known(reserved=self._of(net).reserved)
            self.ask(net)

    def close(self) -> None:
        """Ask no more.  Takes as long as the last question."""
        if self._thread:
            self._asked.put(None)
            self._thread.join()

    def _run(self) -> None:
        while True:
            asked = self._next()
            if None in asked:
                return
            for ident in asked:
                net = self._intent.store.get(Network, ident or "")
                if net:
                    self._look(net)

    def _next(self) -> set[str | None]:
        """The networks to look at, when there are any; with None in it where it is over."""
        with self._lock:
            living = {ep.id for ep in self._intent.endpoints()} if self._conflicts else set()
            self._conflicts = {ident: one for ident, one in self._conflicts.items() if ident in living}
            due: dict[str, float] = {}
            for one in self._conflicts.values():
                due[one.network] = min(one.then, due.get(one.network, one.then))
        first, now = min(due.values(), default=None), time.monotonic()
        asked: set[str | None] = set()
        try:
            asked.add(self._asked.get(timeout=None if first is None else max(0.0, first - now)))
            while True:
                asked.add(self._asked.get_nowait())
        except queue.Empty:
            now = time.monotonic()
            return asked | {ident for ident, then in due.items() if then <= now}

    def _look(self, net: Network) -> None:
        with self._lock:
            now = time.monotonic()
            known = self._of(net)
            there = self._intent.endpoints(network=net.id)
            again = {ident for ident, one in self._conflicts.items() if one.network == net.id and one.then <= now}
            ends = [ep for ep in there if ep.id not in known.checked or ep.id in again]
            asked = [a.ip for ep in ends for a in ep.addresses]
            if detection(net) == "report":
                asked += [a for a in self._decide.addressing.ahead(net, COUNT) if known.free.get(a, 0.0) < now]
            ours = self._ours(net)
        found = self._who_has(net, asked, ours) if asked else {}
        with self._lock:
            known.first.set()
            if found or self._hears(net):
                known.checked = {ep.id for ep in there}
                self._learn(net, asked, found)
            else:
                # Nobody was there to be asked: that is done when the parent is back.
                ends = [ep for ep in ends if ep.id in again]
            for ep in ends:
                self._note(net, ep, {a.ip: found[a.ip] for a in ep.addresses if a.ip in found})

    def _note(self, net: Network, ep: Endpoint, held: Mapping[IPAddress, str]) -> None:
        """Others have those addresses of *ep* that are in *held*, and no others any more."""
        before = self._conflicts[ep.id].held if ep.id in self._conflicts else {}
        if not held and before and not self._hears(net):
            # Where nothing is heard, nobody can say anything.
            held = before
        if held and self._intent.store.get(Endpoint, ep.id):
            # Who sees the status finds the event.
            self._report(net, ep, {address: mac for address, mac in held.items() if before.get(address) != mac})
            self._conflicts[ep.id] = _Conflict(net.id, held, time.monotonic() + self.kept)
        elif before:
            del self._conflicts[ep.id]
            log.info("network %s: nobody else has an address of %s any more", net.name, ep.name)

    def _hears(self, net: Network) -> bool:
        link = self._kernel.host_links().get(net.link)
        return link is not None and link.carries

    def _who_has(self, net: Network, addresses: Sequence[IPAddress], but: Collection[str]) -> dict[IPAddress, str]:
        """As the kernel says; the parent's own addresses are the host's, whom nobody hears on the segment."""
        own = {a.ip for a in self._kernel.addresses("", net.link)}
        return {
            **self._kernel.who_has(net.link, addresses, but),
            **{address: HOST for address in addresses if address in own},
        }

    def _report(self, net: Network, ep: Endpoint, held: Mapping[IPAddress, str]) -> None:
        for address, mac in held.items():
            log.warning("network %s: %s of %s is in use on %s by %s", net.name, address, ep.name, net.link, mac)
            self._tell(net, ep, address, mac)

    def _learn(self, net: Network, asked: Iterable[IPAddress], found: Mapping[IPAddress, str]) -> None:
        known, now = self._of(net), time.monotonic()
        for address in asked:
            if address in found:
                known.occupied[address] = now + self.kept
                known.free.pop(address, None)
            else:
                known.free[address] = now + FRESH
                known.occupied.pop(address, None)
        for ends in (known.free, known.occupied):
            for address in [address for address, end in ends.items() if end < now]:
                del ends[address]

    def _of(self, net: Network) -> _Known:
        return self._known.setdefault(net.id, _Known())

    def _ours(self, net: Network, *more: str) -> set[str]:
        """The MACs of what is ours on the network's parent: a switch may send back what we sent."""
        sharing = [other for other in self._intent.networks() if other.link == net.link]
        ends = {ep.mac for other in sharing for ep in self._intent.endpoints(network=other.id)}
        return {*ends, *(other.mac for other in sharing), *more}
