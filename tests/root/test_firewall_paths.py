"""Who reaches whom through the rule set: real packets between namespaces, a table a question.

Ports: 80 is published or open, 81 is served and neither.  Each answer is the address that the server saw.
"""

import os
import socket
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from tests.root.firewall_world import ADDRESSES, World, guarded, name, network, publish
from tests.root.frames import udp

from bascule.model.firewall import Internal, Mode, Open, Rule, Together, Trusted

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo make test-root")

A1, A1_6 = ADDRESSES["a1"]


@pytest.fixture(scope="module", params=[False, True], ids=["bridged apart from IP", "bridged through the IP hooks"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with World(name(f"p{int(request.param)}"), nf_call=request.param) as made:
        for address in ("0.0.0.0", "::"):
            for port in (80, 81):
                made.serve("a1", address, port)
                made.serve("a1", address, port, "udp")
            made.serve("lan", address, 90)
            made.serve("b1", address, 80)
            made.serve("host", address, 70)
        yield made


def published() -> list[Rule]:
    return [publish(host, 8080, "a1", 80, proto) for host in ("0.0.0.0", "::") for proto in ("tcp", "udp")]


def test_a_published_port_is_reached_from_everywhere(world: World) -> None:
    world.firewall.guard([*network("br-a"), *network("br-b"), *guarded("a1", "a2", "b1"), *published()])
    assert (
        world.table(
            "lan 192.0.2.1 8080",
            "lan 192.0.2.1 8080 udp",
            "lan 2001:db8::1 8080",
            "lan 2001:db8::1 8080 udp",
            "host 192.0.2.1 8080",
            "host 2001:db8::1 8080",
            "host 127.0.0.1 8080",
            "host 127.0.0.1 8080 udp",
            "b1 192.0.2.1 8080",
            "b1 2001:db8::1 8080",
        )
        == """\
lan 192.0.2.1 8080: 192.0.2.2
lan 192.0.2.1 8080 udp: 192.0.2.2
lan 2001:db8::1 8080: 2001:db8::2
lan 2001:db8::1 8080 udp: 2001:db8::2
host 192.0.2.1 8080: 192.0.2.1
host 2001:db8::1 8080: 2001:db8::1
host 127.0.0.1 8080: 10.1.0.1
host 127.0.0.1 8080 udp: 10.1.0.1
b1 192.0.2.1 8080: 10.1.0.1
b1 2001:db8::1 8080: fd01::1"""
    )


def test_a_neighbour_on_the_bridge_reaches_a_published_port_by_the_hosts_address(world: World) -> None:
    world.firewall.guard([*network("br-a"), *guarded("a1", "a2"), *published()])
    answers = world.table("a2 192.0.2.1 8080", "a2 2001:db8::1 8080", "a2 10.1.0.1 8080")
    assert "no answer" not in answers
    assert "refused" not in answers


def test_networks_are_kept_apart_and_reach_the_world(world: World) -> None:
    world.firewall.guard([*network("br-a"), *network("br-b"), *guarded("a1", "a2", "b1"), *published()])
    assert (
        world.table(
            "a2 10.1.0.2 81",
            "a2 fd01::2 81",
            "b1 10.1.0.2 80",
            "b1 fd01::2 81",
            "a1 10.2.0.2 80",
            "lan 10.1.0.2 80",
            "lan fd01::2 80",
            "lan 10.1.0.2 81 udp",
            "lan 10.1.0.2 ping",
            "host 10.1.0.2 81",
            "a1 192.0.2.2 90",
            "a1 2001:db8::2 90",
            "a1 10.1.0.1 70",
        )
        == """\
a2 10.1.0.2 81: 10.1.0.3
a2 fd01::2 81: fd01::3
b1 10.1.0.2 80: no answer
b1 fd01::2 81: no answer
a1 10.2.0.2 80: no answer
lan 10.1.0.2 80: no answer
lan fd01::2 80: no answer
lan 10.1.0.2 81 udp: no answer
lan 10.1.0.2 ping: no answer
host 10.1.0.2 81: 10.1.0.1
a1 192.0.2.2 90: 192.0.2.1
a1 2001:db8::2 90: 2001:db8::1
a1 10.1.0.1 70: 10.1.0.2"""
    )


def route_to_containers(world: World) -> None:
    world.ip(
        "lan",
        "route replace 10.1.0.0/24 via 192.0.2.1",
        "-6 route replace fd01::/64 via 2001:db8::1",
    )


@pytest.mark.parametrize(
    ("mode", "answers"),
    [
        ("nat", "no answer no answer no answer | no answer no answer no answer"),
        ("nat-unprotected", "192.0.2.2 192.0.2.2 answers | no answer no answer no answer"),
        ("routed", "192.0.2.2 no answer answers | 10.2.0.2 no answer answers"),
    ],
)
def test_what_is_routed_to_a_container_depends_on_the_gateway_mode(world: World, mode: Mode, answers: str) -> None:
    route_to_containers(world)
    opened = [Open(ip_address(address), "tcp", 80) for address in (A1, A1_6)] if mode == "routed" else published()
    world.firewall.guard(
        [
            *network("br-a", mode, masquerade=False),
            *network("br-b", masquerade=False),
            *guarded("a1", "b1"),
            *opened,
        ]
    )
    for version, address in ((4, A1), (6, A1_6)):
        asked = [f"{who} {address} {what}" for who in ("lan", "b1") for what in ("80", "81", "ping")]
        got = [line.split(": ", 1)[1] for line in world.table(*asked).splitlines()]
        seen = " ".join(got[:3]) + " | " + " ".join(got[3:])
        in_four = seen.replace("2001:db8::2", "192.0.2.2").replace("fd02::2", "10.2.0.2")
        assert (version, in_four) == (version, answers)


def test_a_trusted_interface_routes_to_every_port(world: World) -> None:
    route_to_containers(world)
    world.firewall.guard([*network("br-a"), Trusted("eth0", "br-a")])
    assert world.table("lan 10.1.0.2 81", "lan fd01::2 81") == (
        "lan 10.1.0.2 81: 192.0.2.2\nlan fd01::2 81: 2001:db8::2"
    )


def test_an_internal_network_reaches_itself_and_its_gateway_only(world: World) -> None:
    world.firewall.guard([Internal("br-a"), Together("br-a"), *network("br-b"), *guarded("a1", "a2", "b1")])
    assert (
        world.table(
            "a2 10.1.0.2 81",
            "a2 fd01::2 81",
            "a2 10.1.0.1 70",
            "a2 fd01::1 70",
            "host 10.1.0.2 81",
            "a2 192.0.2.1 70",
            "a2 2001:db8::1 70",
            "a2 10.2.0.1 70",
            "a2 192.0.2.2 90",
            "a2 2001:db8::2 90",
            "a2 10.2.0.2 80",
            "b1 10.1.0.2 81",
            "lan 10.1.0.2 81",
        )
        == """\
a2 10.1.0.2 81: 10.1.0.3
a2 fd01::2 81: fd01::3
a2 10.1.0.1 70: 10.1.0.3
a2 fd01::1 70: fd01::3
host 10.1.0.2 81: 10.1.0.1
a2 192.0.2.1 70: no answer
a2 2001:db8::1 70: no answer
a2 10.2.0.1 70: no answer
a2 192.0.2.2 90: no answer
a2 2001:db8::2 90: no answer
a2 10.2.0.2 80: no answer
b1 10.1.0.2 81: no answer
lan 10.1.0.2 81: no answer"""
    )


def test_a_port_published_at_loopback_is_the_hosts_alone(world: World) -> None:
    """S2, S3: whatever a neighbour routes to the host, and whatever a container sends to its gateway."""
    route_to_containers(world)
    loopback = publish("127.0.0.1", 8081, "a1", 80, "udp")
    world.firewall.guard([*network("br-a"), *network("br-b"), loopback, *published()])
    for who, link, source in (("lan", "eth0", "192.0.2.2"), ("b1", "br-b", "10.2.0.2")):
        macs = (world.mac(who), world.mac("host", link))
        came = world.heard(
            who,
            ("a1", "eth0"),
            {
                "to loopback": udp(macs, (source, "127.0.0.1"), (4000, 8081)),
                "to and from loopback": udp(macs, ("127.0.0.1", "127.0.0.1"), (4000, 8081)),
                "to the host": udp(macs, (source, "192.0.2.1"), (4000, 8081)),
                "to the container": udp(macs, (source, A1), (4000, 80)),
            },
            end=udp(macs, (source, "192.0.2.1"), (4001, 8080)),
        )
        assert (who, came) == (who, [])
    assert world.table("host 127.0.0.1 8081 udp", "lan 192.0.2.1 8081 udp") == (
        "host 127.0.0.1 8081 udp: 10.1.0.1\nlan 192.0.2.1 8081 udp: refused"
    )


def test_the_hosts_loopback_is_not_reached_from_a_bridge_with_route_localnet(world: World) -> None:
    """S2: CVE-2020-8558."""
    world.firewall.guard(network("br-a"))
    server = world.socket("host", socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("", 71))
    macs = (world.mac("a2"), world.mac("host", "br-a"))
    mouth = world.socket("a2", socket.AF_PACKET, socket.SOCK_RAW)
    mouth.bind(("eth0", 0))
    for target in ("127.0.0.1", "10.1.0.1"):
        mouth.send(udp(macs, ("10.1.0.3", target), (4000, 71))(target.encode()))
    assert server.recv(100) == b"10.1.0.1"


def test_a_port_published_at_one_address_is_reached_there_only(world: World) -> None:
    world.firewall.guard(
        [*network("br-a"), publish("192.0.2.1", 8082, "a1", 80), publish("2001:db8::1", 8082, "a1", 80)]
    )
    assert world.table(
        "lan 192.0.2.1 8082", "lan 2001:db8::1 8082", "host 127.0.0.1 8082", "a2 10.1.0.1 8082", "lan fd01::1 8082"
    ) == (
        "lan 192.0.2.1 8082: 192.0.2.2\nlan 2001:db8::1 8082: 2001:db8::2\nhost 127.0.0.1 8082: refused\n"
        "a2 10.1.0.1 8082: refused\nlan fd01::1 8082: refused"
    )


def test_transit_traffic_to_a_published_port_number_is_not_captured(world: World) -> None:
    """S9: 90 is published here, and lan's own 90 is still lan's."""
    world.firewall.guard([*network("br-a"), *network("br-b"), publish("0.0.0.0", 90, "a1", 80)])
    assert world.table("b1 192.0.2.2 90", "host 192.0.2.2 90", "lan 192.0.2.1 90") == (
        "b1 192.0.2.2 90: 192.0.2.1\nhost 192.0.2.2 90: 192.0.2.1\nlan 192.0.2.1 90: 192.0.2.2"
    )
