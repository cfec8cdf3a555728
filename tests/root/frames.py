"""Frames as an attacker writes them, field by field."""

import struct
from collections.abc import Callable

from bascule.model.addresses import IPAddress, ip_address

Frame = Callable[[bytes], bytes]
"""A frame once it knows the bytes at its end, by which its arrival is told."""

BROADCAST = "ff:ff:ff:ff:ff:ff"
_TYPE = {4: 0x0800, 6: 0x86DD}
_ARP, _VLAN = 0x0806, 0x8100


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def checksum(data: bytes) -> int:
    """The Internet's (RFC 1071)."""
    words = struct.unpack(f">{len(data) // 2 + len(data) % 2}H", data + bytes(len(data) % 2))
    total: int = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(source: str, target: str, kind: int, payload: bytes, *, vlan: int | None = None) -> bytes:
    """One frame, with a tag if *vlan* is given."""
    tag = b"" if vlan is None else struct.pack(">HH", _VLAN, vlan)
    return _mac(target) + _mac(source) + tag + struct.pack(">H", kind) + payload


def packet(source: IPAddress, target: IPAddress, proto: int, payload: bytes) -> bytes:
    """One IP packet, complete but for checksums inside *payload*."""
    if source.version == 6:
        return struct.pack(">IHBB", 6 << 28, len(payload), proto, 255) + source.packed + target.packed + payload
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, proto, 0) + source.packed + target.packed
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def _pseudo(source: IPAddress, target: IPAddress, proto: int, payload: bytes) -> bytes:
    if source.version == 4:
        return source.packed + target.packed + struct.pack(">BBH", 0, proto, len(payload)) + payload
    return source.packed + target.packed + struct.pack(">II", len(payload), proto) + payload


def udp(
    macs: tuple[str, str], ends: tuple[str, str], ports: tuple[int, int] = (4000, 4000), vlan: int | None = None
) -> Frame:
    """A datagram."""
    source, target = map(ip_address, ends)

    def frame(end: bytes) -> bytes:
        head = struct.pack(">HHHH", *ports, 8 + len(end), 0)
        total = checksum(_pseudo(source, target, 17, head + end))
        body = head[:6] + struct.pack(">H", total) + end
        return ethernet(*macs, _TYPE[source.version], packet(source, target, 17, body), vlan=vlan)

    return frame


def icmp(macs: tuple[str, str], ends: tuple[str, str], kind: int, body: bytes = bytes(4)) -> Frame:
    """A message of ICMP or ICMPv6: *body* is all behind the checksum."""
    source, target = map(ip_address, ends)
    proto = 1 if source.version == 4 else 58

    def frame(end: bytes) -> bytes:
        message = struct.pack(">BBH", kind, 0, 0) + body + end
        summed = message if source.version == 4 else _pseudo(source, target, proto, message)
        message = message[:2] + struct.pack(">H", checksum(summed)) + message[4:]
        return ethernet(*macs, _TYPE[source.version], packet(source, target, proto, message))

    return frame


def arp(macs: tuple[str, str], sender: tuple[str, str], target: str, *, answer: bool = True) -> Frame:
    """An answer, or a question, of *sender* (its MAC and address) about itself and *target*."""

    def frame(end: bytes) -> bytes:
        head = struct.pack(">HHBBH", 1, 0x0800, 6, 4, 2 if answer else 1)
        said = _mac(sender[0]) + ip_address(sender[1]).packed + bytes(6) + ip_address(target).packed
        return ethernet(*macs, _ARP, head + said + end)

    return frame


def advertisement(macs: tuple[str, str], ends: tuple[str, str], target: str) -> Frame:
    """A neighbour advertisement: *target* is at the sender's MAC (RFC 4861, section 4.4)."""
    flags = struct.pack(">I", 0x60000000)
    option = b"\2\1" + _mac(macs[0])
    return icmp(macs, ends, 136, flags + ip_address(target).packed + option)


def solicitation(macs: tuple[str, str], ends: tuple[str, str], target: str) -> Frame:
    """A neighbour solicitation (RFC 4861, section 4.3)."""
    return icmp(macs, ends, 135, bytes(4) + ip_address(target).packed)
