"""What a container says of others on its bridge is heard by nobody (S1, S8): forged frames, sent inside containers
that an engine has put on a network of both families."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.root.engine_world import EngineWorld, at
from tests.root.frames import BROADCAST, Frame, advertisement, arp, icmp, solicitation, udp

from bascule.model.endpoint import EndpointSpec
from bascule.model.network import Network
from bascule.model.sandbox import SandboxSpec

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo make test-root")

A, A6 = "10.71.0.2", "fd71::2"
C, C6 = "10.71.0.3", "fd71::3"
GATEWAY, GATEWAY6 = "10.71.0.1", "fd71::1"
STRANGER = "02:00:00:00:00:66"


@dataclass(frozen=True)
class Stage:
    """Container a attacks; c, of the same network, and the host are attacked."""

    world: EngineWorld
    net: Network
    mac: str
    """a's."""

    def heard(self, whom: str, frames: dict[str, Frame]) -> list[str]:
        """What of *frames* comes to *whom*: "c" or "host"."""
        where = ("host", self.net.link) if whom == "host" else (whom, "eth0")
        return self.world.heard("a", where, frames, udp((self.mac, BROADCAST), (A, "10.71.0.255")))

    def state(self) -> list[str]:
        """Routes and neighbours of the host and of c, but for a's own and for the kernel's counting."""
        shown = "ip -4 route; ip -6 route; ip -4 neigh; ip -6 neigh"
        lines = [f"{who} {line}" for who in ("host", "c") for line in self.world.sh(who, shown).splitlines()]
        # The end of a neighbour's line is how sure the kernel is; a link's carrier is told in its own time.
        cut = [re.sub(r"( lladdr \S+).*| linkdown", r"\1", line) for line in lines]
        return sorted(line.strip() for line in cut if not re.search(rf" ({A}|{A6}) |FAILED|INCOMPLETE", line))


@pytest.fixture
def stage() -> Iterator[Stage]:
    with EngineWorld() as world:
        net = world.network("n", "10.71.0.0/24", "fd71::/64")
        world.box("a", "n", spec=at(A, A6))
        world.box("c", "n", spec=at(C, C6))
        yield Stage(world, net, world.mac("a"))


def routes(mac: str) -> dict[str, Frame]:
    """Advertisements and redirects, to all, by the attacker's own and by the router's names."""
    default = bytes.fromhex("40000708") + bytes(8)
    prefix = bytes.fromhex("0304 40c0 00000e10 00000e10 00000000".replace(" ", "")) + bytes.fromhex(
        "20010db8006600000000000000000000"
    )
    everyone = (mac, BROADCAST)
    return {
        "advertisement": icmp(everyone, ("fe80::66", "ff02::1"), 134, default),
        "advertisement of a prefix": icmp(everyone, ("fe80::66", "ff02::1"), 134, default + prefix),
        "advertisement as the bridge": icmp(everyone, ("fe80::1", "ff02::1"), 134, default),
        "redirect of IPv6": icmp(everyone, ("fe80::1", C6), 137, bytes(36)),
        "redirect": icmp(everyone, (GATEWAY, C), 5, bytes([10, 71, 0, 2]) + bytes(28)),
        "redirect by its own name": icmp(everyone, (A, C), 5, bytes([10, 71, 0, 2]) + bytes(28)),
    }


@pytest.mark.parametrize("whom", ["host", "c"])
def test_s1_routes_are_not_a_containers_to_give(stage: Stage, whom: str) -> None:
    stage.world.table("c 10.71.0.1 9", "c fd71::1 9")
    before = stage.state()
    assert (stage.heard(whom, routes(stage.mac)), stage.state()) == ([], before)


def test_s1_a_bridge_takes_no_routes_and_its_ports_have_no_addresses(stage: Stage) -> None:
    ports = stage.world.sh("host", f"ls /sys/class/net/{stage.net.link}/brif").split()
    shown = "; ".join(f"ip -6 addr show dev {port}" for port in ports)
    accepts = stage.world.sh("host", f"cat /proc/sys/net/ipv6/conf/{stage.net.link}/accept_ra")
    assert (len(ports), accepts, stage.world.sh("host", shown)) == (2, "0", "")


