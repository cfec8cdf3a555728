"""How large packets may be that get to another host: asked with pings that nobody on the way may cut."""

import errno
import os
import select
import socket
import struct
import time
from collections.abc import Iterable
from collections.abc import Set as Some

from bascule.model.addresses import IPAddress

# include/uapi/linux/in.h and in6.h: whole or not at all, whatever has been heard of the way.
_MTU_DISCOVER = {4: (socket.IPPROTO_IP, 10), 6: (socket.IPPROTO_IPV6, 23)}
_PROBE = 3
_ICMP = {4: (socket.AF_INET, socket.IPPROTO_ICMP), 6: (socket.AF_INET6, socket.IPPROTO_ICMPV6)}
_REQUEST, _REPLY = {4: 8, 6: 128}, {4: 0, 6: 129}
_HEADERS = {4: 28, 6: 48}
_ECHO = struct.Struct("!BBHHH")
LEAST = {4: 576, 6: 1280}
"""What every path carries (RFC 791, RFC 8200)."""
_WITHIN = 0.5
_STEP = 32


def reach(address: IPAddress, most: int) -> int:
    """See kernel.protocol; in the namespace of the calling thread."""
    least = LEAST[address.version]
    if most < least or _largest(address, [most], tries=3):
        return most
    # Many at once: each that does not arrive would have to be waited for.
    about = _largest(address, range(least, most, _STEP))
    return _largest(address, range(about, min(about + _STEP, most))) if about else 0


def _largest(address: IPAddress, sizes: Iterable[int], tries: int = 2) -> int:
    """Of pings of *sizes* bytes, headers and all, the largest that is answered; 0 where none is."""
    family, proto = _ICMP[address.version]
    left, found = set(sizes), 0
    word = os.urandom(16)
    try:
        with socket.socket(family, socket.SOCK_RAW, proto) as pinging:
            pinging.setsockopt(*_MTU_DISCOVER[address.version], _PROBE)
            pinging.connect((str(address), 0))
            for _ in range(tries):
                for size in left:
                    _ask(pinging, address.version, word, size)
                answered = _answered(pinging, address.version, word, left)
                left -= answered
                found = max(found, *answered, 0)
                if not left:
                    break
    except OSError:
        pass  # There is no way there.
    return found


def _ask(pinging: socket.socket, version: int, word: bytes, size: int) -> None:
    said = word.ljust(size - _HEADERS[version], b"\0")
    # The checksum of ICMPv6 is the kernel's affair.
    total = _sum(_ECHO.pack(_REQUEST[version], 0, 0, 0, size) + said) if version == 4 else 0
    packet = _ECHO.pack(_REQUEST[version], 0, total, 0, size) + said
    # A router's word on an earlier one is told by the next that is sent, which then is not.  Told again and again,
    # it is of this one: it is too large for our own link.
    for _ in range(3):
        try:
            pinging.send(packet)
        except OSError as why:
            if why.errno != errno.EMSGSIZE:
                raise
        else:
            return


def _answered(pinging: socket.socket, version: int, word: bytes, sizes: Some[int]) -> set[int]:
    """Those of *sizes* that are answered within a while."""
    found: set[int] = set()
    end = time.monotonic() + _WITHIN
    while found != sizes and (left := end - time.monotonic()) > 0:
        if not select.select([pinging], [], [], left)[0]:
            break
        try:
            packet = pinging.recv(65536, socket.MSG_DONTWAIT)
        except OSError:
            continue  # A router says that one of them was too large, or that nobody is there.
        at = (packet[0] & 15) * 4 if version == 4 else 0
        said = packet[at + _ECHO.size :]
        if len(packet) > at and packet[at] == _REPLY[version] and said.startswith(word):
            found.add(len(said) + _HEADERS[version])
    return found & sizes


def _sum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
