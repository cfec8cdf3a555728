"""A node's keys are its own: what a member tries to do to another's, etcd refuses (S18)."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.cluster.daemons import Container
from tests.cluster.embedded import Own
from tests.cluster.hosts import Host
from tests.etcd_server import ETCD, REASON, Member, free_ports
from tests.root.firewall_world import inside
from tests.root.ground import Refused, until
from tests.store_cases import network

from bascule.cluster import keys, rights, told
from bascule.cluster.home import ROOT, derived
from bascule.model.cluster import Down, Membership
from bascule.model.codec import encode
from bascule.model.errors import BasculeError, Forbidden
from bascule.model.network import Network
from bascule.store import etcdwire as wire
from bascule.store.etcd import EtcdStore
from bascule.store.etcdclient import Access, Etcd
from bascule.store.etcdwire import Item

pytestmark = pytest.mark.skipif(not ETCD, reason=REASON)
BOTH = ("one", "two")
SECRET = "swordfish"


# ---- a store of the cluster's own


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own]:
    """The second host has no member of the store, and nothing of what those have that do."""
    with Own(tmp_path_factory.mktemp("own"), "--cluster-lease=3", "--cluster-grace=1", hosts=BOTH) as made:
        made.join("two", made.found(), Client=True)
        yield made


def as_node(own: Own, name: str) -> Etcd:
    """What has the host's credentials, and is not our daemon."""
    home = own.home(name)
    login = json.loads((home / "login.json").read_text())
    return _client(own, name, login["user"], login["password"])


def as_root(own: Own) -> Etcd:
    """What only hosts with a member of the store can be."""
    return _client(own, "one", ROOT, derived((own.home("one") / "root.secret").read_text(), ROOT))


def _client(own: Own, name: str, user: str, password: str) -> Etcd:
    ca, cert, key = (str(own.home(name) / file) for file in ("ca.pem", "node.pem", "node.key"))
    return Etcd(Access((f"https://{own.wire.address('one')}:2379",), user, password, ca, cert, key))


def there(etcd: Etcd) -> dict[str, Item]:
    return {item.key: item for item in etcd.list(keys.ROOT).items}


def test_s18_a_member_cannot_touch_what_is_anothers(own: Own) -> None:
    own.network("one", "web", "10.50.0.0/24", hosts=BOTH)
    boxes = [own.run(name, f"box-{name}", "web") for name in BOTH]
    until(lambda: boxes[1].asks("box-one") == f"NOERROR {boxes[0].addresses[0]}")
    inside(own.wire.ns("two"), lambda: rogue(own))
    assert boxes[1].ping(boxes[0].addresses[0]) == "1/1"
    for name in BOTH:
        own.daemons[name].sweep()
    assert own.verified() == ""


def rogue(own: Own) -> None:
    """The second host tries everything that there is of the first."""
    etcd, ones = as_node(own, "two"), node_id(own, "one")
    before = there(etcd)
    theirs = [item for key, item in before.items() if ones in key and not key.startswith(keys.TOLD)]
    assert {key.split("/")[3] for key in (item.key for item in theirs)} == {
        "shared",
        "alive",
        "blocks",
        "endpoints",
    }
    for item in [*theirs, before[keys.IDENTITY]]:
        refused(lambda item=item: etcd.transact({item.key: "mine now"}))  # type: ignore[misc]
        refused(lambda item=item: etcd.transact({}, [item.key]))  # type: ignore[misc]
        refused(lambda item=item: etcd.transact({}, [item.key], {item.key: item.revision}))  # type: ignore[misc]
    fresh = f"{keys.endpoints(ones, 'a' * 64)}remote/{'b' * 64}"
    # The right to a part of a transaction is none to the whole.
    refused(lambda: etcd.transact({fresh: "{}", f"{keys.TOLD}{'a' * 64}/{ones}": "[]"}))
    refused(lambda: etcd.list(keys.ADMISSION))
    lease = etcd._ask("/v3/kv/range", {"key": wire.b64(keys.alive(ones))})["kvs"][0]["lease"]
    refused(lambda: etcd.revoke(int(lease)))
    more = {"name": rights.role(node_id(own, "two")), "perm": rights.FOUNDING[0].body}
    refused(lambda: etcd.auth("role/grant", more))
    refused(lambda: etcd.auth("disable", {}))
    refused(lambda: etcd.members("add", {"peerURLs": ["https://192.0.2.9:2380"], "isLearner": True}))
    assert there(etcd) == before
    etcd.close()


