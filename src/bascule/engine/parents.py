"""Parents: the links that networks stand on and that are not ours.  How they are is known as it changes, and what
went with one is made again when it is back.

A macvlan, an ipvlan and a VLAN go with their parent, in whichever namespace they are; they stay on it when it is
renamed, and work.  What the store says is the parent's name.  So a parent that is not there under its name, but of
which links of ours are made all the same, was renamed: nothing is to be made of it until it has its name again, and
what there is stays as it is.
"""

import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from bascule.drivers.parent import base, shim
from bascule.engine.decide import Decisions
from bascule.engine.intent import stands
from bascule.kernel.apply import repair
from bascule.model.endpoint import Endpoint
from bascule.model.errors import KernelError
from bascule.model.hostlink import HostLink
from bascule.model.network import Network
from bascule.model.thing import Namespace, Thing

log = logging.getLogger(__name__)

STATUS = "bascule.parent"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a parent, in words; *hinders*: what is gone is not made again meanwhile; *away*: nothing
    can be made of it."""

    says: str
    hinders: bool = True
    away: bool = True


class Parents:
    """Those of the networks that *decide* knows; *lock* is the engine's."""

    def __init__(self, decide: Decisions, lock: threading.RLock, returned: Callable[[Network], None]) -> None:
        """*returned* hears of each network whose parent is well again."""
        self._intent = decide.intent
        self._kernel = decide.kernel
        decide.away = self.away
        self._lock = lock
        self._returned = returned
        self._begun = False
        self._faults: dict[str, Fault] = {}
        """By the network's id."""
        self._indexes: dict[str, int] = {}
        """Parents as they were seen last, by name: nothing but this tells of one that was renamed while nothing
        was made of it."""
        self._mtus: dict[str, int] = {}
        """As they were seen last, by the parent's name."""

    def begin(self) -> None:
        """Everything on a parent that is well holds, and from now on what changes is heard of."""
        self._begun = True
        self._kernel.on_links(self.look)
        self.look(())

    def look(self, names: Collection[str]) -> None:
        """See to the networks on the links that are called *names*; to all where there are none.  Before this has
        begun, as in a dry run, there is no news of names."""
        if names and not self._begun:
            return
        with self._lock:
            nets = [net for net in self._intent.networks() if stands(net)]
            self._faults = {net.id: self._faults[net.id] for net in nets if net.id in self._faults}
            about = [
                net for net in nets if not names or self._concerned(net) & set(names) or net.id in self._faults
            ]
            links = self._kernel.host_links() if about else {}
            for net in about:
                self._see(net, links)

    @staticmethod
    def _concerned(net: Network) -> set[str]:
        """The links of which a change may be one of the network's; while something is wrong any may, since its
        parent may be called anything."""
        return {net.link, base(net), shim(net)}

    def status(self, net: Network) -> dict[str, str]:
        """What is wrong with the network's parent; empty when all is well."""
        fault = self._faults.get(net.id)
        return {STATUS: fault.says} if fault else {}

    def away(self, net: Network) -> str:
        """Why nothing can be made of the network's parent, as it is now; "" where it can."""
        if net.id in self._faults:
            self.look((net.link,))
        fault = self._faults.get(net.id)
        return fault.says if fault and fault.away else ""

    def _see(self, net: Network, links: Mapping[str, HostLink]) -> None:
        ends = self._intent.endpoints(network=net.id)
        fault = self._fault(net, ends, links) if base(net) else None
        returned = self._note(net, fault)
        if fault is None or not fault.hinders:
            self._put_back(net, ends)
        if returned:
            self._returned(net)

    def _note(self, net: Network, fault: Fault | None) -> bool:
        """Whether all is well that was not."""
        before = self._faults.pop(net.id, None)
        if fault:
            self._faults[net.id] = fault
        if fault and fault != before:
            log.warning("network %s: parent %s", net.name, fault.says)
        elif before and not fault:
            log.info("network %s: parent %s is well again", net.name, net.link)
        return before is not None and fault is None

    def _note_mtu(self, link: HostLink) -> None:
        """The kernel lowers a macvlan's with its parent's, and raises an ipvlan's alone again."""
        before = self._mtus.get(link.name, link.mtu)
        self._mtus[link.name] = link.mtu
        if link.mtu < before:
            log.warning("parent %s: the MTU went from %d to %d, for endpoints as well", link.name, before, link.mtu)
        elif link.mtu > before:
            log.info("parent %s: the MTU went from %d to %d, for new endpoints", link.name, before, link.mtu)

    def _fault(self, net: Network, ends: Sequence[Endpoint], links: Mapping[str, HostLink]) -> Fault | None:
        name = base(net)
        link = links.get(name)
        moved = self._moved(net, ends, links)
        if moved and link:
            return Fault(f"{name} is another link now, the one before is called {moved}")
        if moved:
            return Fault(f"{name} is now called {moved}")
        if link is None:
            return Fault(f"{name} is gone")
        self._indexes[name] = link.index
        self._note_mtu(link)
        if any(n.link == name and not n.adopted for n in self._intent.networks() if not stands(n)):
            # A bridge of ours is up, carries when it has ports, and is not told of when that changes.
            return None
        if not link.up:
            # The kernel raises no VLAN above it.
            return Fault(f"{name} is down", hinders=name != net.link, away=False)
        return None if link.carries else Fault(f"{name} has no carrier", hinders=False, away=False)

    def _moved(self, net: Network, ends: Sequence[Endpoint], links: Mapping[str, HostLink]) -> str:
        """The name of another link than the parent of which something of the network's is made, or of the parent
        itself if it has another now; "" when all is as it should be."""
        name = base(net)
        link = links.get(name)
        if name != net.link:
            made = {links[net.link].parent} if net.link in links else set()
        else:
            made = {self._kernel.below(ep.key, ep.ifname) for ep in ends}
            made |= {links[shim(net)].parent} if shim(net) in links else set()
        if link is None and not any(made) and name in self._indexes:
            made = {self._indexes[name]}
        others = {other.index: other.name for other in links.values() if other is not link}
        return next((others[index] for index in sorted(made) if index in others), "")

    def _put_back(self, net: Network, ends: Sequence[Endpoint]) -> None:
        """What does not hold of the network and its living endpoints does again.  One that cannot be is in nobody
        else's way."""
        lost = set(self._kernel.missing([Namespace(ep.key) for ep in ends]))
        parts: list[list[Thing]] = [self._intent.network_things(net)]
        parts += [self._intent.endpoint_things(ep) for ep in ends if Namespace(ep.key) not in lost]
        made = 0
        for things in parts:
            try:
                made += bool(repair(self._kernel, things))
            except KernelError as refusal:
                log.error("network %s: what is gone cannot be made again: %s", net.name, refusal)
        if made:
            log.warning("network %s: what had gone with %s is back", net.name, net.link)
