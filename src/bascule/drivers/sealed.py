"""The links on which encrypted overlay networks end: WireGuard's, or IPsec's.  See docs/decisions/034.

A member has an address of its own on each, out of its node's id, which nobody gives out.  Who knows the nodes knows
their addresses, and what is sent to one of them goes encrypted or not at all.
"""

import functools
import hashlib
import hmac
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv6Address, IPv6Interface

from bascule.model.addresses import IPAddress
from bascule.model.cluster import Membership, Node, Ring, Seal
from bascule.model.sealing import NUMBER
from bascule.model.thing import (
    Address,
    Identity,
    Internal,
    Peer,
    Sealed,
    Sealer,
    Sysctl,
    Thing,
    Vtep,
    WireGuard,
    Xfrm,
    XfrmPolicy,
    XfrmState,
)

SEALS: tuple[Seal, ...] = ("wireguard", "esp")
"""The better one first."""
LINKS: dict[Seal, str] = {"wireguard": "bascule-wg", "esp": "bascule-esp"}
PORT = 51789
"""WireGuard's, UDP."""
# WireGuard: IP, UDP 8, header and tag 32.  ESP: IP, SPI and number 8, IV 8, padding with its length at most 5,
# tag 16.
OVERHEAD = {4: 60, 6: 80}
_PREVIOUS, _CURRENT = 0, 1
_SALTED_KEY = 36


@functools.lru_cache(4096)
def inside(seal: Seal, node: str) -> IPv6Address:
    """The address of the node on its link: a unique local one (RFC 4193)."""
    prefix = hashlib.sha256(f"bascule {seal}".encode()).digest()[:7]
    return IPv6Address(b"\xfd" + prefix + hashlib.sha256(f"{node} {seal}".encode()).digest()[:8])


def host(me: Membership, nodes: Sequence[Node], vnis: dict[int, Seal], ring: Ring | None) -> list[Thing]:
    """What must be true of a member while there are encrypted networks, by their VNIs: joined or not, they come and
    leave encrypted only.  A node that cannot encrypt, or that is not known to, is not talked to."""
    things: list[Thing] = [Sealed(vni) for vni in sorted(vnis)]
    for seal in SEALS:
        if seal in vnis.values():
            others = [node for node in nodes if node.id != me.id and seal in node.seals]
            things += _link(seal, me, others)
            things += _wireguard(me, others) if seal == "wireguard" else _esp(me, others, ring)
    return things


def _link(seal: Seal, me: Membership, others: Iterable[Node]) -> list[Thing]:
    link, mtu = LINKS[seal], me.mtu - OVERHEAD[me.address.version]
    return [
        Sealer(link),
        Internal(link),
        *(Vtep(inside(seal, node.id)) for node in others),
        WireGuard(link, mtu) if seal == "wireguard" else Xfrm(link, NUMBER, mtu),
        Sysctl(f"net/ipv6/conf/{link}/accept_ra", "0"),
        Sysctl(f"net/ipv6/conf/{link}/disable_ipv6", "0"),
        Address(link, IPv6Interface((inside(seal, me.id), 64))),
    ]


def _wireguard(me: Membership, others: Iterable[Node]) -> list[Thing]:
    link = LINKS["wireguard"]
    peers = (Peer(link, node.key, node.address, PORT, inside("wireguard", node.id)) for node in others)
    return [Identity(link, PORT, me.secret), *peers]


def _esp(me: Membership, others: Sequence[Node], ring: Ring | None) -> list[Thing]:
    """Associations before the policies that name them: in this order nothing is lost when the ring turns."""
    if ring is None:
        return []
    states = [state for node in others for state in _states(me, node, ring)]
    return [*states, *(policy for node in others for policy in _policies(me, node, ring))]


def _states(me: Membership, node: Node, ring: Ring) -> Iterator[XfrmState]:
    """What comes is understood with each secret, what goes is sent with the current one."""
    yield _state(ring.secrets[_CURRENT], (me.id, me.address), (node.id, node.address))
    for secret in ring.secrets:
        yield _state(secret, (node.id, node.address), (me.id, me.address))


def _policies(me: Membership, node: Node, ring: Ring) -> Iterator[XfrmPolicy]:
    here, there = inside("esp", me.id), inside("esp", node.id)
    spi = _state(ring.secrets[_CURRENT], (me.id, me.address), (node.id, node.address)).spi
    yield XfrmPolicy("out", here, there, me.address, node.address, NUMBER, spi)
    yield XfrmPolicy("in", there, here, node.address, me.address, NUMBER)


def _state(secret: str, source: tuple[str, IPAddress], target: tuple[str, IPAddress]) -> XfrmState:
    """The association from one node to another: no other has its key."""
    said = f"{source[0]} {source[1]} {target[0]} {target[1]}".encode()
    drawn = hmac.digest(bytes.fromhex(secret), said, "sha512")
    # Up to 255 they are reserved (RFC 4303, section 2.1).
    spi = int.from_bytes(drawn[:4], "big") | 0x8000_0000
    return XfrmState(source[1], target[1], spi, NUMBER, drawn[4 : 4 + _SALTED_KEY].hex())
