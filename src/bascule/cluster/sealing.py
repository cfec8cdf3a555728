"""Encrypted networks between members: what each can do, which way a network goes, and ESP's secrets, which turn.

See docs/decisions/034.  WireGuard's secrets are each node's own, and its sessions' keys turn by themselves.
"""

import logging
import secrets
import time
from collections.abc import Iterable
from dataclasses import replace

from bascule.cluster.commons import Commons
from bascule.cluster.curve import private, public
from bascule.drivers import overlay, sealed
from bascule.engine.shared import Shared
from bascule.model.cluster import Membership, Node, Ring, Seal
from bascule.model.errors import Failed
from bascule.model.network import Network

log = logging.getLogger("bascule.cluster")
RING = "esp"
_BYTES = 64
# Seconds between two turns at the least: whoever is there has heard of the first.
_REST = 5.0


def keyed(me: Membership) -> Membership:
    """*me* with a private key."""
    return me if me.secret else replace(me, secret=private(secrets.token_bytes(32)))


def node(me: Membership, seals: tuple[Seal, ...]) -> Node:
    """What others are told of this host, whose kernel has *seals*."""
    return Node(me.id, me.name, me.address, me.mtu, me.epoch, me.joined, seals, public(me.secret))


def introduce(common: Commons, shared: Shared, me: Membership) -> None:
    """Other nodes know what this one can encrypt with, its public key, and what its link carries."""
    seals = shared.kernel.seals()
    key = public(me.secret)
    while (known := common.shared.get(Node, me.id)) is not None:
        told = replace(known, seals=seals, key=key, mtu=me.mtu)
        if told == known or common.shared.attempt(put=[told], unchanged=[known]):
            return
        common.shared.refresh()


def choose(net: Network, nodes: Iterable[Node]) -> Seal | None:
    """What the network is encrypted with, None where that is not asked for.  Raises Failed where a node cannot."""
    wanted = overlay.encryption(net.options)
    if wanted is None:
        return None
    known = list(nodes)
    for seal in [wanted] if wanted in sealed.SEALS else sealed.SEALS:
        if all(seal in node.seals for node in known):
            return seal
    words = {"wireguard": "WireGuard", "esp": "IPsec (ESP)"}
    what = words.get(wanted, "one and the same of WireGuard and IPsec (ESP)")
    lacking = [n.name for n in known if (wanted not in n.seals if wanted in words else len(n.seals) < len(words))]
    raise Failed(
        f"network {net.name} cannot be encrypted: the kernel does not have {what} on {', '.join(sorted(lacking))}"
    )


def provide(common: Commons, shared: Shared, net: Network) -> None:
    """What is on the network here leaves encrypted.  Raises Failed where this host cannot do that."""
    seal = net.tunnel.seal if net.tunnel else ""
    if not seal:
        return
    known = common.shared.get(Node, common.me.id)
    if known is None or seal not in known.seals:
        raise Failed(f"network {net.name} is encrypted with {seal}, which this host's kernel does not have")
    if seal == "esp":
        shared.turn(ring(common))
    refusals = shared.unsealed()
    if refusals:
        raise Failed(f"network {net.name} is encrypted, and this host cannot do that now: {refusals[0]}")


def ring(common: Commons) -> Ring:
    """The cluster's, made now where there was none.  Raises Unavailable."""
    while True:
        known = common.shared.get(Ring, RING)
        if known is not None:
            return known
        fresh = Ring(RING, tuple(secrets.token_hex(_BYTES) for _ in range(3)), 0, time.time_ns())
        if common.shared.attempt(put=[fresh], absent=[fresh]):
            return fresh
        common.shared.refresh()


def turned(old: Ring, secret: str, now: int) -> Ring:
    """What was next is current."""
    return replace(old, secrets=(*old.secrets[1:], secret), turns=old.turns + 1, turned=now)


def due(ring: Ring, clock: int, known: float, seconds: float) -> bool:
    """Whether the secrets are to move on, on a node whose clock says *clock* and that has known these for *known*
    seconds.  A clock that jumps, or that of another node which did it last, moves them on once too often, but never
    so soon that somebody who listens has missed a turn: only who is one behind is understood."""
    # A time that is far ahead is that of a clock which was wrong.
    return known >= min(_REST, seconds) and (abs(clock - ring.turned) >= seconds * 1e9 or known >= seconds)


class Turning:
    """Remembers since when this node has known the secrets, by no clock that anybody sets."""

    def __init__(self) -> None:
        self._turns = -1
        self._since = 0.0

    def turn(self, common: Commons, shared: Shared, seconds: float) -> None:
        """This host has the cluster's ring, moved on where that was due and it is this node that does it."""
        known = common.shared.get(Ring, RING)
        if known is None:
            return
        if known.turns != self._turns:
            self._turns, self._since = known.turns, time.monotonic()
        clock = time.time_ns()
        if common.speaker() and due(known, clock, time.monotonic() - self._since, seconds):
            fresh = turned(known, secrets.token_hex(_BYTES), clock)
            if common.shared.attempt(put=[fresh], unchanged=[known]):
                log.info("the secrets of encrypted networks turned for the %d. time", fresh.turns)
                known = fresh
        shared.turn(known)
