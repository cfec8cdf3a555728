"""Published ports in every form, asked for from everywhere, and the process that carries what the kernel cannot.

x is the container with the port, y its neighbour on the network, z is on another one, lan on the host's cable.
"""

import os
import re
import socket
from collections.abc import Iterator, Sequence
from ipaddress import ip_address

import pytest
from tests.root.engine_world import HOST, HOST6, LAN, LAN6, EngineWorld, at, port

from bascule.model.endpoint import EndpointSpec, PortSpec, Proto
from bascule.model.errors import BasculeError

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo make test-root")

A, A6 = "10.71.0.2", "fd71::2"


@pytest.fixture
def world() -> Iterator[EngineWorld]:
    with EngineWorld(carries=True, nf_call=False) as made:
        yield made


def stage(world: EngineWorld, *ports: PortSpec, subnets: Sequence[str] = ("10.71.0.0/24", "fd71::/64")) -> str:
    """x with *ports* on a network, its neighbours, and the sandbox of x."""
    world.network("n", *subnets, ipv4=any("." in s for s in subnets))
    world.network("m", "10.72.0.0/24", "fd72::/64")
    families = [a for a in (A, A6) if any((":" in a) == (":" in s) for s in subnets)]
    box = world.box("x", "n", ports=ports, spec=at(*families))
    world.box("y", "n")
    world.box("z", "m")
    return box


def published(world: EngineWorld, box: str) -> list[str]:
    shown = []
    for one in world.end(box).ports:
        host = f"[{one.host}]" if one.host.version == 6 else one.host
        shown.append(f"{host}:{one.host_port}->{one.port}/{one.proto}")
    return shown


def test_a_published_port_is_reached_by_every_address_of_the_host_from_everywhere(world: EngineWorld) -> None:
    stage(world, port(80, 8080), port(80, 8080, "udp"))
    assert world.table(
        "host 127.0.0.1 8080",
        "host ::1 8080",
        "host 127.0.0.1 8080 udp",
        "host ::1 8080 udp",
        f"host {HOST} 8080",
        f"host {HOST6} 8080",
        f"lan {HOST} 8080",
        f"lan {HOST6} 8080",
        f"lan {HOST} 8080 udp",
        f"lan {HOST6} 8080 udp",
        f"y {HOST} 8080",
        f"y {HOST6} 8080",
        "y 10.71.0.1 8080",
        "y fd71::1 8080",
        f"z {HOST} 8080",
        f"z {HOST6} 8080",
        f"z {HOST} 8080 udp",
        "z 10.72.0.1 8080",
        f"x {HOST} 8080",
        f"x {HOST6} 8080",
    ) == "\n".join(
        [
            "host 127.0.0.1 8080: 10.71.0.1",
            "host ::1 8080: fd71::1",
            "host 127.0.0.1 8080 udp: 10.71.0.1",
            "host ::1 8080 udp: fd71::1",
            f"host {HOST} 8080: {HOST}",
            f"host {HOST6} 8080: {HOST6}",
            f"lan {HOST} 8080: {LAN}",
            f"lan {HOST6} 8080: {LAN6}",
            f"lan {HOST} 8080 udp: {LAN}",
            f"lan {HOST6} 8080 udp: {LAN6}",
            f"y {HOST} 8080: 10.71.0.1",
            f"y {HOST6} 8080: fd71::1",
            "y 10.71.0.1 8080: 10.71.0.1",
            "y fd71::1 8080: fd71::1",
            f"z {HOST} 8080: 10.71.0.1",
            f"z {HOST6} 8080: fd71::1",
            f"z {HOST} 8080 udp: 10.71.0.1",
            "z 10.72.0.1 8080: 10.71.0.1",
            f"x {HOST} 8080: 10.71.0.1",
            f"x {HOST6} 8080: fd71::1",
        ]
    )


