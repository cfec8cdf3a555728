"""Asking a segment who has an address, telling it, and what others say of theirs: ARP (RFC 826, 5227) and neighbour
discovery (RFC 4861, 4862), as Ethernet frames."""

import struct
from ipaddress import IPv6Address

from bascule.model.addresses import IPAddress, ip_address
from bascule.wire.netlink import Malformed

ETH_P_ARP, ETH_P_IPV6 = 0x0806, 0x86DD
ICMPV6 = 58
SOLICITATION, ADVERTISEMENT = 135, 136
ALL_NODES = bytes.fromhex("333300000001")

_ETHERNET = struct.Struct("!6s6sH")
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_IPV6 = struct.Struct("!IHBB16s16s")
_ND = struct.Struct("!BBHI16s")
_BROADCAST, _NOBODY = b"\xff" * 6, bytes(6)
# Where in a frame: the type; after it ARP's operation, or IPv6's next header, and ICMPv6's type.
AT_TYPE, AT_NEXT, AT_ICMP = 12, 20, 54
_TARGET_LINK_ADDRESS = 2
_OVERRIDE = 1 << 29
_EVERYBODY = IPv6Address("ff02::1").packed


def question(mac: str, address: IPAddress) -> bytes:
    """The frame by which *mac* asks who has *address*, without a claim to any: nobody learns from it."""
    own = bytes.fromhex(mac.replace(":", ""))
    if isinstance(address, IPv6Address):
        return _solicitation(own, address)
    body = _ARP.pack(1, 0x0800, 6, 4, 1, own, bytes(4), _NOBODY, address.packed)
    return _ETHERNET.pack(_BROADCAST, own, ETH_P_ARP) + body


def _solicitation(own: bytes, address: IPv6Address) -> bytes:
    """From ::, as for duplicate address detection (RFC 4862, 5.4.2)."""
    group = IPv6Address(b"\xff\x02" + bytes(9) + b"\x01\xff" + address.packed[-3:])
    pseudo = bytes(16) + group.packed + struct.pack("!II", _ND.size, ICMPV6)
    sum_ = _checksum(pseudo + _ND.pack(SOLICITATION, 0, 0, 0, address.packed))
    header = _IPV6.pack(6 << 28, _ND.size, ICMPV6, 255, bytes(16), group.packed)
    to = b"\x33\x33" + group.packed[-4:]
    return _ETHERNET.pack(to, own, ETH_P_IPV6) + header + _ND.pack(SOLICITATION, 0, sum_, 0, address.packed)


def announcement(mac: str, address: IPAddress) -> bytes:
    """The frame by which *mac* tells everybody that it has *address*: a gratuitous ARP request (RFC 5227, 3), or an
    unsolicited advertisement that overrides what was known (RFC 4861, 7.2.6)."""
    own = bytes.fromhex(mac.replace(":", ""))
    if isinstance(address, IPv6Address):
        return _unsolicited(own, address)
    body = _ARP.pack(1, 0x0800, 6, 4, 1, own, address.packed, _NOBODY, address.packed)
    return _ETHERNET.pack(_BROADCAST, own, ETH_P_ARP) + body


def _unsolicited(own: bytes, address: IPv6Address) -> bytes:
    link = bytes([_TARGET_LINK_ADDRESS, 1]) + own
    size = _ND.size + len(link)
    pseudo = address.packed + _EVERYBODY + struct.pack("!II", size, ICMPV6)
    sum_ = _checksum(pseudo + _ND.pack(ADVERTISEMENT, 0, 0, _OVERRIDE, address.packed) + link)
    header = _IPV6.pack(6 << 28, size, ICMPV6, 255, address.packed, _EVERYBODY)
    told = _ND.pack(ADVERTISEMENT, 0, sum_, _OVERRIDE, address.packed) + link
    return _ETHERNET.pack(ALL_NODES, own, ETH_P_IPV6) + header + told


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def claim(frame: bytes) -> tuple[IPAddress, str] | None:
    """The address that the sender of *frame* says to have, and its MAC; None where it says nothing of the kind.
    Raises Malformed."""
    if len(frame) < _ETHERNET.size:
        raise Malformed(f"a frame of {len(frame)} bytes")
    _to, source, kind = _ETHERNET.unpack_from(frame)
    body = frame[_ETHERNET.size :]
    if kind == ETH_P_ARP:
        return _arp_claim(body)
    return _advertised(body, source) if kind == ETH_P_IPV6 else None


def _arp_claim(body: bytes) -> tuple[IPAddress, str] | None:
    if len(body) < _ARP.size:
        raise Malformed(f"an ARP message of {len(body)} bytes")
    hardware, protocol, size, length, _operation, mac, sender, _, _ = _ARP.unpack_from(body)
    if (hardware, protocol, size, length) != (1, 0x0800, 6, 4) or sender == bytes(4):
        return None  # Of another kind, or a question like ours.
    return ip_address(sender), mac.hex(":")


def _advertised(body: bytes, source: bytes) -> tuple[IPAddress, str] | None:
    if len(body) < _IPV6.size + _ND.size:
        raise Malformed(f"an IPv6 packet of {len(body)} bytes")
    _head, _length, following, hops, _from, _to = _IPV6.unpack_from(body)
    kind, _code, _sum, _flags, target = _ND.unpack_from(body, _IPV6.size)
    # Hop limit 255: it is from this segment (RFC 4861, 7.1.2).
    if (following, hops, kind) != (ICMPV6, 255, ADVERTISEMENT):
        return None
    told = body[_IPV6.size + _ND.size :]
    if len(told) >= 8 and told[:2] == bytes([_TARGET_LINK_ADDRESS, 1]):
        source = told[2:8]
    return ip_address(target), source.hex(":")
