"""Taking out the endpoints of nodes that are down.  One living node does it; if it dies, the next one does.

Addresses of such a node stay its own: it may come back with its containers running.
"""

import logging
from collections.abc import Iterator, Sequence

from bascule.cluster import keys
from bascule.cluster.commons import Commons
from bascule.model.cluster import Remote
from bascule.model.codec import decode
from bascule.model.errors import BasculeError
from bascule.store.etcdclient import Etcd
from bascule.store.etcdwire import Item

log = logging.getLogger("bascule.cluster")
_AT_ONCE = 60


class Reaper:
    """Remembers whom it has taken out, so that it reads all endpoints once for each death."""

    def __init__(self) -> None:
        self._done: set[str] = set()

    def reap(self, common: Commons) -> None:
        """The endpoints of nodes that are down are in the store no more, if it is up to this node."""
        down = {ident for ident in common.nodes() if common.state(ident) == "down"}
        self._done &= down
        fresh = down - self._done
        if not fresh or not common.speaker():
            return
        items = [item for item, one in records(common.etcd) if one.node in fresh]
        take_out(common.etcd, items)
        for ident in fresh:
            log.warning("node %s is down: its endpoints are taken out", common.nodes()[ident].name)
        self._done |= fresh


def take_out(etcd: Etcd, items: Sequence[Item]) -> None:
    """The records are gone, but for those that were written anew meanwhile."""
    for start in range(0, len(items), _AT_ONCE):
        some = items[start : start + _AT_ONCE]
        if etcd.transact({}, [i.key for i in some], {i.key: i.revision for i in some}) is None:
            for item in some:
                etcd.transact({}, [item.key], {item.key: item.revision})


def take_out_of(etcd: Etcd, network: str, node: str) -> None:
    """Nothing on *network* is said to be *node*'s."""
    take_out(etcd, [item for item, one in records(etcd, network) if one.node == node])


def records(etcd: Etcd, network: str = "") -> Iterator[tuple[Item, Remote]]:
    """Every endpoint of the cluster, or of one network, with its key."""
    for item in etcd.list(keys.endpoints(network) if network else keys.ENDPOINTS).items:
        try:
            yield item, decode(Remote, item.value)
        except BasculeError as refusal:
            log.warning("%s: %s", item.key, refusal)
