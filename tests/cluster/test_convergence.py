"""How long it takes until a container that is connected on one host is found by name, and reached, from another."""

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles

import pytest
from tests.cluster.daemons import Cluster, Container
from tests.etcd_server import ETCD, REASON
from tests.root.ground import DEADLINE, Inside

pytestmark = pytest.mark.skipif(not ETCD, reason=REASON)
TIMES = 500


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as made:
        made.enter()
        yield made


def test_a_container_is_found_from_another_host_within_fifty_milliseconds(cluster: Cluster) -> None:
    # No top-level domain ends so: what is not known there is asked of nobody else.
    cluster.network("one", "web1", "10.50.0.0/24")
    cluster.run("one", "stays", "web1")
    asker = cluster.run("two", "asker", "web1")
    daemon = cluster.daemons["one"]
    daemon.run("mover", "bridge", "sleep", "1000")
    took = []
    for number in range(TIMES):
        began = time.monotonic()
        daemon.ask("POST", "/networks/web1/connect", {"Container": "mover"})
        answered(asker, "NOERROR")
        took.append(time.monotonic() - began)
        if number % 50 == 0:
            assert asker.ping(Container(daemon, "mover", "web1").addresses[0]) == "1/1"
        daemon.ask("POST", "/networks/web1/disconnect", {"Container": "mover"})
        answered(asker, "NXDOMAIN")
    most = quantiles(took, n=100)[98]
    told = (
        f"median {median(took) * 1000:.1f} ms, 99th percentile {most * 1000:.1f} ms, {max(took) * 1000:.1f} at most"
    )
    print(told)
    assert median(took) < 0.050, told
    assert most < 0.250, told


def answered(asker: Container, code: str) -> None:
    """The resolver says so of the one that moves."""
    end = time.monotonic() + DEADLINE
    box = Inside(asker.name, asker.path)
    while not box.ask("mover.web1").startswith(code):
        assert time.monotonic() < end
