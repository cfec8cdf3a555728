"""WireGuard's generic netlink: who a link is and whom it talks to, written and read.

Numbers: include/uapi/linux/genetlink.h and wireguard.h.  A message is the family's number, four bytes of command
and version, and attributes.
"""

import base64
import struct
from collections.abc import Iterable, Iterator

from bascule.model.addresses import IPAddress, ip_address
from bascule.model.sealing import Identity, Peer
from bascule.wire.netlink import (
    NLM_F_DUMP,
    Malformed,
    Message,
    Request,
    attribute,
    attributes,
    each,
    nest,
    number,
    string,
    text,
    u8,
    u16,
    u32,
)

GENL_ID_CTRL, _CTRL_GETFAMILY = 16, 3
_CTRL_FAMILY_ID, _CTRL_FAMILY_NAME = 1, 2
NAME = "wireguard"
_GET_DEVICE, _SET_DEVICE = 0, 1
_IFNAME, _PRIVATE_KEY, _LISTEN_PORT, _PEERS = 2, 3, 6, 8
_PEER_KEY, _PEER_FLAGS, _ENDPOINT, _ALLOWED = 1, 3, 4, 9
_REMOVE, _ONLY_THESE = 1, 2
_FAMILY, _ADDRESS, _PREFIX = 1, 2, 3
_AF = {4: 2, 6: 10}
# struct sockaddr_in and sockaddr_in6: the port and the address are in network order.
_SOCKADDR = {4: struct.Struct("=H2s4s8x"), 6: struct.Struct("=H2s4x16s4x")}
_HEAD = struct.Struct("=BBxx")
VERSION = 1


def get_family() -> Request:
    """Asks for the number of WireGuard's messages; a kernel that has it as a module loads it."""
    return Request(GENL_ID_CTRL, 0, _HEAD.pack(_CTRL_GETFAMILY, VERSION) + text(_CTRL_FAMILY_NAME, NAME))


def family(message: Message) -> int:
    return number(attributes(message.body[_HEAD.size :]).get(_CTRL_FAMILY_ID, b""))


def identity(kind: int, thing: Identity) -> Request:
    """*kind* is the family's number, here and below."""
    own = attribute(_PRIVATE_KEY, _key(thing.key)) + u16(_LISTEN_PORT, thing.port)
    return _set(kind, thing.link, own)


def peer(kind: int, thing: Peer, *, delete: bool = False) -> Request:
    """One that is known is told anew where it is and what it speaks for, and its session lives on."""
    if delete:
        one = attribute(_PEER_KEY, _key(thing.key)) + u32(_PEER_FLAGS, _REMOVE)
    else:
        inside = thing.inside
        allowed = nest(
            0,
            u16(_FAMILY, _AF[inside.version]),
            attribute(_ADDRESS, inside.packed),
            u8(_PREFIX, inside.max_prefixlen),
        )
        one = (
            attribute(_PEER_KEY, _key(thing.key))
            + u32(_PEER_FLAGS, _ONLY_THESE)
            + attribute(_ENDPOINT, _sockaddr(thing.host, thing.port))
            + nest(_ALLOWED, allowed)
        )
    return _set(kind, thing.link, nest(_PEERS, nest(0, one)))


def _set(kind: int, link: str, rest: bytes) -> Request:
    return Request(kind, 0, _HEAD.pack(_SET_DEVICE, VERSION) + text(_IFNAME, link) + rest)


def get_link(kind: int, link: str) -> Request:
    return Request(kind, NLM_F_DUMP, _HEAD.pack(_GET_DEVICE, VERSION) + text(_IFNAME, link))


def read(messages: Iterable[Message]) -> list[Identity | Peer]:
    """What is said of one link.  A peer without an endpoint, or with other than one address, is one with zeros: it
    is none of ours."""
    return [thing for message in messages for thing in _read(attributes(message.body[_HEAD.size :]))]


def _read(given: dict[int, bytes]) -> Iterator[Identity | Peer]:
    link = string(given.get(_IFNAME, b""))
    # Of many peers the rest come in further messages, without the key.
    if _PRIVATE_KEY in given:
        key = base64.b64encode(given[_PRIVATE_KEY]).decode()
        yield Identity(link, number(given.get(_LISTEN_PORT, b"")), key)
    for _, value in each(given.get(_PEERS, b"")):
        one = attributes(value)
        host, port = _endpoint(one.get(_ENDPOINT, b""))
        key = base64.b64encode(one.get(_PEER_KEY, b"")).decode()
        yield Peer(link, key, host, port, _allowed(one.get(_ALLOWED, b"")))


def _allowed(value: bytes) -> IPAddress:
    found = [attributes(one) for _, one in each(value)]
    packed = found[0].get(_ADDRESS, b"") if len(found) == 1 else bytes(16)
    if len(packed) not in (4, 16):
        raise Malformed(f"an address of {len(packed)} bytes")
    whole = len(found) == 1 and number(found[0].get(_PREFIX, b"")) == len(packed) * 8
    return ip_address(packed if whole else bytes(16))


def _endpoint(value: bytes) -> tuple[IPAddress, int]:
    for version, layout in _SOCKADDR.items():
        if len(value) == layout.size:
            af, port, packed = layout.unpack(value)
            if af == _AF[version]:
                return ip_address(packed), int.from_bytes(port, "big")
    return ip_address(bytes(4)), 0


def _sockaddr(host: IPAddress, port: int) -> bytes:
    return _SOCKADDR[host.version].pack(_AF[host.version], port.to_bytes(2, "big"), host.packed)


def _key(value: str) -> bytes:
    return base64.b64decode(value)
