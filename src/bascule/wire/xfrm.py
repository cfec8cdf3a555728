"""IPsec's netlink: states and policies of ESP in tunnel mode, written and read.

Structures: include/uapi/linux/xfrm.h.  An address takes sixteen bytes, IPv4's the first four; SPIs are in network
order.
"""

import struct
from ipaddress import ip_address
from typing import Literal

from bascule.model.addresses import IPAddress
from bascule.model.sealing import XfrmPolicy, XfrmState
from bascule.wire.netlink import (
    NLM_F_DUMP,
    NLM_F_EXCL,
    Malformed,
    Message,
    Request,
    attribute,
    attributes,
    number,
    u32,
)

NEWSA, DELSA, GETSA, NEWPOLICY, DELPOLICY, GETPOLICY, UPDPOLICY = 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x19
_TMPL, _AEAD, _IF_ID = 5, 18, 31
_AF = {4: 2, 6: 10}
_VERSION = {2: 4, 10: 6}
_ESP, _TUNNEL, _ALLOW = 50, 1, 0
_WAYS: dict[Literal["in", "out"], int] = {"in": 0, "out": 1}
_ANY = 0xFFFFFFFF
ALGORITHM = b"rfc4106(gcm(aes))"
_ICV_BITS = 128

# To, from, their ports and masks, the family, both prefixes, protocol, link, user.
_SELECTOR = struct.Struct("=16s16s8xHBBB3xiI")
_ID = struct.Struct("=16s4sB3x")
# No limit of bytes and packets, soft and hard; none of time.
_LIFETIME = struct.pack("=8Q", *[(1 << 64) - 1] * 4, 0, 0, 0, 0)
_SO_FAR = bytes(32)
# Behind the statistics: sequence, request, family, mode, replay window, flags.
_STATE_TAIL = struct.Struct("=12xIIHBBB7x")
_STATE_SIZE = 224
# Priority, index, direction, action, flags, share.
_POLICY_TAIL = struct.Struct("=IIBBBB4x")
_POLICY_SIZE = 168
# An id, then family, source, request, mode, share, optional, and the algorithms allowed.
_TEMPLATE = struct.Struct("=16s4sB3xH2x16sIBBBxIII")
_STATE_ID = struct.Struct("=16s4sHBx")
_POLICY_ID_TAIL = struct.Struct("=IB3x")
_ALG = struct.Struct("=64sII")


def _padded(address: IPAddress) -> bytes:
    return address.packed.ljust(16, b"\0")


def _spi(value: int) -> bytes:
    return value.to_bytes(4, "big")


def state(thing: XfrmState, *, delete: bool = False) -> Request:
    """The state takes whatever IPv6 packets the policies give it."""
    family = _AF[thing.target.version]
    if delete:
        return Request(DELSA, 0, _STATE_ID.pack(_padded(thing.target), _spi(thing.spi), family, _ESP))
    key = bytes.fromhex(thing.key)
    body = (
        _SELECTOR.pack(b"", b"", _AF[6], 0, 0, 0, 0, 0)
        + _ID.pack(_padded(thing.target), _spi(thing.spi), _ESP)
        + _padded(thing.source)
        + _LIFETIME
        + _SO_FAR
        + _STATE_TAIL.pack(0, thing.number, family, _TUNNEL, 0, 0)
    )
    algorithm = _ALG.pack(ALGORITHM, len(key) * 8, _ICV_BITS) + key
    return Request(NEWSA, NLM_F_EXCL, body + attribute(_AEAD, algorithm) + u32(_IF_ID, thing.number))


def _selector(thing: XfrmPolicy) -> bytes:
    bits = thing.inside.max_prefixlen
    return _SELECTOR.pack(
        _padded(thing.beyond), _padded(thing.inside), _AF[thing.inside.version], bits, bits, 0, 0, 0
    )


def policy(thing: XfrmPolicy, *, delete: bool = False) -> Request:
    """It takes the place of one for the same packets, at once."""
    if delete:
        body = _selector(thing) + _POLICY_ID_TAIL.pack(0, _WAYS[thing.way])
        return Request(DELPOLICY, 0, body + u32(_IF_ID, thing.number))
    body = _selector(thing) + _LIFETIME + _SO_FAR + _POLICY_TAIL.pack(0, 0, _WAYS[thing.way], _ALLOW, 0, 0)
    template = _TEMPLATE.pack(
        _padded(thing.target),
        _spi(thing.spi),
        _ESP,
        _AF[thing.target.version],
        _padded(thing.source),
        thing.number,
        _TUNNEL,
        0,
        0,
        _ANY,
        _ANY,
        _ANY,
    )
    return Request(UPDPOLICY, 0, body + attribute(_TMPL, template) + u32(_IF_ID, thing.number))


def states() -> Request:
    return Request(GETSA, NLM_F_DUMP, b"")


def policies() -> Request:
    return Request(GETPOLICY, NLM_F_DUMP, b"")


def read_state(message: Message) -> XfrmState | None:
    """None for one that is not of ESP in tunnel mode with our algorithm."""
    if len(message.body) < _STATE_SIZE:
        raise Malformed(f"a state of {len(message.body)} bytes")
    target, spi, proto = _ID.unpack_from(message.body, _SELECTOR.size)
    source = message.body[_SELECTOR.size + _ID.size :][:16]
    _, _, family, mode, _, _ = _STATE_TAIL.unpack_from(message.body, _STATE_SIZE - _STATE_TAIL.size)
    given = attributes(message.body[_STATE_SIZE:])
    algorithm = given.get(_AEAD, b"")
    if proto != _ESP or mode != _TUNNEL or family not in _VERSION or len(algorithm) < _ALG.size:
        return None
    name, bits, _ = _ALG.unpack_from(algorithm)
    if name.rstrip(b"\0") != ALGORITHM:
        return None
    return XfrmState(
        _address(source, family),
        _address(target, family),
        int.from_bytes(spi, "big"),
        number(given.get(_IF_ID, b"")),
        algorithm[_ALG.size :][: bits // 8].hex(),
    )


def read_policy(message: Message) -> XfrmPolicy | None:
    """None for one that is not of one ESP tunnel for one address each."""
    if len(message.body) < _POLICY_SIZE:
        raise Malformed(f"a policy of {len(message.body)} bytes")
    beyond, inside, family, to_bits, from_bits, *_ = _SELECTOR.unpack_from(message.body)
    _, _, way, action, _, _ = _POLICY_TAIL.unpack_from(message.body, _POLICY_SIZE - _POLICY_TAIL.size)
    given = attributes(message.body[_POLICY_SIZE:])
    template = given.get(_TMPL, b"")
    said = next((word for word, value in _WAYS.items() if value == way), None)
    if said is None or action != _ALLOW or family not in _VERSION or len(template) != _TEMPLATE.size:
        return None
    target, spi, proto, outer, source, _, mode, *_ = _TEMPLATE.unpack(template)
    own = _address(inside, family)
    if proto != _ESP or mode != _TUNNEL or outer not in _VERSION or {to_bits, from_bits} != {own.max_prefixlen}:
        return None
    return XfrmPolicy(
        said,
        own,
        _address(beyond, family),
        _address(source, outer),
        _address(target, outer),
        number(given.get(_IF_ID, b"")),
        int.from_bytes(spi, "big"),
    )


def _address(packed: bytes, family: int) -> IPAddress:
    return ip_address(packed[:4] if family == _AF[4] else packed)
