"""DNS messages: bytes <-> values.  RFC 1035 (the format), 3596 (AAAA), 6891 (EDNS), 2181 section 9 (truncation).

Names are kept as they are on the wire: length-prefixed labels and a final zero byte.  A length is at most 63 and
the letters start at 65, so `bytes.lower()` of a whole wire name changes letters only.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

A, PTR, MX, AAAA, SRV, OPT, IXFR, AXFR, ANY = 1, 12, 15, 28, 33, 41, 251, 252, 255
IN = 1
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16

RESPONSE, TRUNCATED, RECURSION_AVAILABLE = 0x8000, 0x0200, 0x0080
OPCODE = 0x7800
# An answer repeats the opcode, RD (RFC 1035) and CD (RFC 4035, 3.1.6).
REPEATED = OPCODE | 0x0100 | 0x0010
DNSSEC_OK = 0x8000

PLAIN_SIZE = 512
# What we take and give over UDP at most.  Loopback has no fragments to fear (its MTU is 65,536).
EDNS_SIZE = 4096
STREAM_SIZE = 65535
NAME_MAX = 255
LABEL_MAX = 63
# A query has a question and perhaps OPT, TSIG, an IXFR's SOA.  More is somebody who wants us busy.
RECORDS_MAX = 8

HEADER = struct.Struct("!6H")
_QUESTION = struct.Struct("!HH")
_RECORD = struct.Struct("!HHIH")
_OWNED = struct.Struct("!HHHIH")
# A pointer to offset 12, where the question's name is.
_THE_QUESTION = 0xC00C


class Malformed(ValueError):
    """Bytes that are no message of the kind they should be.  *rcode* is what their sender is told; None: nothing,
    since he could not tell to which question that would be the answer, or is no asker at all."""

    def __init__(self, why: str, rcode: int | None = FORMERR) -> None:
        super().__init__(why)
        self.rcode = rcode


@dataclass(frozen=True, slots=True)
class Edns:
    """The asker's OPT record.  *plain*: it carries no options (a cookie makes every query different)."""

    size: int
    version: int = 0
    dnssec_ok: bool = False
    plain: bool = True


@dataclass(frozen=True, slots=True)
class Query:
    """A query of exactly one question.  *name* is lower-case; *end* is where the question ends in its packet."""

    ident: int
    flags: int
    name: bytes
    kind: int
    klass: int
    end: int
    edns: Edns | None = None

    @property
    def limit(self) -> int:
        """How long an answer over UDP may be."""
        return PLAIN_SIZE if self.edns is None else min(max(self.edns.size, PLAIN_SIZE), EDNS_SIZE)


@dataclass(frozen=True, slots=True)
class Record:
    name: bytes
    kind: int
    klass: int
    ttl: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Message:
    """Any message, whole; *questions* are (name, kind, class).  Names within record data are left as they came."""

    ident: int
    flags: int
    questions: tuple[tuple[bytes, int, int], ...]
    answers: tuple[Record, ...]
    authority: tuple[Record, ...]
    additional: tuple[Record, ...]

    @property
    def rcode(self) -> int:
        return self.flags & 15

    @property
    def truncated(self) -> bool:
        return bool(self.flags & TRUNCATED)


def to_wire(text: str) -> bytes:
    """The wire form of a dotted name, its case kept.  Raises Malformed for what DNS cannot carry."""
    labels = [label.encode() for label in text.removesuffix(".").split(".")] if text not in ("", ".") else []
    if any(not 0 < len(label) <= LABEL_MAX for label in labels):
        raise Malformed(f"{text!r} has a label of none or more than {LABEL_MAX} bytes")
    wire = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    if len(wire) > NAME_MAX:
        raise Malformed(f"{text!r} is longer than {NAME_MAX} bytes")
    return wire


def to_text(wire: bytes) -> str:
    """A wire name for people: `web.app.`; bytes that are no text are shown escaped."""
    labels = []
    at = 0
    while wire[at]:
        labels.append(wire[at + 1 : at + 1 + wire[at]].decode(errors="backslashreplace"))
        at += 1 + wire[at]
    return ".".join(labels) + "."


