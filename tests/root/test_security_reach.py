"""What may reach a container from where, by gateway mode: an engine on the real kernel, and real packets.

Each container serves 80 and 81; 80 is published where a test says so, 81 never is.  An answer is the address that
the server saw.
"""

import os
import socket
from collections.abc import Iterator

import pytest
from tests.root.engine_world import EngineWorld, at, port
from tests.root.frames import udp

from bascule.model.endpoint import EndpointSpec

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo make test-root")

A, A6 = "10.71.0.2", "fd71::2"
B, B6 = "10.72.0.2", "fd72::2"
C, C6 = "10.71.0.3", "fd71::3"


@pytest.fixture
def world() -> Iterator[EngineWorld]:
    with EngineWorld() as made:
        yield made


def modes(mode: str) -> dict[str, str]:
    return {"gateway_mode_ipv4": mode, "gateway_mode_ipv6": mode}


def answers(world: EngineWorld, *questions: str) -> str:
    """The answers alone, in order."""
    return ", ".join(line.split(": ", 1)[1] for line in world.table(*questions).splitlines())


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("nat", "no answer, no answer, no answer, no answer, 192.0.2.2, 2001:db8::2"),
        ("nat-unprotected", "192.0.2.2, 2001:db8::2, 192.0.2.2, 2001:db8::2, 192.0.2.2, 2001:db8::2"),
        ("routed", "192.0.2.2, 2001:db8::2, no answer, no answer, refused, refused"),
    ],
)
def test_s3_a_neighbour_that_routes_to_the_subnet_reaches_published_ports_only(
    world: EngineWorld, mode: str, told: str
) -> None:
    world.network("n", "10.71.0.0/24", "fd71::/64", options=modes(mode))
    world.box("a", "n", ports=(port(80, 8080),), spec=at(A, A6))
    straight = [f"lan {a} {p}" for p in (80, 81) for a in (A, A6)]
    assert answers(world, *straight, "lan 192.0.2.1 8080", "lan 2001:db8::1 8080") == told


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        # The one that is on another network asks the container straight, then the host.
        ("nat", "no answer, no answer, no answer, no answer, 10.71.0.1, fd71::1"),
        ("nat-unprotected", "no answer, no answer, no answer, no answer, 10.71.0.1, fd71::1"),
        ("routed", "10.71.0.1, fd71::1, no answer, no answer, refused, refused"),
    ],
)
def test_s3_networks_are_kept_apart_in_every_gateway_mode(world: EngineWorld, mode: str, told: str) -> None:
    world.network("n", "10.71.0.0/24", "fd71::/64", options=modes(mode))
    world.network("m", "10.72.0.0/24", "fd72::/64")
    world.box("a", "n", ports=(port(80, 8080),), spec=at(A, A6))
    world.box("b", "m", spec=at(B, B6))
    straight = [f"b {a} {p}" for p in (80, 81) for a in (A, A6)]
    assert answers(world, *straight, "b 192.0.2.1 8080", "b 2001:db8::1 8080") == told


def test_s3_an_isolated_network_has_no_host(world: EngineWorld) -> None:
    net = world.network("n", "10.71.0.0/24", "fd71::/64", internal=True, options=modes("isolated"))
    world.box("a", "n", spec=at(A, A6))
    world.box("c", "n", spec=at(C, C6))
    assert world.sh("host", f"ip -br addr show {net.link}").split()[2:] == []
    world.ip("host", "route add 10.71.0.0/24 dev " + net.link, "-6 route add fd71::/64 dev " + net.link)
    world.serve("host", "0.0.0.0", 70)
    assert world.table(
        "c 10.71.0.2 81", "c fd71::2 81", "a 192.0.2.1 70", "a 192.0.2.2 90", "lan 10.71.0.2 80", "lan fd71::2 80"
    ) == (
        "c 10.71.0.2 81: 10.71.0.3\nc fd71::2 81: fd71::3\na 192.0.2.1 70: Network is unreachable\n"
        "a 192.0.2.2 90: Network is unreachable\nlan 10.71.0.2 80: no answer\nlan fd71::2 80: no answer"
    )


