"""Nodes that are down: one living node says so of each, and if that one dies, the next one does.

Nobody takes away what is another's.  What a node has on networks stays in the store, and its addresses stay its
own: it may come back with its containers running.  While it is said to be down, and gives no sign of life itself,
the others act as if it had nothing.
"""

import logging
from collections.abc import Iterator

from bascule.cluster import keys
from bascule.cluster.commons import Commons
from bascule.model.cluster import Down, Remote
from bascule.model.codec import decode
from bascule.model.errors import BasculeError
from bascule.store.etcdclient import Etcd
from bascule.store.etcdwire import Item

log = logging.getLogger("bascule.cluster")


def declare(common: Commons) -> None:
    """Nodes that are down are said to be, and no others, as far as that is up to this node."""
    nodes, said = common.nodes(), {one.id: one for one in common.shared.all(Down)}
    speaker = common.speaker()
    for ident, one in said.items():
        if ident == common.me.id or (speaker and (ident not in nodes or common.state(ident) == "ready")):
            common.shared.attempt(delete=[one], unchanged=[one])
    for ident in nodes.keys() - said.keys() if speaker else ():
        if common.state(ident) == "down":
            one = Down(ident, common.me.id)
            if common.shared.attempt(put=[one], absent=[one]):
                log.warning("node %s is down: its endpoints are taken out", nodes[ident].name)


def records(etcd: Etcd) -> Iterator[tuple[Item, Remote]]:
    """Every endpoint of the cluster with its key."""
    for item in etcd.list(keys.ENDPOINTS).items:
        try:
            yield item, decode(Remote, item.value)
        except BasculeError as refusal:
            log.warning("%s: %s", item.key, refusal)
