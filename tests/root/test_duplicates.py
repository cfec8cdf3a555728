"""Addresses that a machine on the segment has already: passed over, told, or refused.

lan 192.0.2.2 --- 192.0.2.1 eth0  the host, whose link is the parent
    and whatever a test gives it in 10.213.0.0/24 and fd13::/64
"""

import os
import select
import socket
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest
from tests.root.engine_world import EngineWorld, at
from tests.root.ground import DaemonGround, Refused, until

from bascule.api.shapes.network import show
from bascule.engine.engine import Engine
from bascule.kernel import namespaces
from bascule.model.addresses import ip_address
from bascule.model.errors import BasculeError, Forbidden
from bascule.model.network import Network, NetworkSpec, PoolSpec
from bascule.wire.probes import ETH_P_ARP

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo make test-root")

HOST_ACCESS = {"bascule.host_access": "true"}
OPTION = "bascule.duplicate_detection"
POOLS = (PoolSpec(ip_network("10.213.0.0/24")), PoolSpec(ip_network("fd13::/64")))


class Segment(EngineWorld):
    def wire(self, detection: str, **options: str) -> Network:
        given = {"parent": "eth0", OPTION: detection, **options}
        return self.engine.create(NetworkSpec("wire", "macvlan", pools=POOLS, ipv6=True, options=given))

    def held(self, *addresses: str) -> str:
        """`lan` has *addresses* from now on; its MAC."""
        for address in addresses:
            self.sh("lan", f"ip addr add {address}/{64 if ':' in address else 24} dev eth0 nodad")
        return self.sh("lan", "cat /sys/class/net/eth0/address")

    def knows(self, *addresses: str) -> None:
        """The engine comes to pass over exactly *addresses*."""
        net, wanted = self.engine.network("wire"), set(map(ip_address, addresses))
        until(
            lambda: self.engine.duplicates.passed_over(net.id) == wanted,
            lambda: str(self.engine.duplicates.passed_over(net.id)),
        )

    def says(self) -> str:
        return self.engine.status(self.engine.network("wire")).get("bascule.duplicates", "")

    def hosted(self, address: str) -> Network:
        """A network with an address that was chosen for the host."""
        aux = {"bascule.host": ip_address(address), "printer": ip_address("10.213.0.77")}
        pools = (PoolSpec(ip_network("10.213.0.0/24"), aux=aux),)
        return self.engine.create(
            NetworkSpec("wire", "macvlan", pools=pools, options={"parent": "eth0", **HOST_ACCESS})
        )

    def listening(self) -> socket.socket:
        """What `lan` hears and says of ARP."""
        heard = namespaces.in_namespace(
            f"/run/netns/{self.ns('lan')}",
            lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ARP)),
        )
        heard.bind(("eth0", ETH_P_ARP))
        return heard

    def addresses(self, box: str) -> list[str]:
        return [str(a.ip) for a in self.end(box).addresses]


def frames(heard: socket.socket) -> Iterator[bytes]:
    """Those that are there."""
    while select.select([heard], [], [], 0)[0]:
        yield heard.recv(256)


def answers(heard: socket.socket) -> list[tuple[str, str]]:
    """The addresses that somebody answered to have, and the MACs."""
    return [(socket.inet_ntoa(f[28:32]), f[22:28].hex(":")) for f in frames(heard) if f[21] == 2]


@pytest.fixture
def segment() -> Iterator[Segment]:
    with Segment(nf_call=False) as made:
        yield made


def test_addresses_that_others_have_are_passed_over(segment: Segment) -> None:
    segment.held("10.213.0.2", "10.213.0.3", "fd13::3")
    segment.wire("report")
    segment.knows("10.213.0.2", "10.213.0.3", "fd13::3")
    assert segment.addresses(segment.box("one", "wire")) == ["10.213.0.4", "fd13::2"]
    assert segment.addresses(segment.box("two", "wire")) == ["10.213.0.5", "fd13::4"]
    assert segment.says() == ""


