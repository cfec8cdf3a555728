"""What goes on when something fails: unaffected endpoints lose nothing, and nothing stale is left.

A stream and a hundred pings a second run between two hosts while a third, the store, or a daemon goes.
"""

import time
from collections.abc import Iterator

import pytest
from tests.cluster.boxes import entries, everybody, found, knows, one_on_each, reaches
from tests.cluster.daemons import HOSTS, Cluster, Container, command
from tests.cluster.streams import Talk
from tests.etcd_server import ETCD, REASON
from tests.root.ground import Refused, until

pytestmark = pytest.mark.skipif(not ETCD, reason=REASON)


@pytest.fixture
def trio(cluster: Cluster) -> Iterator[list[Container]]:
    with one_on_each(cluster) as made:
        yield made


@pytest.mark.parametrize("host", HOSTS)
def test_a_daemon_that_is_killed_and_started(cluster: Cluster, trio: list[Container], host: str) -> None:
    """Whichever: one of them is the one that takes out who is down, and turns secrets."""
    one, two, three = trio
    daemon = cluster.daemons[host]
    with Talk(one, two) as talk, Talk(two, three) as other:
        daemon.kill()
        more = cluster.run("three" if host == "one" else "one", "more", "web")
        assert knows(two, three)
        daemon.start()
        until(lambda: all(found(box, "more") for box in trio))
    assert (talk.lost, other.lost) == ("", "")
    everybody([*trio, more])


def test_who_takes_out_the_dead_dies_with_them(cluster: Cluster, trio: list[Container]) -> None:
    """The next one does it."""
    boxes = dict(zip(HOSTS, trio, strict=True))
    ids = {name: cluster.daemons[name].ask("GET", f"/cluster/nodes/{name}")["ID"] for name in HOSTS}
    # Whose id is the lowest does it: of the two that are left that is the second.
    first, second, third = sorted(HOSTS, key=lambda name: ids[name])
    with Talk(boxes[first], boxes[second]) as talk:
        cluster.daemons[first].kill()
        cluster.cut(third)
        until(lambda: cluster.state(second, third) == "down", lambda: cluster.state(second, third))
        until(lambda: not found(boxes[second], boxes[third].name))
        # It has no daemon, and is there: nothing is taken from it.
        assert knows(boxes[second], boxes[first])
        cluster.daemons[first].start()
        until(lambda: not found(boxes[first], boxes[third].name))
        cluster.mend(third)
        until(lambda: knows(boxes[first], boxes[third]))
    assert talk.lost == ""
    everybody(trio)


def test_a_host_without_a_daemon_keeps_its_endpoints(cluster: Cluster, trio: list[Container]) -> None:
    one, two, three = trio
    daemon = cluster.daemons["two"]
    with Talk(one, two) as talk, Talk(two, three) as other:
        daemon.kill()
        until(lambda: cluster.state("one", "two") == "suspect")
        # For longer than after which a host that is gone is down.
        ended = time.monotonic() + 6
        until(lambda: time.monotonic() > ended)
        assert cluster.state("one", "two") == "suspect"
        assert knows(one, two)
        daemon.start()
        until(lambda: cluster.state("one", "two") == "ready")
    assert (talk.lost, other.lost) == ("", "")
    everybody(trio)


def test_a_host_that_vanishes_is_suspected_held_and_taken_out_and_comes_back(
    cluster: Cluster, trio: list[Container]
) -> None:
    one, two, three = trio
    with Talk(one, two) as talk:
        cluster.cut("three")
        until(lambda: cluster.state("one", "three") == "suspect")
        assert knows(one, three)
        until(lambda: cluster.state("one", "three") == "down")
        until(lambda: not found(one, three.name))
        assert entries(cluster, "one") == ["192.0.2.2"]
        # The third one knows what it knew: nobody tells it anything.
        assert knows(three, one)
        cluster.mend("three")
        until(lambda: knows(one, three))
        until(lambda: cluster.state("one", "three") == "ready")
    assert talk.lost == ""
    everybody(trio)


def test_a_host_that_loses_its_power_comes_back_without_what_ran_on_it(
    cluster: Cluster, trio: list[Container]
) -> None:
    one, two, three = trio
    with Talk(one, two) as talk:
        cluster.lose_power("three")
        until(lambda: cluster.state("one", "three") == "suspect")
        assert knows(one, three)
        cluster.restore_power("three")
        # Sooner than anybody takes it for down: what it had is nobody's, and goes because it says so.
        until(lambda: not found(one, three.name))
        until(lambda: entries(cluster, "one") == ["192.0.2.2"])
        again = cluster.run("three", "again", "web")
        until(lambda: cluster.state("one", "three") == "ready")
    assert talk.lost == ""
    everybody([one, two, again])


@pytest.mark.parametrize("leader", [True, False])
def test_a_member_of_the_store_that_is_killed(cluster: Cluster, trio: list[Container], leader: bool) -> None:
    one, two, _ = trio
    victim = cluster.leader() if leader else next(name for name in HOSTS if name != cluster.leader())
    with Talk(one, two) as talk:
        cluster.store[victim].kill()
        made = cluster.run("two", "more-two", "web")
        until(lambda: knows(one, made))
        cluster.store[victim].start()
        cluster.store[victim].wait()
    assert talk.lost == ""
    everybody(trio)


