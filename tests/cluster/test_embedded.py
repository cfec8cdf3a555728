"""A cluster with a store of its own: hosts that join by a token, their etcds, and what becomes of these."""

import os
import shutil
import signal
from collections.abc import Iterator
from itertools import permutations

import pytest
from tests.cluster.daemons import HOSTS, Container
from tests.cluster.embedded import Own
from tests.etcd_server import ETCD, REASON
from tests.root.ground import Refused, until

pytestmark = pytest.mark.skipif(not ETCD, reason=REASON)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own]:
    """All three are members.  Tests leave it as they found it."""
    with Own(tmp_path_factory.mktemp("own"), "--cluster-lease=3") as made:
        made.everybody()
        made.settled()
        yield made


def test_who_joins_first_has_a_member_of_the_store(own: Own) -> None:
    assert own.voices() == sorted(HOSTS)
    assert all(own.etcd(name) for name in HOSTS)
    assert [own.state("two", name) for name in HOSTS] == ["ready"] * 3
    own.network("one", "web", "10.50.0.0/24")
    one, three = (own.run(name, f"box-{name}", "web") for name in ("one", "three"))
    until(lambda: one.asks("box-three") == f"NOERROR {three.addresses[0]}")
    assert one.ping(three.addresses[0]) == "1/1"
    for name in HOSTS:
        own.daemons[name].sweep()
    assert own.verified() == ""


def test_s18_who_has_no_certificate_of_the_cluster_is_not_served_by_its_store(own: Own) -> None:
    home = own.home("two")
    known = f"--cacert {home}/ca.pem --cert {home}/node.pem --key {home}/node.key"
    peer = f"--cacert {home}/peers.pem --cert {home}/peer.pem --key {home}/node.key"
    for who, port, served in (
        (f"{known} https", 2379, True),
        (f"{peer} https", 2380, True),
        # Members of etcd trust each other, whatever rights there are: others are not heard there.
        (f"-k {known} https", 2380, False),
        ("-k https", 2379, False),
        ("-k https", 2380, False),
        ("http", 2379, False),
        ("http", 2380, False),
    ):
        line = f"curl -sS --http1.1 --max-time 5 {who}://{own.wire.address('one')}:{port}/version 2>&1 || true"
        assert ("etcdserver" in own.wire.sh("two", line)) == served, line


def test_a_daemon_that_is_killed_leaves_the_store_running_and_finds_it_again(own: Own) -> None:
    two = own.daemons["two"]
    before = own.etcd("two")
    two.kill()
    assert own.etcd("two") == before
    two.start()
    assert own.etcd("two") == before
    until(lambda: own.state("one", "two") == "ready")
    assert own.verified() == ""


def test_an_etcd_that_is_killed_is_started_again_with_what_it_had(own: Own) -> None:
    own.network("one", "kept", "10.60.0.0/24")
    for name in HOSTS:
        os.kill(own.etcd(name), signal.SIGKILL)
    until(lambda: all(own.etcd(name) for name in HOSTS), own.daemons["one"].said)
    own.settled()
    assert own.verified() == ""
    assert [own.networks(name) for name in HOSTS] == [["kept"]] * 3
    own.daemons["three"].ask("DELETE", "/networks/kept")
    until(lambda: not any(own.networks(name) for name in HOSTS))


def test_an_etcd_that_died_while_no_daemon_looked_is_started_by_the_next(own: Own) -> None:
    three = own.daemons["three"]
    three.kill()
    os.kill(own.etcd("three"), signal.SIGKILL)
    until(lambda: not own.etcd("three"))
    three.start()
    assert own.etcd("three")
    own.settled()
    assert own.verified() == ""


def test_a_member_whose_data_is_lost_becomes_a_new_one(own: Own) -> None:
    for lost in ("three", "one"):  # One founded the cluster: it must not do so again.
        own.daemons[lost].kill()
        os.kill(own.etcd(lost), signal.SIGKILL)
        shutil.rmtree(own.home(lost) / "etcd")
        own.daemons[lost].start()
        until(lambda lost=lost: own.etcd(lost) > 0, own.daemons[lost].said)  # type: ignore[misc]
        until(lambda: own.voices("two") == sorted(HOSTS))
        own.settled()
    assert own.verified() == ""


