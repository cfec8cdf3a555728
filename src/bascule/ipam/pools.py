"""Which subnet, which range, which gateway?  What is taken is an argument; nothing is remembered here."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network

from bascule.ipam.addresses import unusable
from bascule.model.addresses import Family, IPAddress, IPNetwork, family
from bascule.model.errors import Failed, Forbidden, Invalid
from bascule.model.network import Pool, PoolSpec
from bascule.model.pools import check_pools
from bascule.model.settings import AddressPool
from bascule.model.spans import Span, clash, span

__all__ = ["check_pools", "decide_pool", "pick_subnet", "random_ula"]

_FULL = "all predefined address pools have been fully subnetted"


def pick_subnet(
    pools: Sequence[AddressPool], taken: Iterable[Span], size: int | None = None, *, version: Family = 4
) -> IPNetwork:
    """The first subnet, in the pools' order, that overlaps nothing *taken*: of *size* prefix bits where given, else
    of the pool's own size.  Raises Invalid when there is none."""
    busy = _merged(taken, version)
    for pool in pools:
        bits = pool.size if size is None else size
        if pool.base.version == version and pool.base.prefixlen <= bits <= pool.base.max_prefixlen:
            found = _first_free(pool.base, bits, busy)
            if found:
                return found
    raise Invalid(_FULL)


def random_ula(chance: bytes, taken: Iterable[Span], size: int = 64) -> IPv6Network:
    """A unique local subnet of *size* prefix bits that overlaps nothing *taken*: fd00::/8, the forty bits of
    *chance* (RFC 4193, 3.2), then the first free one below that /48.  Raises Invalid when there is none."""
    base = IPv6Network((b"\xfd" + chance[:5].ljust(15, b"\0"), 48))
    if size < base.prefixlen:
        base = base.supernet(new_prefix=max(size, 8))
    if not base.prefixlen <= size <= 128:
        raise Invalid(_FULL)
    found = _first_free(base, size, _merged(taken, 6))
    if not isinstance(found, IPv6Network):
        raise Invalid(_FULL)
    return found


def decide_pool(spec: PoolSpec, taken: Iterable[Span], has_gateway: bool = True) -> Pool:
    """The pool that *spec*, its subnet given, becomes.  Without *has_gateway* none is made up.

    Raises Forbidden where the subnet overlaps one of *taken*, Invalid and Failed as Docker does for what cannot be.
    """
    check_pools((spec,))
    if spec.subnet is None:
        raise Invalid("invalid network config:\ninvalid subnet : invalid CIDR block notation")
    if clash(span(spec.subnet), taken):
        raise Forbidden("invalid pool request: Pool overlaps with other one on this address space")
    range_ = spec.range or spec.subnet
    gateway = spec.gateway
    if gateway is None and has_gateway:
        gateway = _first_host(spec.subnet, range_)
    busy = set(unusable(spec.subnet))
    if gateway is not None:
        if int(gateway) in busy:
            raise Failed(f"failed to allocate gateway ({gateway}): Address already in use")
        busy.add(int(gateway))
    for name, address in spec.aux.items():
        if int(address) in busy:
            raise Failed(f"failed to allocate secondary ip address ({name}:{address}): Address already in use")
        busy.add(int(address))
    return Pool(spec.subnet, range_, gateway, dict(spec.aux))


def _first_host(subnet: IPNetwork, range_: IPNetwork) -> IPAddress:
    """As in Docker the range's very first address will do where it is a host's: 10.0.5.0 of 10.0.5.0/24 in
    10.0.0.0/16."""
    never = unusable(subnet)
    for number in range(int(range_.network_address), int(range_.broadcast_address) + 1):
        if number not in never:
            return type(range_.network_address)(number)
    raise Failed(f"failed to allocate gateway: no address of {range_} can be a host's")


def first_free(base: IPNetwork, bits: int, taken: Iterable[IPNetwork]) -> IPNetwork | None:
    """The first subnet of *bits* in *base* that overlaps nothing *taken*."""
    return _first_free(base, bits, _merged(map(span, taken), family(base)))


def _merged(taken: Iterable[Span], version: Family) -> list[tuple[int, int]]:
    """What the blocks of one family cover, as disjoint ranges in order."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted((first, last) for its, first, last in taken if its == version):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _first_free(base: IPNetwork, bits: int, busy: Sequence[tuple[int, int]]) -> IPNetwork | None:
    """The first subnet of *bits* in *base* that touches none of *busy*, by jumping over each that is in the way."""
    size = 1 << (base.max_prefixlen - bits)
    _, start, last = span(base)
    for first, end in busy:
        if end < start:
            continue
        if first > start + size - 1:
            break
        start = (end // size + 1) * size
    if start + size - 1 > last:
        return None
    if isinstance(base, IPv4Network):
        return IPv4Network((start, bits))
    return IPv6Network((IPv6Address(start), bits))
