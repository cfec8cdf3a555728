"""Parents that go down, go away, or are renamed, and what becomes of the networks on them.

lan 192.0.2.2 --- 192.0.2.1 eth0  the host, whose link is the parent
    10.213.0.200
"""

import os
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest
from tests.root.engine_world import EngineWorld
from tests.root.ground import DaemonGround, compared, until

from bascule.model.errors import Failed, KernelError
from bascule.model.network import Network, NetworkSpec, PoolSpec

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo make test-root")

LAN = "10.213.0.200"
FAR = f"ip link set eth0 up; ip addr add {LAN}/24 dev eth0; ip addr add fd13::200/64 dev eth0 nodad"
POOLS = (PoolSpec(ip_network("10.213.0.0/24")), PoolSpec(ip_network("fd13::/64")))


class Ground(EngineWorld):
    """A host whose eth0 leads to `lan`, who is on the containers' subnets."""

    def __init__(self) -> None:
        super().__init__(nf_call=False)
        self.sh("lan", FAR)

    def wire(self, **options: str) -> Network:
        given = {"parent": "eth0", "bascule.host_access": "true", **options}
        return self.engine.create(NetworkSpec("wire", "macvlan", pools=POOLS, ipv6=True, options=given))

    def plug(self) -> None:
        """The parent that was gone is there again."""
        self.sh("host", f"ip link add eth0 up type veth peer name eth0 netns {self.ns('lan')}")
        self.sh("lan", FAR)

    def comes_to_say(self, wanted: str) -> None:
        """The network's status becomes *wanted*."""
        until(lambda: self.says() == wanted, self.says)

    def says(self) -> str:
        return self.engine.status(self.engine.network("wire")).get("bascule.parent", "")

    def reaches(self, who: str, address: str) -> bool:
        return self.sh(who, f"ping -q -c 1 -W 1 {address} >/dev/null 2>&1 && echo yes || echo no") == "yes"

    def inside(self, who: str) -> str:
        """What there is of a container's links, addresses and routes, without the kernel's numbers."""
        lines = "ip -o addr; ip route; ip -6 route; cat /sys/class/net/eth0/address"
        return "\n".join(sorted(line.split(":", 1)[-1].strip() for line in self.sh(who, lines).splitlines()))


@pytest.fixture
def ground() -> Iterator[Ground]:
    with Ground() as made:
        yield made


def test_a_parent_that_is_down_is_told_until_it_is_up(ground: Ground) -> None:
    ground.wire()
    ground.box("one", "wire")
    assert ground.says() == ""
    ground.sh("host", "ip link set eth0 down")
    ground.comes_to_say("eth0 is down")
    ground.sh("host", "ip link set eth0 up")
    ground.comes_to_say("")
    until(lambda: ground.reaches("one", LAN))
    assert ground.reaches("one", "fd13::200")


def test_a_pulled_cable_is_told(ground: Ground) -> None:
    ground.wire()
    ground.sh("lan", "ip link set eth0 down")
    ground.comes_to_say("eth0 has no carrier")
    ground.sh("lan", "ip link set eth0 up")
    ground.comes_to_say("")


def test_what_is_wrong_when_a_network_is_made_is_told_at_once(ground: Ground) -> None:
    ground.sh("host", "ip link set eth0 down")
    ground.wire()
    assert ground.says() == "eth0 is down"


def test_what_went_with_a_parent_is_made_again_when_it_is_back(ground: Ground) -> None:
    ground.wire()
    boxes = [ground.box(name, "wire") for name in ("one", "two")]
    before = {name: ground.inside(name) for name in ("one", "two")}
    ground.sh("host", "ip link del eth0")
    ground.comes_to_say("eth0 is gone")
    assert "eth0" not in ground.sh("one", "ip -o link")
    # One that stops meanwhile does not come back.
    ground.engine.close_sandbox(boxes[1])
    ground.plug()
    ground.comes_to_say("")
    until(lambda: ground.inside("one") == before["one"], lambda: compared(before["one"], ground.inside("one")))
    until(lambda: ground.reaches("one", LAN))
    assert ground.reaches("one", "fd13::200")
    address = str(ground.end(boxes[0]).addresses[0].ip)
    assert ground.reaches("lan", address)
    assert ground.reaches("host", address)
    assert "eth0" not in ground.sh("two", "ip -o link")


def test_a_parent_that_is_gone_and_back_within_a_moment_is_noticed(ground: Ground) -> None:
    ground.wire()
    ground.box("one", "wire")
    before = ground.inside("one")
    again = f"ip link del eth0; ip link add eth0 up type veth peer name eth0 netns {ground.ns('lan')}"
    for _ in range(5):
        ground.sh("host", again)
        ground.sh("lan", FAR)
    until(lambda: ground.reaches("one", LAN) and ground.inside("one") == before, lambda: ground.inside("one"))
    ground.comes_to_say("")


