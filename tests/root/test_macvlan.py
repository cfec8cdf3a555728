"""macvlan through the engine: parents of ours and of others, ports, restarts.

lan 192.0.2.2 --- 192.0.2.1 eth0  the host, whose link is the parent
"""

import os
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from tests.root import ssh_ground
from tests.root.engine_world import EngineWorld, at
from tests.root.ground import DaemonGround, Refused, compared, until

from bascule.model.addresses import ip_address
from bascule.model.endpoint import EndpointSpec
from bascule.model.errors import Failed, Forbidden
from bascule.model.network import Network, NetworkSpec, PoolSpec

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo make test-root")

PARENT = "ip link add lan0 type veth peer name far0; ip link set far0 up; ip link set lan0 up"
LAN = {
    "Name": "lan",
    "Driver": "macvlan",
    "EnableIPv6": True,
    "IPAM": {"Config": [{"Subnet": "10.213.0.0/24"}, {"Subnet": "fd13::/64"}]},
    "Options": {"parent": "lan0", "bascule.host_access": "true"},
}


@pytest.fixture
def world() -> Iterator[EngineWorld]:
    with EngineWorld() as made:
        yield made


def macvlan(world: EngineWorld, name: str = "wire", **options: str) -> Network:
    pools = (PoolSpec(ip_network("10.213.0.0/24")), PoolSpec(ip_network("fd13::/64")))
    return world.engine.create(NetworkSpec(name, "macvlan", pools=pools, ipv6=True, options=options))


def reaches(world: EngineWorld, who: str, address: str) -> bool:
    return world.sh(who, f"ping -q -c 1 -W 1 {address} >/dev/null 2>&1 && echo yes || echo no") == "yes"


def test_without_host_access_the_host_and_its_containers_do_not_meet(world: EngineWorld) -> None:
    macvlan(world, parent="eth0")
    world.box("one", "wire")
    assert not reaches(world, "host", "10.213.0.2")


def test_without_a_parent_a_link_of_our_own_is_one(world: EngineWorld) -> None:
    net = macvlan(world)
    boxes = [world.box(name, "wire") for name in ("one", "two")]
    assert reaches(world, "one", str(world.end(boxes[1]).addresses[0].ip))
    assert f"dm-{net.id[:12]}" in world.sh("host", "ip -o link")
    for box in boxes:
        world.engine.disconnect("wire", box)
    world.engine.remove("wire")
    world.kernel.settle()
    assert "dm-" not in world.sh("host", "ip -o link")


def test_parents_that_cannot_be(world: EngineWorld) -> None:
    for parent, why in (
        ("lo", "loopback interface is not a valid macvlan parent link"),
        ("nosuch0", "invalid subinterface vlan name nosuch0, example formatting is eth0.10"),
        ("nosuch0.7", "-o parent interface was not found on the host: nosuch0"),
        ("eth0.0", "vlan id must be between 1-4094, received: 0"),
        ("eth0.x", r"unable to parse a valid vlan id from: x \(ex. eth0.10 for vlan 10\)"),
    ):
        with pytest.raises(Failed, match=why):
            macvlan(world, parent=parent)
    assert [net.name for net in world.engine.networks()] == ["bridge", "host", "none"]


def test_passthru_has_its_parent_to_itself(world: EngineWorld) -> None:
    first = macvlan(world, parent="eth0")
    with pytest.raises(Failed, match=f"cannot use mode passthru, macvlan network {first.id} is already"):
        world.engine.create(NetworkSpec("other", "macvlan", options={"parent": "eth0", "macvlan_mode": "passthru"}))
    world.engine.create(NetworkSpec("second", "macvlan", options={"parent": "eth0"}))
    for name in ("wire", "second"):
        world.engine.remove(name)
    passed = world.engine.create(
        NetworkSpec("other", "macvlan", options={"parent": "eth0", "macvlan_mode": "passthru"})
    )
    using = f"^macvlan network {passed.id} is already using parent interface eth0 in mode passthru$"
    with pytest.raises(Failed, match=using):
        macvlan(world, parent="eth0")


