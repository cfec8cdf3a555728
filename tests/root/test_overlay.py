"""What the overlay driver states, on the kernels of several hosts: who reaches whom, with real packets."""

import json
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pytest
from tests.root.firewall_world import inside
from tests.root.overlay_world import Wire, ping

from bascule.drivers import overlay
from bascule.kernel.apply import bring_up, shift, take_down
from bascule.kernel.linux import LinuxKernel
from bascule.model.addresses import IPAddress, ip_interface
from bascule.model.cluster import Node, Remote, Tunnel
from bascule.model.endpoint import Endpoint
from bascule.model.network import Network
from bascule.model.thing import Rule, Thing

HOSTS = ("one", "two", "three")


@dataclass(frozen=True)
class Side:
    """One host, and its endpoint on the network."""

    name: str
    kernel: LinuxKernel
    net: Network
    ep: Endpoint
    remote: Remote

    def things(self) -> list[Thing]:
        return [*overlay.network(self.net), *overlay.endpoint(self.net, self.ep)]


def sides(wire: Wire, version: int, *, vni: int = 4096, number: int = 0, mtu: int = 1500) -> list[Side]:
    """A network of both families over an underlay of IP *version*, with an endpoint on each host."""
    made = []
    for n, name in enumerate(wire.names, 2):
        local = wire.address(name, version)
        tunnel = Tunnel(vni, overlay.mtu({}, mtu, local), local=local, mac=f"02:00:00:00:{number:02x}:{n:02x}")
        ident = f"{number:02x}" * 32
        net = Network(
            ident, f"net{number}", "overlay", 1, ipv6=True, link=f"br-{number}", tunnel=tunnel, scope="global"
        )
        box = f"{name}-box{number}"
        ep = Endpoint(
            id=box,
            network=net.id,
            sandbox=box,
            name=box,
            created=1,
            addresses=(ip_interface(f"10.0.0.{n}/24"), ip_interface(f"fd07::{n}/64")),
            mac=f"02:00:00:00:ff:{n:02x}",
            link=f"bv-{number}-{n}",
            ifname="eth0",
            key=wire.namespace(box),
        )
        there = Remote(box, net.id, name, 1, 1, box, local, tuple(a.ip for a in ep.addresses), ep.mac)
        made.append(Side(name, wire.kernel(name), net, ep, there))
    return made


def guard(all_: Sequence[Side], others: Sequence[Side]) -> None:
    """Each of *all_* knows *others* as hosts of the cluster."""
    nodes = [Node(s.name, s.name, s.remote.via, 1500, 1, 1) for s in others]
    for side in all_:
        side.kernel.guard([t for t in overlay.host(4789, nodes) if isinstance(t, Rule)])


def up(all_: Sequence[Side]) -> None:
    for side in all_:
        there = [t for other in all_ if other is not side for t in overlay.remote(side.net, other.remote)]
        bring_up(side.kernel, [*side.things(), *there])
        assert side.kernel.missing([*side.things(), *there]) == []


def reached(all_: Sequence[Side], size: int = 56) -> str:
    """Who answers whom, by each address."""
    return " ".join(
        f"{a.name}>{b.name}:{ping(a.ep.key, address.ip, size=size - (20 if address.version == 6 else 0))}"
        for a in all_
        for b in all_
        if a is not b
        for address in b.ep.addresses
    )


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire(*HOSTS) as made:
        yield made


@pytest.mark.parametrize("version", [4, 6])
def test_endpoints_of_three_hosts_reach_each_other_with_packets_of_full_size(wire: Wire, version: int) -> None:
    all_ = sides(wire, version)
    guard(all_, all_)
    up(all_)
    # 28 bytes are the headers of an echo request over IPv4.
    fits = (1450 if version == 4 else 1430) - 28
    assert "0/" not in reached(all_)
    assert "0/" not in reached(all_, fits)
    box, far = all_[0].ep, all_[1].ep.addresses[0].ip
    assert ping(box.key, far, size=fits + 1, seconds=1).startswith(("0/", "ping:")), "the MTU is not what it says"
    for side in all_:
        take_down(side.kernel, side.things())
        side.kernel.settle()
        assert wire.sh(side.name, "ip -o link | grep -c 'br-\\|vx-\\|bv-\\|gone-' || true") == "0"


