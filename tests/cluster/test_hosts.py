"""Three hosts, each with its daemon, and etcd on all of them: who reaches whom, and who finds whom by name."""

import json
import socket
from collections.abc import Iterator
from itertools import permutations

import pytest
from tests.cluster.daemons import HOSTS, Cluster, Container, command, docker, shown
from tests.etcd_server import ETCD, REASON
from tests.root.ground import until

from bascule.kernel.namespaces import in_namespace
from bascule.model.addresses import IPAddress, ip_address

pytestmark = pytest.mark.skipif(not ETCD, reason=REASON)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """All three are members.  Tests leave it as they found it."""
    with Cluster(tmp_path_factory.mktemp("etcd")) as made:
        made.enter()
        yield made


@pytest.fixture
def trio(cluster: Cluster) -> Iterator[list[Container]]:
    """A container on each host, on one network of both families."""
    cluster.network("one", "web", "10.50.0.0/24", "fd50::/64")
    yield [cluster.run(host, f"box-{host}", "web") for host in HOSTS]
    for host in HOSTS:
        cluster.daemons[host].sweep()
    assert cluster.verified() == ""


def test_everybody_finds_and_reaches_everybody(trio: list[Container]) -> None:
    for one, other in permutations(trio, 2):
        assert one.asks(other.name) == f"NOERROR {other.addresses[0]}"
        for address in other.addresses:
            # What fits through the tunnel, with 28 or 48 bytes of headers, and must not be cut.
            size = 1450 - 28 if address.version == 4 else 1450 - 48
            assert one.ping(address, size=size, count=3) == "3/3"


def test_they_talk_over_tcp_and_udp(trio: list[Container]) -> None:
    for number, (one, other) in enumerate(permutations(trio, 2)):
        for address in other.addresses:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with listening(other, address, 4000 + number, kind) as server:
                    assert said(one, server, address, 4000 + number, kind) == b"hello"


def test_a_name_that_several_have_is_all_of_them(cluster: Cluster, trio: list[Container]) -> None:
    made = [cluster.run(host, f"web-{host}", "web", aliases=("service",)) for host in HOSTS]
    wanted = {str(one.addresses[0]) for one in made}
    asker = trio[0]
    until(lambda: set(asker.asks("service").split()[1:]) == wanted)
    cluster.daemons["two"].ask("DELETE", "/containers/web-two?force=1")
    until(lambda: set(asker.asks("service").split()[1:]) == wanted - {str(made[1].addresses[0])})


def test_two_networks_are_two(cluster: Cluster, trio: list[Container]) -> None:
    cluster.network("two", "other", "10.51.0.0/24")
    one, two = (cluster.run(host, f"other-{host}", "other") for host in ("one", "two"))
    assert one.ping(two.addresses[0]) == "1/1"
    # By name and by address: from either to the other, on the same host and on another.
    for asker, asked in ((one, trio[0]), (one, trio[1]), (trio[0], two), (trio[1], two)):
        assert asker.asks(asked.name) == "NXDOMAIN"
        assert asker.ping(asked.addresses[0], seconds=1) == "0/1"


def test_an_address_that_a_host_has_as_well_is_the_endpoints(cluster: Cluster) -> None:
    cluster.wire.ip("two", "addr add 10.54.0.9/32 dev lo")
    try:
        cluster.network("one", "far", "10.54.0.0/24")
        far = cluster.run("one", "far-one", "far", address="10.54.0.9")
        asker = cluster.run("two", "far-two", "far")
        until(lambda: asker.asks("far-one") == "NOERROR 10.54.0.9")
        assert asker.ping(far.addresses[0]) == "1/1"
    finally:
        cluster.wire.ip("two", "addr del 10.54.0.9/32 dev lo")
        for host in HOSTS:
            cluster.daemons[host].sweep()
    assert cluster.verified() == ""


