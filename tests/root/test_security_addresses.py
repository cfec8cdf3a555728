"""Addresses and ports that have been somebody's (S13), are somebody's (S17), or have run out (S20)."""

import os
import socket
from collections.abc import Iterator
from ipaddress import ip_network

import pytest
from tests.root.engine_world import LAN, EngineWorld, at, port

from bascule.model.endpoint import PortSpec
from bascule.model.errors import BasculeError
from bascule.model.network import NetworkSpec, PoolSpec
from bascule.model.settings import AddressPool

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo make test-root")


@pytest.fixture
def world() -> Iterator[EngineWorld]:
    with EngineWorld() as made:
        yield made


def refusal(world: EngineWorld, *subnets: str) -> str:
    """What is said to somebody who asks for a network on *subnets*."""
    before = world.kernel.dump()
    with pytest.raises(BasculeError) as told:
        world.network("refused", *subnets)
    assert world.kernel.dump() == before
    return f"{told.value.status} {told.value}"


def datagrams(world: EngineWorld, who: str, address: str, number: int) -> socket.socket:
    made = world.socket(who, socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((address, number))
    return made


@pytest.mark.parametrize(("lan", "host"), [("192.0.2.2", "192.0.2.1"), ("2001:db8::2", "2001:db8::1")])
def test_s13_an_old_udp_flow_reaches_the_next_container_of_a_port(world: EngineWorld, lan: str, host: str) -> None:
    world.network("n", "10.71.0.0/24", "fd71::/64")
    ports = (port(80, 8080, "udp"),)
    old = world.box("a", "n", ports=ports)
    client = datagrams(world, "lan", lan, 4000)
    client.sendto(b"?", (host, 8080))
    assert client.recv(100).decode() == lan
    left = {a.ip for a in world.end(old).addresses}
    world.engine.close_sandbox(old)
    new = world.box("b", "n", ports=ports)
    client.sendto(b"?", (host, 8080))
    assert client.recv(100).decode() == lan
    assert not left & {a.ip for a in world.end(new).addresses}


def test_s13_answers_to_a_removed_container_do_not_reach_the_next_with_its_address(world: EngineWorld) -> None:
    world.network("n", "10.71.0.0/24")
    server = datagrams(world, "lan", LAN, 90)
    for who in ("a", "b"):
        box = world.box(who, "n", ports=(port(5000, 8080, "udp"),), spec=at("10.71.0.2"))
        mouth = datagrams(world, who, "0.0.0.0", 5001)
        if who == "a":
            mouth.sendto(b"question", (LAN, 90))
            _, asker = server.recvfrom(100)
            world.engine.close_sandbox(box)
    server.sendto(b"late answer", asker)
    server.sendto(b"to the port", ("192.0.2.1", 8080))
    ears = datagrams(world, "b", "0.0.0.0", 5000)
    server.sendto(b"to the port", ("192.0.2.1", 8080))
    assert ears.recv(100) == b"to the port"
    with pytest.raises(TimeoutError):
        mouth.recv(100)


def test_s13_addresses_are_handed_out_next_fit(world: EngineWorld) -> None:
    world.network("n", "10.71.0.0/29")
    given = []
    for who in ("a", "b", "c", "d", "e", "f"):
        box = world.box(who, "n")
        given.append(str(world.end(box).addresses[0].ip))
        world.engine.close_sandbox(box)
    assert given == ["10.71.0.2", "10.71.0.3", "10.71.0.4", "10.71.0.5", "10.71.0.6", "10.71.0.2"]


def subnet(world: EngineWorld, name: str) -> str:
    return str(world.network(name).pools[0].subnet)


def test_s17_automatic_allocation_avoids_what_the_host_routes(world: EngineWorld) -> None:
    """Also what came later, what only a rule leads to (WireGuard's way), and what is blackholed."""
    world.ip("host", f"route add 172.18.4.0/24 via {LAN}", f"route add 172.19.0.0/16 via {LAN} table 51820")
    assert subnet(world, "one") == "172.20.0.0/16"
    world.ip("host", "route add blackhole 172.21.0.0/16", "link add tun0 up type veth peer name far")
    world.ip("host", "addr add 172.22.0.6 peer 172.22.0.5 dev tun0")
    assert subnet(world, "two") == "172.23.0.0/16"


def test_s17_a_vpn_that_takes_everything_takes_no_pool(world: EngineWorld) -> None:
    """OpenVPN's redirect-gateway def1, and WireGuard's like: two halves instead of a default route."""
    world.ip("host", f"route add 0.0.0.0/1 via {LAN}", f"route add 128.0.0.0/1 via {LAN}")
    world.ip("host", "-6 route add ::/1 via 2001:db8::2", "-6 route add 8000::/1 via 2001:db8::2")
    assert subnet(world, "one") == "172.18.0.0/16"
    assert world.network("two", "10.71.0.0/24", "fd71::/64").ipv6


@pytest.mark.parametrize(
    ("subnets", "told"),
    [
        (
            ("172.18.4.128/25",),
            "403 invalid pool request: 172.18.4.128/25 overlaps with 172.18.4.0/24, which this host has an address"
            " in or a route to (--opt bascule.allow_overlap=true to use it all the same)",
        ),
        (
            ("10.71.0.0/24", "2001:db8::/48"),
            "403 invalid pool request: 2001:db8::/48 overlaps with 2001:db8::/64, which this host has an address in"
            " or a route to (--opt bascule.allow_overlap=true to use it all the same)",
        ),
        (("172.17.9.0/24",), "403 invalid pool request: Pool overlaps with other one on this address space"),
    ],
)
def test_s17_an_explicit_overlap_is_refused_and_names_the_route(
    world: EngineWorld, subnets: tuple[str, ...], told: str
) -> None:
    world.ip("host", f"route add 172.18.4.0/24 via {LAN}")
    assert refusal(world, *subnets) == told


def test_s17_an_overlap_may_be_insisted_on(world: EngineWorld) -> None:
    world.ip("host", f"route add 172.18.4.0/24 via {LAN}")
    net = world.network("n", "172.18.0.0/16", options={"bascule.allow_overlap": "true"})
    assert str(net.pools[0].subnet) == "172.18.0.0/16"


def test_s20_pools_that_ran_out_say_so() -> None:
    pools = (AddressPool(ip_network("172.17.0.0/23"), 24),)
    with EngineWorld(pools=pools) as world:
        world.network("one")
        assert refusal(world) == "400 all predefined address pools have been fully subnetted"
        world.engine.remove("one")
        assert subnet(world, "two") == "172.17.1.0/24"


def test_s20_addresses_that_ran_out_say_whose(world: EngineWorld) -> None:
    net = world.network("n", "10.71.0.0/30", "fd71::/126")
    first = world.box("a", "n")
    before = world.kernel.dump()
    with pytest.raises(BasculeError) as told:
        world.box("b", "n")
    assert f"{told.value.status} {told.value}" == (
        f"500 no available IPv4 addresses on this network's address pools: n ({net.id})"
    )
    assert world.kernel.dump() == before
    world.engine.close_sandbox(first)
    assert world.end(world.box("c", "n")).addresses[0].ip.exploded == "10.71.0.2"


def test_s20_ports_that_ran_out_say_so_and_nothing_is_held() -> None:
    with EngineWorld(ports=(40000, 40001)) as world:
        world.network("n", "10.71.0.0/24")
        boxes = [world.box(who, "n", ports=(PortSpec(80),)) for who in ("a", "b")]
        assert [world.end(box).ports[0].host_port for box in boxes] == [40000, 40001]
        before = world.kernel.dump()
        with pytest.raises(BasculeError) as told:
            world.box("c", "n", ports=(PortSpec(80),))
        assert str(told.value).endswith(": all ports are allocated")
        assert world.kernel.dump() == before
        with pytest.raises(BasculeError) as told:
            world.box("d", "n", ports=(port(81, 40000),))
        assert str(told.value).endswith(
            'Bind for 0.0.0.0:40000 failed: port is already allocated (by container "a")'
        )


def test_s20_a_range_that_is_full_is_refused(world: EngineWorld) -> None:
    world.engine.create(
        NetworkSpec("n", pools=(PoolSpec(ip_network("10.71.0.0/24"), range=ip_network("10.71.0.8/31")),))
    )
    world.box("a", "n")
    with pytest.raises(BasculeError, match="no available IPv4 addresses on this network's address pools: n"):
        world.box("b", "n")
