"""A cluster of 500 nodes and 20,000 endpoints, as one real node of it sees it: the others are records only."""

import os
import time
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address
from pathlib import Path
from statistics import median

import pytest
from tests.cluster.daemons import Cluster, Container
from tests.cluster.records import networks
from tests.etcd_server import ETCD, REASON
from tests.root.firewall_world import inside
from tests.root.ground import DEADLINE, Inside, until

from bascule.cluster import keys, told
from bascule.model.addresses import ip_address
from bascule.model.cluster import Node, Remote
from bascule.model.codec import decode, encode
from bascule.model.network import Network
from bascule.store.etcdclient import Access, Etcd

pytestmark = pytest.mark.skipif(not ETCD, reason=REASON)
NODES, NETWORKS, EACH = 500, 4, 5000
AT_ONCE = 100


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """One member, and the networks net0 to net3."""
    with Cluster(tmp_path, etcds=1, hosts=("one",)) as made:
        made.enter("one")
        for number in range(NETWORKS):
            made.network("one", f"net{number}", f"10.{60 + number}.0.0/16")
        yield made


def others() -> list[Node]:
    return [Node(f"{n:032x}", f"node{n}", IPv4Address("198.18.0.0") + n, 1500, 1, 1) for n in range(1, NODES)]


def endpoints(network: str, number: int, nodes: list[Node]) -> list[Remote]:
    """Where no block of the real node is: the upper half of the network."""
    base = IPv4Address(f"10.{60 + number}.128.0")
    return [
        Remote(
            f"{number:04x}{n:060x}",
            network,
            nodes[n % len(nodes)].id,
            1,
            1,
            f"box{n}",
            nodes[n % len(nodes)].address,
            (base + n,),
            f"02:00:{number:02x}:00:{n >> 8:02x}:{n & 255:02x}",
            (f"box{n}",),
        )
        for n in range(EACH)
    ]


def write(cluster: Cluster, written: dict[str, str], *, gone: Sequence[str] = ()) -> None:
    """Into the store, as the others would have."""

    def put() -> None:
        etcd = Etcd(Access((cluster.store["one"].url,)))
        pairs = list(written.items())
        for start in range(0, len(pairs), AT_ONCE):
            etcd.transact(dict(pairs[start : start + AT_ONCE]))
        for start in range(0, len(gone), AT_ONCE):
            etcd.transact({}, gone[start : start + AT_ONCE])
        etcd.close()

    inside(cluster.wire.ns("one"), put)


def tell(cluster: Cluster, some: list[Remote]) -> None:
    """Endpoints are there, and their nodes have said so."""
    write(cluster, {told.key(one): encode(one) for one in some})
    lines = [told.line(one.network, one.node, [one.id]) for one in some]
    write(cluster, {key: text for one in lines for key, text in one.items()})


def test_twenty_thousand_endpoints_on_five_hundred_nodes(cluster: Cluster) -> None:
    daemon, nodes = cluster.daemons["one"], others()
    nets = [daemon.ask("GET", f"/networks/net{n}")["Id"] for n in range(NETWORKS)]
    write(cluster, {keys.node(node.id): encode(node) for node in nodes})
    records = [endpoints(net, number, nodes) for number, net in enumerate(nets)]
    for some in records:
        tell(cluster, some)
    daemon.run("box", "bridge", "sleep", "1000")
    before = memory(daemon.pid)
    took = [joining(cluster, 0, records[0])]
    # With one network of that size.
    assert memory(daemon.pid) < 60, memory(daemon.pid)
    took += [joining(cluster, number, records[number]) for number in (1, 2)]
    box = Container(daemon, "box", "net0")
    changes = [change(cluster, box, records[0], number) for number in range(50)]
    said = (
        f"joined {EACH} endpoints in {min(took) * 1000:.0f} ms of the processor, a change heard in"
        f" {median(changes) * 1000:.1f} ms, {before:.0f} MB before"
    )
    print(said)
    assert min(took) < 1.0, said


def test_a_change_costs_a_daemon_the_same_with_a_thousand_networks_that_it_is_not_on(cluster: Cluster) -> None:
    daemon, nodes = cluster.daemons["one"], others()[:2]
    net = str(daemon.ask("GET", "/networks/net0")["Id"])
    write(cluster, {f"{keys.SHARED}node/{node.id}": encode(node) for node in nodes})
    daemon.run("box", "net0", "sleep", "1000")
    box, like = Container(daemon, "box", "net0"), endpoints(net, 0, nodes)[:1]
    cost, known, changed = {}, 0, 0
    for count in (10, 1000):
        write(cluster, networks(record(cluster, net), known, count))
        known = count
        until(lambda count=count: len(cluster.networks("one")) == count + NETWORKS)  # type: ignore[misc]
        for some in (20, 100):
            # The first ones find what adopting the networks left to do.
            before = processor(daemon.pid)
            for _ in range(some):
                change(cluster, box, like, changed)
                changed += 1
            cost[count] = (processor(daemon.pid) - before) / some
    told = ", ".join(f"{seconds * 1000:.1f} ms with {count}" for count, seconds in cost.items())
    print(told)
    assert cost[1000] < cost[10] * 2, told
    write(cluster, {}, gone=list(networks(record(cluster, net), 0, known)))
    until(lambda: len(cluster.networks("one")) == NETWORKS)


def record(cluster: Cluster, net: str) -> Network:
    """What the store says of the network."""

    def read() -> Network:
        etcd = Etcd(Access((cluster.store["one"].url,)))
        try:
            return decode(Network, etcd.list(keys.network(net)).items[0].value)
        finally:
            etcd.close()

    return inside(cluster.wire.ns("one"), read)


def joining(cluster: Cluster, number: int, records: list[Remote]) -> float:
    """Seconds of the processor for the first endpoint on a network: all others are known and in the kernel when it
    returns.  How long that is on the clock says what else the machine does."""
    daemon, net = cluster.daemons["one"], f"net{number}"
    began, worked = time.monotonic(), processor(daemon.pid)
    daemon.ask("POST", f"/networks/{net}/connect", {"Container": "box"})
    took, worked = time.monotonic() - began, processor(daemon.pid) - worked
    box = Container(daemon, "box", net)
    tunnel = f"vx-{records[0].network[:12]}"
    assert int(cluster.wire.sh("one", f"bridge fdb show dev {tunnel} | grep -c ' dst '")) == EACH
    assert Inside("box", box.path).ask(f"box4999.{net}") == f"NOERROR {records[4999].addresses[0]}"
    if number:
        daemon.ask("POST", f"/networks/{net}/disconnect", {"Container": "box"})
    print(f"{net}: {took * 1000:.0f} ms, {worked * 1000:.0f} of the processor, {memory(daemon.pid):.0f} MB")
    return worked


def processor(pid: int) -> float:
    """Seconds of the processor that it has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def change(cluster: Cluster, box: Container, records: list[Remote], number: int) -> float:
    """Seconds from the writing of one more endpoint until its name is known here."""
    one = records[0]
    fresh = Remote(
        f"ffff{number:060x}",
        one.network,
        one.node,
        1,
        1,
        f"fresh{number}",
        one.via,
        (ip_address(f"10.60.250.{number}"),),
        f"02:00:ff:00:00:{number:02x}",
        (f"fresh{number}",),
    )
    began = time.monotonic()
    tell(cluster, [fresh])
    while not Inside("box", box.path).ask(f"fresh{number}.net0").startswith("NOERROR"):
        assert time.monotonic() < began + DEADLINE
    return time.monotonic() - began


def memory(pid: int) -> float:
    """MB that the process has of its own: what is shared with others counts for a part."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no Pss")
