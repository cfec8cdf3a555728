"""A node is none any more: by its own wish, or because others know that it will not come back."""

from bascule.cluster import blocks, keys, told
from bascule.cluster.commons import Commons, access
from bascule.model.cluster import Node, StoreAccess
from bascule.model.errors import Conflict, Failed, NotFound
from bascule.store.etcdclient import Etcd


def take_out(store: StoreAccess, cluster: str, node: str) -> None:
    """The node is not there, and has no endpoints and no addresses; *store* is how it is asked, *cluster* its
    identity.  Broken off, it is to be done again: the node is known until it has nothing.  Raises Unavailable,
    Forbidden."""
    etcd = Etcd(access(store))
    try:
        etcd.guard(keys.IDENTITY, cluster)
        _empty(etcd, node)
        etcd.transact({}, [keys.node(node)])
        # One that lives has put back what was taken from it until it heard that it is none any more.
        _empty(etcd, node)
    finally:
        etcd.close()


def _empty(etcd: Etcd, node: str) -> None:
    told.take_out(etcd, node)
    blocks.give_back(etcd, blocks.of(etcd, node))


def removable(common: Commons, node: str, *, force: bool) -> Node:
    """The node, which is another, and down; *force*: whatever it is.  Raises Conflict, NotFound."""
    known = common.nodes().get(node)
    if known is None:
        raise NotFound(f"node {node} not found")
    if node == common.me.id:
        raise Conflict(f'node {known.name} is this one: use "bascule cluster leave"')
    state = common.state(node)
    if state != "down" and not force:
        raise Conflict(
            f"node {known.name} is {state}, not down: let it leave, or use --force if it will not come back"
        )
    return known


def still_one(etcd: Etcd, node: str) -> None:
    """Raises Failed where the node is none of the cluster any more."""
    if not etcd.list(keys.node(node)).items:
        raise Failed(
            'this node was removed from the cluster: use "bascule cluster leave --force", and join it again'
        )
