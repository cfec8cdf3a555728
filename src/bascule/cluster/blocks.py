"""Taking and giving back blocks of a network's addresses, in the cluster's store.

Each network has a ledger beside its blocks that every taking raises: of two hosts that take at the same time one
tries again and sees the other's, whatever the blocks' sizes.
"""

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from bascule.cluster import keys
from bascule.ipam.addresses import Exhausted
from bascule.ipam.blocks import pick_block
from bascule.model.addresses import IPAddress, IPNetwork, ip_network
from bascule.model.errors import Failed, Forbidden
from bascule.model.network import Network, Pool
from bascule.store.etcdclient import MOST_OPERATIONS, Etcd
from bascule.store.etcdwire import Item

log = logging.getLogger("bascule.cluster")
Choose = Callable[[Sequence["Block"]], IPNetwork]

# Seconds for which another host is waited for that is letting go of something.
_PATIENCE, _PAUSE = 2.0, 0.02


class Held(Forbidden):
    """Another host has it, and may be about to let go of it."""


def patiently(work: Callable[[], None], wait: Callable[[float], object]) -> None:
    """*work* is done, and tried again for a moment while another host is letting go of what it wants; *wait* is for
    seconds, or until nobody needs to wait any more.  Raises what *work* raises."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return work()
        except Held:
            if time.monotonic() >= deadline:
                raise
        wait(_PAUSE)


@dataclass(frozen=True, slots=True)
class Block:
    """*range* of *network* is *node*'s; as the store had it at *revision*."""

    network: str
    range: IPNetwork
    node: str
    key: str
    revision: int


@dataclass(frozen=True, slots=True)
class Listed:
    """A network's blocks and the revision of its ledger, as they were together."""

    blocks: tuple[Block, ...]
    ledger: int


def listed(etcd: Etcd, network: str) -> Listed:
    # All networks': those of one are nowhere together, for a node's are.
    items = etcd.read([keys.BLOCKS, keys.held(network)], [keys.block_ledger(network)]).items
    ledger = next((item.revision for item in items if item.key == keys.block_ledger(network)), 0)
    there = _readable(item for item in items if item.key != keys.block_ledger(network))
    return Listed(tuple(block for block in there if block.network == network), ledger)


def everywhere(etcd: Etcd) -> list[Block]:
    """The blocks of all networks."""
    return list(_readable(etcd.read([keys.BLOCKS, keys.HELD]).items))


def of(etcd: Etcd, node: str, network: str = "") -> list[Block]:
    """What is *node*'s, of one network or of all."""
    return list(_readable(etcd.list(keys.blocks(node, network)).items))


def _readable(items: Iterable[Item]) -> Iterator[Block]:
    """What another host wrote that is no block keeps nobody from taking one."""
    for item in items:
        try:
            yield read(item)
        except Failed as refusal:
            log.warning("what another host says is left out: %s", refusal)


def read(item: Item) -> Block:
    """Whose it is says the key: nobody else could have written that.  Raises Failed."""
    *before, network, name = item.key.split("/")
    try:
        node = before[-1] if item.key.startswith(keys.BLOCKS) else json.loads(item.value)["node"]
        return Block(network, ip_network(name.replace("_", "/")), node, item.key, item.revision)
    except (ValueError, KeyError, TypeError) as why:
        raise Failed(f"cluster store: {item.key}: {why}") from why


def take(etcd: Etcd, net: Network, node: str, choose: Choose) -> IPNetwork:
    """A block of the network that is *node*'s from now on: what *choose* says, given those that are there.  Raises
    what *choose* does, and Failed when the network is gone."""
    while True:
        there = etcd.list(keys.network(net.id)).items
        if not there:
            raise Failed(f"network {net.name} is not there any more")
        now = listed(etcd, net.id)
        chosen = choose(now.blocks)
        put = {key(node, net.id, chosen): json.dumps({"node": node}), keys.block_ledger(net.id): str(now.ledger)}
        expected = {keys.block_ledger(net.id): now.ledger, keys.network(net.id): there[0].revision}
        if etcd.transact(put, (), expected) is not None:
            return chosen


def next_of(net: Network, version: int) -> Choose:
    """The next free block of the network's pools of one family.  Raises Failed when there is none."""

    def choose(blocks: Sequence[Block]) -> IPNetwork:
        taken = [block.range for block in blocks]
        for pool in net.pools:
            if pool.family == version:
                try:
                    return pick_block(pool, taken)
                except Exhausted:
                    continue
        raise Failed(
            f"no available IPv{version} addresses on this network's address pools: {net.name} ({net.id}): all are"
            " given to the cluster's hosts"
        )

    return choose


def exactly(address: IPAddress, pool: Pool) -> Choose:
    """*address* alone.  Raises Forbidden when it is in another host's block, Held when it is a block of its own."""

    def choose(blocks: Sequence[Block]) -> IPNetwork:
        holder = next((block for block in blocks if address in block.range), None)
        if holder is not None:
            if holder.range.num_addresses == 1:
                raise Held("Address already in use")
            raise Forbidden(
                f"Address {address} is not this host's to give: it is in {holder.range}, which node"
                f" {holder.node[:12]} has.  Addresses outside --ip-range are nobody's until they are asked for"
            )
        return ip_network(f"{address}/{pool.subnet.max_prefixlen}")

    return choose


def give_back(etcd: Etcd, blocks: Iterable[Block]) -> None:
    """Nobody has *blocks*, unless they are another's by now."""
    left = list(blocks)
    while left:
        some, left = left[: MOST_OPERATIONS // 2], left[MOST_OPERATIONS // 2 :]
        if etcd.transact({}, [b.key for b in some], {b.key: b.revision for b in some}) is None and len(some) > 1:
            for block in some:
                etcd.transact({}, [block.key], {block.key: block.revision})


def hold(etcd: Etcd, network: str, block: IPNetwork, node: str) -> bool:
    """*block* is *node*'s, as it was before the store lost it.  False: another host has it or a part of it."""
    while True:
        now = listed(etcd, network)
        for other in now.blocks:
            if other.range.overlaps(block):
                return other.node == node and other.range == block
        put = {key(node, network, block): json.dumps({"node": node}), keys.block_ledger(network): str(now.ledger)}
        if etcd.transact(put, (), {keys.block_ledger(network): now.ledger}) is not None:
            return True


def held(block: Block) -> bool:
    """Whether it is a service's, and so nobody's alone."""
    return block.key.startswith(keys.HELD)


def key(node: str, network: str, block: IPNetwork) -> str:
    """Where it says that *block* is *node*'s."""
    return f"{keys.blocks(node, network)}{_name(block)}"


def held_key(network: str, block: IPNetwork) -> str:
    """Where it says which service has *block*."""
    return f"{keys.held(network)}{_name(block)}"


def _name(block: IPNetwork) -> str:
    # A slash would be one more step in the keys' tree.
    return str(block).replace("/", "_")
