"""What is said on a guest's eth0: heard, and forged."""

import socket
import struct
from collections import Counter
from threading import Thread

from bascule.model.addresses import ip_address

LINK = "eth0"
_ETH_P_ALL, _IPV4, _IPV6, _UDP, _ESP = 3, 0x0800, 0x86DD, 17, 50
_ENOUGH = b"enough, from this host to itself"


class Ear:
    """Every packet on eth0 from now until `stop`, counted: `esp`, `udp <port>`, and `clear` for those in which
    *marker* can be read."""

    def __init__(self, marker: bytes) -> None:
        self._marker = marker
        self._heard: Counter[str] = Counter()
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.bind((LINK, _ETH_P_ALL))
        self._thread = Thread(target=self._listen, daemon=True)
        self._thread.start()

    def stop(self) -> dict[str, int]:
        # What this host sends is heard too, behind all that was said before.
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as last:
            last.bind((LINK, 0))
            last.send(bytes(12) + struct.pack("!H", 0x88B5) + _ENOUGH.ljust(46, b"\0"))
        self._thread.join()
        self._socket.close()
        return dict(self._heard)

    def _listen(self) -> None:
        while not (frame := self._socket.recv(65536))[14:].startswith(_ENOUGH):
            kind, at = int.from_bytes(frame[12:14], "big"), 14
            if kind == _IPV4:
                proto, at = frame[at + 9], at + (frame[at] & 15) * 4
            elif kind == _IPV6:
                proto, at = frame[at + 6], at + 40
            else:
                continue
            if proto == _UDP:
                self._heard[f"udp {int.from_bytes(frame[at + 2 : at + 4], 'big')}"] += 1
            elif proto == _ESP:
                self._heard["esp"] += 1
            self._heard["clear"] += self._marker in frame


def forge(to_mac: str, source: str, target: str, vni: int, inner: bytes) -> None:
    """A VXLAN packet with *inner* is on eth0, in the clear."""
    own, other = ip_address(source), ip_address(target)
    said = struct.pack("!B3xI", 8, vni << 8) + inner
    head = struct.pack("!HHH", 50000, 4789, 8 + len(said))
    pseudo = own.packed + other.packed + struct.pack("!II", 8 + len(said), _UDP)
    datagram = head + struct.pack("!H", _sum(pseudo + head + b"\0\0" + said) or 0xFFFF) + said
    packet = struct.pack("!IHBB", 6 << 28, len(datagram), _UDP, 64) + own.packed + other.packed + datagram
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as out:
        out.bind((LINK, 0))
        mac = out.getsockname()[4]
        out.send(bytes.fromhex(to_mac.replace(":", "")) + mac + struct.pack("!H", _IPV6) + packet)


def _sum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