def test_the_first_endpoint_is_given_no_address_that_somebody_has(segment: Segment) -> None:
    """Nobody waits between the two, as where a script makes a network and a container."""
    segment.held("10.213.0.128", "10.213.0.129", "10.213.0.130", "fd13::2")
    gateway, given = ip_address("10.213.0.1"), ip_network("10.213.0.128/26")
    pools = (PoolSpec(ip_network("10.213.0.0/24"), given, gateway), POOLS[1])
    spec = NetworkSpec("wire", "macvlan", pools=pools, ipv6=True, options={"parent": "eth0"})
    net = segment.engine.create(spec)
    # Known already: the attach has nothing to wait for.
    assert len(segment.engine.duplicates.passed_over(net.id)) == 4
    assert segment.addresses(segment.box("one", "wire")) == ["10.213.0.131", "fd13::3"]


def test_a_daemon_that_has_just_begun_gives_none_either(segment: Segment) -> None:
    segment.wire("report")
    segment.held("10.213.0.2", "fd13::2")
    store, kernel = segment.engine.store, segment.engine.kernel
    segment.engine.duplicates.close()
    segment.engine = Engine(kernel, store, segment.engine.settings)
    segment.engine.start()
    assert segment.addresses(segment.box("one", "wire")) == ["10.213.0.3", "fd13::3"]


@pytest.mark.parametrize("detection", ["report", "strict"])
def test_the_hosts_own_link_has_no_address_that_somebody_has(segment: Segment, detection: str) -> None:
    segment.held("10.213.0.2", *(f"fd13::{n:x}" for n in range(2, 24)))
    net = segment.wire(detection, **HOST_ACCESS)
    assert [str(pool.aux["bascule.host"]) for pool in net.pools] == ["10.213.0.3", "fd13::18"]
    assert segment.addresses(segment.box("one", "wire")) == ["10.213.0.4", "fd13::19"]


def test_an_address_that_was_chosen_for_the_host_is_its_own_or_refused(segment: Segment) -> None:
    mac = segment.held("10.213.0.9")
    there = "ip -o link | cut -d' ' -f2; ip -o addr | awk '{print $2, $4}'"
    untouched = segment.sh("host", there)
    for address, why in (
        ("10.213.0.9", rf"address 10.213.0.9 \(bascule.host\) is in use on eth0 by {mac}"),
        ("10.214.0.9", "invalid auxiliary address bascule.host: parent subnet 10.213.0.0/24 doesn't contain"),
        ("10.213.0.1", r"failed to allocate secondary ip address \(bascule.host:10.213.0.1\): Address already"),
        ("10.213.0.255", r"failed to allocate secondary ip address \(bascule.host:10.213.0.255\): Address"),
    ):
        with pytest.raises(BasculeError, match=why):
            segment.hosted(address)
    assert segment.engine.networks()[-1].name == "none"
    assert segment.sh("host", there) == untouched
    net = segment.hosted("10.213.0.10")
    assert "inet 10.213.0.10/32 " in segment.sh("host", f"ip -o addr show bh-{net.id[:12]}")
    shown = show(net)["IPAM"]["Config"]
    assert shown
    assert shown[0]["AuxiliaryAddresses"] == {"bascule.host": "10.213.0.10", "printer": "10.213.0.77"}


def test_what_came_while_the_parent_was_down_is_asked_for_when_it_is_back(segment: Segment) -> None:
    mac = segment.held("10.213.0.9")
    segment.wire("report")
    segment.sh("host", "ip link set eth0 down")
    until(lambda: "bascule.parent" in segment.engine.status(segment.engine.network("wire")))
    segment.box("one", "wire", spec=at("10.213.0.9"))
    segment.sh("host", "ip link set eth0 up")
    until(lambda: segment.says() == f"10.213.0.9 of one is in use on eth0 by {mac}", segment.says)


def test_the_hosts_addresses_have_one_mac_each_with_host_access(segment: Segment) -> None:
    """The host's own link does not answer for what the host has on the parent."""
    net = segment.wire("off", **HOST_ACCESS)
    segment.sh("lan", "ip neigh flush dev eth0")
    parent = segment.sh("host", "cat /sys/class/net/eth0/address")
    own = str(net.pools[0].aux["bascule.host"])
    with segment.listening() as heard:
        segment.sh("lan", "ping -q -c 1 -W 1 192.0.2.1")
        segment.sh("lan", f"ip route add {own} dev eth0; ping -q -c 1 -W 1 {own}")
        told = answers(heard)
    assert {mac for address, mac in told if address == "192.0.2.1"} == {parent}
    assert net.mac in {mac for address, mac in told if address == own}


