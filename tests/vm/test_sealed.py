"""Encrypted overlay networks over two kernels with one Ethernet between them.

h1 10.99.0.1 fd99::1 eth0 --- segment --- eth0 10.99.0.2 fd99::2 h2
"""

from pathlib import Path

import pytest
from tests.kernel_cases import SEALING, Case
from tests.vm.machine import NO_ANSWER, Far, Machine

from bascule.drivers import sealed
from bascule.kernel.linux import GROUP, LinuxKernel
from bascule.model.cluster import Seal

Pair = tuple[Machine, Far]
# What answers say: a word that is not seen by chance.
BOX = "plaintext-marker"
CARRIED_BY: dict[Seal | None, str] = {None: "udp 4789", "wireguard": "udp 51789", "esp": "esp"}


def joined(pair: Pair, seal: Seal | None, version: int = 4) -> list[str]:
    """Both are members, with a box each; the boxes' addresses."""
    near, far = pair
    near.call("join", 1, seal, version)
    far.call("join", 2, seal, version)
    own, there = near.call("box", BOX), far.call("box", BOX)
    near.call("cluster", "told", there, far.call("cluster", "mac"))
    far.call("cluster", "told", own, near.call("cluster", "mac"))
    return [own[0], there[0]]


@pytest.mark.parametrize(
    ("seal", "version"), [(None, 4), ("wireguard", 4), ("esp", 4), ("wireguard", 6), ("esp", 6)]
)
def test_what_boxes_say_is_carried_and_on_the_wire_nobody_can_read_it(
    pair: Pair, seal: Seal | None, version: int
) -> None:
    near, far = pair
    own, there = joined(pair, seal, version)
    assert [machine.call("cluster", "wrong") for machine in pair] == [[], []]
    near.call("cluster", "listen", BOX)
    assert near.call("ask", BOX, there) == f"h2 {BOX}"
    assert far.call("ask", BOX, own) == f"h1 {BOX}"
    size = near.member.engine.shared.networks()[0].tunnel
    assert size
    # What fits, fits through: an IPv4 header and ICMP's take 28.
    near.call("sh", f"nsenter --net={near.key(BOX)} ping -q -c 2 -M do -s {size.mtu - 28} {there}")
    heard = near.call("cluster", "heard")
    assert heard[CARRIED_BY[seal]] > 10
    assert (heard["clear"] > 0, "udp 4789" in heard) == (seal is None, seal is None)


@pytest.mark.parametrize("seal", ["wireguard", "esp"])
def test_what_is_forged_in_the_clear_is_dropped(pair: Pair, seal: Seal) -> None:
    near, far = pair
    _, there = joined(pair, seal)
    mac = far.call("sh", "cat /sys/class/net/eth0/address").strip()
    # A frame from our box to the other's: nothing but its way here is wrong.
    ends = (far.call("cluster", "mac"), near.call("cluster", "mac"))
    inner = "".join(ends).replace(":", "") + "88b5" + BOX.encode().hex().ljust(92, "0")

    def taken() -> int:
        """How many of two forged frames, to each address of the other guest, come out of its tunnel."""
        before = far.call("cluster", "received")
        for target in ("fd99::2", str(sealed.inside(seal, "n2"))):
            near.call("cluster", "forge", mac, target, inner)
        # Whoever has answered this has taken what came before.
        assert near.call("ask", "", "fd99::2") == NO_ANSWER
        return int(far.call("cluster", "received")) - int(before)

    assert taken() == 0
    # They are well made: a host that is not closed to them takes both.
    far.call("cluster", "open", 0)
    assert taken() == 2
    far.call("cluster", "open", 1)
    assert taken() == 0
    assert near.call("ask", BOX, there) == f"h2 {BOX}"


@pytest.mark.parametrize("seal", ["wireguard", "esp"])
def test_without_the_link_that_encrypts_nothing_is_sent_and_it_comes_back(pair: Pair, seal: Seal) -> None:
    near, _ = pair
    _, there = joined(pair, seal)
    assert near.call("ask", BOX, there) == f"h2 {BOX}"
    near.call("sh", f"ip link del {sealed.LINKS[seal]}")
    near.call("cluster", "listen", BOX)
    assert near.call("ask", BOX, there) == NO_ANSWER
    heard = near.call("cluster", "heard")
    assert (heard.get("clear", 0), heard.get("udp 4789", 0)) == (0, 0)
    assert near.engine.shared.repair() != []
    assert near.call("cluster", "wrong") == []
    assert near.call("ask", BOX, there) == f"h2 {BOX}"


def test_no_packet_is_lost_while_secrets_turn(pair: Pair) -> None:
    near, far = pair
    own, there = joined(pair, "esp")
    assert near.call("ask", BOX, there) == f"h2 {BOX}"
    refused = [machine.call("cluster", "refused") for machine in pair]
    near.call("ping", BOX, there)
    # Each is ahead once, and what both know moves on three times: none of the first secrets is left.
    orders: tuple[tuple[Machine | Far, Machine | Far], ...] = ((far, near), (near, far), (far, near))
    for turns, (first, second) in enumerate(orders, 1):
        first.call("cluster", "turn", turns)
        assert far.call("ask", BOX, own) == f"h1 {BOX}"
        second.call("cluster", "turn", turns)
        assert near.call("ask", BOX, there) == f"h2 {BOX}"
    said = near.call("cluster", "pinged")
    # A starved guest sends few; what was asked after each step was answered, too.
    assert said["sent"] > 0
    assert said["lost"] == []
    # Nor did anybody else's packet come to a place where there was no key for it.
    assert [machine.call("cluster", "refused") for machine in pair] == refused
    assert [machine.call("cluster", "wrong") for machine in pair] == [[], []]


@pytest.mark.parametrize("seal", ["wireguard", "esp"])
def test_nothing_of_it_is_left_when_the_last_such_network_goes(pair: Pair, seal: Seal) -> None:
    near, far = pair
    joined(pair, seal)
    machines: tuple[Machine | Far, ...] = (near, far)
    for machine in machines:
        assert seal in machine.call("cluster", "seals")
        machine.call("clear")
        left = machine.call("sh", "ip -o link; ip xfrm state; ip xfrm policy; nft list set inet bascule sealed")
        assert [word for word in ("bascule-", "esp", "0x1000") if word in left] == []


@pytest.mark.parametrize("case", SEALING, ids=lambda case: case.__name__)
def test_linux(case: Case, tmp_path: Path) -> None:
    kernel = LinuxKernel(table="case", group=GROUP + 0x100, namespaces=str(tmp_path))
    try:
        case(kernel, "")
    finally:
        kernel.sweep([])
        kernel.close()
