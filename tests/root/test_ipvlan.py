"""ipvlan, 802.1Q parents and dummy links, on a kernel that has them; elsewhere these are skipped.

lan 192.0.2.2 --- 192.0.2.1 eth0  the host, whose link is the parent
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network

import pytest
from tests.root import ssh_ground
from tests.root.engine_world import EngineWorld
from tests.root.ground import Refused

from bascule.model.errors import Failed
from bascule.model.network import Network, NetworkSpec, PoolSpec

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo make test-root")


@pytest.fixture
def world() -> Iterator[EngineWorld]:
    with EngineWorld(nf_call=False) as made:
        yield made


def made(world: EngineWorld, driver: str, **options: str) -> Network:
    """The network, or a skip where the kernel has no such links."""
    try:
        return create(world, driver, **options)
    except Failed as refusal:
        if "Unknown device type" not in str(refusal):
            raise
        pytest.skip(f"this kernel cannot: {refusal}")


def create(world: EngineWorld, driver: str = "ipvlan", subnet: str = "192.0.2.0/24", **options: str) -> Network:
    pools = (PoolSpec(ip_network(subnet), range=ip_network(f"{subnet.split('.0/')[0]}.128/25")),)
    given = {"bascule.allow_overlap": "true", **options}
    return world.engine.create(NetworkSpec("wire", driver, pools=pools, options=given))


def reaches(world: EngineWorld, who: str, address: str) -> bool:
    return world.sh(who, f"ping -q -c 1 -W 2 {address} >/dev/null 2>&1 && echo yes || echo no") == "yes"


def reached(world: EngineWorld, *pairs: tuple[str, str]) -> list[bool]:
    """Who gets an answer.  All ask at once: silence is waited for."""
    with ThreadPoolExecutor(len(pairs)) as askers:
        return list(askers.map(lambda pair: reaches(world, *pair), pairs))


def address(world: EngineWorld, sandbox: str) -> str:
    return str(world.end(sandbox).addresses[0].ip)


# Documentation/networking/ipvlan.rst: who sees whom below one parent.  In l3 and l3s nobody answers ARP: the other
# machine's way to the subnet is by the parent's address.
@pytest.mark.parametrize(
    ("mode", "flag", "siblings", "machine"),
    [
        ("l2", "bridge", True, True),
        ("l2", "private", False, True),
        ("l2", "vepa", False, True),
        ("l3", "bridge", True, True),
        ("l3", "private", False, True),
        ("l3", "vepa", False, True),
        ("l3s", "bridge", True, True),
        ("l3s", "private", False, True),
        ("l3s", "vepa", False, True),
    ],
)
def test_who_reaches_whom(world: EngineWorld, mode: str, flag: str, siblings: bool, machine: bool) -> None:
    subnet = "192.0.2.0/24" if mode == "l2" else "10.9.0.0/24"
    made(world, "ipvlan", subnet=subnet, parent="eth0", ipvlan_mode=mode, ipvlan_flag=flag)
    try:
        one, two = (world.box(name, "wire") for name in ("one", "two"))
    except Failed as refusal:
        if "Unknown device type" not in str(refusal):
            raise
        pytest.skip(f"this kernel cannot: {refusal}")
    if mode != "l2":
        world.sh("lan", "ip route add 10.9.0.0/24 via 192.0.2.1")
    first, second = address(world, one), address(world, two)
    assert reached(world, ("one", second), ("lan", first), ("host", first)) == [siblings, machine, False]
    macs = {world.sh(who, "cat /sys/class/net/eth0/address") for who in ("one", "two", "host")}
    assert len(macs) == 1
    if mode != "l2":
        assert "default dev eth0" in world.sh("one", "ip route")


def test_a_vlan_of_the_parent_is_made_and_goes_with_its_last_network(world: EngineWorld) -> None:
    made(world, "macvlan", subnet="10.8.0.0/24", parent="eth0.50")
    world.engine.create(NetworkSpec("second", "macvlan", options={"parent": "eth0.50"}))
    # The other machine is in the same VLAN.
    world.sh("lan", "ip link add eth0.50 link eth0 type vlan id 50; ip link set eth0.50 up")
    world.sh("lan", "ip addr add 10.8.0.1/24 dev eth0.50")
    box = world.box("one", "wire")
    assert reaches(world, "lan", address(world, box))
    world.engine.disconnect("wire", box)
    world.engine.remove("wire")
    assert "eth0.50@eth0" in world.sh("host", "ip -o link")
    world.engine.remove("second")
    world.kernel.settle()
    assert "eth0.50" not in world.sh("host", "ip -o link")


def test_a_vlan_of_somebody_elses_stays(world: EngineWorld) -> None:
    if "Unknown device type" in world.sh("host", "ip link add eth0.60 link eth0 type vlan id 60 2>&1 || true"):
        pytest.skip("this kernel has no links of type vlan")
    made(world, "macvlan", subnet="10.8.0.0/24", parent="eth0.60")
    world.engine.remove("wire")
    world.kernel.settle()
    assert "eth0.60@eth0" in world.sh("host", "ip -o link")


def test_a_network_without_a_parent_has_a_dummy(world: EngineWorld) -> None:
    net = made(world, "ipvlan", subnet="10.8.0.0/24")
    kind = world.sh("host", f"ip -d -o link show di-{net.id[:12]}")
    assert " dummy " in kind or " ifb " in kind


def test_the_host_reaches_ipvlan_endpoints_with_host_access(world: EngineWorld) -> None:
    made(world, "ipvlan", subnet="10.8.0.0/24", parent="eth0", **{"bascule.host_access": "true"})
    assert reaches(world, "host", address(world, world.box("one", "wire")))


@ssh_ground.needs
def test_an_outside_machine_logs_in_to_a_containers_own_address() -> None:
    with ssh_ground.Segment(f"bsshi-{os.getpid()}") as segment:
        segment.network("ipvlan")
        try:
            segment.logs_in()
        except Refused as refusal:
            if "Unknown device type" not in str(refusal):
                raise
            pytest.skip(f"this kernel cannot: {refusal}")
