"""Two machines with an engine each, and a kernel each, on one segment: their containers are neighbours.

h1 10.99.0.1 fd99::1 eth0 --- segment --- eth0 10.99.0.2 fd99::2 h2
"""

from itertools import count
from typing import Any

import pytest
from tests.vm.machine import NO_ANSWER, Far, Machine

from bascule.model.errors import BasculeError

SUBNETS = ("10.99.0.0/24", "fd99::/64")
GATEWAYS = ["10.99.0.254", "fd99::fffe"]
# Four addresses each.
NEAR, FAR = ("10.99.0.128/30", "fd99::100/126"), ("10.99.0.132/30", "fd99::104/126")
ADDRESSES = {
    "near": [[f"10.99.0.{128 + i}", f"fd99::{0x100 + i:x}"] for i in range(4)],
    "far": [[f"10.99.0.{132 + i}", f"fd99::{0x104 + i:x}"] for i in range(4)],
}
Pair = tuple[Machine, Far]


def wire(machine: Machine | Far, driver: str, ranges: tuple[str, str], **options: str) -> None:
    pools = dict(zip(SUBNETS, ranges, strict=True))
    machine.call("network", driver, pools, GATEWAYS, {"parent": "eth0", **options})


def filled(machine: Machine | Far) -> list[Any]:
    """The addresses of as many boxes as `wire` has room for: `box0`, `box1`, ..."""
    found: list[Any] = []
    for number in count():
        assert number < 10
        try:
            found.append(machine.call("box", f"box{number}"))
        except BasculeError as refusal:
            if "no available" not in str(refusal):
                raise
            break
    return found


@pytest.mark.parametrize(
    ("driver", "parent"), [("macvlan", "eth0"), ("ipvlan", "eth0"), ("macvlan", "eth0.50"), ("ipvlan", "eth0.50")]
)
def test_containers_of_both_talk_and_split_ranges_give_no_address_twice(
    pair: Pair, driver: str, parent: str
) -> None:
    near, far = pair
    wire(near, driver, NEAR, parent=parent)
    wire(far, driver, FAR, parent=parent)
    assert {"near": filled(near), "far": filled(far)} == ADDRESSES
    for machine, other, host in ((near, "far", "h2"), (far, "near", "h1")):
        for number in (0, 3):
            for address in ADDRESSES[other][number]:
                assert machine.call("ask", "box1", address) == f"{host} box{number}", (host, address)
    # The other machine is on the segment, not in its VLAN; the own host is never a neighbour.
    outside = NO_ANSWER if "." in parent else "h1 box0"
    assert far.call("ask", "", ADDRESSES["near"][0][0]) == outside
    assert near.call("ask", "", ADDRESSES["near"][0][0]) == NO_ANSWER
    assert ("eth0.50" in far.call("sh", "ip -o link")) is ("." in parent)
    far.call("clear")
    assert "eth0.50" not in far.call("sh", "ip -o link")


def test_whoever_does_not_split_them_is_told_of_no_address_that_the_other_has(pair: Pair) -> None:
    given = []
    for machine in pair:
        wire(machine, "macvlan", SUBNETS, **{"bascule.duplicate_detection": "strict"})
    for name in ("one", "two"):
        given += [address for machine in pair for address in machine.call("box", name)]
    # Nor those of the machines themselves.
    assert len({"10.99.0.1", "10.99.0.2", "fd99::1", "fd99::2", *given}) == 12, given
