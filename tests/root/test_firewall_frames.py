"""What endpoints may not say on a bridge (S1, S8), and what the kept apart may say to each other: forged frames."""

import os
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from tests.root.firewall_world import ADDRESSES, MACS, World, guarded, name, network, publish
from tests.root.frames import (
    BROADCAST,
    Frame,
    advertisement,
    arp,
    ethernet,
    icmp,
    solicitation,
    udp,
)

from bascule.model.firewall import Apart, Linked, Port, Rule

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo make test-root")

A1, A1_6 = ADDRESSES["a1"]
A2, A2_6 = ADDRESSES["a2"]
GATEWAY, GATEWAY_6 = "10.1.0.1", "fd01::1"
OWN = (MACS["a1"], MACS["a2"])
ALL = (MACS["a1"], BROADCAST)
STRANGER = "02:00:00:00:00:66"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with World(name("f")) as made:
        for port in (80, 81):
            made.serve("a1", "0.0.0.0", port)
            made.serve("a1", "::", port)
        yield made


def lawful() -> Frame:
    return udp(OWN, (A1, A2))


def test_an_endpoint_says_what_is_lawful(world: World) -> None:
    world.firewall.guard([*network("br-a"), *guarded("a1", "a2")])
    frames = {
        "its address": udp(OWN, (A1, A2)),
        "its IPv6 address": udp(OWN, (A1_6, A2_6)),
        "its link-local address": icmp(OWN, ("fe80::a", A2_6), 129),
        "ARP of its own": arp(ALL, (MACS["a1"], A1), A1),
        "ARP question": arp(ALL, (MACS["a1"], A1), A2, answer=False),
        "ARP probe": arp(ALL, (MACS["a1"], "0.0.0.0"), A1, answer=False),
        "advertisement of its own": advertisement(OWN, (A1_6, A2_6), A1_6),
        "advertisement of its link-local address": advertisement(OWN, ("fe80::a", A2_6), "fe80::a"),
        "solicitation": solicitation(OWN, (A1_6, "ff02::1:ff00:3"), A2_6),
        "duplicate detection": solicitation(OWN, ("::", "ff02::1:ff00:2"), A1_6),
        "another protocol": lambda end: ethernet(*OWN, 0x88B5, end),
    }
    assert world.heard("a1", ("a2", "eth0"), frames, end=lawful()) == list(frames)


def test_an_endpoint_does_not_speak_for_others(world: World) -> None:
    world.firewall.guard([*network("br-a"), *guarded("a1", "a2")])
    frames = {
        "a forged MAC": udp((STRANGER, MACS["a2"]), (A1, A2)),
        "a forged address": udp(OWN, ("10.1.0.77", A2)),
        "the gateway's address": udp(OWN, (GATEWAY, A2)),
        "a forged IPv6 address": udp(OWN, ("fd01::77", A2_6)),
        "no IPv6 address": udp(OWN, ("::", A2_6)),
        "gratuitous ARP for the gateway": arp(ALL, (MACS["a1"], GATEWAY), GATEWAY),
        "ARP answer for the gateway": arp(OWN, (MACS["a1"], GATEWAY), A2),
        "ARP question as the gateway": arp(ALL, (MACS["a1"], GATEWAY), A2, answer=False),
        "ARP with another's MAC": arp(ALL, (STRANGER, A1), A2),
        "ARP from another MAC": arp((STRANGER, BROADCAST), (STRANGER, A1), A2),
        "advertisement of the gateway": advertisement(OWN, (A1_6, A2_6), GATEWAY_6),
        "advertisement of a neighbour, from its link-local": advertisement(OWN, ("fe80::a", A2_6), A2_6),
        "a tagged frame": udp(OWN, (A1, A2), vlan=7),
        "a tagged forged frame": udp(OWN, (GATEWAY, A2), vlan=7),
        "another protocol from another MAC": lambda end: ethernet(STRANGER, OWN[1], 0x88B5, end),
    }
    assert world.heard("a1", ("a2", "eth0"), frames, end=lawful()) == []


def test_the_host_hears_no_forged_frame_either(world: World) -> None:
    world.firewall.guard([*network("br-a"), *guarded("a1", "a2")])
    to_host = (MACS["a1"], world.mac("host", "br-a"))
    frames = {
        "a neighbour's address": udp(to_host, (A2, GATEWAY)),
        "ARP for a neighbour": arp(to_host, (MACS["a1"], A2), GATEWAY),
        "advertisement of a neighbour": advertisement(to_host, (A1_6, GATEWAY_6), A2_6),
    }
    assert world.heard("a1", ("host", "br-a"), frames, end=udp(to_host, (A1, GATEWAY))) == []


