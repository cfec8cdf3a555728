"""A host that forwards only because of us is no router for its neighbours."""

import os
from collections.abc import Iterator

import pytest
from tests.root.engine_world import LAN, LAN6, EngineWorld

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo make test-root")

HERE, THERE = ("198.51.100.1", "2001:db8:2::1"), ("198.51.100.2", "2001:db8:2::2")


@pytest.fixture
def worlds() -> Iterator[list[EngineWorld]]:
    made: list[EngineWorld] = []
    yield made
    for world in made:
        world.__exit__(None, None, None)


def told(world: EngineWorld) -> str:
    """Whether a machine on another link of the host, and a container, reach the LAN through it."""
    world.cable("far", "eth1", HERE, THERE)
    world.network("n", "10.71.0.0/24", "fd71::/64")
    world.box("a", "n")
    for address in ("0.0.0.0", "::"):
        world.serve("lan", address, 90)
    return ", ".join(world.ask(who, address, 90) for who in ("far", "a") for address in (LAN, LAN6))


def test_where_forwarding_was_off_it_is_on_for_our_networks_only(worlds: list[EngineWorld]) -> None:
    worlds.append(EngineWorld())
    assert told(worlds[0]) == "no answer, no answer, 192.0.2.1, 2001:db8::1"


def test_the_administrator_may_have_it_otherwise(worlds: list[EngineWorld]) -> None:
    worlds.append(EngineWorld(router=True))
    assert told(worlds[0]) == "198.51.100.2, 2001:db8:2::2, 192.0.2.1, 2001:db8::1"


def test_it_stays_closed_over_restarts_until_it_is_opened(worlds: list[EngineWorld]) -> None:
    worlds.append(EngineWorld())
    world = worlds[0]
    world.engine.start()
    assert told(world) == "no answer, no answer, 192.0.2.1, 2001:db8::1"
    world.sh("host", "nft add rule inet bascule bascule-user iifname eth1 oifname eth0 accept")
    world.sh("host", "nft add rule inet bascule bascule-user iifname eth0 oifname eth1 accept")
    assert world.ask("far", LAN, 90) == THERE[0]


def test_a_host_that_forwarded_before_goes_on(worlds: list[EngineWorld]) -> None:
    class Router(EngineWorld):
        def _build(self) -> None:
            super()._build()
            self.sysctl("host", "ipv4/ip_forward", "1")
            self.sysctl("host", "ipv6/conf/all/forwarding", "1")

    worlds.append(Router())
    assert told(worlds[0]) == "198.51.100.2, 2001:db8:2::2, 192.0.2.1, 2001:db8::1"