def test_an_ipv4_network_is_reached_by_the_hosts_ipv6_addresses_too(world: EngineWorld) -> None:
    stage(world, port(80, 8080), subnets=("10.71.0.0/24",))
    assert world.table("host ::1 8080", f"host {HOST6} 8080", f"lan {HOST6} 8080", f"lan {HOST} 8080") == (
        f"host ::1 8080: 10.71.0.1\nhost {HOST6} 8080: 10.71.0.1\n"
        f"lan {HOST6} 8080: 10.71.0.1\nlan {HOST} 8080: {LAN}"
    )


def test_an_ipv6_network_is_reached_by_the_hosts_ipv4_addresses_too(world: EngineWorld) -> None:
    stage(world, port(80, 8080), subnets=("fd71::/64",))
    assert world.table("host 127.0.0.1 8080", f"lan {HOST} 8080", f"lan {HOST6} 8080") == (
        f"host 127.0.0.1 8080: fd71::1\nlan {HOST} 8080: fd71::1\nlan {HOST6} 8080: {LAN6}"
    )


@pytest.mark.parametrize(
    ("host", "reached"),
    [
        ("127.0.0.1", "host 127.0.0.1"),
        ("::1", "host ::1"),
        (HOST, f"host {HOST}, lan {HOST}, y {HOST}, z {HOST}"),
        (HOST6, f"host {HOST6}, lan {HOST6}, y {HOST6}, z {HOST6}"),
        ("0.0.0.0", f"host 127.0.0.1, host {HOST}, lan {HOST}, y {HOST}, z {HOST}"),
        ("::", f"host ::1, host {HOST6}, lan {HOST6}, y {HOST6}, z {HOST6}"),
    ],
)
def test_a_port_published_at_an_address_is_reached_there_only(world: EngineWorld, host: str, reached: str) -> None:
    stage(world, port(80, 8080, host=host))
    asked = [f"host {a}" for a in ("127.0.0.1", "::1", HOST, HOST6)]
    asked += [f"{who} {a}" for who in ("lan", "y", "z") for a in (HOST, HOST6)]
    told = world.table(*(f"{question} 8080" for question in asked)).splitlines()
    answered = [
        line.partition(" 8080: ")[0] for line in told if not line.endswith(("refused", "no answer", "unreachable"))
    ]
    assert ", ".join(answered) == reached


def test_of_a_range_each_container_gets_the_next_that_is_free(world: EngineWorld) -> None:
    world.network("n", "10.71.0.0/24")
    range_ = (PortSpec(80, host_ports=(7000, 7002)),)
    boxes = [world.box(who, "n", ports=range_) for who in ("a", "b", "c")]
    assert [published(world, box) for box in boxes] == [
        [f"0.0.0.0:{n}->80/tcp", f"[::]:{n}->80/tcp"] for n in (7000, 7001, 7002)
    ]
    before = world.kernel.dump()
    with pytest.raises(BasculeError, match="all ports are allocated"):
        world.box("d", "n", ports=range_)
    assert world.kernel.dump() == before
    world.engine.close_sandbox(boxes[1])
    assert published(world, world.box("e", "n", ports=range_))[0] == "0.0.0.0:7001->80/tcp"
    assert world.ask("lan", HOST, 7001) == LAN


def test_a_range_leads_port_by_port(world: EngineWorld) -> None:
    """What `-p 8080-8081:80-81` comes to."""
    stage(world, port(80, 8080), port(81, 8081))
    assert world.table(f"lan {HOST} 8080", f"lan {HOST} 8081", f"lan {HOST} 8082") == (
        f"lan {HOST} 8080: {LAN}\nlan {HOST} 8081: {LAN}\nlan {HOST} 8082: refused"
    )


