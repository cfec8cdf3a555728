"""Parents of links of our own making: VLANs and dummies, on a kernel that has both.

lan 192.0.2.2 --- 192.0.2.1 eth0  the host, whose link is the parent
"""

from collections.abc import Iterator
from ipaddress import ip_network

import pytest
from tests.root.engine_world import EngineWorld
from tests.root.ground import until

from bascule.model.network import Network, NetworkSpec, PoolSpec


@pytest.fixture
def world() -> Iterator[EngineWorld]:
    with EngineWorld(nf_call=False) as made:
        yield made


def network(world: EngineWorld, driver: str, **options: str) -> Network:
    pools = (PoolSpec(ip_network("10.8.0.0/24")), PoolSpec(ip_network("fd08::/64")))
    return world.engine.create(NetworkSpec("wire", driver, pools=pools, ipv6=True, options=options))


def links(world: EngineWorld, kind: str) -> list[str]:
    """The host's links of a kind."""
    lines = world.sh("host", f"ip -o link show type {kind}").splitlines()
    return [line.split(": ")[1] for line in lines]


@pytest.mark.parametrize(
    ("driver", "mode"), [("macvlan", ""), ("ipvlan", "l2"), ("ipvlan", "l3"), ("ipvlan", "l3s")]
)
def test_without_a_parent_a_dummy_is_one_and_goes_with_the_network(
    world: EngineWorld, driver: str, mode: str
) -> None:
    net = network(world, driver, **({"ipvlan_mode": mode} if mode else {}))
    boxes = [world.box(name, "wire") for name in ("one", "two")]
    assert links(world, "dummy") == [f"{'dm' if driver == 'macvlan' else 'di'}-{net.id[:12]}"]
    for address in world.end(boxes[1]).addresses:
        assert world.ask("one", str(address.ip), 80) == str(world.end(boxes[0]).addresses[address.version == 6].ip)
    for box in boxes:
        world.engine.disconnect("wire", box)
    world.engine.remove("wire")
    world.kernel.settle()
    assert links(world, "dummy") == []


@pytest.mark.parametrize("driver", ["macvlan", "ipvlan"])
def test_a_vlan_of_ours_that_somebody_takes_away_is_back_and_goes_with_the_network(
    world: EngineWorld, driver: str
) -> None:
    network(world, driver, parent="eth0.50")
    box = world.box("one", "wire")
    # The other machine is in that VLAN, and answers there.
    world.ip("lan", "link add eth0.50 up link eth0 type vlan id 50", "addr add 10.8.0.200/24 dev eth0.50")
    world.serve("lan", "10.8.0.200", 80)
    assert world.ask("one", "10.8.0.200", 80) == "10.8.0.2"
    world.ip("host", "link del eth0.50")
    until(lambda: world.ask("one", "10.8.0.200", 80) == "10.8.0.2")
    assert links(world, "vlan") == ["eth0.50@eth0"]
    world.engine.disconnect("wire", box)
    world.engine.remove("wire")
    world.kernel.settle()
    assert links(world, "vlan") == []
