"""Hosts whose clocks are wrong: what runs goes on, what is decided together needs no clock, and where certificates
do need one, that is said."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.cluster.boxes import QUICK, everybody, found, knows, one_on_each
from tests.cluster.clocks import DAY, PRELOADED, REASON, Clock, shared
from tests.cluster.daemons import HOSTS, Cluster, Container
from tests.cluster.embedded import Own
from tests.cluster.streams import Talk
from tests.etcd_server import ETCD
from tests.etcd_server import REASON as NO_ETCD
from tests.root.ground import Refused, until

from bascule.cluster import authority

pytestmark = [
    pytest.mark.skipif(not ETCD, reason=NO_ETCD),
    pytest.mark.skipif(not PRELOADED, reason=REASON),
]
WRONG = {"one": -30 * DAY, "two": 0.0, "three": 400 * DAY}


@pytest.fixture(scope="module", autouse=True)
def _swept() -> Iterator[None]:
    """Nothing of libfaketime's is left."""
    before = shared()
    yield
    for path in shared() - before:
        path.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def clocks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Clock]:
    place = tmp_path_factory.mktemp("clocks")
    return {name: Clock(place / name, seconds) for name, seconds in WRONG.items()}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, clocks: dict[str, Clock]) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("etcd"), *QUICK) as made:
        for name, daemon in made.daemons.items():
            daemon.stop()
            daemon.environment = clocks[name].environment
            daemon.start()
        made.enter()
        yield made


@pytest.fixture
def trio(cluster: Cluster) -> Iterator[list[Container]]:
    with one_on_each(cluster) as made:
        yield made


def off(cluster: Cluster, host: str) -> int:
    """How many days ahead of ours the daemon's clock is."""
    told = cluster.daemons[host].ask("GET", "/info")["SystemTime"].partition(".")[0]
    return round((datetime.fromisoformat(f"{told}+00:00").timestamp() - time.time()) / DAY)


def test_clocks_that_are_far_apart(cluster: Cluster, trio: list[Container]) -> None:
    one, two, three = trio
    assert [off(cluster, host) for host in HOSTS] == [-30, 0, 400]
    with Talk(one, two) as talk, Talk(two, three) as other:
        for number, host in enumerate(HOSTS):
            # Whose clock is ahead says nothing that is newer.
            moved = cluster.run(host, f"moved-{number}", "web", address="10.50.0.200")
            until(lambda moved=moved: all(knows(box, moved) for box in trio))  # type: ignore[misc]
            cluster.daemons[host].ask("DELETE", f"/containers/moved-{number}?force=1")
        assert {cluster.state(asked, of) for asked in HOSTS for of in HOSTS} == {"ready"}
        # A lease lasts as long as it does.
        cluster.cut("three")
        until(lambda: cluster.state("one", "three") == "down", lambda: cluster.state("one", "three"))
        until(lambda: not found(one, three.name))
        cluster.mend("three")
        until(lambda: knows(one, three))
    assert talk.lost == ""
    assert other.lost
    everybody(trio)


def test_a_clock_that_jumps(cluster: Cluster, trio: list[Container], clocks: dict[str, Clock]) -> None:
    one, two, three = trio
    with Talk(one, two) as talk, Talk(two, three) as other:
        for days in (3, -3, 0):
            clocks["two"].set(days * DAY)
            until(lambda days=days: off(cluster, "two") == days)  # type: ignore[misc]
            made = cluster.run("two", f"made-{days}", "web")
            until(lambda made=made: knows(one, made) and knows(three, made))  # type: ignore[misc]
            assert {cluster.state(asked, of) for asked in HOSTS for of in HOSTS} == {"ready"}
    assert (talk.lost, other.lost) == ("", "")
    everybody(trio)


# ---- where certificates need a clock


@pytest.fixture
def theirs(tmp_path: Path) -> dict[str, Clock]:
    return {name: Clock(tmp_path / f"clock-{name}", days * DAY) for name, days in (("two", -30), ("three", 30))}


@pytest.fixture
def own(tmp_path: Path, theirs: dict[str, Clock]) -> Iterator[Own]:
    """Nobody is a member."""
    with Own(tmp_path, "--cluster-cert-life=12", "--cluster-lease=3") as made:
        for host, clock in theirs.items():
            made.daemons[host].stop()
            made.daemons[host].environment = clock.environment
            made.daemons[host].start()
        yield made


def test_certificates_and_clocks(own: Own, theirs: dict[str, Clock]) -> None:
    word, third = own.found(), own.daemons["three"]
    with pytest.raises(Refused, match=r"has ended by this host's clock, which says .*: is it right"):
        own.join("three", word, Client=True)
    assert not own.home("three").exists()
    theirs["three"].set(0)
    until(lambda: off(own, "three") == 0)
    # Who is behind takes what is signed now, and does not sign for itself: that would be of last month.
    own.join("two", word)
    own.join("three", word, Client=True)
    ends = {host: _end(own, host) for host in HOSTS}
    own.network("one", "web", "10.50.0.0/24")
    boxes = [own.run(host, f"box-{host}", "web") for host in HOSTS]
    everybody(boxes)
    one, two, three = boxes
    with Talk(one, two) as talk, Talk(one, three) as other:
        until(lambda: datetime.now(UTC) > max(ends.values()))
        assert all(0 < (_end(own, host) - datetime.now(UTC)).total_seconds() < 13 for host in HOSTS)
        assert [own.state("one", host) for host in HOSTS] == ["ready"] * 3
        # A clock that jumps ahead: new connections to the store are none, and it is said why.
        theirs["three"].set(30 * DAY)
        until(lambda: off(own, "three") == 30)
        third.kill()
        third.start()
        until(lambda: "is it right?" in trouble(own, "three"), lambda: trouble(own, "three"))
        assert knows(three, one)
        theirs["three"].set(0)
        until(lambda: not trouble(own, "three"), lambda: trouble(own, "three"))
        until(lambda: own.state("one", "three") == "ready")
    assert (talk.lost, other.lost) == ("", "")
    everybody(boxes)
    for daemon in own.daemons.values():
        daemon.sweep()
    assert own.verified() == ""


def trouble(own: Own, host: str) -> str:
    """What the host says of the store."""
    return str(own.daemons[host].ask("GET", "/cluster")["Trouble"])


def _end(own: Own, name: str) -> datetime:
    return authority.read((own.home(name) / "node.pem").read_text()).until
