"""Three hosts, each with its daemon, and etcd on all of them: who reaches whom, and who finds whom by name."""

from collections.abc import Iterator
from itertools import permutations

import pytest
from tests.cluster.daemons import HOSTS, Cluster, Container
from tests.etcd_server import ETCD, REASON

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