def test_without_a_guard_an_endpoint_may_speak_for_others(world: World) -> None:
    world.firewall.guard([*network("br-a"), *guarded("a2")])
    frames = {"a forged address": udp(OWN, ("10.1.0.77", A2)), "a forged MAC": udp((STRANGER, OWN[1]), (A1, A2))}
    assert world.heard("a1", ("a2", "eth0"), frames, end=lawful()) == list(frames)


@pytest.mark.parametrize("at", [("a2", "eth0"), ("host", "br-a")], ids=["neighbour", "host"])
def test_routes_are_not_an_endpoints_to_give(world: World, at: tuple[str, str]) -> None:
    """S1: CVE-2020-13401, CVE-2020-10749.  By the port's rule alone, guarded or not."""
    world.firewall.guard([*network("br-a"), Port("va1")])
    redirect = bytes(ip_address(A1).packed) + bytes(28)
    frames = {
        "router advertisement": icmp(ALL, ("fe80::a", "ff02::1"), 134, bytes.fromhex("40000708") + bytes(8)),
        "IPv6 redirect": icmp(ALL, ("fe80::1", A2_6), 137, bytes(36)),
        "redirect": icmp(ALL, (GATEWAY, A2), 5, redirect),
    }
    assert world.heard("a1", at, frames, end=udp(ALL, (A1, "10.1.0.255"))) == []


def test_an_extension_header_hides_no_router_advertisement(world: World) -> None:
    world.firewall.guard([*network("br-a"), *guarded("a1", "a2")])

    def hidden(end: bytes) -> bytes:
        plain = icmp(ALL, ("fe80::a", "ff02::1"), 134, bytes.fromhex("40000708") + bytes(8))(end)
        ip, rest = plain[14:54], plain[54:]
        length = (len(rest) + 8).to_bytes(2, "big")
        hop_by_hop = bytes((58, 0, 1, 4, 0, 0, 0, 0))
        return plain[:14] + ip[:4] + length + b"\0" + ip[7:] + hop_by_hop + rest

    assert world.heard("a1", ("a2", "eth0"), {"hidden": hidden}, end=lawful()) == []


def apart() -> list[Rule]:
    return [*network("br-a", icc=False), Apart("va1"), Apart("va2"), *guarded("a1", "a2")]


def test_the_kept_apart_reach_neither_directly_nor_by_way_of_the_host(world: World) -> None:
    world.firewall.guard([*apart(), publish("0.0.0.0", 8080, "a1", 80)])
    assert world.table("a2 10.1.0.2 80", "a2 fd01::2 80", "a2 192.0.2.1 8080", "host 10.1.0.2 81") == (
        "a2 10.1.0.2 80: no answer\na2 fd01::2 80: no answer\na2 192.0.2.1 8080: 10.1.0.1\n"
        "host 10.1.0.2 81: 10.1.0.1"
    )
    by_host = (MACS["a2"], world.mac("host", "br-a"))
    came = world.heard(
        "a2",
        ("a1", "eth0"),
        {"by the gateway's MAC": udp(by_host, (A2, A1), (4000, 80))},
        end=arp((MACS["a2"], BROADCAST), (MACS["a2"], A2), A1, answer=False),
    )
    assert came == []


def test_a_link_opens_one_port_one_way(world: World) -> None:
    world.firewall.guard(
        [
            *apart(),
            Linked(ip_address(A2), ip_address(A1), "tcp", 80),
            Linked(ip_address(A2_6), ip_address(A1_6), "tcp", 80),
        ]
    )
    world.serve("a2", "0.0.0.0", 80)
    assert world.table("a2 10.1.0.2 80", "a2 fd01::2 80", "a2 10.1.0.2 81", "a1 10.1.0.3 80") == (
        "a2 10.1.0.2 80: 10.1.0.3\na2 fd01::2 80: fd01::3\na2 10.1.0.2 81: no answer\na1 10.1.0.3 80: no answer"
    )


def test_forged_gratuitous_arp_changes_nobodys_neighbour_table(world: World) -> None:
    world.firewall.guard([*network("br-a"), *guarded("a1", "a2")])
    world.sysctl("a2", "ipv4/conf/eth0/arp_accept", "1")
    assert world.ask("a2", GATEWAY, 9) == "refused"
    before = world.run("a2", "ip", "neigh", "show", GATEWAY).split()[4]
    forged = {"forged": arp(ALL, (MACS["a1"], GATEWAY), GATEWAY)}
    world.heard("a1", ("a2", "eth0"), forged, end=lawful())
    assert world.run("a2", "ip", "neigh", "show", GATEWAY).split()[4] == before == world.mac("host", "br-a")