def refused(attempt: Callable[[], object]) -> None:
    with pytest.raises(Forbidden, match=r"^cluster store: [\w/]+: user [0-9a-f]{32} has no right to that$"):
        attempt()


def node_id(own: Own, name: str) -> str:
    return str(own.daemons[name].ask("GET", "/cluster")["NodeID"])


def test_s18_who_has_no_member_of_the_store_lets_nobody_in(own: Own) -> None:
    with pytest.raises(Refused, match=r"409.*does not know the token: ask 192\.0\.2\.1"):
        own.token("two")
    home = own.home("two")
    assert sorted(path.name for path in home.iterdir()) == ["ca.pem", "login.json", "node.key", "node.pem"]
    assert {path.stat().st_mode & 0o777 for path in home.iterdir()} == {0o600}
    with pytest.raises(Refused, match=r"409.*rebuild it on a host that has one"):
        own.daemons["two"].ask("POST", "/cluster/rebuild")


def test_who_has_left_has_no_rights_any_more(own: Own) -> None:
    root, token, left = as_root(own), own.token(), node_id(own, "two")
    nodes = {left, node_id(own, "one")}

    def known() -> tuple[set[str], int]:
        """Who has rights, and how many are still expected."""
        return rights.admitted(root), len(root.list(keys.ADMITTED).items)

    until(lambda: inside(own.wire.ns("one"), known) == (nodes, 0), own.daemons["one"].said)
    own.daemons["two"].ask("POST", "/cluster/leave")
    until(lambda: inside(own.wire.ns("one"), known) == (nodes - {left}, 0), own.daemons["one"].said)
    root.close()
    own.join("two", token, Client=True)
    until(lambda: own.state("one", "two") == "ready")
    assert own.verified() == ""


def test_a_host_that_is_no_ones_root_dies_comes_back_and_moves(own: Own) -> None:
    own.network("two", "web", "10.50.0.0/24", hosts=BOTH)
    one, _ = (own.run(name, f"box-{name}", "web") for name in BOTH)
    until(lambda: one.asks("box-two").startswith("NOERROR"))
    own.daemons["two"].kill()
    own.cut("two")
    until(lambda: own.state("one", "two") == "down")
    until(lambda: not one.asks("box-two").startswith("NOERROR"))
    own.mend("two")
    own.daemons["two"].start()
    until(lambda: one.asks("box-two").startswith("NOERROR"))
    own.wire.ip("two", "addr add 192.0.2.12/24 dev eth0")
    for address in ("192.0.2.12", "192.0.2.2"):
        own.daemons["two"].ask("POST", "/cluster/move", {"Address": address})
        until(lambda: one.ping(Container(own.daemons["two"], "box-two", "web").addresses[0]) == "1/1")
        assert own.verified() == ""
    own.wire.ip("two", "addr del 192.0.2.12/24 dev eth0")
    for name in BOTH:
        own.daemons[name].sweep()


def test_a_store_that_lost_everything_knows_everybody_again(own: Own) -> None:
    own.network("two", "web", "10.50.0.0/24", hosts=BOTH)
    one, two = (own.run(name, f"box-{name}", "web") for name in BOTH)
    until(lambda: one.asks("box-two").startswith("NOERROR"))
    own.daemons["one"].kill()
    os.kill(own.etcd("one"), signal.SIGKILL)
    shutil.rmtree(own.home("one") / "etcd")
    own.daemons["one"].start()
    rebuilt(own, one, two)


def test_a_layout_that_nobody_had_rights_to_is_made_anew(own: Own) -> None:
    own.network("one", "web", "10.50.0.0/24", hosts=BOTH)
    one, two = (own.run(name, f"box-{name}", "web") for name in BOTH)
    until(lambda: one.asks("box-two").startswith("NOERROR"))
    # As it is for daemons of the next layout: nothing where they look, and rights to something else.
    inside(own.wire.ns("one"), lambda: emptied(own))
    rebuilt(own, one, two)


def rebuilt(own: Own, one: Container, two: Container) -> None:
    """The store is made anew out of what both hosts know, whose containers these are."""
    told = own.daemons["one"].ask("POST", "/cluster/rebuild")
    assert told == {"There": ["one", "two"], "Missing": []}
    assert own.verified() == ""
    assert two.asks("box-one") == f"NOERROR {one.addresses[0]}"
    # Nobody was told another password, and nobody has more rights than before.
    inside(own.wire.ns("two"), lambda: rogue(own))
    for name in BOTH:
        own.daemons[name].sweep()
    assert own.verified() == ""


