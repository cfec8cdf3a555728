"""The network between the hosts fails in part: who is not cut off loses nothing; and when it is whole again nothing
is stale or missing, whatever was changed on either side."""

import signal
import time
from collections.abc import Iterator

import pytest
from tests.cluster.boxes import entries, everybody, found, knows, one_on_each, reaches
from tests.cluster.daemons import Cluster, Container
from tests.cluster.streams import Talk
from tests.etcd_server import ETCD, REASON
from tests.root.ground import Refused, until

pytestmark = pytest.mark.skipif(not ETCD, reason=REASON)
TUNNELS = "udp dport 4789"
STORE = "tcp dport { 2379, 2380 }"
ANSWERS = "tcp sport { 2379, 2380 }"
TWO, THREE = "192.0.2.2", "192.0.2.3"
# Longer than after which a host that is gone is down.
LONG = 6.0


@pytest.fixture
def trio(cluster: Cluster) -> Iterator[list[Container]]:
    with one_on_each(cluster) as made:
        yield made
        cluster.lose_nothing()


def test_two_hosts_that_see_the_store_and_not_each_other(cluster: Cluster, trio: list[Container]) -> None:
    one, two, three = trio
    with Talk(one, two) as talk, Talk(three, one) as other:
        cluster.lose(f"ip saddr {TWO} ip daddr {THREE} {TUNNELS}", f"ip saddr {THREE} ip daddr {TWO} {TUNNELS}")
        assert not reaches(two, three)
        # Nobody is taken for dead, and what changes is told to all.
        more = cluster.run("three", "more-three", "web")
        until(lambda: knows(two, more))
        until(lambda: knows(one, more))
        assert reaches(one, more)
        cluster.daemons["three"].ask("DELETE", "/containers/more-three?force=1")
        until(lambda: not found(two, "more-three"))
        assert [cluster.state("two", host) for host in ("one", "three")] == ["ready"] * 2
        cluster.lose_nothing()
        assert reaches(two, three)
    assert (talk.lost, other.lost) == ("", "")
    everybody(trio)


def test_a_host_that_is_cut_off_from_the_store_alone(cluster: Cluster, trio: list[Container]) -> None:
    one, two, three = trio
    with Talk(one, two) as talk, Talk(one, three) as other:
        cluster.lose(*(f"ip {end} {THREE} {what}" for end in ("saddr", "daddr") for what in (STORE, ANSWERS)))
        until(lambda: cluster.state("one", "three") == "suspect")
        ended = time.monotonic() + LONG
        here = cluster.run("one", "more-one", "web")
        there = cluster.run("three", "more-three", "web")
        with pytest.raises(Refused, match="503"):
            cluster.daemons["three"].ask("POST", "/networks/create", {"Name": "no", "Driver": "overlay"})
        until(lambda: time.monotonic() > ended)
        # It is there, whatever the store says: nothing is taken from it, and it takes nothing from others.
        assert cluster.state("one", "three") == "suspect"
        assert knows(one, three)
        assert knows(three, one)
        assert there.ping(three.addresses[0]) == "1/1"
        assert not found(three, here.name)
        cluster.lose_nothing()
        until(lambda: knows(three, here))
        until(lambda: knows(one, there))
    assert (talk.lost, other.lost) == ("", "")
    everybody([*trio, here, there])


@pytest.mark.parametrize("way", ["iifname", "oifname"], ids=["it is not heard", "it hears nobody"])
def test_one_way_to_a_host_is_lost(cluster: Cluster, trio: list[Container], way: str) -> None:
    one, two, three = trio
    with Talk(one, two) as talk:
        cluster.lose(f"{way} three")
        until(lambda: cluster.state("one", "three") == "down", lambda: cluster.state("one", "three"))
        until(lambda: not found(one, three.name))
        assert entries(cluster, "one") == [TWO]
        assert knows(three, one)
        cluster.lose_nothing()
        until(lambda: knows(one, three))
        until(lambda: cluster.state("one", "three") == "ready")
    assert talk.lost == ""
    everybody(trio)


def test_both_sides_change_while_they_are_apart(cluster: Cluster, trio: list[Container]) -> None:
    one, two, three = trio
    cluster.network("one", "pair", "10.51.0.0/24")
    _, evicted = (cluster.run(host, f"pair-{host}", "pair") for host in ("one", "three"))
    assert "10.51.0." in evicted.sh("ip -4 addr")
    with Talk(one, two) as talk:
        cluster.cut("three")
        there = cluster.run("three", "more-three", "web")
        cluster.daemons["three"].ask("DELETE", "/containers/box-three?force=1")
        here = cluster.run("one", "more-one", "web")
        until(lambda: cluster.state("one", "three") == "down", lambda: cluster.state("one", "three"))
        # What the living decide without it, it finds when it is back: its container is on none of it.
        cluster.daemons["one"].ask("DELETE", "/containers/pair-one?force=1")
        until(lambda: removed(cluster, "pair"))
        cluster.daemons["two"].ask(
            "POST", "/networks/create", {"Name": "later", "Driver": "overlay", "Attachable": True}
        )
        until(lambda: not found(one, three.name))
        cluster.mend("three")
        until(lambda: cluster.networks("three") == ["later", "web"], lambda: str(cluster.networks("three")))
        until(lambda: knows(one, there))
        # A request that was on its way when the wire was cut may arrive first, and tell half of it.
        until(lambda: not found(one, three.name))
        assert "10.51.0." not in evicted.sh("ip -4 addr")
    assert talk.lost == ""
    everybody([one, two, here, there])
    everybody([cluster.run(host, f"later-{host}", "later") for host in ("one", "three")])


def removed(cluster: Cluster, network: str) -> bool:
    try:
        cluster.daemons["one"].ask("DELETE", f"/networks/{network}")
    except Refused as why:
        if "active endpoints" not in str(why):
            raise
        # This host is letting go of it.
        return False
    return True


def test_a_host_that_stands_still_and_misses_what_the_store_has_forgotten(
    cluster: Cluster, trio: list[Container]
) -> None:
    """As a virtual machine does that is paused: its watches are lost, and so is what they would have told."""
    one, two, three = trio
    daemon, member = cluster.daemons["three"], cluster.store["three"]
    with Talk(one, two) as talk, Talk(one, three) as other:
        daemon.send(signal.SIGSTOP)
        member.kill()
        here = cluster.run("one", "more-one", "web")
        gone = cluster.run("two", "gone-two", "web")
        until(lambda: knows(one, gone))
        cluster.daemons["two"].ask("DELETE", "/containers/gone-two?force=1")
        until(lambda: not found(one, "gone-two"))
        until(lambda: cluster.state("one", "three") == "suspect")
        cluster.compact()
        member.start()
        member.wait()
        daemon.send(signal.SIGCONT)
        until(lambda: knows(three, here))
        until(lambda: cluster.state("one", "three") == "ready")
        assert not found(three, "gone-two")
    assert (talk.lost, other.lost) == ("", "")
    everybody([*trio, here])
