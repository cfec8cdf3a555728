"""Connecting and disconnecting what runs, with each thing that can be said of an endpoint, on the real kernel."""

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from tests.root.engine_world import LAN, EngineWorld, at, port
from tests.root.firewall_world import inside

from bascule.model.endpoint import EndpointSpec
from bascule.model.errors import BasculeError
from bascule.model.sandbox import SandboxSpec

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo make test-root")

# Of forty first packets: what a machine with three times the work that it can do loses by itself.
A_BUSY_MACHINES = 4
LINK_LOCAL = ("169.254.7.7", "fe80::77")


@pytest.fixture
def world() -> Iterator[EngineWorld]:
    with EngineWorld() as made:
        yield made


def links(world: EngineWorld, who: str) -> str:
    """The links of a container with their addresses, but for the loopback and what links make up."""
    found: list[dict[str, Any]] = json.loads(world.sh(who, "ip -j addr"))
    told = []
    for link in sorted(found, key=lambda link: str(link["ifname"])):
        # What was removed waits for its physical end under another name.
        if link["ifname"] != "lo" and not link["ifname"].startswith("gone-"):
            own = [f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"] if a.get("scope") != "link"]
            told.append(" ".join([link["ifname"], *own]))
    return "\n".join(told)


def gateways(world: EngineWorld, who: str) -> str:
    """The default routes: by which address and which link."""
    lines = world.sh(who, "ip -4 route show default; ip -6 route show default").splitlines()
    return ", ".join(f"{line.split()[2]} {line.split()[4]}" for line in lines)


def lost(told: list[str], answer: str) -> int:
    """How many of forty were not *answer*; none was another one."""
    assert {*told} <= {answer, *(one for one in told if "no answer" in one)}
    return 40 - told.count(answer)


def test_interface_names_are_stable_across_reconnects(world: EngineWorld) -> None:
    """What stays keeps its name and address; who comes gets the first name that is free."""
    for number, name in enumerate(("a", "b", "c", "d")):
        world.network(name, f"10.7{number}.0.0/24")
    box = world.box("x", "a", "b", "c")
    assert links(world, "x") == "eth0 10.70.0.2/24\neth1 10.71.0.2/24\neth2 10.72.0.2/24"
    world.engine.disconnect("b", box)
    assert links(world, "x") == "eth0 10.70.0.2/24\neth2 10.72.0.2/24"
    world.engine.connect("d", box)
    assert links(world, "x") == "eth0 10.70.0.2/24\neth1 10.73.0.2/24\neth2 10.72.0.2/24"
    world.engine.connect("b", box)
    world.engine.disconnect("a", box)
    world.engine.connect("a", box)
    assert links(world, "x") == ("eth0 10.70.0.3/24\neth1 10.73.0.2/24\neth2 10.72.0.2/24\neth3 10.71.0.3/24")


def test_the_default_route_goes_by_priority_then_leads_outside_then_dual_stack_then_by_name(
    world: EngineWorld,
) -> None:
    world.network("b", "10.70.0.0/24")
    world.network("a", "10.71.0.0/24")
    world.network("z", "10.72.0.0/24", "fd72::/64")
    world.network("y", "10.73.0.0/24", internal=True)
    world.network("six", "fd74::/64", ipv4=False)
    box = world.box("x", "y")
    told = [gateways(world, "x")]
    for name, priority in (("b", 0), ("a", 0), ("six", 0), ("z", 0)):
        world.engine.connect(name, box, EndpointSpec(gw_priority=priority))
        told.append(gateways(world, "x"))
    world.engine.disconnect("b", box)
    world.engine.connect("b", box, EndpointSpec(gw_priority=10))
    told.append(gateways(world, "x"))
    for name in ("b", "z", "a", "six"):
        world.engine.disconnect(name, box)
        told.append(gateways(world, "x"))
    assert told == [
        "",
        "10.70.0.1 eth1",
        "10.71.0.1 eth2",
        "10.71.0.1 eth2, fd74::1 eth3",
        "10.72.0.1 eth4, fd72::1 eth4",
        # The families are elected apart: the network of the highest priority has no IPv6.
        "10.70.0.1 eth1, fd72::1 eth4",
        "10.72.0.1 eth4, fd72::1 eth4",
        "10.71.0.1 eth2, fd74::1 eth3",
        "fd74::1 eth3",
        "",
    ]


def test_a_negative_priority_is_the_last_choice(world: EngineWorld) -> None:
    world.network("a", "10.71.0.0/24")
    world.network("b", "10.72.0.0/24")
    box = world.box("x", "a", spec=EndpointSpec(gw_priority=-1))
    world.engine.connect("b", box)
    assert gateways(world, "x") == "10.72.0.1 eth1"


def test_ip_ip6_mac_and_link_local_addresses(world: EngineWorld) -> None:
    world.network("n", "10.71.0.0/24", "fd71::/64")
    box = world.box("x")
    world.engine.connect(
        "n",
        box,
        EndpointSpec(
            addresses=(ip_address("10.71.0.40"), ip_address("fd71::40")),
            link_local=tuple(map(ip_address, LINK_LOCAL)),
            mac="02:42:AC:11:00:09",
        ),
    )
    world.box("y", "n", spec=EndpointSpec(link_local=(ip_address("169.254.9.9"),)))
    shown = world.sh("x", "ip -br addr show eth0; cat /sys/class/net/eth0/address").split()
    shown = [word for word in shown if "/" in word or word.count(":") == 5]
    assert sorted(shown) == sorted(
        ["10.71.0.40/24", "169.254.7.7/16", "fd71::40/64", "fe80::77/64", "02:42:ac:11:00:09"]
    )
    assert world.table("y 10.71.0.40 80", "y fd71::40 80", "y 169.254.7.7 80") == (
        "y 10.71.0.40 80: 10.71.0.2\ny fd71::40 80: fd71::2\ny 169.254.7.7 80: 169.254.9.9"
    )
    # The addresses go with the endpoint, and can be had by another at once.
    world.engine.disconnect("n", box)
    world.engine.connect("n", world.box("z"), at("10.71.0.40", "fd71::40"))
    assert world.table("y 10.71.0.40 80", "y fd71::40 80") == ("y 10.71.0.40 80: 10.71.0.2\ny fd71::40 80: fd71::2")


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (at("10.71.0.1"), "403 Address already in use"),
        (at("10.71.0.2"), "403 Address already in use"),
        (
            at("10.99.0.2"),
            "400 invalid endpoint settings:\nno configured subnet or ip-range contain the IP address 10.99.0.2",
        ),
        (
            at("fd71::9"),
            "400 invalid endpoint settings:\n"
            "user specified IP address is supported only when connecting to networks with user configured subnets",
        ),
        (EndpointSpec(link_local=(ip_address("10.1.1.1"),)), "400 invalid link local IP address: 10.1.1.1"),
        (EndpointSpec(mac="01:00:5e:00:00:01"), "400 invalid MAC address 01:00:5e:00:00:01"),
        (EndpointSpec(mac="rubbish"), "400 invalid MAC address rubbish"),
        (
            EndpointSpec(options={"com.docker.network.endpoint.ifname": "a/b"}),
            "400 failed to parse com.docker.network.endpoint.ifname value: a/b (invalid interface name 'a/b')",
        ),
        (
            EndpointSpec(options={"com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.nosuch=1"}),
            "500 ",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_cannot_be_changes_nothing(world: EngineWorld, spec: EndpointSpec, told: str) -> None:
    world.network("n", "10.71.0.0/24")
    world.network("m", "10.72.0.0/24")
    world.box("x", "n")
    box = world.box("y", "m")
    before = (world.kernel.dump(), world.engine.endpoints())
    with pytest.raises(BasculeError) as refusal:
        world.engine.connect("n", box, spec)
    assert f"{refusal.value.status} {refusal.value}".startswith(told)
    assert (world.kernel.dump(), world.engine.endpoints()) == before


def test_what_is_disconnected_is_out_of_reach_at_once_and_back_when_connected(world: EngineWorld) -> None:
    world.network("n", "10.71.0.0/24")
    box = world.box("x", "n", spec=at("10.71.0.9"))
    world.box("y", "n")
    told = []
    for _ in range(3):
        told.append(world.ask("y", "10.71.0.9", 80))
        world.engine.disconnect("n", box)
        # Nobody answers for the address, so the kernel says what it says, or nothing in time.
        told.append("out of reach" if "10.71" not in world.ask("y", "10.71.0.9", 80) else "reached")
        assert links(world, "x") == ""
        world.engine.connect("n", box, at("10.71.0.9"))
    assert told == ["10.71.0.2", "out of reach"] * 3


def test_the_first_packet_to_what_was_connected_arrives(world: EngineWorld) -> None:
    """No packet is lost because the kernel has not noticed yet that both ends of a pair are up."""
    world.network("n", "10.71.0.0/24")
    box = world.box("x", "n", spec=at("10.71.0.9"))
    world.box("y", "n")
    told = []
    for _ in range(40):
        world.engine.disconnect("n", box)
        world.engine.connect("n", box, at("10.71.0.9"))
        told.append(world.ask("y", "10.71.0.9", 80))
    assert lost(told, "10.71.0.2") <= A_BUSY_MACHINES


def test_the_first_packet_of_a_networks_first_container_arrives(world: EngineWorld) -> None:
    """The bridge begins to carry with it."""
    world.network("n", "10.71.0.0/24", "fd71::/64")
    box = world.box("x")
    for address in ("0.0.0.0", "::"):
        world.serve("host", address, 70)
    told = []
    for _ in range(40):
        world.engine.connect("n", box, at("10.71.0.9", "fd71::9"))
        told.append(f"{world.ask('x', '10.71.0.1', 70)} {world.ask('x', 'fd71::1', 70)}")
        world.engine.disconnect("n", box)
    assert lost(told, "10.71.0.9 fd71::9") <= A_BUSY_MACHINES


def test_who_is_connected_is_heard_by_its_ipv6_address_at_once(world: EngineWorld) -> None:
    """It has joined the group in which neighbours ask for that address (RFC 4291, section 2.7.1)."""
    world.network("n", "10.71.0.0/24", "fd71::/64")
    box = world.box("x")
    with inside(world.ns("x"), Path("/proc/thread-self/net/igmp6").open) as groups:
        for _ in range(100):
            world.engine.connect("n", box, at("10.71.0.9", "fd71::9"))
            groups.seek(0)
            assert "ff0200000000000000000001ff000009" in groups.read()
            world.engine.disconnect("n", box)


def test_published_ports_move_with_the_gateway_and_keep_their_number(world: EngineWorld) -> None:
    """Whichever network is the way out carries them, so that answers go the way that questions came."""
    world.network("b", "10.70.0.0/24")
    world.network("a", "10.71.0.0/24")
    box = world.box("x", "b", ports=(port(80, 8080),))
    told = [f"{world.ask('lan', '192.0.2.1', 8080)} by {gateways(world, 'x')}"]
    steps: tuple[Callable[[], object], ...] = (
        lambda: world.engine.connect("a", box),
        lambda: world.engine.disconnect("b", box),
        lambda: world.engine.connect("b", box, EndpointSpec(gw_priority=1)),
        lambda: world.engine.disconnect("a", box),
    )
    for step in steps:
        step()
        told.append(f"{world.ask('lan', '192.0.2.1', 8080)} by {gateways(world, 'x')}")
    world.engine.disconnect("b", box)
    told.append(world.ask("lan", "192.0.2.1", 8080))
    assert told == [
        f"{LAN} by 10.70.0.1 eth0",
        f"{LAN} by 10.71.0.1 eth1",
        f"{LAN} by 10.71.0.1 eth1",
        f"{LAN} by 10.70.0.1 eth0",
        f"{LAN} by 10.70.0.1 eth0",
        "refused",
    ]


def test_a_hundred_attaches_at_once_get_a_hundred_addresses(world: EngineWorld) -> None:
    net = world.network("n", "10.71.0.0/24", "fd71::/64")

    def attach(number: int) -> str:
        box = world.engine.open(SandboxSpec(container=f"{number:064x}", name=f"c{number}"))
        world.engine.connect("n", box.id)
        return box.key

    with ThreadPoolExecutor(100) as pool:
        keys = list(pool.map(attach, range(100)))
    command = "; ".join(f"nsenter --net={key} ip -br addr show eth0" for key in keys)
    shown = world.sh("host", command).splitlines()
    four, six = ([word for line in shown for word in line.split() if word.startswith(p)] for p in ("10.71", "fd71"))
    assert (len(set(four)), len(set(six))) == (100, 100)
    assert sorted(four) == sorted(
        f"{a}" for ep in world.engine.endpoints(network=net.id) for a in ep.addresses if a.version == 4
    )
    assert len(world.sh("host", f"ls /sys/class/net/{net.link}/brif").split()) == 100


def test_attaches_and_detaches_at_once_leave_what_was_there(world: EngineWorld) -> None:
    """Sixteen containers come and go on two networks, each in a thread of its own."""
    for number, name in enumerate(("n", "m")):
        world.network(name, f"10.7{number}.0.0/24")
    boxes = [world.engine.open(SandboxSpec(container=f"{n:064x}", name=f"c{n}")) for n in range(16)]
    before = world.kernel.dump()

    def come_and_go(box: str) -> None:
        for _ in range(4):
            world.engine.connect("n", box)
            world.engine.connect("m", box)
            world.engine.disconnect("n", box)
            world.engine.disconnect("m", box)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(come_and_go, [box.id for box in boxes]))
    world.kernel.settle()
    assert world.kernel.dump() == before