def test_a_store_that_lost_most_of_its_members_is_rebuilt_on_one_that_is_left(own: Own) -> None:
    own.network("one", "web", "10.50.0.0/24")
    one, two, three = (own.run(name, f"box-{name}", "web") for name in HOSTS)
    until(lambda: one.asks("box-three") == f"NOERROR {three.addresses[0]}")
    addresses = [box.addresses for box in (one, two, three)]
    for name in ("two", "three"):
        own.daemons[name].kill()
        os.kill(own.etcd(name), signal.SIGKILL)
    told = own.daemons["one"].ask("POST", "/cluster/rebuild")
    assert told == {"There": ["one"], "Missing": ["three", "two"]}
    until(lambda: not any(line.startswith("one: store") for line in own.differences()), own.daemons["one"].said)
    own.daemons["one"].ask("POST", "/networks/create", {"Name": "alone", "Driver": "overlay"})
    # Those that come back would have had the majority of what was.
    for name in ("two", "three"):
        own.daemons[name].start()
    for name in HOSTS:
        until(lambda name=name: "alone" in own.networks(name), own.daemons[name].said)  # type: ignore[misc]
    until(lambda: own.voices() == sorted(HOSTS))
    own.settled()
    assert own.verified() == ""
    again = [Container(own.daemons[name], f"box-{name}", "web") for name in HOSTS]
    assert [box.addresses for box in again] == addresses
    for asker, asked in permutations(again, 2):
        until(lambda asker=asker, asked=asked: asker.asks(asked.name) == f"NOERROR {asked.addresses[0]}")  # type: ignore[misc]
        assert asker.ping(asked.addresses[0]) == "1/1"
    for name in HOSTS:
        own.daemons[name].sweep()
    assert own.verified() == ""


def test_who_leaves_takes_its_member_along_and_may_come_back(own: Own) -> None:
    three = own.daemons["three"]
    three.ask("POST", "/cluster/leave")
    assert own.voices() == ["one", "two"]
    assert own.etcd("three") == 0
    assert not own.home("three").exists()
    until(lambda: own.known_at("two") == ["one", "two"])
    assert [node["Name"] for node in own.daemons["two"].ask("GET", "/cluster/nodes")] == ["one", "two"]
    own.join("three", own.token(), via="two")
    own.settled()
    assert own.voices() == sorted(HOSTS)
    assert own.verified() == ""


def test_a_client_has_no_member_of_the_store(own: Own) -> None:
    own.daemons["three"].ask("POST", "/cluster/leave")
    own.join("three", own.token(), Client=True)
    assert own.voices() == ["one", "two"]
    assert own.etcd("three") == 0
    assert not (own.home("three") / "ca.key").exists()
    own.network("three", "web", "10.50.0.0/24")
    own.daemons["three"].ask("DELETE", "/networks/web")
    own.daemons["three"].ask("POST", "/cluster/leave")
    own.join("three", own.token())
    own.settled()
    assert own.verified() == ""


def test_only_the_token_of_now_lets_in(own: Own) -> None:
    three = own.daemons["three"]
    three.ask("POST", "/cluster/leave")
    old = own.token()
    fresh = str(own.daemons["two"].ask("POST", "/cluster/token/rotate")["Token"])
    assert fresh != old
    with pytest.raises(Refused, match=r"403.*the token is not this cluster's, or not any more"):
        own.join("three", old)
    digest = old.split("-")[2]
    other = fresh.replace(digest, digest[::-1])
    with pytest.raises(Refused, match="of another cluster than the token: nothing was told to it"):
        own.join("three", other)
    with pytest.raises(Refused, match="this is no token to join by"):
        own.join("three", "swordfish")
    with pytest.raises(Refused, match=r"there is a node two at 192\.0\.2\.2 in the cluster already"):
        own.join("three", fresh, Name="two")
    assert own.etcd("three") == 0
    assert not own.home("three").exists()
    assert own.voices() == ["one", "two"]
    own.join("three", fresh)
    own.settled()


