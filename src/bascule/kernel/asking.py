"""Asking machines on the segment of a link who has an address.

The questions go out by the link itself, not by what is made of it: so they do not depend on a container, and the
kernel shows them to none (a macvlan does not hear its parent).  They claim no address, so nobody learns from them.
Answers are read before anything made of the link could take them (net/core/dev.c: taps on everything come before
rx handlers): in mode passthru the link itself would not get them.
"""

import select
import socket
import struct
import time
from collections.abc import Collection, Sequence

from bascule.kernel.filters import EQUAL, LEAVE, LOAD_BYTE, LOAD_HALF, TAKE, Instruction, attach
from bascule.model.addresses import IPAddress
from bascule.wire.netlink import Malformed
from bascule.wire.probes import (
    ADVERTISEMENT,
    ALL_NODES,
    AT_ICMP,
    AT_NEXT,
    AT_TYPE,
    ETH_P_ARP,
    ETH_P_IPV6,
    ICMPV6,
    claim,
    question,
)

PATIENCE = 0.3
"""Seconds in which a machine that has an address says so.  Wired ones take less than five milliseconds."""
AGAIN = 0.1
"""Seconds after which the question is put a second time, for whom the first was lost."""

_ETH_P_ALL = 3
_SOL_PACKET, _ADD_MEMBERSHIP, _IGNORE_OUTGOING, _MULTICAST = 263, 1, 23, 0
# linux/filter.h: SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT.  Frames of a VLAN above are seen here without their tag.
_TAGGED = 0xFFFFF000 + 48
_FILTER: tuple[Instruction, ...] = (
    (LOAD_BYTE, 0, 0, _TAGGED),
    (EQUAL, 0, 7, 0),
    (LOAD_HALF, 0, 0, AT_TYPE),
    (EQUAL, 6, 0, ETH_P_ARP),
    (EQUAL, 0, 4, ETH_P_IPV6),
    (LOAD_BYTE, 0, 0, AT_NEXT),
    (EQUAL, 0, 2, ICMPV6),
    (LOAD_BYTE, 0, 0, AT_ICMP),
    (EQUAL, 1, 0, ADVERTISEMENT),
    LEAVE,
    TAKE,
)


def who_has(link: str, addresses: Sequence[IPAddress], but: Collection[str]) -> dict[IPAddress, str]:
    """Whose MAC each of *addresses* has that another machine on *link* says to have, other than *but*; takes
    PATIENCE, or as long as it takes to hear of all.  In the namespace of this thread.  Empty where *link* is not
    there, or down."""
    found: dict[IPAddress, str] = {}
    try:
        with _opened(link) as sock:
            mac = sock.getsockname()[4].hex(":")
            began = time.monotonic()
            for put in (began, began + AGAIN):
                for address in addresses:
                    if address not in found:
                        sock.send(question(mac, address))
                _hear(sock, addresses, {mac, *but}, found, put + AGAIN if put == began else began + PATIENCE)
    except OSError:
        return found  # The link went, or goes down: nobody is there to be heard.
    return found


def _opened(link: str) -> socket.socket:
    # Without a protocol until it is bound: nothing of another link is ever in it.
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, 0)
    try:
        attach(sock, _FILTER)
        sock.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        sock.bind((link, _ETH_P_ALL))
        index = socket.if_nametoindex(link)
        # Who has an IPv6 address tells everybody (RFC 4862, 5.4.3), and a link without one hears of no group.
        member = struct.pack("=iHH8s", index, _MULTICAST, len(ALL_NODES), ALL_NODES)
        sock.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, member)
    except BaseException:
        sock.close()
        raise
    return sock


def _hear(
    sock: socket.socket, asked: Collection[IPAddress], but: Collection[str], found: dict[IPAddress, str], end: float
) -> None:
    """What is said until *end* is in *found*."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    while len(found) < len(asked) and (left := end - time.monotonic()) > 0:
        if not poll.poll(left * 1000):
            continue
        try:
            said = claim(sock.recv(256))
        except (BlockingIOError, Malformed):
            continue
        if said and said[0] in asked and said[1] not in but:
            found.setdefault(*said)