def test_the_hosts_own_addresses_on_the_parent_are_no_containers(segment: Segment) -> None:
    segment.wire("strict")
    segment.sh("host", "ip addr add 10.213.0.2/24 dev eth0; ip addr add fd13::3/64 dev eth0 nodad")
    with pytest.raises(Forbidden, match=r"^address 10\.213\.0\.2 is in use on eth0 by this host$"):
        segment.box("one", "wire", spec=at("10.213.0.2"))
    given = [address for name in ("two", "three") for address in segment.addresses(segment.box(name, "wire"))]
    assert len({"10.213.0.2", "fd13::3", *given}) == 6, given


def test_what_comes_to_be_held_further_on_is_passed_over_as_well(segment: Segment) -> None:
    segment.held("10.213.0.20")
    segment.wire("report")
    segment.box("one", "wire")
    segment.knows()
    for _ in range(3):
        segment.engine.connect("wire", segment.engine.open(segment.sandbox_of(_)).id)
    segment.knows("10.213.0.20")


def test_a_conflict_with_an_address_that_was_asked_for_is_told(segment: Segment) -> None:
    mac = segment.held("10.213.0.9", "fd13::9")
    segment.wire("report")
    box = segment.box("one", "wire", spec=at("10.213.0.9", "fd13::9"))
    wanted = "; ".join(f"{address} of one is in use on eth0 by {mac}" for address in ("10.213.0.9", "fd13::9"))
    until(lambda: segment.says() == wanted, segment.says)
    told = [e.attributes for e in segment.engine.events.since(0) if e.action == "duplicate"]
    assert [(t["name"], t["address"], t["mac"]) for t in told] == [
        ("wire", "10.213.0.9", mac),
        ("wire", "fd13::9", mac),
    ]
    segment.engine.disconnect("wire", box)
    assert segment.says() == ""
    # Neither is anybody given them by chance.
    segment.knows("10.213.0.9", "fd13::9")


def test_a_conflict_is_over_when_nobody_else_answers_any_more(segment: Segment) -> None:
    segment.engine.duplicates.kept = 0.2
    mac = segment.held("10.213.0.9", "fd13::9")
    segment.wire("report")
    segment.box("one", "wire", spec=at("10.213.0.9", "fd13::9"))
    until(lambda: "fd13::9 of one" in segment.says(), segment.says)
    segment.sh("lan", "ip addr del 10.213.0.9/24 dev eth0")
    until(lambda: segment.says() == f"fd13::9 of one is in use on eth0 by {mac}", segment.says)
    segment.sh("lan", "ip addr del fd13::9/64 dev eth0")
    until(lambda: segment.says() == "", segment.says)
    # It was asked for again and again, and told once.
    told = [e.attributes["address"] for e in segment.engine.events.since(0) if e.action == "duplicate"]
    assert told == ["10.213.0.9", "fd13::9"]


def test_a_conflict_is_not_over_because_nothing_is_heard(segment: Segment) -> None:
    segment.engine.duplicates.kept = 0.2
    segment.held("10.213.0.9")
    segment.wire("report")
    segment.box("one", "wire", spec=at("10.213.0.9"))
    until(lambda: segment.says() != "", segment.says)
    (before,) = segment.engine.duplicates._conflicts.values()
    segment.sh("lan", "ip link set eth0 down")
    # Asked twice meanwhile: the first question may have been put before.
    until(lambda: next(iter(segment.engine.duplicates._conflicts.values())).then > before.then + 0.8)
    assert segment.says() != ""


@pytest.mark.parametrize("mode", ["bridge", "private", "vepa", "passthru"])
def test_answers_are_heard_in_every_mode(segment: Segment, mode: str) -> None:
    mac = segment.held("10.213.0.9")
    segment.wire("report", macvlan_mode=mode)
    segment.box("one", "wire", spec=at("10.213.0.9"))
    until(lambda: segment.says() == f"10.213.0.9 of one is in use on eth0 by {mac}", segment.says)