def test_endpoints_of_a_parent_that_was_renamed_work_on_and_no_new_one_is_made(ground: Ground) -> None:
    ground.wire()
    ground.box("one", "wire")
    link = ground.sh("one", "cat /sys/class/net/eth0/ifindex")
    ground.sh("host", "ip link set eth0 down; ip link set eth0 name lan0; ip link set lan0 up")
    ground.comes_to_say("eth0 is now called lan0")
    until(lambda: ground.reaches("one", LAN))
    with pytest.raises(Failed, match=r"^network wire: parent eth0 is now called lan0$"):
        ground.box("two", "wire")
    ground.sh("host", "ip link set lan0 down; ip link set lan0 name eth0; ip link set eth0 up")
    ground.comes_to_say("")
    assert ground.sh("one", "cat /sys/class/net/eth0/ifindex") == link
    ground.engine.connect("wire", ground.engine.sandboxes()[-1].id)
    until(lambda: ground.reaches("two", LAN))


def test_a_parent_without_endpoints_is_found_under_its_new_name_as_well(ground: Ground) -> None:
    ground.wire(**{"bascule.host_access": "false"})
    ground.sh("host", "ip link set eth0 down; ip link set eth0 name lan0; ip link set lan0 up")
    ground.comes_to_say("eth0 is now called lan0")
    ground.sh("host", "ip link set lan0 down; ip link set lan0 name lan9; ip link set lan9 up")
    ground.comes_to_say("eth0 is now called lan9")
    ground.sh("host", "ip link del lan9")
    ground.comes_to_say("eth0 is gone")


def routes(ground: Ground) -> str:
    """The host's, whether or not the kernel has noticed yet that a bridge has no ports."""
    return ground.sh("host", "ip route; ip -6 route").replace(" linkdown", "")


def test_the_hosts_own_link_that_somebody_took_away_is_made_again(ground: Ground) -> None:
    net = ground.wire()
    ground.box("one", "wire")
    address = str(ground.engine.endpoints()[0].addresses[0].ip)
    before = routes(ground)
    ground.sh("host", f"ip link del bh-{net.id[:12]}")
    until(lambda: routes(ground) == before, lambda: compared(before, routes(ground)))
    assert ground.reaches("host", address)
    ground.box("two", "wire")


def test_another_link_of_the_parents_name_is_not_taken_for_it(ground: Ground) -> None:
    ground.wire()
    ground.box("one", "wire")
    ground.sh("host", "ip link set eth0 down; ip link set eth0 name lan0; ip link set lan0 up")
    ground.sh("host", "ip link add eth0 up type veth peer name far0")
    ground.comes_to_say("eth0 is another link now, the one before is called lan0")
    until(lambda: ground.reaches("one", LAN))


def test_a_parent_of_our_own_that_somebody_took_away_is_made_again(ground: Ground) -> None:
    net = ground.wire(parent="", **{"bascule.host_access": "false"})
    one, two = (ground.box(name, "wire") for name in ("one", "two"))
    ground.sh("host", f"ip link del dm-{net.id[:12]}")
    until(lambda: ground.reaches("one", str(ground.end(two).addresses[0].ip)))
    assert ground.says() == ""
    assert one


def test_what_was_made_of_a_vlan_is_made_again_when_that_ones_parent_is_back(ground: Ground) -> None:
    try:
        ground.wire(parent="eth0.50")
    except (Failed, KernelError) as refusal:
        if "Unknown device type" not in str(refusal):
            raise
        pytest.skip(f"this kernel cannot: {refusal}")
    tag = "ip link add eth0.50 link eth0 type vlan id 50; ip link set eth0.50 up"
    tagged = f"{tag}; ip addr add 10.213.0.250/24 dev eth0.50; ip addr del {LAN}/24 dev eth0"
    ground.sh("lan", tagged)
    ground.box("one", "wire")
    before = ground.inside("one")
    assert ground.reaches("one", "10.213.0.250")
    ground.sh("host", "ip link set eth0 down")
    ground.comes_to_say("eth0 is down")
    ground.sh("host", "ip link set eth0 up")
    ground.comes_to_say("")
    ground.sh("host", "ip link del eth0")
    ground.comes_to_say("eth0 is gone")
    ground.plug()
    ground.sh("lan", tagged)
    ground.comes_to_say("")
    until(lambda: ground.inside("one") == before, lambda: compared(before, ground.inside("one")))
    until(lambda: ground.reaches("one", "10.213.0.250"))
    ground.sh("host", "ip link set eth0 down; ip link set eth0 name lan0; ip link set lan0 up")
    ground.comes_to_say("eth0 is now called lan0")


# ---- with the daemon, and without it meanwhile

