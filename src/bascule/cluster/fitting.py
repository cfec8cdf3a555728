"""Networks whose packets do not fit between all hosts: told when it begins to be so, and when it is over.

A network is made for the smallest MTU of the hosts that there are.  A host that joins later, or whose link is
changed, may have a smaller one, and so may the way to a host: then what is larger is lost there, and only that.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from threading import Event, Thread

from bascule.drivers import overlay
from bascule.engine.shared import Shared
from bascule.model.cluster import Membership, Node
from bascule.model.errors import Failed
from bascule.model.network import Network

log = logging.getLogger("bascule.cluster")


def measured(shared: Shared, me: Membership) -> Membership:
    """*me* with the MTU that the link with our address has now; where it is another, what encrypts is made to
    fit."""
    said, shared.astray = shared.astray, astray(shared, me)
    if shared.astray:
        if shared.astray != said:
            log.warning("%s", shared.astray)
        return me
    mtu = shared.kernel.underlay(me.address)
    if mtu == me.mtu:
        return me
    log.warning("the link with this host's address %s has MTU %d now, and had %d", me.address, mtu, me.mtu)
    now = replace(me, mtu=mtu)
    shared.move(now)
    return now


def astray(shared: Shared, me: Membership) -> str:
    """Why this host's tunnels end nowhere, "" where they do not.  Which address is the new one a person knows."""
    try:
        shared.kernel.underlay(me.address)
    except Failed as refusal:
        return f"{refusal}, at which its tunnels end: say where they end now (bascule cluster move)"
    return ""


class Paths:
    """The ways to those nodes that this host shares networks with, measured one after another, on a thread of its
    own: who does not answer lets one wait."""

    def __init__(self, shared: Shared, pause: float, changed: Callable[[], None]) -> None:
        """*pause* is in seconds."""
        self._shared = shared
        self._pause = pause
        self._changed = changed
        self._asked: dict[str, int] = {}
        """When, in turns."""
        self._closing = Event()
        self._thread = Thread(target=self._run, name="cluster-paths", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Nobody is asked any more; who is being asked is not waited for."""
        self._closing.set()

    def _run(self) -> None:
        turn = 0
        while not self._closing.wait(self._pause):
            turn += 1
            try:
                self._measure(turn)
            except Exception:
                log.exception("measuring the way to another host")

    def _measure(self, turn: int) -> None:
        """That to whom has been asked least lately."""
        me = self._shared.membership()
        joined = [net for net in self._shared.networks() if self._shared.endpoints(net.id)]
        there = {node.id: node for net in joined for node in self._shared.peers(net) if me and node.id != me.id}
        if me is None or not there:
            return
        node = min(there.values(), key=lambda node: self._asked.get(node.id, 0))
        self._asked[node.id] = turn
        most, known = min(me.mtu, node.mtu), self._shared.paths.get(node.id, 0)
        found = self._shared.kernel.reach(node.address, most)
        if found == most and known:
            del self._shared.paths[node.id]
        elif 0 < found < most and found != known:
            self._shared.paths[node.id] = found
            log.warning("the way to %s carries packets of %d bytes at most", node.name, found)
        else:
            return
        self._changed()


class Fitting:
    """What was said of the cluster's networks."""

    def __init__(self) -> None:
        self._seen: object = None
        self._said: dict[str, str] = {}
        """By the network's id."""

    def look(self, nodes: Iterable[Node], networks: Mapping[str, Network], paths: Mapping[str, int]) -> None:
        """Say what has changed."""
        known = list(nodes)
        seen = ({(node.id, node.name, node.mtu, node.address) for node in known}, set(networks), dict(paths))
        if seen == self._seen:
            return
        self._seen = seen
        now = {ident: said for ident, net in networks.items() if (said := overlay.misfit(net, known, paths))}
        for ident, said in now.items():
            if self._said.get(ident) != said:
                log.warning("network %s: %s", networks[ident].name, said)
        for ident in self._said.keys() - now.keys():
            if ident in networks:
                log.info("network %s: its packets fit through to all hosts again", networks[ident].name)
        self._said = now
