"""Which address next?  What is taken is an argument; nothing is remembered here."""

from collections.abc import Collection, Iterator

from bascule.model.addresses import IPAddress, IPNetwork
from bascule.model.errors import Failed
from bascule.model.network import Pool

# Addresses are compared as themselves this often before all that is taken is turned into integers, once: nearly
# always the first one is free, and with 60,000 taken the integers are ten times faster.
_PROBES = 64


class Exhausted(Failed):
    """Every address of a pool's range is taken.  The caller knows whose pool it is, and says so."""


def unusable(subnet: IPNetwork) -> frozenset[int]:
    """The addresses of *subnet* that no endpoint can have: of IPv4 the network's and the broadcast address, but
    not in a /31 or /32 (RFC 3021); of IPv6 the subnet-router anycast address (RFC 4291, 2.6.1), but not in a /127
    (RFC 6164) or /128."""
    if subnet.prefixlen >= subnet.max_prefixlen - 1:
        return frozenset()
    first, last = int(subnet.network_address), int(subnet.broadcast_address)
    return frozenset({first, last} if subnet.version == 4 else {first})


def pick_address(pool: Pool, taken: Collection[IPAddress], after: IPAddress | None = None) -> IPAddress:
    """The first free address of the pool's range behind *after*, and from the range's start once that is passed:
    an address just given back is the last to be handed out again (S13).  Raises Exhausted."""
    never = unusable(pool.subnet) | {int(a) for a in pool.aux.values()}
    if pool.gateway is not None:
        never |= {int(pool.gateway)}
    kind = type(pool.range.network_address)
    busy: set[int] | None = None
    for tries, number in enumerate(_candidates(pool.range, after)):
        if number in never:
            continue
        if busy is not None:
            if number not in busy:
                return kind(number)
        elif (address := kind(number)) not in taken:
            return address
        elif tries >= _PROBES:
            busy = {int(a) for a in taken if a.version == pool.family}
    raise Exhausted(f"no available IPv{pool.family} addresses in {pool.range}")


def _candidates(range_: IPNetwork, after: IPAddress | None) -> Iterator[int]:
    """Every address of the range once.  An IPv6 range is never walked far: of n + 1 addresses one is free where n
    are taken."""
    first, last = int(range_.network_address), int(range_.broadcast_address)
    start = first
    if after is not None and after in range_ and int(after) < last:
        start = int(after) + 1
    yield from range(start, last + 1)
    yield from range(first, start)
