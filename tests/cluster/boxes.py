"""A container on each host, on one network; who knows whom, and who reaches whom."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.cluster.daemons import HOSTS, Cluster, Container
from tests.root.ground import until

# A lease and a grace period that a test can wait for.
QUICK = ("--cluster-lease=2", "--cluster-grace=1")


@contextmanager
def one_on_each(cluster: Cluster) -> Iterator[list[Container]]:
    """They have all heard of each other; afterwards nothing is stale or missing, and then nobody has anything."""
    cluster.network("one", "web", "10.50.0.0/24")
    made = [cluster.run(host, f"box-{host}", "web") for host in HOSTS]
    everybody(made)
    yield made
    assert cluster.verified() == ""
    for host in HOSTS:
        cluster.daemons[host].sweep()
    assert cluster.verified() == ""


def everybody(boxes: list[Container]) -> None:
    """All find and reach each other."""
    for one in boxes:
        for other in boxes:
            if one is not other:
                until(lambda one=one, other=other: knows(one, other))  # type: ignore[misc]
    for one in boxes:
        for other in boxes:
            if one is not other:
                assert one.ping(other.addresses[0]) == "1/1", f"{one.name} > {other.name}"


def knows(one: Container, other: Container) -> bool:
    return one.asks(other.name) == f"NOERROR {other.addresses[0]}"


def found(one: Container, name: str) -> bool:
    return one.asks(name).startswith("NOERROR")


def reaches(one: Container, other: Container) -> bool:
    return one.ping(other.addresses[0], seconds=1) == "1/1"


def entries(cluster: Cluster, host: str) -> list[str]:
    """Where the host's kernel sends frames to."""
    lines = cluster.wire.sh(host, "bridge fdb show").splitlines()
    return sorted({line.split(" dst ")[1].split()[0] for line in lines if " dst " in line and "vx-" in line})
