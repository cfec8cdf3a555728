"""A cluster in somebody's etcd, which wants certificates, and a user and a password of each host."""

import re
from collections.abc import Iterator

import pytest
from tests.cluster.given import HOSTS, Given
from tests.etcd_server import ETCD, REASON
from tests.root.firewall_world import inside
from tests.root.ground import Refused, until

from bascule.cluster import keys
from bascule.model.errors import Forbidden

pytestmark = pytest.mark.skipif(not ETCD, reason=REASON)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Given]:
    """The first host has founded the cluster; the second is not in it.  Tests leave it so."""
    with Given(tmp_path_factory.mktemp("given")) as made:
        made.enter("one")
        yield made


def there(given: Given) -> dict[str, str]:
    listed = inside(given.wire.ns("one"), lambda: given.root.list(keys.ROOT))
    return {item.key: item.value for item in listed.items}


def test_two_hosts_are_a_cluster_and_neither_writes_what_is_the_others(given: Given) -> None:
    two = given.daemons["two"]
    two.ask("POST", "/cluster/join", {"Address": str(given.wire.address("two")), "Name": "two"})
    given.network("one", "web", "10.50.0.0/24", hosts=HOSTS)
    boxes = [given.run(name, f"box-{name}", "web") for name in HOSTS]
    until(lambda: boxes[1].asks("box-one") == f"NOERROR {boxes[0].addresses[0]}")
    assert boxes[0].ping(boxes[1].addresses[0]) == "1/1"
    ids = {name: str(given.daemons[name].ask("GET", "/cluster")["NodeID"]) for name in HOSTS}
    before = there(given)
    inside(given.wire.ns("two"), lambda: rogue(given, [key for key in before if ids["one"] in key]))
    assert there(given) == before
    # A daemon that is started anew is who it was.
    given.again("two")
    until(lambda: given.state("one", "two") == "ready")
    for name in HOSTS:
        given.daemons[name].sweep()
    assert given.verified() == ""
    two.ask("POST", "/cluster/leave")
    assert [key for key in there(given) if ids["two"] in key] == []


def rogue(given: Given, theirs: list[str]) -> None:
    etcd = given.as_user("two")
    own = [key for key in theirs if not key.startswith(keys.TOLD)]
    assert {key.split("/")[3] for key in own} == {"shared", "alive", "blocks", "endpoints"}
    for key in (*own, keys.IDENTITY):
        for put, gone in (({key: "mine now"}, []), ({}, [key])):
            with pytest.raises(Forbidden, match=r"^cluster store: kv/txn: user two has no right to that$"):
                etcd.transact(put, gone)
    etcd.close()


def host(given: Given) -> list[str]:
    """The second host's links and their MACs, but for those on their way out."""
    lines = [line.split() for line in given.wire.sh("two", "ip -br link").splitlines()]
    return [f"{name} {mac}" for name, _, mac, *_ in lines if not name.startswith("gone-")]


WRONG = {
    "another password": ({"password": "x"}, r"403.*cluster store: it knows no user two with this password"),
    "another authority's certificate": (
        {"cert": "stranger"},
        r"503.*cluster store: auth/authenticate: 192\.0\.2\.1 does not take our certificate: \w+",
    ),
    "another authority": (
        {"authority": "theirs"},
        r"503.*cluster store: .*: 192\.0\.2\.1 has no certificate of the authority: ",
    ),
    "a certificate with a common name": (
        {"cert": "named"},
        "500.*cluster store: where users have passwords it takes no certificate with a common name",
    ),
    "no certificate": ({"cert": "nobody"}, r"400.*certificates of the cluster store: .*nobody\.pem"),
    "another host's user": (
        {"user": "one"},
        r"409.*there is a node one at 192\.0\.2\.1 in the cluster already, as user one of the store",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_one_clear_error_and_nothing_changes(given: Given, what: str) -> None:
    given.certificates()
    how, why = WRONG[what]
    two, before = given.daemons["two"], there(given)
    links = host(given)
    given.again("two", **how)
    with pytest.raises(Refused) as refusal:
        two.ask("POST", "/cluster/join", {"Address": str(given.wire.address("two")), "Name": "two"})
    told = str(refusal.value).splitlines()[0]
    assert re.search(why, told), told
    assert told.count("cluster store") <= 1
    assert there(given) == before
    assert host(given) == links
    with pytest.raises(Refused, match=r"503.*This node is in no cluster"):
        two.ask("GET", "/cluster")
    given.again("two")


def test_the_founder_removes_a_host_and_no_other_may(given: Given) -> None:
    one, two = (given.daemons[name] for name in HOSTS)
    given.again("two")
    two.ask("POST", "/cluster/join", {"Address": str(given.wire.address("two")), "Name": "two"})
    given.network("one", "web", "10.50.0.0/24", hosts=HOSTS)
    given.run("two", "box-two", "web")
    ident = str(two.ask("GET", "/cluster")["NodeID"])
    until(lambda: any(key.startswith(keys.endpoints(ident)) for key in there(given)))
    before = there(given)
    with pytest.raises(Refused, match=r"403.*user two has no right to that"):
        two.ask("DELETE", "/cluster/nodes/one?force=1")
    assert there(given) == before
    two.kill()
    one.ask("DELETE", "/cluster/nodes/two?force=1")
    assert [key for key in there(given) if ident in key and not key.startswith(keys.ALIVE)] == []
    two.start()
    until(lambda: "this node was removed from the cluster" in two.ask("GET", "/cluster")["Trouble"])
    two.ask("POST", "/cluster/leave?force=1")
    two.sweep()
    one.ask("DELETE", "/networks/web")
    until(lambda: not one.ask("GET", "/cluster/verify")["Differences"])
