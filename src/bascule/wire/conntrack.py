"""ctnetlink: which connections are tracked, and which to forget.

Layout: include/uapi/linux/netfilter/nfnetlink_conntrack.h; the bits of a filter are in
net/netfilter/nf_conntrack_netlink.c.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from bascule.model.addresses import IPAddress, ip_address
from bascule.wire.nfnetlink import FAMILY, NLM_F_DUMP, SUBSYS_CTNETLINK, Message, attr, attrs, message, nest

_GET = SUBSYS_CTNETLINK << 8 | 1
_DELETE = SUBSYS_CTNETLINK << 8 | 2
_ORIG, _REPLY, _ID, _FILTER = 1, 2, 12, 25
_TUPLE_IP, _TUPLE_PROTO, _PROTO_NUMBER = 1, 2, 1
# CTA_IP_V4_SRC, _DST and CTA_IP_V6_SRC, _DST
_SRC, _DST = {4: 1, 6: 3}, {4: 2, 6: 4}
_FILTER_SRC = 1 << 0
_BITS = struct.Struct("=I")


def _family(version: int) -> int:
    return FAMILY["ip" if version == 4 else "ip6"]


@dataclass(frozen=True, slots=True)
class Flow:
    """A tracked connection: the addresses of both directions, and what names it to the kernel.  *answers* is who
    answers, wherever it was sent; *proto* is IP's number."""

    family: int
    addresses: frozenset[IPAddress]
    name: bytes
    answers: IPAddress | None = None
    proto: int = 0


def forget_all_of(address: IPAddress) -> Iterator[bytes]:
    """Requests that delete every entry that *address* is an end of; Linux 6.8 and later take them.

    It is the source of what it sends first (orig) or of what it answers (reply), whatever is translated on the
    way.  Each request walks the whole table, 0.2 ms at 262,144 buckets, so the destinations are not asked for too.
    """
    version = address.version
    for which in (_ORIG, _REPLY):
        end = nest(which, nest(_TUPLE_IP, attr(_SRC[version], address.packed)))
        bits = {_ORIG: 0, _REPLY: 0} | {which: _FILTER_SRC}
        flags = nest(_FILTER, *(attr(kind, _BITS.pack(value)) for kind, value in bits.items()))
        yield message(_DELETE, _family(version), end + flags)


def list_flows(version: int) -> bytes:
    """The request for a dump of one family's entries."""
    return message(_GET, _family(version), flags=NLM_F_DUMP)


def flow(answer: Message) -> Flow:
    """An entry of it."""
    found = dict(attrs(answer.body))
    ends = frozenset(
        ip_address(packed)
        for which in (_ORIG, _REPLY)
        for kind, packed in attrs(dict(attrs(found.get(which, b""))).get(_TUPLE_IP, b""))
        if kind in (*_SRC.values(), *_DST.values())
    )
    name = nest(_ORIG, found.get(_ORIG, b"")) + attr(_ID, found.get(_ID, b""))
    reply = dict(attrs(found.get(_REPLY, b"")))
    source = next((v for k, v in attrs(reply.get(_TUPLE_IP, b"")) if k in _SRC.values()), b"")
    proto = dict(attrs(reply.get(_TUPLE_PROTO, b""))).get(_PROTO_NUMBER, b"")
    return Flow(answer.family, ends, name, ip_address(source) if source else None, int.from_bytes(proto, "big"))


def forget(which: Flow) -> bytes:
    """The request that deletes one entry, and not one that took its place."""
    return message(_DELETE, which.family, which.name)