def emptied(own: Own) -> None:
    root = as_root(own)
    root.transact({}, list(there(root)))
    for name in [rights.MEMBER, *map(rights.role, rights.admitted(root))]:
        root.auth("role/delete", {"role": name})
    root.close()


# ---- what rights cannot say


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[Member]:
    """Its tokens end after a second without use."""
    (client, peer) = free_ports(2)
    made = Member(tmp_path, "m0", client, {"m0": peer}, ("--auth-token-ttl=1", "--bcrypt-cost=4"))
    made.wait()
    yield made
    made.kill()


def me(host: Host) -> str:
    return host.engine.store.all(Membership)[0].id


def clean(hosts: list[Host]) -> bool:
    return all(host.clean() for host in hosts)


def test_s18_what_a_node_tells_of_another_is_not_believed(etcd: Member, hosts: list[Host]) -> None:
    one, two, three = hosts
    net = one.network("web", "10.1.0.0/24")
    until(lambda: all(h.overlays() == ["web"] for h in hosts))
    one.box("a", "web")
    ends = two.box("b", "web")
    both = "a 10.1.0.2, b 10.1.0.8"
    until(lambda: one.known("web") == two.known("web") == both)
    rogue = Etcd(Access((etcd.url,)))
    (record,) = told.read(rogue, net.id, me(three))[1:]
    assert (record.id, record.node) == (ends.id, me(two))
    # Among its own keys, what is another's by name or by id; and something that is nothing at all.
    begin = f"{keys.endpoints(me(three), net.id)}remote/"
    lies = {f"{begin}{ends.id}": encode(record), f"{begin}{'e' * 64}": encode(record), f"{begin}{'f' * 64}": "{"}
    line = told.line(net.id, me(three), [key.rpartition("/")[2] for key in lies])
    rogue.transact({**lies, **line})
    # What others are told is anybody's to write: they look where it says, or are told anew.
    rogue.transact({f"{keys.told(net.id)}{me(two)}": '["x/../y", 7]', f"{keys.told(net.id)}nobody": "no list"})
    rogue.transact({}, [f"{keys.told(net.id)}{me(host)}" for host in (one, two)])
    until(lambda: {i.key.rpartition("/")[2] for i in rogue.list(keys.told(net.id)).items} >= {me(one), me(two)})
    two.box("c", "web")
    until(lambda: one.known("web") == f"{both}, c 10.1.0.9")
    three.box("d", "web")
    assert three.known("web") == f"{both}, c 10.1.0.9, d 10.1.0.16"
    rogue.transact({}, [*lies, f"{keys.told(net.id)}nobody"])
    until(lambda: clean(hosts), lambda: str([h.engine.cluster.verify() for h in hosts]))
    rogue.close()


def test_s18_what_a_node_says_of_itself_wrongly_stops_nobody(etcd: Member, hosts: list[Host]) -> None:
    one, two, three = hosts
    net = one.network("web", "10.1.0.0/24")
    until(lambda: all(h.overlays() == ["web"] for h in hosts))
    rogue = Etcd(Access((etcd.url,)))
    victim = next(seen.node for seen in one.engine.cluster.nodes() if seen.node.id == me(two))
    stolen = replace(victim, address=three.address)
    own = next(seen.node for seen in one.engine.cluster.nodes() if seen.node.id == me(three))
    # What a terminal would take for an order.
    ugly = encode(own).replace('"host3"', r'"host3\u001b[2J"')
    assert ugly != encode(own)
    for lie in (encode(stolen), ugly, "{", '"x"', '{"id": 7}'):
        rogue.transact({keys.node(me(three)): lie, keys.alive(me(three)): lie})
        rogue.transact({f"{keys.blocks(me(three), net.id)}{name}": lie for name in ("x", "10.1.0.9_28", "7_7_7")})
    one.box("a", "web")
    two.box("b", "web")
    until(lambda: one.known("web") == two.known("web") == "a 10.1.0.2, b 10.1.0.8")
    two.network("more")
    until(lambda: one.overlays() == ["more", "web"])
    assert [s.node for s in one.engine.cluster.nodes() if s.node.id == me(two)] == [victim]
    assert all(s.node.name.isprintable() for s in one.engine.cluster.nodes())
    four = Host(4, etcd.url)
    four.enter()
    until(lambda: four.overlays() == ["more", "web"])
    four.engine.remove("more")
    four.stop()
    rogue.close()