def test_a_store_without_a_quorum(cluster: Cluster, trio: list[Container]) -> None:
    one, two, _ = trio
    with Talk(one, two) as talk:
        for host in ("two", "three"):
            cluster.store[host].kill()
        # On a network that it is on, a host needs nobody for a container more or less.
        more = cluster.run("two", "more-two", "web")
        assert more.ping(one.addresses[0]) == "0/1"
        assert more.ping(two.addresses[0]) == "1/1"
        with pytest.raises(Refused, match="503"):
            cluster.daemons["one"].ask("POST", "/networks/create", {"Name": "no", "Driver": "overlay"})
        until(lambda: "cluster store: " in cluster.daemons["one"].ask("GET", "/info")["Swarm"]["Error"])
        for host in ("two", "three"):
            cluster.store[host].start()
        for host in ("two", "three"):
            cluster.store[host].wait()
        until(lambda: knows(one, more))
        assert one.ping(more.addresses[0]) == "1/1"
    assert talk.lost == ""
    everybody(trio)


def test_a_store_that_is_gone_while_daemons_start(cluster: Cluster, trio: list[Container]) -> None:
    one, two, three = trio
    with Talk(one, three) as talk:
        for member in cluster.store.values():
            member.kill()
        cluster.daemons["one"].kill()
        cluster.daemons["one"].start()
        assert knows(one, two)
        assert one.ping(two.addresses[0]) == "1/1"
        for member in cluster.store.values():
            member.start()
        for member in cluster.store.values():
            member.wait()
        until(lambda: cluster.state("one", "two") == "ready")
    assert talk.lost == ""
    everybody(trio)


def test_a_store_that_is_wiped_is_rebuilt_by_the_living_nodes(cluster: Cluster, trio: list[Container]) -> None:
    one, two, three = trio
    cluster.network("two", "pair", "10.51.0.0/24")
    pair = [cluster.run(host, f"pair-{host}", "pair") for host in ("one", "two")]
    everybody(pair)
    with Talk(one, two) as talk, Talk(*pair) as other:
        for member in cluster.store.values():
            member.wipe()
        for member in cluster.store.values():
            member.start()
        for member in cluster.store.values():
            member.wait()
        # The third host is not on the other network: what is there, the other two put in.
        told = command(cluster.daemons["three"], "cluster", "rebuild")
        assert told == "Rebuilt by: one, three, two\n"
        assert cluster.verified() == ""
        assert knows(three, one)
    assert (talk.lost, other.lost) == ("", "")
    everybody(trio)
    everybody(pair)


def test_the_tunnel_is_deleted_under_us(cluster: Cluster, trio: list[Container]) -> None:
    one, two, three = trio
    with Talk(two, three) as talk:
        link = cluster.wire.sh("one", "ip -o link show type vxlan").split(":")[1].strip()
        cluster.wire.ip("one", f"link del {link}")
        until(lambda: reaches(one, two))
        cluster.wire.sh(
            "one",
            f"bridge fdb show dev {link} | grep dst | while read mac rest; do"
            f" bridge fdb del $mac dev {link} self; done; ip neigh flush nud permanent dev {link}",
        )
        cluster.wire.sh(
            "one",
            f"bridge fdb add 02:00:00:00:00:77 dev {link} dst 192.0.2.3 self permanent;"
            f" ip neigh add 10.50.0.77 lladdr 02:00:00:00:00:77 dev {link} nud permanent",
        )
        assert not reaches(one, two)
        until(lambda: reaches(one, two))
        stray = f"(bridge fdb show dev {link}; ip neigh show dev {link}) | grep -c :77 || true"
        until(lambda: cluster.wire.sh("one", stray) == "0")
    assert talk.lost == ""
    everybody(trio)


def test_an_address_that_moves_to_another_host_within_a_second(cluster: Cluster, trio: list[Container]) -> None:
    one, two, _ = trio
    with Talk(one, two) as talk:
        for number in range(4):
            host = ("two", "three")[number % 2]
            moved = cluster.run(host, f"moved-{number}", "web", address="10.50.0.200")
            until(lambda moved=moved: knows(one, moved))  # type: ignore[misc]
            assert one.ping(moved.addresses[0]) == "1/1"
            cluster.daemons[host].ask("DELETE", f"/containers/moved-{number}?force=1")
    assert talk.lost == ""


def test_a_hosts_address_changes(cluster: Cluster, trio: list[Container]) -> None:
    one, two, three = trio
    with Talk(one, two) as talk:
        for address, gone in (("192.0.2.33", "192.0.2.3"), ("192.0.2.3", "192.0.2.33")):
            if address == "192.0.2.33":
                cluster.wire.ip("three", f"addr add {address}/24 dev eth0")
            command(cluster.daemons["three"], "cluster", "move", "--address", address)
            until(lambda address=address: entries(cluster, "one") == sorted(["192.0.2.2", address]))  # type: ignore[misc]
            if gone == "192.0.2.33":
                cluster.wire.ip("three", f"addr del {gone}/24 dev eth0")
            until(lambda: reaches(three, one))
            assert knows(one, three)
        assert cluster.verified() == ""
    assert talk.lost == ""


def test_a_host_leaves_while_others_talk(cluster: Cluster, trio: list[Container]) -> None:
    one, two, three = trio
    with Talk(one, two) as talk:
        with pytest.raises(Refused, match="box-three"):
            cluster.daemons["three"].ask("POST", "/cluster/leave")
        cluster.daemons["three"].ask("DELETE", "/containers/box-three?force=1")
        cluster.daemons["three"].ask("POST", "/cluster/leave")
        until(lambda: not found(one, three.name))
        assert entries(cluster, "one") == ["192.0.2.2"]
        assert "vx-" not in cluster.wire.sh("three", "ip -o link")
        cluster.daemons["three"].ask("POST", "/cluster/join", {"Address": "192.0.2.3", "Name": "three"})
        until(lambda: "web" in cluster.networks("three"))
        back = cluster.run("three", "box-three", "web")
        until(lambda: knows(one, back))
        assert one.ping(back.addresses[0]) == "1/1"
    assert talk.lost == ""