def test_s3_an_internal_network_reaches_itself_and_its_gateway_only(world: EngineWorld) -> None:
    """Also with routes that its container made for itself, and for its own port that is published."""
    world.network("n", "10.71.0.0/24", "fd71::/64", internal=True)
    world.network("m", "10.72.0.0/24", "fd72::/64")
    world.box("a", "n", ports=(port(80, 8080),), spec=at(A, A6))
    world.box("c", "n", spec=at(C, C6))
    world.box("b", "m", spec=at(B, B6))
    world.ip("a", "route add default via 10.71.0.1", "-6 route add default via fd71::1")
    for address in ("0.0.0.0", "::"):
        world.serve("host", address, 70)
        world.serve("lan", address, 90)
    reached = (
        "c 10.71.0.2 81: 10.71.0.3\nc fd71::2 81: fd71::3\na 10.71.0.1 70: 10.71.0.2\na fd71::1 70: fd71::2\n"
        "host 10.71.0.2 81: 10.71.0.1"
    )
    assert world.table(*(line.split(": ")[0] for line in reached.splitlines())) == reached
    apart = (
        "a 192.0.2.1 70",
        "a 2001:db8::1 70",
        "a 10.72.0.1 70",
        "a 192.0.2.2 90",
        "a 2001:db8::2 90",
        "a 10.72.0.2 80",
        "a fd72::2 80",
        "b 10.71.0.2 80",
        "b fd71::2 80",
        "lan 10.71.0.2 80",
    )
    assert world.table(*apart) == "\n".join(f"{question}: no answer" for question in apart)
    assert answers(world, "lan 192.0.2.1 8080", "host 127.0.0.1 8080") == "refused, refused"


def test_s2_s3_a_port_published_at_loopback_is_the_hosts_alone(world: EngineWorld) -> None:
    """From a neighbour and from containers, whatever they route and forge; over UDP, where one packet is enough."""
    net = world.network("n", "10.71.0.0/24", "fd71::/64")
    other = world.network("m", "10.72.0.0/24", "fd72::/64")
    world.box("a", "n", ports=(port(80, 8081, "udp", "127.0.0.1"), port(80, 8080, "udp")), spec=at(A, A6))
    world.box("b", "m", spec=at(B, B6))
    world.box("c", "n", spec=at(C, C6))
    assert answers(world, "host 127.0.0.1 8081 udp", "lan 192.0.2.1 8081 udp") == "10.71.0.1, refused"
    for who, link, source in (("lan", "eth0", "192.0.2.2"), ("b", other.link, B), ("c", net.link, C)):
        macs = (world.mac(who), world.mac("host", link))
        frames = {
            "to loopback": udp(macs, (source, "127.0.0.1"), (4000, 8081)),
            "to and from loopback": udp(macs, ("127.0.0.1", "127.0.0.1"), (4000, 8081)),
            "to the host": udp(macs, (source, "192.0.2.1"), (4000, 8081)),
        }
        end = udp(macs, (source, "192.0.2.1"), (4001, 8080))
        assert (who, world.heard(who, ("a", "eth0"), frames, end)) == (who, [])


def test_s2_the_hosts_own_loopback_services_are_not_reached_from_a_bridge(world: EngineWorld) -> None:
    net = world.network("n", "10.71.0.0/24")
    world.box("a", "n", spec=at(A))
    server = world.socket("host", socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("", 71))
    mouth = world.socket("a", socket.AF_PACKET, socket.SOCK_RAW)
    mouth.bind(("eth0", 0))
    for target in ("127.0.0.1", "10.71.0.1"):
        macs = (world.mac("a"), world.mac("host", net.link))
        mouth.send(udp(macs, (A, target), (4000, 71))(target.encode()))
    assert server.recv(100) == b"10.71.0.1"
    every = world.sh(
        "host", "cat /proc/sys/net/ipv4/conf/all/route_localnet /proc/sys/net/ipv4/conf/eth0/route_localnet"
    )
    assert every.split() == ["0", "0"]