def test_different_subnets_of_a_network_reach_each_other(cluster: Cluster) -> None:
    cluster.network("one", "wide", "10.55.0.0/24", "10.56.0.0/24", "fd55::/64", "fd56::/64", Internal=True)
    one, two = cluster.run("one", "wide-one", "wide"), cluster.run("two", "wide-two", "wide", address="10.56.0.9")
    three = cluster.run("one", "wide-three", "wide", address="10.56.0.10")
    for asker, other in permutations((one, two, three), 2):
        assert asker.ping(other.addresses[0]) == "1/1"
    for host in HOSTS:
        cluster.daemons[host].sweep()
    assert cluster.verified() == ""


def test_an_internal_network_leads_nowhere_and_any_other_does(cluster: Cluster, trio: list[Container]) -> None:
    cluster.network("two", "inner", "10.52.0.0/24", Internal=True)
    inner = cluster.run("one", "inner-one", "inner")
    outside = cluster.wire.address("two")
    # By the host's own way, which is another machine's address here.
    assert trio[0].ping(outside) == "1/1"
    assert "default" not in inner.sh("ip route")
    assert inner.ping(outside, seconds=1).startswith(("0/1", "ping: connect"))
    other = cluster.run("three", "inner-three", "inner")
    assert inner.ping(other.addresses[0]) == "1/1"


def test_a_container_has_no_way_into_a_tunnel_but_its_own_network(cluster: Cluster, trio: list[Container]) -> None:
    """S7: what it says to a tunnel's port of another host is translated, as if its own host had said it."""
    cluster.network("one", "other", "10.51.0.0/24")
    names = {"by-bridge": "bridge", "by-overlay": "other"}
    for name, network in names.items():
        cluster.daemons["one"].run(name, network, "sleep", "1000")
    boxes = [Container(cluster.daemons["one"], name, network) for name, network in names.items()]
    mac = json.loads(trio[1].sh("ip -j link show eth0"))[0]["address"]
    vni = int(shown(cluster.daemons["two"], "web")["Options"]["com.docker.network.driver.overlay.vxlanid_list"])
    with in_namespace(trio[1].path, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)) as heard:
        heard.bind(("eth0", FORGED))
        heard.settimeout(10)
        for path, text in [
            (boxes[0].path, b"bridge"),
            (boxes[1].path, b"overlay"),
            (cluster.wire.path("one"), b"one"),
        ]:
            with socket_in(path, socket.SOCK_DGRAM, 4) as sock:
                sock.sendto(forged(vni, mac, text), (str(cluster.wire.address("two")), 4789))
        # What the host itself says arrives, and is the first that does.
        assert heard.recv(100)[14:].rstrip(b"\0") == b"one"


FORGED = 0x88B5
"""An Ethernet type that nobody else uses."""


def forged(vni: int, mac: str, text: bytes) -> bytes:
    """A frame to *mac*, as it is inside a tunnel's packet."""
    header = bytes([8, 0, 0, 0]) + (vni << 8).to_bytes(4, "big")
    addresses = bytes.fromhex(mac.replace(":", "")) + bytes.fromhex("0200000001aa")
    return header + addresses + FORGED.to_bytes(2, "big") + text.ljust(46, b"\0")


