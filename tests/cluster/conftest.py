"""What several modules begin with; one that needs another store, or other hosts, has a fixture of the same name."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.boxes import QUICK
from tests.cluster.daemons import Cluster
from tests.cluster.hosts import Host
from tests.etcd_server import Member, members


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("etcd"), *QUICK) as made:
        made.enter()
        yield made


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[Member]:
    (member,) = members(tmp_path, 1)
    yield member
    member.kill()


@pytest.fixture
def hosts(etcd: Member) -> Iterator[list[Host]]:
    """Three, the first of which founded the cluster."""
    made = [Host(number, etcd.url) for number in (1, 2, 3)]
    try:
        for host in made:
            host.enter(found=host is made[0])
        yield made
    finally:
        for host in made:
            host.stop()
