"""Elements of nftables' sets and maps, chains, rules and generations: values to attributes and back.

A key is its part as it is, or several one behind the other, each padded to four bytes (nft's registers); a value
likewise, or a verdict.  The types are nft's own names, as `nft list set` shows them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address

from bascule.wire.nfnetlink import (
    DELSETELEM,
    FAMILY,
    GETRULE,
    GETSETELEM,
    NEWSETELEM,
    NLM_F_CREATE,
    NLM_F_DUMP,
    Message,
    attr,
    attrs,
    message,
    nest,
    string,
    text,
)

Encoded = tuple[bytes, bytes]
"""A key and its value; b"" in a set."""

_PROTOS = {"tcp": 6, "udp": 17, "sctp": 132}
_NF_PROTOS = {"ipv4": 2, "ipv6": 10}
_IFNAMSIZ = 16
# enum nft_verdicts
_VERDICTS = {"jump": -3, "goto": -4}

_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS = 1, 2, 3
_ELEM, _ELEM_KEY, _ELEM_DATA = 1, 1, 2
_DATA_VALUE, _DATA_VERDICT = 1, 2
_VERDICT_CODE, _VERDICT_CHAIN = 1, 2

# An attribute's length is sixteen bits: this many of the largest elements (72 bytes, a verdict) fit into one list.
AT_ONCE = 800


def part(kind: str, value: str) -> bytes:
    """One part of a key or value.  ValueError for a type that is not here."""
    match kind:
        case "ifname" | "iifname":
            packed = value.strip('"').encode().ljust(_IFNAMSIZ, b"\0")
        case "ipv4_addr":
            packed = bytes(map(int, value.split(".")))
        case "ipv6_addr":
            packed = IPv6Address(value).packed
        case "inet_service":
            packed = int(value).to_bytes(2, "big")
        case "inet_proto":
            packed = bytes((_PROTOS[value],))
        case "nf_proto":
            packed = bytes((_NF_PROTOS[value],))
        case "ether_addr":
            packed = bytes.fromhex(value.replace(":", ""))
        case "@th,96,24":
            packed = int(value, 16).to_bytes(3, "big")
        case "@th,64,128":
            packed = int(value, 16).to_bytes(16, "big")
        case "@nh,128,64":
            packed = int(value, 16).to_bytes(8, "big")
        case _:
            raise ValueError(f"no encoding for nft type {kind}")
    return packed


def encode(kinds: tuple[str, ...], values: tuple[str, ...]) -> bytes:
    """A key or value.  A verdict is the attributes of its code and chain."""
    if kinds == ("verdict",):
        word, chain = values[0].split(" ", 1)
        code = _VERDICTS[word].to_bytes(4, "big", signed=True)
        return attr(_VERDICT_CODE, code) + text(_VERDICT_CHAIN, chain)
    packed = [part(kind, value) for kind, value in zip(kinds, values, strict=True)]
    return packed[0] if len(packed) == 1 else b"".join(one + bytes(-len(one) % 4) for one in packed)


def _element(key: bytes, value: bytes, *, verdict: bool) -> bytes:
    inner = nest(_ELEM_KEY, attr(_DATA_VALUE, key))
    if value:
        data = nest(_DATA_VERDICT, value) if verdict else attr(_DATA_VALUE, value)
        inner += nest(_ELEM_DATA, data)
    return nest(_ELEM, inner)


def _messages(
    kind: int, family: str, table: str, name: str, elements: Iterable[Encoded], *, verdict: bool, flags: int = 0
) -> Iterator[bytes]:
    of = text(_LIST_TABLE, table) + text(_LIST_SET, name)
    every = [_element(key, value, verdict=verdict) for key, value in elements]
    for at in range(0, len(every), AT_ONCE):
        body = of + nest(_LIST_ELEMENTS, *every[at : at + AT_ONCE])
        yield message(kind, FAMILY[family], body, flags)


def add(
    family: str, table: str, name: str, elements: Iterable[Encoded], *, verdict: bool = False
) -> Iterator[bytes]:
    """Requests that add *elements* to the set or map *name*."""
    return _messages(NEWSETELEM, family, table, name, elements, verdict=verdict, flags=NLM_F_CREATE)


def delete(family: str, table: str, name: str, keys: Iterable[bytes]) -> Iterator[bytes]:
    """Requests that delete the elements with *keys*."""
    return _messages(DELSETELEM, family, table, name, ((key, b"") for key in keys), verdict=False)


def list_elements(family: str, table: str, name: str) -> bytes:
    """The request for a dump of a set."""
    body = text(_LIST_TABLE, table) + text(_LIST_SET, name)
    return message(GETSETELEM, FAMILY[family], body, NLM_F_DUMP)


def elements(answer: Message) -> Iterator[Encoded]:
    """The elements in one answer to it."""
    for kind, payload in attrs(answer.body):
        if kind != _LIST_ELEMENTS:
            continue
        for _, element in attrs(payload):
            found = dict(attrs(element))
            key = dict(attrs(found.get(_ELEM_KEY, b""))).get(_DATA_VALUE, b"")
            data = dict(attrs(found.get(_ELEM_DATA, b"")))
            yield key, data.get(_DATA_VALUE, data.get(_DATA_VERDICT, b""))


@dataclass(frozen=True, slots=True)
class Listed:
    """A chain or set as the kernel lists it.  *what* is everything that a change of it would change."""

    family: int
    table: str
    name: str
    handle: int
    kind: str
    """chain, set, map, or "" for what belongs to a rule."""
    what: bytes = b""
    policy: int | None = None
    hook: int | None = None
    chain_type: str = ""


_SET_ANONYMOUS, _SET_MAP = 0x1, 0x8


def _number(payload: bytes) -> int:
    return int.from_bytes(payload, "big")


def chain(answer: Message) -> Listed:
    """A chain from NEWCHAIN."""
    found = dict(attrs(answer.body))
    hook = dict(attrs(found.get(4, b"")))
    return Listed(
        family=answer.family,
        table=string(found.get(1, b"")),
        name=string(found.get(3, b"")),
        handle=_number(found.get(2, b"")),
        kind="chain",
        what=found.get(4, b"") + found.get(5, b""),
        policy=_number(found[5]) if 5 in found else None,
        hook=_number(hook[1]) if 1 in hook else None,
        chain_type=string(found.get(7, b"")),
    )


def set_(answer: Message) -> Listed:
    """A set or map from NEWSET."""
    found = dict(attrs(answer.body))
    flags = _number(found.get(3, b""))
    return Listed(
        family=answer.family,
        table=string(found.get(1, b"")),
        name=string(found.get(2, b"")),
        handle=_number(found.get(16, b"")),
        kind="" if flags & _SET_ANONYMOUS else "map" if flags & _SET_MAP else "set",
    )


@dataclass(frozen=True, slots=True)
class ListedRule:
    """A rule's place; a handle is never given twice in a table."""

    family: int
    chain: str
    handle: int
    comment: str


