"""A store that was lost, made anew out of what the living nodes know.

Nobody reads or writes a store without the cluster's identity, so all goes on as it was while it is missing.  Who
rebuilds writes under REBUILDING what the identity will be; each living node puts in what is its own and says so;
when all have, or time is over, the identity comes back, and only then is anything compared with what they have.  It
counts how often that was, so that each node notices, and takes nothing for old that has a lower revision now.
"""

import json
import logging
import time
from collections.abc import Callable, Sequence

from bascule.cluster import blocks, keys, services, told
from bascule.cluster.following import record
from bascule.cluster.networks import LEDGER, plain
from bascule.engine.cluster import Rebuilt
from bascule.engine.shared import Shared
from bascule.model.cluster import Ledger, Membership, Node
from bascule.model.codec import encode
from bascule.model.errors import Conflict
from bascule.store.etcdclient import Etcd

log = logging.getLogger("bascule.cluster")
_AT_ONCE = 100


def identity(etcd: Etcd) -> str | None:
    """What the store says that it is; None: nothing."""
    return _value(etcd, keys.IDENTITY)


def same(one: str, other: str) -> bool:
    """Whether two identities are of one cluster, before and after it was rebuilt."""
    return bool(json.loads(one)["id"] == json.loads(other)["id"])


def _value(etcd: Etcd, key: str) -> str | None:
    return next((item.value for item in etcd.list(key).items if item.key == key), None)


def contribute(etcd: Etcd, me: Membership, shared: Shared) -> bool:
    """What is this node's own is in the store that is being rebuilt.  False, and nothing is done: there is none for
    this cluster.  *etcd* asks without looking for the identity."""
    coming = _value(etcd, keys.REBUILDING)
    if coming is None or not same(coming, me.cluster):
        return False
    if any(item.key == keys.rebuilt(me.id) for item in etcd.list(keys.REBUILT).items):
        return True
    for net in shared.networks():
        etcd.transact({keys.network(net.id): encode(plain(net))}, (), {keys.network(net.id): 0})
        for block in net.tunnel.blocks if net.tunnel else ():
            if not blocks.hold(etcd, net.id, block, me.id):
                log.error("network %s: %s is another host's by now, and addresses in it are here", net.name, block)
        mine = [record(ep, me) for ep in shared.endpoints(net.id)]
        _put(etcd, {told.key(one): encode(one) for one in mine})
        if mine:
            etcd.transact(told.line(net.id, me.id, ()))
    for service in shared.services.all():
        services.put_back(etcd, service)
    etcd.transact({keys.rebuilt(me.id): me.name})
    log.warning("put what is this node's own into the store that is being rebuilt")
    return True


def rebuild(etcd: Etcd, me: Membership, shared: Shared, wait: Callable[[], bool], patience: float) -> Rebuilt:
    """The store has everything that the living nodes know.  *wait* returns after a moment, true where there is no
    going on.  Raises Conflict where the store is not lost."""
    found = identity(etcd)
    if found is not None and not same(found, me.cluster):
        raise Conflict(
            "the cluster's store is another cluster's now: who made that leaves it, and takes it out, first"
        )
    if found is not None:
        raise Conflict("the cluster's store has not lost what it had: there is nothing to rebuild")
    before = json.loads(me.cluster)
    coming = json.dumps({**before, "rebuilt": before.get("rebuilt", 0) + 1}, sort_keys=True)
    etcd.transact({keys.REBUILDING: coming})
    nodes = shared.nodes()
    _put(etcd, {keys.node(node.id): encode(node) for node in nodes})
    ring = shared.ring()
    if ring is not None:
        _put(etcd, {f"{keys.SHARED}ring/{ring.id}": encode(ring)})
    contribute(etcd, me, shared)
    deadline = time.monotonic() + patience
    while _missing(etcd, nodes) and time.monotonic() < deadline and not wait():
        pass
    missing = _missing(etcd, nodes)
    done = [item.key for item in etcd.list(keys.REBUILT).items]
    for start in range(0, len(done), _AT_ONCE):
        etcd.transact({}, done[start : start + _AT_ONCE])
    ledgers = {keys.ledger(name): encode(Ledger(name, time.time_ns())) for name in (LEDGER, "nodes")}
    etcd.transact({keys.IDENTITY: coming, **ledgers}, [keys.REBUILDING], {keys.IDENTITY: 0})
    return Rebuilt(tuple(sorted(n.name for n in nodes if n not in missing)), tuple(sorted(n.name for n in missing)))


def _missing(etcd: Etcd, nodes: Sequence[Node]) -> list[Node]:
    there = {item.key.removeprefix(keys.REBUILT) for item in etcd.list(keys.REBUILT).items}
    return [node for node in nodes if node.id not in there]


def _put(etcd: Etcd, written: dict[str, str]) -> None:
    pairs = list(written.items())
    for start in range(0, len(pairs), _AT_ONCE):
        etcd.transact(dict(pairs[start : start + _AT_ONCE]))
