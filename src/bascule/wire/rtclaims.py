"""Which block of addresses a message of rtnetlink's claims, as numbers: each bridge brings two such messages."""

from typing import NamedTuple

from bascule.model.addresses import Family
from bascule.model.spans import BITS, Span, block, clash
from bascule.wire import rtnetlink as rt
from bascule.wire.netlink import Malformed, Message, number
from bascule.wire.rtstate import RTM_F_CLONED, split

Key = tuple[object, ...]
_MULTICAST: dict[Family, Span] = {4: block(4, 0xE << 28, 4), 6: block(6, 0xFF << 120, 8)}


class Claim(NamedTuple):
    """What has the block: an address or a route of *link* (its index; 0: of none, or of several), told from the
    link's others by its *key*."""

    link: int
    key: Key
    span: Span


def address(message: Message) -> Claim:
    """Of RTM_NEWADDR or RTM_DELADDR.  Raises Malformed."""
    (_family, length, _flags, _scope, index), given = split(message, rt.IFADDR)
    # IPv4's own address is IFA_LOCAL; IPv6 has it only where there is a peer.
    packed = given.get(rt.IFA_LOCAL) or given.get(rt.IFA_ADDRESS, b"")
    return Claim(index, (packed, length), _span(packed, length))


def route(message: Message) -> Claim | None:
    """Of RTM_NEWROUTE or RTM_DELROUTE; None for the default route, halves of everything (a VPN's way to say
    default), multicast, cached copies, and families other than IP's two.  Raises Malformed."""
    head, given = split(message, rt.RTMSG)
    family, length, _source, _tos, table, _protocol, _scope, kind, flags = head
    to = given.get(rt.RTA_DST)
    if flags & RTM_F_CLONED or family not in (rt.AF_INET, rt.AF_INET6) or not to or length <= 1:
        return None
    claimed = _span(to, length)
    if clash(claimed, (_MULTICAST[claimed[0]],)):
        return None
    link = number(given.get(rt.RTA_OIF, b""))
    table = number(given[rt.RTA_TABLE]) if rt.RTA_TABLE in given else table
    return Claim(link, (claimed, table, kind), claimed)


def _span(packed: bytes, length: int) -> Span:
    if len(packed) not in (4, 16):
        raise Malformed(f"an address of {len(packed)} bytes")
    version: Family = 4 if len(packed) == 4 else 6
    if length > BITS[version]:
        raise Malformed(f"a prefix of {length} bits where there are {BITS[version]}")
    return block(version, int.from_bytes(packed), length)