def test_s1_a_bridge_of_ipv4_alone_has_no_ipv6() -> None:
    with EngineWorld() as world:
        net = world.network("n", "10.71.0.0/24")
        world.box("a", "n")
        assert world.sh("host", f"cat /proc/sys/net/ipv6/conf/{net.link}/disable_ipv6") == "1"
        assert world.sh("host", f"ip -6 addr show dev {net.link}") == ""


@pytest.mark.parametrize(("ipv6", "own"), [(False, ""), (True, "fe80::")])
def test_s1_a_container_of_ipv4_alone_speaks_no_ipv6(ipv6: bool, own: str) -> None:
    """It gets no address that its network does not have, not even a link-local one."""
    with EngineWorld() as world:
        world.network("n", "10.71.0.0/24", *(["fd71::/64"] if ipv6 else []))
        box = world.engine.open(SandboxSpec(container="c" * 64, name="c"))
        world.engine.connect("n", box.id)
        shown = world.sh("host", f"nsenter --net={box.key} ip -6 -br addr show dev eth0 scope link").split()
        assert ([a[:6] for a in shown[2:]] or [""]) == [own]


def forged(mac: str, target: str) -> dict[str, Frame]:
    """Frames of somebody else's name, to *target*'s MAC or all."""
    own, everyone = (mac, target), (mac, BROADCAST)
    return {
        "MAC": udp((STRANGER, target), (A, C)),
        "IPv4 address": udp(own, ("10.71.0.77", C)),
        "the gateway's address": udp(own, (GATEWAY, C)),
        "the world's address": udp(own, ("192.0.2.2", C)),
        "IPv6 address": udp(own, ("fd71::77", C6)),
        "the gateway's IPv6 address": udp(own, (GATEWAY6, C6)),
        "gratuitous ARP for the gateway": arp(everyone, (mac, GATEWAY), GATEWAY),
        "ARP answer for a neighbour": arp(everyone, (mac, C), C),
        "ARP question as the gateway": arp(everyone, (mac, GATEWAY), C, answer=False),
        "ARP with another's MAC": arp(everyone, (STRANGER, A), C),
        "advertisement of the gateway": advertisement(own, (A6, C6), GATEWAY6),
        "advertisement as the bridge": advertisement(everyone, ("fe80::1", "ff02::1"), GATEWAY6),
        "advertisement of a neighbour": advertisement(everyone, (A6, "ff02::1"), C6),
        "solicitation as the gateway": solicitation(own, (GATEWAY6, "ff02::1:ff00:3"), C6),
        "a tag": udp(own, (A, C), vlan=7),
    }


@pytest.mark.parametrize("whom", ["host", "c"])
def test_s8_a_container_does_not_speak_for_others(stage: Stage, whom: str) -> None:
    """Neither of them hears it, and what they know of their neighbours stays."""
    stage.world.sysctl("c", "ipv4/conf/eth0/arp_accept", "1")
    stage.world.table("c 10.71.0.1 9", "c fd71::1 9")
    before = stage.state()
    target = stage.world.mac("c") if whom == "c" else stage.world.mac("host", stage.net.link)
    assert (stage.heard(whom, forged(stage.mac, target)), stage.state()) == ([], before)


def test_s8_who_may_speak_for_others_is_said_on_the_network() -> None:
    """VRRP and keepalived move addresses about: bascule.antispoof=false."""
    with EngineWorld() as world:
        net = world.network("n", "10.71.0.0/24", options={"bascule.antispoof": "false"})
        world.box("a", "n", spec=at(A))
        world.box("c", "n", spec=at(C))
        stage = Stage(world, net, world.mac("a"))
        moved = {"gratuitous ARP": arp((stage.mac, BROADCAST), (stage.mac, "10.71.0.77"), "10.71.0.77")}
        assert stage.heard("c", moved) == ["gratuitous ARP"]
        assert stage.heard("c", routes(stage.mac)) == []


def test_s8_what_an_endpoint_was_given_is_lawful(stage: Stage) -> None:
    """Its link-local addresses, too, and the MAC that the user chose."""
    spec = EndpointSpec(addresses=(), mac="02:00:00:00:00:0d", link_local=())
    world = stage.world
    world.box("d", "n", spec=spec)
    assert world.mac("d") == "02:00:00:00:00:0d"
    assert "no answer" not in world.table("d 10.71.0.3 80", "d fd71::3 80", "c 10.71.0.4 80", "d 10.71.0.1 ping")
