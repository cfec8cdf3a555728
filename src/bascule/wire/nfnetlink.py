"""nfnetlink: the messages of nftables and connection tracking, bytes and values.  No sockets here.

Layout: include/uapi/linux/netlink.h, linux/netfilter/nfnetlink.h, nf_tables.h and nfnetlink_conntrack.h.
Headers are in the host's byte order, what netfilter itself puts into attributes in the network's.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

NLM_F_REQUEST = 0x1
NLM_F_DUMP_INTR = 0x10
NLM_F_DUMP = 0x300
NLM_F_CREATE = 0x400
NLMSG_ERROR = 0x2
NLMSG_DONE = 0x3

SUBSYS_CTNETLINK = 1
SUBSYS_NFTABLES = 10
GROUP_NFTABLES = 7
_BATCH_BEGIN = 0x10
_BATCH_END = 0x11

FAMILY = {"ip": 2, "inet": 1, "arp": 3, "netdev": 5, "bridge": 7, "ip6": 10}

_NLMSG = struct.Struct("=IHHII")
_NFGEN = struct.Struct("=BBH")
_ATTR = struct.Struct("=HH")
_ERROR = struct.Struct("=i")
_HEADERS = _NLMSG.size + _NFGEN.size
# NLA_F_NESTED and NLA_F_NET_BYTEORDER say how to read an attribute, not which it is.
_ATTR_TYPE = 0x3FFF
_NESTED = 0x8000
_NLM_F_CAPPED = 0x100
_NLM_F_ACK_TLVS = 0x200
_NLMSGERR_ATTR_MSG = 1


def nft(number: int) -> int:
    """The message type of nftables' message *number*."""
    return SUBSYS_NFTABLES << 8 | number


NEWTABLE, GETTABLE, DELTABLE = nft(0), nft(1), nft(2)
NEWCHAIN, GETCHAIN, DELCHAIN = nft(3), nft(4), nft(5)
NEWRULE, GETRULE, DELRULE = nft(6), nft(7), nft(8)
NEWSET, GETSET, DELSET = nft(9), nft(10), nft(11)
NEWSETELEM, GETSETELEM, DELSETELEM = nft(12), nft(13), nft(14)
NEWGEN, GETGEN = nft(15), nft(16)


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it was received; *body* is what follows nfgenmsg, or a whole nlmsgerr."""

    type: int
    flags: int
    portid: int
    family: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """A nlmsgerr that is no mere acknowledgement."""

    errno: int
    text: str = ""


def attr(kind: int, payload: bytes) -> bytes:
    """One attribute, padded."""
    length = _ATTR.size + len(payload)
    return _ATTR.pack(length, kind) + payload + bytes(-length % 4)


def nest(kind: int, *inner: bytes) -> bytes:
    """An attribute of attributes."""
    return attr(kind | _NESTED, b"".join(inner))


def text(kind: int, value: str) -> bytes:
    """A string attribute, NUL at its end."""
    return attr(kind, value.encode() + b"\0")


def attrs(buffer: bytes) -> Iterator[tuple[int, bytes]]:
    """The attributes in *buffer*; what is cut short ends it."""
    at = 0
    while at + _ATTR.size <= len(buffer):
        length, kind = _ATTR.unpack_from(buffer, at)
        if length < _ATTR.size or at + length > len(buffer):
            return
        yield kind & _ATTR_TYPE, buffer[at + _ATTR.size : at + length]
        at += length + -length % 4


def string(payload: bytes) -> str:
    """A string attribute's value."""
    return payload.split(b"\0", 1)[0].decode(errors="replace")


def message(kind: int, family: int, body: bytes = b"", flags: int = 0, resource: int = 0) -> bytes:
    """One request.  The kernel answers in order on a socket of our own, so sequence numbers are all 0."""
    header = _NLMSG.pack(_HEADERS + len(body), kind, NLM_F_REQUEST | flags, 0, 0)
    # res_id is in the network's order, unlike everything else in the headers.
    return header + bytes((family, 0)) + resource.to_bytes(2, "big") + body


def batch(requests: Iterable[bytes]) -> bytes:
    """*requests* of nftables as one transaction: all of them come true, or none."""
    begin = message(_BATCH_BEGIN, 0, resource=SUBSYS_NFTABLES)
    return begin + b"".join(requests) + message(_BATCH_END, 0, resource=SUBSYS_NFTABLES)


def messages(buffer: bytes) -> Iterator[Message]:
    """The messages in one datagram; what is cut short ends it."""
    at = 0
    while at + _NLMSG.size <= len(buffer):
        length, kind, flags, _seq, portid = _NLMSG.unpack_from(buffer, at)
        if length < _NLMSG.size or at + length > len(buffer):
            return
        if kind in (NLMSG_ERROR, NLMSG_DONE) or length < _HEADERS:
            yield Message(kind, flags, portid, 0, buffer[at + _NLMSG.size : at + length])
        else:
            yield Message(kind, flags, portid, buffer[at + _NLMSG.size], buffer[at + _HEADERS : at + length])
        at += length + -length % 4


def refusal(answer: Message) -> Refusal | None:
    """What *answer* refuses, if it does: the kernel's number, and its own text where it gave one."""
    if answer.type not in (NLMSG_ERROR, NLMSG_DONE) or len(answer.body) < _ERROR.size:
        return None
    (number,) = _ERROR.unpack_from(answer.body)
    if number == 0:
        return None
    said = ""
    if answer.type == NLMSG_ERROR and answer.flags & _NLM_F_ACK_TLVS:
        start = _ERROR.size + _NLMSG.size
        if not answer.flags & _NLM_F_CAPPED and len(answer.body) >= start:
            start = _ERROR.size + _NLMSG.unpack_from(answer.body, _ERROR.size)[0]
        said = next((string(p) for k, p in attrs(answer.body[start:]) if k == _NLMSGERR_ATTR_MSG), "")
    return Refusal(-number, said)
