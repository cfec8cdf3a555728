"""Networks whose packets do not fit between all hosts: told when it begins to be so, and when it is over.

A network is made for the smallest MTU of the hosts that there are.  A host that joins later, or whose link is
changed, may have a smaller one: then what is larger is lost on its way there, and only that.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace

from bascule.drivers import overlay
from bascule.engine.shared import Shared
from bascule.model.cluster import Membership, Node
from bascule.model.errors import Failed
from bascule.model.network import Network

log = logging.getLogger("bascule.cluster")


def measured(shared: Shared, me: Membership) -> Membership:
    """*me* with the MTU that the link with our address has now; where it is another, what encrypts is made to
    fit."""
    try:
        mtu = shared.kernel.underlay(me.address)
    except Failed:
        return me  # Where is the address?  Only a person knows, and says `move`.
    if mtu == me.mtu:
        return me
    log.warning("the link with this host's address %s has MTU %d now, and had %d", me.address, mtu, me.mtu)
    now = replace(me, mtu=mtu)
    shared.move(now)
    return now


class Fitting:
    """What was said of the cluster's networks."""

    def __init__(self) -> None:
        self._seen: object = None
        self._said: dict[str, str] = {}
        """By the network's id."""

    def look(self, nodes: Iterable[Node], networks: Mapping[str, Network]) -> None:
        """Say what has changed."""
        known = list(nodes)
        seen = ({(node.id, node.name, node.mtu, node.address) for node in known}, set(networks))
        if seen == self._seen:
            return
        self._seen = seen
        now = {ident: said for ident, net in networks.items() if (said := overlay.misfit(net, known))}
        for ident, said in now.items():
            if self._said.get(ident) != said:
                log.warning("network %s: %s", networks[ident].name, said)
        for ident in self._said.keys() - now.keys():
            if ident in networks:
                log.info("network %s: its packets fit the links of all hosts again", networks[ident].name)
        self._said = now