def test_without_a_host_port_one_is_picked_for_both_families(world: EngineWorld) -> None:
    box = stage(world, PortSpec(80), PortSpec(80, "udp"), PortSpec(81, host=ip_address("127.0.0.1")))
    four, six, *_, last = world.end(box).ports
    assert (four.host_port, str(four.host), str(six.host), str(last.host)) == (
        six.host_port,
        "0.0.0.0",
        "::",
        "127.0.0.1",
    )
    assert all(32768 <= p.host_port <= 60999 for p in world.end(box).ports)
    assert world.table(f"lan {HOST} {four.host_port}", f"lan {HOST6} {six.host_port}") == (
        f"lan {HOST} {four.host_port}: {LAN}\nlan {HOST6} {six.host_port}: {LAN6}"
    )
    assert world.ask("host", "127.0.0.1", last.host_port) == "10.71.0.1"


def test_a_port_may_be_published_many_times(world: EngineWorld) -> None:
    stage(world, port(80, 8080), port(80, 8081, host=HOST), port(80, 8082, host="127.0.0.1"))
    assert world.table(f"lan {HOST} 8080", f"lan {HOST} 8081", "host 127.0.0.1 8082") == (
        f"lan {HOST} 8080: {LAN}\nlan {HOST} 8081: {LAN}\nhost 127.0.0.1 8082: 10.71.0.1"
    )


def test_sctp_is_translated(world: EngineWorld) -> None:
    """Whether or not this kernel has SCTP of its own: a router needs none."""
    stage(world, port(80, 8080, "sctp"))
    listed = " ".join(world.sh("host", "nft list table inet bascule").split())
    assert sorted(re.findall(r"sctp \. 8080 : (\S+ \. \d+)", listed)) == ["10.71.0.2 . 80", "fd71::2 . 80"]
    try:
        server = world.socket("x", socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP)
    except OSError:
        return
    server.bind(("0.0.0.0", 80))
    server.listen()
    client = world.socket("lan", socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP)
    client.connect((HOST, 8080))
    caller, place = server.accept()
    with caller:
        assert place[0] == LAN


@pytest.mark.parametrize(
    ("held", "asked", "told"),
    [
        (
            port(80, 8080),
            port(80, 8080),
            'Bind for 0.0.0.0:8080 failed: port is already allocated (by container "x")',
        ),
        (
            port(80, 8080, host=HOST),
            port(80, 8080),
            'Bind for 0.0.0.0:8080 failed: port is already allocated (by container "x")',
        ),
        (
            port(80, 8080),
            port(80, 8080, host="::1"),
            'Bind for [::1]:8080 failed: port is already allocated (by container "x")',
        ),
    ],
)
def test_a_conflict_between_containers_names_who_holds_the_port(
    world: EngineWorld, held: PortSpec, asked: PortSpec, told: str
) -> None:
    world.network("n", "10.71.0.0/24", "fd71::/64")
    world.box("x", "n", ports=(held,))
    box = world.engine.open(world.ask_for("y", ports=(asked,))).id
    before = world.kernel.dump(), world.engine.endpoints()
    with pytest.raises(BasculeError) as refusal:
        world.engine.connect("n", box)
    assert str(refusal.value).endswith(told)
    assert (world.kernel.dump(), world.engine.endpoints()) == before


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (port(80, 8080, "udp"), port(80, 8080)),
        (port(80, 8080, host="127.0.0.1"), port(80, 8080, host=HOST)),
        (port(80, 8080, host="0.0.0.0"), port(80, 8080, host="::")),
    ],
)
def test_a_number_may_be_had_by_several_where_they_differ(
    world: EngineWorld, one: PortSpec, other: PortSpec
) -> None:
    world.network("n", "10.71.0.0/24", "fd71::/64")
    had = [published(world, world.box(who, "n", ports=(asked,))) for who, asked in (("x", one), ("y", other))]
    assert all(":8080->80/" in shown for ports in had for shown in ports)