def test_strict_refuses_an_address_that_is_in_use_and_leaves_nothing(segment: Segment) -> None:
    mac = segment.held("10.213.0.9", "fd13::9")
    net = segment.wire("strict")
    box = segment.box("one")
    for address in ("10.213.0.9", "fd13::9"):
        with pytest.raises(Forbidden, match=f"^address {address} is in use on eth0 by {mac}$"):
            segment.engine.connect("wire", box, at(address))
    assert segment.engine.endpoints() == []
    assert "eth0" not in segment.sh("one", "ip -o link")
    # A refusal keeps no address from anybody.
    until(lambda: len(segment.engine.duplicates.passed_over(net.id)) == 2)
    segment.engine.connect("wire", box, at("10.213.0.10"))
    assert segment.addresses(box)[0] == "10.213.0.10"


def test_strict_takes_the_next_address_where_none_was_asked_for(segment: Segment) -> None:
    segment.held("10.213.0.2", "10.213.0.3", "fd13::2")
    segment.wire("strict")
    box = segment.box("one", "wire")
    assert segment.addresses(box) == ["10.213.0.4", "fd13::4"]
    assert segment.engine.endpoints()[0].spec.addresses == ()


def test_off_asks_nobody(segment: Segment) -> None:
    segment.wire("off")
    with segment.listening() as heard:
        segment.box("one", "wire", spec=at("10.213.0.9"))
        segment.sh("one", "ping -q -c 1 -W 1 10.213.0.77 || true")
        asked = [(socket.inet_ntoa(f[28:32]), socket.inet_ntoa(f[38:42])) for f in frames(heard)]
    assert ("10.213.0.9", "10.213.0.77") in asked
    assert [one for one in asked if one[0] == "0.0.0.0"] == []


def test_an_unknown_word_is_refused(segment: Segment) -> None:
    with pytest.raises(Exception, match=r"failed to parse bascule.duplicate_detection value: on "):
        segment.wire("on")


# ---- with the daemon

PARENT = "ip link add lan0 type veth peer name far0; ip link set lan0 up"


@pytest.fixture
def host() -> Iterator[DaemonGround]:
    made = DaemonGround(Path(f"/dev/shm/bduplicates-{os.getpid()}"), f"--bridge=bu{os.getpid()}")
    far = f"{made.netns}f"
    try:
        made.ip("netns", "add", far)
        made.sh(PARENT)
        made.sh(f"ip link set far0 netns {far}")
        made.sh("ip link set far0 up; ip addr add 10.213.0.9/24 dev far0", f"/run/netns/{far}")
        made.start()
        yield made
    finally:
        made.ip("netns", "del", far)
        made.close()


def network(host: DaemonGround, detection: str) -> None:
    ipam = {"Config": [{"Subnet": "10.213.0.0/24"}]}
    options = {"parent": "lan0", OPTION: detection}
    host.ask("POST", "/networks/create", {"Name": "lan", "Driver": "macvlan", "IPAM": ipam, "Options": options})


def container(host: DaemonGround, address: str) -> None:
    ends = {"EndpointsConfig": {"lan": {"IPAMConfig": {"IPv4Address": address}}}}
    host.run("box", "lan", "sleep", "600", NetworkingConfig=ends)


def test_inspect_shows_it_over_a_restart_until_the_container_has_gone(host: DaemonGround) -> None:
    network(host, "report")
    container(host, "10.213.0.9")

    def status() -> str:
        return str(host.ask("GET", "/networks/lan").get("Status", {}).get("bascule.duplicates", ""))

    until(lambda: status().startswith("10.213.0.9 of box is in use on lan0 by "), host.said)
    until(lambda: host.count("network lan: 10.213.0.9 of box is in use on lan0 by") == 1, host.said)
    host.kill()
    host.start()
    until(lambda: status().startswith("10.213.0.9 of box is in use on lan0 by "), host.said)
    host.ask("DELETE", "/containers/box?force=1")
    assert status() == ""


def test_a_container_is_not_started_on_a_strict_network(host: DaemonGround) -> None:
    network(host, "strict")
    before = host.network_state()
    with pytest.raises(Refused, match=r"403 .*container networking: address 10.213.0.9 is in use on lan0 by "):
        container(host, "10.213.0.9")
    assert host.network_state() == before
    host.ask("DELETE", "/containers/box?force=1")
    container(host, "10.213.0.10")