def reverse_name(address: bytes) -> bytes:
    """The name a PTR query for the packed address asks: `2.0.7.10.in-addr.arpa`."""
    return to_wire(ip_address(address).reverse_pointer)


def reversed_address(name: bytes) -> bytes | None:
    """The packed address behind a lower-case reverse name; None when *name* is not a whole one."""
    if name.endswith(b"\x07in-addr\x04arpa\0"):
        parts = to_text(name).split(".")[:-3]
        if len(parts) == 4 and all(p.isascii() and p.isdecimal() and p == str(int(p)) for p in parts):
            numbers = [int(p) for p in reversed(parts)]
            return bytes(numbers) if max(numbers) < 256 else None
    # 32 nibbles of two bytes each before the suffix.
    elif len(name) == 74 and name.endswith(b"\x03ip6\x04arpa\0") and name[0:64:2] == b"\x01" * 32:
        try:
            return bytes.fromhex(name[63:0:-2].decode())
        except ValueError:
            return None
    return None


def _name(data: bytes, at: int) -> int:
    """Where the uncompressed name at *at* ends.  Raises Malformed."""
    start = at
    while at < len(data):
        length = data[at]
        at += 1 + length
        if not length:
            if at - start > NAME_MAX:
                break
            return at
        if length > LABEL_MAX:
            break
    raise Malformed("a name that is too long, compressed or cut off")


def _skip(data: bytes, at: int) -> int:
    """Where the possibly compressed name at *at* ends.  Pointers are not followed, so this always ends."""
    while at < len(data):
        length = data[at]
        if length >= 0xC0:
            return at + 2
        at += 1 + length
        if not length:
            return at
        if length > LABEL_MAX:
            break
    raise Malformed("a name that is cut off")


def read_query(data: bytes) -> Query:
    """The one question in *data*.  Raises Malformed, which knows what to say to the sender."""
    if len(data) < HEADER.size:
        raise Malformed("shorter than a header", None)
    ident, flags, *counts = HEADER.unpack_from(data)
    if flags & RESPONSE:
        raise Malformed("a response", None)
    if flags & OPCODE:
        raise Malformed("not a query", NOTIMP)
    if counts[0] != 1 or sum(counts) > RECORDS_MAX:
        raise Malformed(f"{counts[0]} questions and {sum(counts[1:])} records")
    end = _name(data, HEADER.size) + _QUESTION.size
    if end > len(data):
        raise Malformed("the question is cut off")
    kind, klass = _QUESTION.unpack_from(data, end - _QUESTION.size)
    edns = _edns(data, end, sum(counts[1:])) if any(counts[1:]) else None
    return Query(ident, flags, data[HEADER.size : end - _QUESTION.size].lower(), kind, klass, end, edns)


def _edns(data: bytes, at: int, count: int) -> Edns | None:
    """The OPT record among the *count* records at *at*; RFC 6891 allows one."""
    found = None
    for _ in range(count):
        start, at = at, _skip(data, at)
        if at + _RECORD.size > len(data):
            raise Malformed("a record is cut off")
        kind, klass, ttl, length = _RECORD.unpack_from(data, at)
        at += _RECORD.size + length
        if at > len(data):
            raise Malformed("a record's data is cut off")
        if kind == OPT:
            if found is not None or data[start]:
                raise Malformed("two OPT records, or one with a name")
            found = Edns(klass, ttl >> 16 & 0xFF, bool(ttl & DNSSEC_OK), not length)
    return found


def query(name: bytes, kind: int, *, ident: int = 0, recursion: bool = True, edns: int | None = None) -> bytes:
    """A query as a stub resolver sends it; *edns* is the size it can take."""
    opt = b"" if edns is None else b"\0" + _RECORD.pack(OPT, edns, 0, 0)
    flags = 0x0100 if recursion else 0
    return HEADER.pack(ident, flags, 1, 0, 0, 1 if opt else 0) + name + _QUESTION.pack(kind, IN) + opt


