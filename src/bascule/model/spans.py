"""A block of addresses as numbers.  What is compared with a thousand others is not made an object for it."""

from collections.abc import Iterable

from bascule.model.addresses import Family, IPNetwork, ip_network

Span = tuple[Family, int, int]
"""Its family, its first address and its last."""
BITS: dict[Family, int] = {4: 32, 6: 128}


def block(version: Family, address: int, length: int) -> Span:
    """The block with a prefix of *length* bits that *address* is in."""
    size = 1 << (BITS[version] - length)
    first = address & -size
    return version, first, first + size - 1


def span(network: IPNetwork) -> Span:
    version: Family = 4 if network.version == 4 else 6
    return version, int(network.network_address), int(network.broadcast_address)


def network(of: Span) -> IPNetwork:
    """What `span` and `block` were given."""
    version, first, last = of
    packed = first.to_bytes(BITS[version] // 8, "big")
    return ip_network((packed, BITS[version] - (last - first).bit_length()))


def clash(mine: Span, others: Iterable[Span]) -> Span | None:
    """The first of *others* that has an address in common with *mine*."""
    family, first, last = mine
    for other in others:
        version, start, end = other
        if start <= last and first <= end and version == family:
            return other
    return None
