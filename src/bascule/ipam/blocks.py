"""Which numbers does a host of a cluster get?  Blocks of addresses that are its own, and networks' VNIs.

A host gives addresses out of its own blocks, asking nobody, and takes another block when these are full.  A block
is a thirty-second of the subnet, and sixteen addresses at most: enough hosts can be on a small network, and few
addresses lie idle on a large one.
"""

from collections.abc import Collection, Iterable, Iterator

from bascule.ipam.addresses import Exhausted, unusable
from bascule.ipam.pools import first_free
from bascule.model.addresses import IPAddress, IPNetwork
from bascule.model.cluster import VNI_FIRST, VNI_LAST
from bascule.model.errors import Failed
from bascule.model.network import Pool

_PART, _MOST = 5, 4
"""Bits: of the subnet at the least, of the block at the most."""


def block_bits(subnet: IPNetwork) -> int:
    """The prefix of the blocks of *subnet*."""
    most = subnet.max_prefixlen
    return min(most, max(subnet.prefixlen + _PART, most - _MOST))


def pick_block(pool: Pool, taken: Iterable[IPNetwork]) -> IPNetwork:
    """The first block of the pool's range that overlaps nothing *taken* and has an address for an endpoint.
    Raises Exhausted."""
    busy = list(taken)
    bits = max(block_bits(pool.subnet), pool.range.prefixlen)
    never = reserved(pool)
    while block := first_free(pool.range, bits, busy):
        if any(number not in never for number in _numbers(block)):
            return block
        busy.append(block)
    raise Exhausted(f"no block of addresses is left in {pool.range}")


def reserved(pool: Pool) -> frozenset[int]:
    """The addresses of the pool that no endpoint gets."""
    gateway = {int(pool.gateway)} if pool.gateway is not None else set()
    return unusable(pool.subnet) | gateway | {int(a) for a in pool.aux.values()}


def has_room(pool: Pool, blocks: Iterable[IPNetwork], taken: Collection[IPAddress]) -> bool:
    """Whether one of *blocks* has an address of the pool that is not *taken*."""
    busy = reserved(pool) | {int(a) for a in taken if a.version == pool.family}
    own = (b for b in blocks if b.version == pool.family and b.overlaps(pool.subnet))
    return any(number not in busy for block in own for number in _numbers(block))


def _numbers(block: IPNetwork) -> Iterator[int]:
    return iter(range(int(block.network_address), int(block.broadcast_address) + 1))


def pick_vni(taken: Collection[int], first: int = VNI_FIRST, last: int = VNI_LAST) -> int:
    """The first VNI from *first* to *last* that is not *taken*.  Raises Failed."""
    for vni in range(first, last + 1):
        if vni not in taken:
            return vni
    raise Failed(f"no VXLAN network identifier is left from {first} to {last}")


def pick_last(pools: Iterable[Pool], taken: Iterable[IPNetwork]) -> IPAddress:
    """The last address of the pools' ranges that an endpoint could have and that is in none of the blocks *taken*:
    blocks are taken from the other end.  Raises Failed."""
    busy = list(taken)
    for pool in pools:
        never = reserved(pool)
        first, number = int(pool.range.network_address), int(pool.range.broadcast_address)
        while number >= first:
            address = pool.range.network_address + (number - first)
            block = next((b for b in busy if b.version == pool.family and address in b), None)
            if block is not None:
                number = int(block.network_address) - 1
            elif number in never:
                number -= 1
            else:
                return address
    raise Failed("no address is left for a service: all are given to the cluster's hosts")
