"""The host's own way to the endpoints of a macvlan, and that of its other containers.

lan 192.0.2.2 --- 192.0.2.1 eth0  the host, whose link is the parent
"""

import os
import re
from collections.abc import Callable, Iterator

import pytest
from tests.root.engine_world import EngineWorld
from tests.root.firewall_world import inside
from tests.root.test_macvlan import macvlan, reaches

from bascule.engine.engine import Engine
from bascule.kernel.linux import LinuxKernel

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo make test-root")


@pytest.fixture
def world() -> Iterator[EngineWorld]:
    with EngineWorld() as made:
        yield made


def test_containers_on_the_hosts_bridges_reach_the_endpoints_but_internal_ones_do_not(world: EngineWorld) -> None:
    macvlan(world, parent="eth0", **{"bascule.host_access": "true"})
    world.network("web", "10.214.0.0/24", "fd14::/64")
    world.network("inner", "10.215.0.0/24", "fd15::/64", internal=True)
    one = world.end(world.box("one", "wire"))
    world.box("two", "web")
    world.box("three", "inner")
    for address in one.addresses:
        assert reaches(world, "two", str(address.ip))
        assert not reaches(world, "three", str(address.ip))


def test_with_host_access_they_do_in_both_directions_and_families(world: EngineWorld) -> None:
    net = macvlan(world, parent="eth0", **{"bascule.host_access": "true"})
    boxes = [world.box(name, "wire") for name in ("one", "two")]
    own = [str(pool.aux["bascule.host"]) for pool in net.pools]
    assert own == ["10.213.0.2", "fd13::2"]
    for address in ("10.213.0.3", "10.213.0.4", "fd13::3", "fd13::4"):
        assert reaches(world, "host", address), address
    for address in own:
        assert reaches(world, "one", address), address
    # Nothing but the endpoints is behind it.
    assert world.sh("host", f"ip route show dev bh-{net.id[:12]}").split("\n") == [
        "10.213.0.3 scope link ",
        "10.213.0.4 scope link",
    ]
    world.engine.disconnect("wire", boxes[0])
    assert not reaches(world, "host", "10.213.0.3")
    assert reaches(world, "host", "10.213.0.4")
    world.engine.disconnect("wire", boxes[1])
    world.engine.remove("wire")
    world.kernel.settle()
    assert "bh-" not in world.sh("host", "ip -o link; ip route; ip -6 route")


def test_two_hundred_endpoints_with_host_access(world: EngineWorld) -> None:
    net = macvlan(world, parent="eth0", **{"bascule.host_access": "true"})
    for number in range(200):
        ask = world.engine.open(world.sandbox_of(number))
        world.engine.connect("wire", ask.id)
    routes = world.sh("host", f"ip route show dev bh-{net.id[:12]}").splitlines()
    assert len(routes) == 200
    last = world.engine.endpoints(network=net.id)[-1].addresses[0].ip
    assert reaches(world, "host", str(last))
    # By their numbers: nothing was made anew.
    there = "ip -o link | cut -d' ' -f1,2; ip route; ip -6 route"
    before = world.sh("host", there)
    began_again(world)
    assert world.sh("host", there) == before
    assert reaches(world, "host", str(last))
    # What went while no daemon ran is there when the next one has begun.
    again = began_again(world, lambda: world.sh("host", f"ip link del bh-{net.id[:12]}"))
    assert sorted(again.sh("host", "ip route; ip -6 route").splitlines()) == sorted(
        line for line in before.splitlines() if not re.match("[0-9]+: ", line)
    )
    assert reaches(world, "host", str(last))
    for number in range(200):
        world.engine.disconnect("wire", world.engine.sandboxes()[number].id)
    assert world.sh("host", f"ip route show dev bh-{net.id[:12]}") == ""


def began_again(world: EngineWorld, meanwhile: Callable[[], object] = lambda: None) -> EngineWorld:
    """With another engine on the same store, as the next daemon has one."""
    store = world.engine.store
    world.engine.duplicates.close()
    world.kernel.close()
    meanwhile()
    world.kernel = inside(world.ns("host"), lambda: LinuxKernel(namespaces=str(world.directory / "netns")))
    world.engine = Engine(world.kernel, store, world.engine.settings)
    world.engine.start()
    return world