PARENT = "ip link add lan0 type veth peer name far0; ip link set far0 up; ip link set lan0 up"
BODY = {
    "Name": "lan",
    "Driver": "macvlan",
    "EnableIPv6": True,
    "IPAM": {"Config": [{"Subnet": "10.213.0.0/24"}, {"Subnet": "fd13::/64"}]},
    "Options": {"parent": "lan0", "bascule.host_access": "true"},
}


@pytest.fixture
def host() -> Iterator[DaemonGround]:
    made = DaemonGround(Path(f"/dev/shm/bparents-{os.getpid()}"), f"--bridge=bp{os.getpid()}")
    try:
        made.start()
        made.sh(PARENT)
        made.ask("POST", "/networks/create", BODY)
        made.run("box", "lan", "sleep", "600")
        yield made
    finally:
        made.close()


def status(host: DaemonGround) -> dict[str, str] | None:
    """What inspect tells, None where it tells nothing."""
    told: dict[str, str] | None = host.ask("GET", "/networks/lan").get("Status")
    return told


def shown(host: DaemonGround, wanted: dict[str, str] | None) -> None:
    until(lambda: status(host) == wanted, lambda: f"{status(host)}\n{host.said()}")


def mtu(host: DaemonGround) -> str:
    (path,) = host.namespaces()
    return host.sh("ip -o link show eth0", str(path)).partition("mtu ")[2].split()[0]


def test_a_containers_mtu_is_its_parents_and_goes_down_with_it(host: DaemonGround) -> None:
    assert mtu(host) == "1500"
    host.sh("ip link set lan0 mtu 1400")
    until(lambda: host.count("parent lan0: the MTU went from 1500 to 1400, for endpoints as well") == 1, host.said)
    assert mtu(host) == "1400"
    host.sh("ip link set lan0 mtu 1500")
    until(lambda: host.count("parent lan0: the MTU went from 1400 to 1500, for new endpoints") == 1, host.said)
    assert mtu(host) == "1400"
    host.ask("POST", "/networks/lan/disconnect", {"Container": "box"})
    host.ask("POST", "/networks/lan/connect", {"Container": "box"})
    assert mtu(host) == "1500"


def test_inspect_shows_it_and_the_log_tells_once(host: DaemonGround) -> None:
    assert status(host) is None
    host.sh("ip link set lan0 down")
    shown(host, {"bascule.parent": "lan0 is down"})
    host.sh("ip link set lan0 mtu 1400")
    host.sh("ip link set lan0 mtu 1500 up")
    shown(host, None)
    assert host.count("network lan: parent lan0 is down") == 1
    assert host.count("network lan: parent lan0 is well again") == 1


@pytest.mark.parametrize("crash", [False, True])
def test_a_parent_that_comes_back_after_a_restart_brings_its_endpoints_back(
    host: DaemonGround, crash: bool
) -> None:
    before = host.summary()
    if crash:
        host.kill()
        host.sh("ip link del lan0")
    else:
        host.sh("ip link del lan0")
        shown(host, {"bascule.parent": "lan0 is gone"})
        host.stop()
    host.start()
    assert status(host) == {"bascule.parent": "lan0 is gone"}
    host.sh(PARENT)
    shown(host, None)
    until(lambda: host.summary() == before, lambda: compared(before, host.summary()))


def test_a_parent_that_was_renamed_while_no_daemon_ran_is_found(host: DaemonGround) -> None:
    before = host.summary()
    host.stop()
    host.sh("ip link set lan0 down; ip link set lan0 name wan0; ip link set wan0 up")
    host.start()
    assert status(host) == {"bascule.parent": "lan0 is now called wan0"}
    host.sh("ip link set wan0 down; ip link set wan0 name lan0; ip link set lan0 up")
    shown(host, None)
    until(lambda: host.summary() == before, lambda: compared(before, host.summary()))
    host.stop()
    host.start()
    assert status(host) is None


def test_a_container_that_is_to_start_with_the_daemon_waits_for_its_parent(host: DaemonGround) -> None:
    """As at a boot where the parent comes later."""

    def state() -> tuple[str, int]:
        told = host.ask("GET", "/containers/late/json")
        return told["State"]["Status"], told["RestartCount"]

    host.run("late", "lan", "sleep", "600", HostConfig={"RestartPolicy": {"Name": "always"}})
    host.ask("POST", "/containers/late/stop?t=0")
    host.stop()
    host.sh("ip link del lan0")
    host.start()
    # It is tried again, and again after that.
    until(lambda: state() >= ("restarting", 2), lambda: f"{state()}\n{host.said()}")
    host.sh(PARENT)
    until(lambda: state()[0] == "running", host.said)
    host.ask("POST", "/containers/late/stop?t=0")
    host.stop()
    host.sh("ip link del lan0")
    host.start()
    until(lambda: state()[0] == "restarting", host.said)
    host.ask("POST", "/containers/late/stop?t=0")
    assert state()[0] == "exited"