def test_two_networks_with_the_same_addresses_are_two(wire: Wire) -> None:
    first, second = sides(wire, 4), sides(wire, 4, vni=4097, number=1)
    guard([*first, *second], first)
    up(first)
    up(second[:2])
    # The third host is on the first network alone: on the second nobody has its address.
    assert ping(second[0].ep.key, second[1].ep.addresses[0].ip) == "1/1"
    assert ping(second[0].ep.key, first[2].ep.addresses[0].ip, seconds=1) == "0/1"


def test_what_nobody_has_is_sent_to_no_host(wire: Wire) -> None:
    all_ = sides(wire, 4)
    guard(all_, all_)
    up(all_)
    heard = inside(wire.ns("two"), lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)))
    heard.bind(("eth0", 0))
    heard.settimeout(0.2)
    box = all_[0].ep.key
    assert ping(box, all_[0].ep.addresses[0].ip + 77, seconds=1) == "0/1"
    wire.sh(
        "one-box0", "ip neigh add 10.0.0.99 lladdr 02:00:00:00:00:99 dev eth0; ping -q -c 1 -w 1 10.0.0.99 || true"
    )
    wire.sh("one-box0", "ping -q -b -c 1 -w 1 10.0.0.255 || true")
    assert tunnelled(heard) == 0
    assert ping(box, all_[1].ep.addresses[0].ip) == "1/1"
    assert tunnelled(heard) > 0
    heard.close()


def tunnelled(heard: socket.socket) -> int:
    """How many frames to the tunnels' port came in."""
    found = 0
    try:
        while frame := heard.recv(4096):
            found += frame[23] == 17 and int.from_bytes(frame[36:38], "big") == 4789
    except TimeoutError:
        pass
    return found


def test_who_is_not_in_the_cluster_is_not_heard(wire: Wire) -> None:
    """S7: a host beside the cluster knows everything, and says it to the tunnel's port."""
    all_ = sides(wire, 4)
    guard(all_, all_[:2])
    up(all_)
    one, _, outsider = all_
    assert ping(one.ep.key, all_[1].ep.addresses[0].ip) == "1/1"
    assert ping(outsider.ep.key, one.ep.addresses[0].ip, seconds=1) == "0/1"
    before = received(wire)
    frame = forged(one.ep.mac)
    inside(wire.ns("three"), lambda: say(frame, one.remote.via))
    guard(all_, all_)
    # Now it is one of the hosts, and the same packet arrives: the kernel counts in order.
    inside(wire.ns("three"), lambda: say(frame, one.remote.via))
    assert received(wire) == before + 1


def received(wire: Wire) -> int:
    """How many frames the endpoint of host one has received."""
    (found,) = json.loads(wire.sh("one-box0", "ip -j -s link show eth0"))
    return int(found["stats64"]["rx"]["packets"])


def forged(mac: str) -> bytes:
    """A frame to *mac*, as it is inside a tunnel's packet of VNI 4096."""
    header = bytes([8, 0, 0, 0]) + (4096 << 8).to_bytes(4, "big")
    return header + bytes.fromhex(mac.replace(":", "")) + bytes.fromhex("0200000001aa") + b"\x88\xb5" + b"x" * 46


def say(packet: bytes, to: IPAddress) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(packet, (str(to), 4789))


def test_an_address_that_moves_to_another_host_is_reached_there_at_once(wire: Wire) -> None:
    all_ = sides(wire, 4)
    guard(all_, all_)
    one, two, three = all_
    up(all_)
    target = two.ep.addresses[0].ip
    assert (ping(one.ep.key, target), ping(three.ep.key, target)) == ("1/1", "1/1")
    # Off host two, and on host three: with the address goes the MAC.
    take_down(two.kernel, overlay.endpoint(two.net, two.ep))
    moved = replace(two.remote, via=three.remote.via, id="moved")
    shift(one.kernel, overlay.remote(one.net, two.remote), overlay.remote(one.net, moved))
    take_down(three.kernel, overlay.remote(three.net, two.remote))
    there = replace(two.ep, link="bv-moved", key=wire.namespace("moved"))
    bring_up(three.kernel, overlay.endpoint(three.net, there))
    assert (ping(one.ep.key, target), ping(three.ep.key, target)) == ("1/1", "1/1")