def reply(
    data: bytes,
    asked: Query,
    records: Sequence[tuple[int, bytes]] = (),
    *,
    ttl: int,
    rcode: int = NOERROR,
    limit: int,
) -> bytes:
    """The answer to *asked*, which came as *data*: (kind, record data) for the question's own name.

    What *limit* bytes do not hold is left out, and the answer then says that it is truncated.
    """
    opt = b""
    if asked.edns is not None:
        more = (rcode >> 4) << 24 | (DNSSEC_OK if asked.edns.dnssec_ok else 0)
        opt = b"\0" + _RECORD.pack(OPT, EDNS_SIZE, more, 0)
    room = limit - asked.end - len(opt)
    parts = []
    for kind, value in records:
        room -= _OWNED.size + len(value)
        if room < 0:
            break
        parts.append(_OWNED.pack(_THE_QUESTION, kind, IN, ttl, len(value)) + value)
    flags = RESPONSE | asked.flags & REPEATED | RECURSION_AVAILABLE | rcode & 15
    if len(parts) < len(records):
        flags |= TRUNCATED
    header = HEADER.pack(asked.ident, flags, 1, len(parts), 0, 1 if opt else 0)
    return b"".join((header, data[HEADER.size : asked.end], *parts, opt))


def refusal(data: bytes, rcode: int) -> bytes:
    """The answer to a packet whose question could not be read: a header alone."""
    ident, flags = struct.unpack_from("!HH", data)
    return HEADER.pack(ident, RESPONSE | flags & REPEATED | rcode, 0, 0, 0, 0)


def cut(data: bytes, asked: Query) -> bytes:
    """Somebody else's answer *data*, which is too long for the asker: no records, and truncated."""
    ident, flags = struct.unpack_from("!HH", data)
    return HEADER.pack(ident, flags | TRUNCATED, 1, 0, 0, 0) + data[HEADER.size : asked.end]


def read_message(data: bytes) -> Message:
    """Any message, whole.  Raises Malformed."""
    if len(data) < HEADER.size:
        raise Malformed("shorter than a header", None)
    ident, flags, questions, *counts = HEADER.unpack_from(data)
    at = HEADER.size
    asked = []
    for _ in range(questions):
        name, at = _expand(data, at)
        if at + _QUESTION.size > len(data):
            raise Malformed("the question is cut off")
        kind, klass = _QUESTION.unpack_from(data, at)
        asked.append((name, kind, klass))
        at += _QUESTION.size
    sections = []
    for count in counts:
        records, at = _records(data, at, count)
        sections.append(records)
    return Message(ident, flags, tuple(asked), *sections)


def _records(data: bytes, at: int, count: int) -> tuple[tuple[Record, ...], int]:
    records = []
    for _ in range(count):
        name, at = _expand(data, at)
        if at + _RECORD.size > len(data):
            raise Malformed("a record is cut off")
        kind, klass, ttl, length = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        if at + length > len(data):
            raise Malformed("a record's data is cut off")
        records.append(Record(name, kind, klass, ttl, data[at : at + length]))
        at += length
    return tuple(records), at


def _expand(data: bytes, at: int) -> tuple[bytes, int]:
    """The name at *at* without compression, and where it ends.  Each pointer must point further back than
    everything read before, so this always ends."""
    parts: list[bytes] = []
    end = 0
    lowest = at
    while at < len(data):
        length = data[at]
        if length >= 0xC0:
            end = end or at + 2
            at = int.from_bytes(data[at : at + 2]) & 0x3FFF
            if at >= lowest or end > len(data):
                break
            lowest = at
            continue
        if length > LABEL_MAX or at + 1 + length > len(data):
            break
        parts.append(data[at : at + 1 + length])
        at += 1 + length
        if not length:
            name = b"".join(parts)
            if len(name) > NAME_MAX:
                break
            return name, end or at
    raise Malformed("a name that is too long, cut off, or points at itself")