def test_no_option_raises_the_mtu_above_the_parents(world: EngineWorld) -> None:
    """Docker reads neither of the two: what a container has is its parent's."""
    for name, mtu in (("big", "9000"), ("small", "1400")):
        options = {"parent": "eth0", "com.docker.network.driver.mtu": mtu}
        world.engine.create(NetworkSpec(name, "macvlan", options=options))
        world.box(name, name)
        assert " mtu 1500 " in world.sh(name, "ip -o link show eth0")


def parents(world: EngineWorld) -> str:
    """The parent's MAC, and how often it was told to take all frames."""
    return world.sh("host", "cat /sys/class/net/eth0/address; ip -d link show eth0 | grep -o 'promiscuity [0-9]*'")


def test_a_passthru_endpoint_has_its_mac_and_the_parents_own_is_put_back(world: EngineWorld) -> None:
    world.sh("lan", "ip addr add 10.213.0.200/24 dev eth0")
    untouched = parents(world)
    macvlan(world, parent="eth0", macvlan_mode="passthru")
    assert parents(world) == untouched
    box = world.box("one", "wire")
    mac = world.end(box).mac
    assert world.sh("one", "cat /sys/class/net/eth0/address") == mac
    assert parents(world) == f"{mac}\npromiscuity 1"
    assert reaches(world, "one", "10.213.0.200")
    # A start finds all of it true.
    world.engine.start()
    assert reaches(world, "one", "10.213.0.200")
    world.engine.disconnect("wire", box)
    world.kernel.settle()
    assert parents(world) == untouched
    world.engine.connect("wire", box, EndpointSpec(mac="02:00:00:00:00:77"))
    assert parents(world) == "02:00:00:00:00:77\npromiscuity 1"
    world.engine.close_sandbox(box)
    world.kernel.settle()
    until(lambda: parents(world) == untouched, lambda: parents(world))


@pytest.fixture
def ground() -> Iterator[DaemonGround]:
    made = DaemonGround(Path(f"/dev/shm/bmacvlan-{os.getpid()}"), f"--bridge=bv{os.getpid()}")
    try:
        made.start()
        made.sh(PARENT)
        yield made
    finally:
        made.close()


def test_networks_and_the_hosts_way_outlive_the_daemon_and_leave_nothing(ground: DaemonGround) -> None:
    untouched = ground.network_state()
    ground.ask("POST", "/networks/create", LAN)
    ground.run("box", "lan", "sleep", "600")
    (address,) = [end["IPAddress"] for end in _ends(ground, "box")]
    ground.sh(f"ping -q -c 1 -W 2 {address}")
    before = ground.summary()
    ground.kill()
    ground.sh(f"ping -q -c 1 -W 2 {address}")
    ground.start()
    until(lambda: ground.summary() == before, lambda: compared(before, ground.summary()))
    # What somebody takes away comes back with a reload.
    shim = next(line.split(": ")[1].split("@")[0] for line in ground.sh("ip -o link").splitlines() if "bh-" in line)
    ground.sh(f"ip link del {shim}")
    ground.stop()
    ground.start()
    until(lambda: ground.summary() == before, lambda: compared(before, ground.summary()))
    ground.sweep()
    until(lambda: ground.network_state() == untouched, lambda: compared(untouched, ground.network_state()))