def test_the_last_one_with_a_member_does_not_leave_others_behind(own: Own) -> None:
    for name in ("two", "three"):
        own.daemons[name].ask("POST", "/cluster/leave")
    own.join("three", own.token(), Client=True)
    with pytest.raises(Refused, match=r"409.*this host has the only member of the cluster's store"):
        own.daemons["one"].ask("POST", "/cluster/leave")
    own.daemons["three"].ask("POST", "/cluster/leave")
    own.daemons["one"].ask("POST", "/cluster/leave")
    assert not any(own.etcd(name) or own.home(name).exists() for name in HOSTS)
    own.everybody()
    own.settled()


def test_nobody_takes_the_majority_along_when_he_leaves(own: Own) -> None:
    own.daemons["three"].kill()
    os.kill(own.etcd("three"), signal.SIGKILL)
    with pytest.raises(Refused, match=r"409.*without this host 1 of 2 members"):
        own.daemons["two"].ask("POST", "/cluster/leave")
    assert own.etcd("two")
    own.daemons["two"].ask("POST", "/networks/create", {"Name": "still", "Driver": "overlay"})
    own.daemons["one"].ask("DELETE", "/networks/still")
    own.daemons["three"].start()
    own.settled()
    assert own.verified() == ""


def test_a_host_that_is_gone_for_good_is_removed_with_its_member_of_the_store(own: Own) -> None:
    own.network("one", "web", "10.58.0.0/24")
    own.run("three", "kept", "web")
    three = own.daemons["three"]
    three.kill()
    os.kill(own.etcd("three"), signal.SIGKILL)
    with pytest.raises(Refused, match=r"409.*node three is"):
        own.daemons["one"].ask("DELETE", "/cluster/nodes/three")
    own.daemons["one"].ask("DELETE", "/cluster/nodes/three?force=1")
    assert own.voices() == ["one", "two"]
    assert [node["Name"] for node in own.daemons["two"].ask("GET", "/cluster/nodes")] == ["one", "two"]
    until(lambda: not own.differences(), lambda: str(own.differences()))
    # It comes back all the same, and is let in only as whoever joins.
    three.start()
    until(lambda: "it knows no user" in three.ask("GET", "/cluster")["Trouble"])
    assert own.voices() == ["one", "two"]
    until(lambda: "its member of the store is stopped" in three.said() and not own.etcd("three"))
    three.ask("POST", "/cluster/leave?force=1")
    three.sweep()
    assert own.etcd("three") == 0
    own.join("three", own.token())
    own.settled()
    own.daemons["one"].ask("DELETE", "/networks/web")
    assert own.verified() == ""


def test_a_host_whose_files_of_the_cluster_are_gone_starts_says_so_and_leaves(own: Own) -> None:
    own.network("one", "web", "10.57.0.0/24")
    kept = own.run("two", "kept", "web")
    two = own.daemons["two"]
    two.kill()
    os.kill(own.etcd("two"), signal.SIGKILL)
    shutil.rmtree(own.home("two"))
    two.start()
    until(lambda: "certificates of the cluster store" in two.ask("GET", "/cluster")["Trouble"])
    assert kept.ping(kept.addresses[0]) == "1/1"
    with pytest.raises(Refused, match=r"503.*certificates of the cluster store"):
        two.ask("POST", "/cluster/move", {"Address": str(own.wire.address("two"))})
    two.ask("POST", "/cluster/leave?force=1")
    two.sweep()
    own.daemons["one"].ask("DELETE", "/cluster/nodes/two?force=1")
    own.join("two", own.token())
    own.settled()
    own.daemons["one"].ask("DELETE", "/networks/web")
    assert own.verified() == ""