def test_s9_transit_traffic_to_a_published_port_number_is_not_captured() -> None:
    """53 is published here at every address; 198.51.100.1:53, beyond this host, is still its own."""
    with EngineWorld(router=True) as world:
        world.cable("far", "eth1", ("198.51.100.9", "2001:db8:1::9"), ("198.51.100.1", "2001:db8:1::1"))
        world.network("n", "10.71.0.0/24", "fd71::/64")
        world.network("m", "10.72.0.0/24", "fd72::/64")
        world.box("a", "n", ports=(port(80, 53), port(80, 53, "udp")), spec=at(A, A6))
        world.box("b", "m", spec=at(B, B6))
        for address in ("198.51.100.1", "2001:db8:1::1"):
            world.serve("far", address, 53)
            world.serve("far", address, 53, "udp")
        assert world.table(
            "lan 198.51.100.1 53",
            "lan 198.51.100.1 53 udp",
            "lan 2001:db8:1::1 53",
            "lan 2001:db8:1::1 53 udp",
            "host 198.51.100.1 53",
            "b 198.51.100.1 53 udp",
            "b 2001:db8:1::1 53",
            "lan 192.0.2.1 53",
        ) == (
            "lan 198.51.100.1 53: 192.0.2.2\nlan 198.51.100.1 53 udp: 192.0.2.2\n"
            "lan 2001:db8:1::1 53: 2001:db8::2\nlan 2001:db8:1::1 53 udp: 2001:db8::2\n"
            "host 198.51.100.1 53: 198.51.100.9\nb 198.51.100.1 53 udp: 198.51.100.9\n"
            "b 2001:db8:1::1 53: 2001:db8:1::9\nlan 192.0.2.1 53: 192.0.2.2"
        )


def test_s3_trusted_interfaces_route_to_every_port_and_others_to_none(world: EngineWorld) -> None:
    world.cable("far", "eth1", ("198.51.100.9", "2001:db8:1::9"), ("198.51.100.1", "2001:db8:1::1"))
    world.network("n", "10.71.0.0/24", "fd71::/64", options={"trusted_host_interfaces": "eth1"})
    world.box("a", "n", spec=at(A, A6))
    assert answers(world, "far 10.71.0.2 81", "far fd71::2 81", "lan 10.71.0.2 81", "lan fd71::2 81") == (
        "198.51.100.1, 2001:db8:1::1, no answer, no answer"
    )


@pytest.mark.parametrize("nf_call", [False, True], ids=["bridged apart from IP", "bridged through the IP hooks"])
def test_s8_the_kept_apart_reach_only_what_is_published(nf_call: bool) -> None:
    """enable_icc=false: not directly, not by the gateway's MAC, but by the host's address."""
    with EngineWorld(nf_call=nf_call) as world:
        net = world.network("n", "10.71.0.0/24", "fd71::/64", options={"enable_icc": "false"})
        published = (port(80, 8080), port(80, 8080, "udp"))
        world.box("a", "n", ports=published, exposed=(("tcp", 81),), spec=at(A, A6))
        world.box("c", "n", spec=at(C, C6))
        for question in ("c 10.71.0.2 80", "c fd71::2 80", "c 10.71.0.2 81", "c 10.71.0.2 80 udp"):
            assert world.table(question) == f"{question}: no answer"
        by_host = (world.mac("c"), world.mac("host", net.link))
        frames = {"to the container, by the host": udp(by_host, (C, A), (4000, 80))}
        end = udp(by_host, (C, "192.0.2.1"), (4001, 8080))
        assert world.heard("c", ("a", "eth0"), frames, end) == []
        for question in ("c 192.0.2.1 8080", "c 2001:db8::1 8080", "c 10.71.0.1 8080 udp", "host 10.71.0.2 81"):
            assert world.table(question).split(": ")[1] in {C, C6, "10.71.0.1", "fd71::1"}


def test_s8_a_link_is_one_way_and_to_exposed_ports_only() -> None:
    """The default bridge is where Docker has links; --icc=false is its option there."""
    with EngineWorld(icc=False) as world:
        world.box("a", "bridge", exposed=(("tcp", 81),))
        world.box("c", "bridge", spec=EndpointSpec(links=("a:db",)))
        a, c = (str(world.engine.endpoints()[i].addresses[0].ip) for i in (0, 1))
        assert answers(world, f"c {a} 81", f"c {a} 80", f"a {c} 81", f"a {c} 80") == (
            f"{c}, no answer, no answer, no answer"
        )