def test_ports_are_not_published_on_it_and_that_is_said(ground: DaemonGround) -> None:
    ground.ask("POST", "/networks/create", LAN)
    ground.run("box", "lan", "sleep", "600", HostConfig={"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}})
    assert ground.ask("GET", "/containers/box/json")["NetworkSettings"]["Ports"] == {}
    bound = {"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}
    asked: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
        ({"NetworkMode": "lan", **bound}, {}),
        ({"NetworkMode": "lan", "PublishAllPorts": True}, {}),
        ({"NetworkMode": "lan"}, {}),
        ({"NetworkMode": "lan", **bound}, {"NetworkingConfig": {"EndpointsConfig": {"bridge": {}}}}),
        ({"NetworkMode": "bridge", **bound}, {}),
    )
    said = [
        ground.ask("POST", "/containers/create", {"Image": "host", "Cmd": ["true"], "HostConfig": host, **more})
        for host, more in asked
    ]
    discarded = "Published ports are discarded: the macvlan driver does not support port mappings"
    gateway = discarded.replace("the macvlan", "the default route is on network lan, and the macvlan")
    assert [answer["Warnings"] for answer in said] == [[discarded], [discarded], [], [gateway], []]


def test_ports_are_published_where_the_default_route_is(ground: DaemonGround) -> None:
    """As in Docker, which says nothing of the first."""
    ground.ask("POST", "/networks/create", LAN)
    for name, first in (("lost", 0), ("kept", 1)):
        ends = {"EndpointsConfig": {"lan": {}, "bridge": {"GwPriority": first}}}
        bound = {"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}
        body = {
            "Image": "host",
            "Cmd": ["true"],
            "HostConfig": {"NetworkMode": "lan", **bound},
            "NetworkingConfig": ends,
        }
        assert bool(ground.ask("POST", "/containers/create", body)["Warnings"]) == (name == "lost")
        ground.run(name, "lan", "sleep", "600", HostConfig=bound, NetworkingConfig=ends)
        ports = ground.ask("GET", f"/containers/{name}/json")["NetworkSettings"]["Ports"]
        assert bool(ports.get("80/tcp")) == (name == "kept"), ports


def test_a_network_without_a_parent_is_no_default_route(world: EngineWorld) -> None:
    world.network("web", "10.214.0.0/24")
    pools = (PoolSpec(ip_network("10.213.0.0/24"), gateway=ip_address("10.213.0.1")),)
    lone = world.engine.create(NetworkSpec("aaa", "macvlan", pools=pools))
    assert not lone.internal
    box = world.box("one", "web")
    before = world.sh("one", "ip route show default")
    assert before.startswith("default via 10.214.0.1 ")
    world.engine.connect("aaa", box)
    assert world.sh("one", "ip route show default") == before
    world.engine.disconnect("web", box)
    assert world.sh("one", "ip route show default") == ""


def test_the_first_and_the_last_address_of_a_subnet_are_nobodys(world: EngineWorld) -> None:
    macvlan(world, parent="eth0")
    world.network("web", "10.214.0.0/24", "fd14::/64")
    box = world.box("one")
    for name, address in (
        ("wire", "10.213.0.0"),
        ("wire", "10.213.0.255"),
        ("wire", "fd13::"),
        ("web", "10.214.0.0"),
        ("web", "10.214.0.255"),
        ("web", "fd14::"),
    ):
        with pytest.raises(Forbidden, match=r"^Address already in use$"):
            world.engine.connect(name, box, at(address))
    world.engine.connect("wire", box, at("10.213.0.254", "fd13::ffff:ffff:ffff:ffff"))


@pytest.mark.parametrize(("subnet", "address"), [("10.215.0.0/31", "10.215.0.1"), ("fd15::/127", "fd15::")])
def test_all_addresses_of_a_point_to_point_link_are_hosts(world: EngineWorld, subnet: str, address: str) -> None:
    pool = PoolSpec(ip_network(subnet), gateway=ip_address("fd15::1") if ":" in subnet else None)
    spec = NetworkSpec("pair", "macvlan", pools=(pool,), ipv6=":" in subnet, options={"parent": "eth0"})
    world.engine.create(spec)
    assert address in str(world.end(world.box("one", "pair", spec=at(address))).addresses)


# ---- a bridge as a parent


def test_a_bridge_of_ours_is_a_parent_and_does_not_go_before_what_stands_on_it(world: EngineWorld) -> None:
    web = world.network("web", "10.214.0.0/24", options={"bascule.antispoof": "false"})
    pools = (PoolSpec(ip_network("10.213.0.0/24")),)
    world.engine.create(NetworkSpec("wire", "macvlan", pools=pools, options={"parent": web.link}))
    assert world.engine.status(world.engine.network("wire")) == {}
    one, two = world.box("one", "wire"), world.box("two", "web")
    world.sh("two", "ip addr add 10.213.0.200/24 dev eth0")
    assert reaches(world, "one", "10.213.0.200")
    world.engine.disconnect("web", two)
    says = f"^error while removing network: the bridge of network web, {web.link}, is the parent of network wire$"
    with pytest.raises(Forbidden, match=says):
        world.engine.remove("web")
    assert [net.name for net in world.engine.prune(lambda _: True)] == []
    world.engine.disconnect("wire", one)
    world.engine.remove("wire")
    world.engine.remove("web")
    world.kernel.settle()
    assert web.link not in world.sh("host", "ip -o link")


def test_a_bridge_of_ours_that_somebody_took_away_comes_back_with_what_stands_on_it(world: EngineWorld) -> None:
    web = world.network("web", "10.214.0.0/24")
    pools = (PoolSpec(ip_network("10.213.0.0/24")),)
    wire = world.engine.create(NetworkSpec("wire", "macvlan", pools=pools, options={"parent": web.link}))
    world.box("one", "wire")
    world.sh("host", f"ip link del {web.link}")
    until(lambda: world.engine.status(wire) == {"bascule.parent": f"{web.link} is gone"})
    world.engine.repair()
    assert world.engine.status(wire) == {}
    assert world.sh("one", "ip -o link show eth0")


@pytest.mark.parametrize("first", ["macvlan", "bridge"])
def test_a_bridge_may_be_adopted_and_be_a_parent(world: EngineWorld, first: str) -> None:
    world.sh("host", "ip link add br-lan up type bridge")
    name = {"com.docker.network.bridge.name": "br-lan"}
    pools = {
        "macvlan": (PoolSpec(ip_network("10.213.0.0/24")),),
        "bridge": (PoolSpec(ip_network("10.214.0.0/24")),),
    }
    options = {"macvlan": {"parent": "br-lan"}, "bridge": name}
    for driver in sorted(pools, key=lambda driver: driver != first):
        net = world.engine.create(NetworkSpec(driver * 2, driver, pools=pools[driver], options=options[driver]))
        assert net.adopted
    world.engine.remove(first * 2)
    world.engine.remove(("bridge" if first == "macvlan" else "macvlan") * 2)
    world.kernel.settle()
    assert "br-lan" in world.sh("host", "ip -o link")


# ---- what the kernel would refuse


def test_what_the_kernel_would_refuse_is_said_in_a_sentence(world: EngineWorld) -> None:
    macvlan(world, "alone", parent="eth0", macvlan_mode="passthru")
    world.box("one", "alone")
    two = world.box("two")
    with pytest.raises(Failed, match=r"^network alone: eth0 is passed through to one, and to one only$"):
        world.engine.connect("alone", two)
    world.engine.disconnect("alone", world.engine.endpoints()[0].sandbox)
    world.engine.remove("alone")
    wire = macvlan(world, parent="eth0", **{"bascule.host_access": "true"})
    world.box("three", "wire", spec=EndpointSpec(mac="02:00:00:00:00:77"))
    for mac, whose in (("02:00:00:00:00:77", "three"), (wire.mac, "the host")):
        with pytest.raises(Failed, match=f"^network wire: MAC address {mac} is in use on eth0 by {whose}$"):
            world.engine.connect("wire", two, EndpointSpec(mac=mac.upper()))
    world.sh("host", "ip link del eth0")
    until(lambda: world.engine.status(wire) == {"bascule.parent": "eth0 is gone"})
    with pytest.raises(Failed, match=r"^network wire: parent eth0 is gone$"):
        world.engine.connect("wire", two)


def test_a_parent_that_is_gone_is_a_clear_refusal(ground: DaemonGround) -> None:
    ground.ask("POST", "/networks/create", LAN)
    ground.sh("ip link del lan0")
    with pytest.raises(Refused, match=r"500 .*failed to set up container networking: .*lan0"):
        ground.run("box", "lan", "sleep", "600")
    ground.sh(PARENT)
    ground.stop()
    ground.start()
    ground.ask("POST", "/containers/box/start")


def _ends(ground: DaemonGround, name: str) -> list[dict[str, str]]:
    return list(ground.ask("GET", f"/containers/{name}/json")["NetworkSettings"]["Networks"].values())


@ssh_ground.needs
def test_an_outside_machine_logs_in_to_a_containers_own_address() -> None:
    with ssh_ground.Segment(f"bssh-{os.getpid()}") as segment:
        segment.network("macvlan")
        segment.logs_in()