def list_rules(family: str, table: str) -> bytes:
    """The request for a dump of a table's rules."""
    return message(GETRULE, FAMILY[family], text(1, table), NLM_F_DUMP)


def rule(answer: Message) -> ListedRule:
    """A rule from NEWRULE."""
    found = dict(attrs(answer.body))
    return ListedRule(
        answer.family, string(found.get(2, b"")), _number(found.get(3, b"")), _comment(found.get(7, b""))
    )


def _comment(userdata: bytes) -> str:
    # libnftnl's udata: type, length, value; NFTNL_UDATA_RULE_COMMENT is 0.
    at = 0
    while at + 2 <= len(userdata):
        kind, length = userdata[at], userdata[at + 1]
        if kind == 0:
            return string(userdata[at + 2 : at + 2 + length])
        at += 2 + length
    return ""


def touched(answer: Message) -> tuple[str, str]:
    """The table and the name of the chain or set that a notification is about."""
    found = dict(attrs(answer.body))
    at = {0: 0, 1: 3, 2: 2, 3: 2, 4: 2}.get((answer.type & 0xFF) // 3, 0)
    return string(found.get(1, b"")), string(found.get(at, b""))


def generation(answer: Message) -> tuple[int, int, str]:
    """The number of a NEWGEN, and the process that made it."""
    found = dict(attrs(answer.body))
    return _number(found.get(1, b"")), _number(found.get(2, b"")), string(found.get(3, b""))