def test_a_port_is_published_by_the_host_that_it_is_on(cluster: Cluster) -> None:
    cluster.network("one", "pub", "10.53.0.0/24")
    daemon = cluster.daemons["one"]
    daemon.run("server", "pub", "sleep", "1000", HostConfig={"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}})
    server = Container(daemon, "server", "pub")
    with listening(server, ip_address("0.0.0.0"), 80, socket.SOCK_STREAM) as heard:
        asker = socket_in(cluster.wire.path("two"), socket.SOCK_STREAM, 4)
        with asker:
            asker.connect((str(cluster.wire.address("one")), 8080))
            asker.sendall(b"hello")
            with heard.accept()[0] as talk:
                assert talk.recv(10) == b"hello"
    assert daemon.ask("GET", "/containers/server/json")["NetworkSettings"]["Ports"]["80/tcp"]
    daemon.sweep()
    assert cluster.verified() == ""


def test_docker_sees_networks_peers_and_the_node(cluster: Cluster, trio: list[Container]) -> None:
    daemon = cluster.daemons["two"]
    until(lambda: len(shown(daemon, "web").get("Peers", ())) == 3)
    net = shown(daemon, "web")
    assert (net["Scope"], net["Driver"], net["Attachable"]) == ("global", "overlay", True)
    assert net["Options"]["com.docker.network.driver.overlay.vxlanid_list"] == "4096"
    assert [(peer["Name"], peer["IP"]) for peer in net["Peers"]] == [
        ("one", "192.0.2.1"),
        ("three", "192.0.2.3"),
        ("two", "192.0.2.2"),
    ]
    assert [one["Name"] for one in net["Containers"].values()] == [trio[1].name]
    assert "Swarm: active" in docker(daemon, "info")
    docker(daemon, "network", "create", "-d", "overlay", "--attachable", "by-docker")
    until(lambda: all("by-docker" in cluster.networks(host) for host in HOSTS))
    docker(cluster.daemons["three"], "network", "rm", "by-docker")
    until(lambda: not any("by-docker" in cluster.networks(host) for host in HOSTS))
    told = command(daemon, "cluster", "ls")
    assert [line.split()[1:4] for line in told.splitlines()[1:]] == [
        ["one", "192.0.2.1", "ready"],
        ["three", "192.0.2.3", "ready"],
        ["two", "192.0.2.2", "ready"],
    ]
    assert "Networks: 1, on this host 1" in command(daemon, "cluster", "status")
    assert command(daemon, "cluster", "verify") == ""


def test_a_link_that_carries_less_than_a_network_is_told(cluster: Cluster, trio: list[Container]) -> None:
    said = "packets of its MTU, 1450, are too large for three (link with MTU 1400): 1350 would fit"
    cluster.wire.ip("three", "link set eth0 mtu 1400")
    try:
        for daemon in cluster.daemons.values():
            until(lambda daemon=daemon: shown(daemon, "web").get("Status") == {"bascule.mtu": said})  # type: ignore[misc]
            assert f"WARNING: network web: {said}\n" in command(daemon, "cluster", "status")
            until(lambda daemon=daemon: daemon.count(f"network web: {said}") == 1)  # type: ignore[misc]
        # Who was asking just then how large packets may be has found it out by that, too, for a while.
        until(lambda: [line.partition("): ")[2] for line in cluster.differences()] == [said] * 3)
        # And so it is: what fits arrives, and what does not is lost.
        assert trio[0].ping(trio[2].addresses[0], size=1350 - 28) == "1/1"
        assert trio[0].ping(trio[2].addresses[0], size=1450 - 28, seconds=1) == "0/1"
    finally:
        cluster.wire.ip("three", "link set eth0 mtu 1500")
    assert cluster.verified() == ""


# ---- packets


def socket_in(path: str, kind: int, version: int) -> socket.socket:
    """A socket of that namespace."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6

    def opened() -> socket.socket:
        made = socket.socket(family, kind)
        made.settimeout(10)
        return made

    return in_namespace(path, opened)


def listening(box: Container, address: IPAddress, port: int, kind: int) -> socket.socket:
    made = socket_in(box.path, kind, address.version)
    made.bind((str(address), port))
    if kind == socket.SOCK_STREAM:
        made.listen()
    return made


def said(box: Container, server: socket.socket, address: IPAddress, port: int, kind: int) -> bytes:
    """What *server* hears that *box* says."""
    with socket_in(box.path, kind, address.version) as asker:
        asker.connect((str(address), port))
        asker.send(b"hello")
        if kind == socket.SOCK_DGRAM:
            return server.recv(100)
        with server.accept()[0] as talk:
            return talk.recv(100)
