"""What an endpoint's change costs a member does not grow with the networks it is not on: counted, not timed."""

import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest
from tests.cluster.hosts import Host, until
from tests.cluster.records import networks
from tests.etcd_server import ETCD, REASON, Member, members

from bascule.cluster import keys, told
from bascule.cluster.networks import plain
from bascule.model.addresses import ip_address
from bascule.model.cluster import Alive, Node, Remote
from bascule.model.codec import encode
from bascule.model.network import Network
from bascule.store.etcdclient import Access, Etcd

pytestmark = pytest.mark.skipif(not ETCD, reason=REASON)
OTHER, VIA = "f" * 32, ip_address("198.18.0.1")
FEW, MANY, CHANGES = 10, 1000, 50


@pytest.fixture
def member(tmp_path: Path) -> Iterator[Member]:
    (one,) = members(tmp_path, 1)
    yield one
    one.kill()


@pytest.fixture
def etcd(member: Member) -> Iterator[Etcd]:
    client = Etcd(Access((member.url,)))
    yield client
    client.close()


class Calls:
    """Counts what the threads call that begin between entering and leaving, for as long as they run."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> "Calls":
        threading.setprofile(self._called)
        return self

    def __exit__(self, *_: object) -> None:
        threading.setprofile(None)

    def _called(self, _: FrameType, event: str, __: object) -> None:
        if event in ("call", "c_call"):
            self.count += 1


def endpoint(network: str, number: int) -> dict[str, str]:
    """What the other node writes of an endpoint, which has another name each time."""
    place = number % CHANGES
    one = Remote(
        f"{place:064x}",
        network,
        OTHER,
        1,
        number,
        f"box{number}",
        VIA,
        (ip_address(f"10.50.200.{place}"),),
        f"02:00:00:00:00:{place:02x}",
        (f"box{number}",),
    )
    return {told.key(one): encode(one), **told.line(network, OTHER, [one.id])}


def change(etcd: Etcd, host: Host, net: Network, first: int) -> None:
    """An endpoint of the other node's is another, and known to be, so many times."""
    for number in range(first, first + CHANGES):
        etcd.transact(endpoint(net.id, number))
        until(lambda number=number: f"box{number} " in host.known("web"))  # type: ignore[misc]


def metric(member: Member, name: str) -> int:
    """A number that etcd counts."""
    with urllib.request.urlopen(f"{member.url}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return int(float(next(line.split()[1] for line in lines if line.startswith(f"{name} "))))


def test_a_change_costs_the_same_whatever_networks_a_host_is_not_on(member: Member, etcd: Etcd) -> None:
    with Calls() as calls:
        host = Host(1, member.url, lease=60)
        try:
            host.enter(found=True)
            net = plain(host.network("web", "10.50.0.0/16"))
            host.box("asker", "web")
            etcd.transact(
                {
                    f"{keys.SHARED}node/{OTHER}": encode(Node(OTHER, "other", VIA, 1500, 1, 1)),
                    f"{keys.ALIVE}alive/{OTHER}": encode(Alive(OTHER, 1)),
                }
            )
            cost, watchers, first, known = {}, {}, 0, 0
            for count in (FEW, MANY):
                pairs = list(networks(net, known, count).items())
                for start in range(0, len(pairs), 100):
                    etcd.transact(dict(pairs[start : start + 100]))
                known = count
                until(lambda count=count: len(host.overlays()) == count + 1)  # type: ignore[misc]
                # The first ones find caches cold, and what adopting the networks left to do.
                change(etcd, host, net, first)
                before = calls.count
                change(etcd, host, net, first + CHANGES)
                first += 2 * CHANGES
                cost[count] = (calls.count - before) / CHANGES
                watchers[count] = metric(member, "etcd_debugging_mvcc_watcher_total")
            assert cost[MANY] < cost[FEW] * 1.3, cost
            assert watchers[MANY] == watchers[FEW]
            heard = metric(member, "etcd_debugging_mvcc_events_total")
            for number in range(MANY):
                etcd.transact(endpoint(f"{number:064x}", number))
            # What comes after all that has come, so that did.
            change(etcd, host, net, first)
            assert metric(member, "etcd_debugging_mvcc_events_total") - heard == CHANGES
        finally:
            host.stop()