def test_s18_who_lives_is_not_down_whoever_says_so(etcd: Member, hosts: list[Host]) -> None:
    one, two, three = hosts
    one.network("web", "10.1.0.0/24")
    until(lambda: all(h.overlays() == ["web"] for h in hosts))
    one.box("a", "web")
    two.box("b", "web")
    until(lambda: one.known("web") == "a 10.1.0.2, b 10.1.0.8")
    rogue = Etcd(Access((etcd.url,)))
    store = EtcdStore(rogue, keys.SHARED)
    store.commit(put=[Down(me(two), me(three))])
    one.box("c", "web")
    until(lambda: two.known("web") == "a 10.1.0.2, b 10.1.0.8, c 10.1.0.3")
    # It says itself that it is not so.
    until(lambda: store.all(Down) == [])
    assert one.known("web") == two.known("web")
    store.close()
    rogue.close()


def test_a_network_is_removed_though_a_node_that_is_down_has_something_of_it(hosts: list[Host]) -> None:
    one, two, three = hosts
    one.network("web", "10.1.0.0/24")
    until(lambda: all(h.overlays() == ["web"] for h in hosts))
    ends = two.box("b", "web")
    until(lambda: one.clean())
    two.stop()
    until(lambda: any(seen.state == "down" for seen in three.engine.cluster.nodes()))
    one.engine.remove("web")
    until(lambda: three.overlays() == [])
    until(lambda: one.clean() and three.clean(), lambda: str(one.engine.cluster.verify()))
    two.start()
    until(lambda: two.overlays() == [])
    two.unbox(ends)
    until(lambda: clean(hosts), lambda: str([h.engine.cluster.verify() for h in hosts]))


# ---- tokens


def test_tokens_that_ended_are_got_anew_and_no_request_fails(tmp_path: Path, etcd: Member) -> None:
    node, url = "ab" * 16, (etcd.url,)
    plain, root = Etcd(Access(url)), Etcd(Access(url, ROOT, derived(SECRET, ROOT)))
    rights.establish(plain, root, SECRET, [node])
    rights.establish(plain, root, SECRET, [node])
    client, other = (Etcd(Access(url, node, derived(SECRET, node), deadline=2)) for _ in range(2))
    net = Network("a" * 64, "web", "overlay", created=1)
    store, elsewhere = EtcdStore(client, keys.SHARED), EtcdStore(other, keys.SHARED)
    store.commit(put=[net])
    until(lambda: elsewhere.get(Network, net.id) == net)
    log = tmp_path / "m0.log"
    until(lambda: log.read_text().count("deleted a simple token") >= 3)
    # Its watch goes on, and so does who writes.
    store.commit(delete=[net])
    until(lambda: elsewhere.get(Network, net.id) is None)
    # Tokens are in a member's memory alone.
    etcd.kill()
    etcd.start()
    etcd.wait()
    for each in (client, other):
        assert [item.key for item in each.list(keys.SHARED).items] == []
    # What somebody is allowed to do changes while others write.
    for number in range(20):
        rights.admit(root, SECRET, f"{number:032x}")
        store.commit(put=[network(f"{number:064x}")])
    assert len(store.all(Network)) == 20
    store.close()
    elsewhere.close()
    for one in (plain, root, client, other):
        one.close()


def test_who_is_not_known_is_told_once_and_clearly(etcd: Member) -> None:
    node, url = "ab" * 16, (etcd.url,)

    def said(user: str, password: str) -> str:
        etcd = Etcd(Access(url, user, password))
        with pytest.raises(BasculeError) as refusal:
            etcd.list(keys.ROOT)
        etcd.close()
        return str(refusal.value)

    assert (
        said(node, "x") == f"cluster store: there is a user for it, {node}, and its authentication is not enabled"
    )
    plain, root = Etcd(Access(url)), Etcd(Access(url, ROOT, derived(SECRET, ROOT)))
    rights.establish(plain, root, SECRET, [node])
    assert said(node, "x") == f"cluster store: it knows no user {node} with this password"
    assert said("", "") == "cluster store: it serves nobody without a name and a password"
    rights.dismiss(root, node)
    rights.dismiss(root, node)
    assert said(node, derived(SECRET, node)) == f"cluster store: it knows no user {node} with this password"
    plain.close()
    root.close()