@pytest.mark.parametrize("family", ["127.0.0.1", "0.0.0.0", "::1", "::"])
@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_a_process_of_the_hosts_keeps_its_port_and_is_named(world: EngineWorld, family: str, proto: Proto) -> None:
    world.network("n", "10.71.0.0/24", "fd71::/64")
    world.serve("host", family, 8080, proto)
    box = world.engine.open(world.ask_for("x", ports=(port(80, 8080, proto),))).id
    before = world.kernel.dump(), world.engine.endpoints()
    with pytest.raises(BasculeError) as refusal:
        world.engine.connect("n", box)
    told = str(refusal.value)
    assert f":8080/{proto}: address already in use by " in told
    assert f"(pid {os.getpid()})" in told
    assert (world.kernel.dump(), world.engine.endpoints()) == before


def test_an_address_that_is_not_the_hosts_is_refused(world: EngineWorld) -> None:
    world.network("n", "10.71.0.0/24")
    box = world.engine.open(world.ask_for("x", ports=(port(80, 8080, host="203.0.113.9"),))).id
    before = world.kernel.dump(), world.engine.endpoints()
    with pytest.raises(BasculeError) as refusal:
        world.engine.connect("n", box)
    assert str(refusal.value).endswith(
        "failed to bind host port 203.0.113.9:8080/tcp: cannot assign requested address"
    )
    assert (world.kernel.dump(), world.engine.endpoints()) == before


def test_what_was_published_can_be_published_again_at_once(world: EngineWorld) -> None:
    world.network("n", "10.71.0.0/24", "fd71::/64")
    told = []
    for turn in range(3):
        box = world.box(f"x{turn}", "n", ports=(port(80, 8080),))
        told.append(world.table(f"lan {HOST} 8080", "host ::1 8080").replace(f"10.71.0.{turn + 2}", "x"))
        world.engine.close_sandbox(box)
    assert told == [f"lan {HOST} 8080: {LAN}\nhost ::1 8080: fd71::1"] * 3
    assert world.table(f"lan {HOST} 8080", "host ::1 8080") == f"lan {HOST} 8080: refused\nhost ::1 8080: refused"


def test_ports_move_between_networks_of_one_family_and_of_both(world: EngineWorld) -> None:
    """On one the forwarder has `::`, on the other the kernel has, and the forwarder ::1 alone."""
    world.network("four", "10.71.0.0/24")
    world.network("both", "10.72.0.0/24", "fd72::/64")
    box = world.box("x", "four", ports=(port(80, 8080),))
    asked = ("host ::1 8080", f"lan {HOST6} 8080", f"lan {HOST} 8080")
    told = [world.table(*asked)]
    for come, go in (("both", "four"), ("four", "both")):
        world.engine.connect(come, box)
        world.engine.disconnect(go, box)
        told.append(world.table(*asked))
    four = f"host ::1 8080: 10.71.0.1\nlan {HOST6} 8080: 10.71.0.1\nlan {HOST} 8080: {LAN}"
    both = f"host ::1 8080: fd72::1\nlan {HOST6} 8080: {LAN6}\nlan {HOST} 8080: {LAN}"
    assert told == [four, both, four]


def test_ports_are_at_the_addresses_of_the_network_that_carries_them(world: EngineWorld) -> None:
    """What is published on a network for this host alone is not left open by the one that carried it before."""
    world.network("open", "10.71.0.0/24")
    world.network("shut", "10.72.0.0/24", options={"host_binding_ipv4": "127.0.0.1"})
    box = world.box("x", "open", ports=(port(80, 8080), port(81, 8081, host=HOST)))

    def shown() -> str:
        ports = sorted(f"{p.host}:{p.host_port}" for ep in world.engine.endpoints(sandbox=box) for p in ep.ports)
        return f"{' '.join(ports)}, lan {world.ask('lan', HOST, 8080)}"

    told = [shown()]
    world.engine.connect("shut", box, EndpointSpec(gw_priority=1))
    told.append(shown())
    world.engine.disconnect("shut", box)
    told.append(shown())
    world.engine.connect("shut", box)
    told.append(shown())
    opened = f"0.0.0.0:8080 {HOST}:8081 :::8080, lan {LAN}"
    assert told == [opened, f"127.0.0.1:8080 {HOST}:8081, lan refused", opened, opened]
