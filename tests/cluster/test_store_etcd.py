"""EtcdStore keeps the cases of every store on a real etcd, and what several hosts need of it when members die."""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

import pytest
from tests.etcd_server import ETCD, REASON, Member, free_ports, members
from tests.store_cases import CASES, Case, names, network

from bascule.model.codec import encode
from bascule.model.errors import Failed, Forbidden, Invalid, Unavailable
from bascule.model.network import Network
from bascule.store.etcd import EtcdStore
from bascule.store.etcdclient import Access, Etcd, Replaced
from bascule.store.etcdwatch import Lost
from bascule.store.etcdwire import Item
from bascule.store.protocol import Storable

needs_etcd = pytest.mark.skipif(not ETCD, reason=REASON)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One member, for tests that leave it alive."""
    (member,) = members(tmp_path_factory.mktemp("etcd"), 1)
    yield member.url
    member.kill()


@pytest.fixture
def trio(tmp_path: Path) -> Iterator[list[Member]]:
    made = members(tmp_path, 3)
    yield made
    for member in made:
        member.kill()


@pytest.fixture
def etcd(server: str) -> Iterator[Etcd]:
    client = Etcd(Access((server,)))
    yield client
    client.close()


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """A part of the server that is this test's alone."""
    return f"/{request.node.name}/"


def eventually(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 30
    while not (held := holds()) and time.monotonic() < deadline:
        os.sched_yield()
    return held


def all_urls(trio: list[Member]) -> tuple[str, ...]:
    return tuple(member.url for member in trio)


# ---- one store


@needs_etcd
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_every_store(case: Case, etcd: Etcd, prefix: str) -> None:
    store = EtcdStore(etcd, prefix)
    case(store)
    store.close()


@needs_etcd
def test_what_was_committed_is_there_for_the_next_one_in_the_same_order(etcd: Etcd, prefix: str) -> None:
    store = EtcdStore(etcd, prefix)
    store.commit(put=[network("c"), network("a"), network("b")])
    store.commit(put=[network("c", "again")], delete=[network("a")])
    store.commit(put=[network("a"), network("b", "last")], delete=[network("b")])
    store.close()
    store = EtcdStore(etcd, prefix)
    assert names(store) == "c:again a:a b:last"
    store.close()


@needs_etcd
def test_a_person_can_read_a_key(etcd: Etcd, prefix: str) -> None:
    store = EtcdStore(etcd, prefix)
    store.commit(put=[network("a", "web")])
    store.close()
    (item,) = etcd.list(prefix).items
    assert (item.key, '"name": "web"' in item.value, '"version": 1' in item.value) == (
        f"{prefix}network/a",
        True,
        True,
    )


@needs_etcd
def test_a_commit_of_more_than_a_transaction_takes_is_refused_whole(etcd: Etcd, prefix: str) -> None:
    store = EtcdStore(etcd, prefix)
    with pytest.raises(Failed, match="129 changes in one transaction, the cluster store takes 128"):
        store.commit(put=[network(f"n{n}") for n in range(129)])
    assert (names(store), etcd.list(prefix).items) == ("", ())
    store.close()


@needs_etcd
def test_an_object_that_cannot_be_read_is_refused_by_name(etcd: Etcd, prefix: str) -> None:
    etcd.transact({f"{prefix}network/x": '{"version": 9, "id": "x"}'})
    with pytest.raises(Failed, match="stored network x: format version 9"):
        EtcdStore(etcd, prefix)
    etcd.transact({f"{prefix}song/x": "{}"}, [f"{prefix}network/x"])
    with pytest.raises(Failed, match="song/x: an object of an unknown kind"):
        EtcdStore(etcd, prefix)


@needs_etcd
def test_another_store_in_the_place_of_the_one_that_was_joined_is_neither_read_nor_written(
    etcd: Etcd, prefix: str
) -> None:
    etcd.transact({f"{prefix}cluster": "ours", f"{prefix}s/network/a": encode(network("a"))})
    etcd.guard(f"{prefix}cluster", "ours")
    store = EtcdStore(etcd, f"{prefix}s/", pause=0.01)
    assert store.attempt(put=[network("b")], absent=[network("b")])
    assert not store.attempt(put=[network("b")], absent=[network("b")])
    etcd.guard(f"{prefix}cluster", "other")
    for ask in (store.refresh, lambda: store.commit(put=[network("c")]), lambda: etcd.list(prefix)):
        with pytest.raises(Replaced, match="it is not the store that it was"):
            ask()
    assert names(store) == "a:a b:b"
    store.close()


# ---- several


@needs_etcd
def test_what_one_commits_the_other_has_soon(etcd: Etcd, prefix: str) -> None:
    one, other = EtcdStore(etcd, prefix), EtcdStore(etcd, prefix)
    one.commit(put=[network("a"), network("b")])
    assert eventually(lambda: names(other) == "a:a b:b"), names(other)
    other.commit(delete=[network("a")])
    assert eventually(lambda: names(one) == "b:b"), names(one)
    one.close()
    other.close()


@needs_etcd
def test_a_listener_hears_each_difference_once_and_its_own_among_them(etcd: Etcd, prefix: str) -> None:
    one, other = EtcdStore(etcd, prefix), EtcdStore(etcd, prefix)
    heard: list[str] = []

    def tell(put: object, gone: object) -> None:
        assert isinstance(put, list)
        assert isinstance(gone, list)
        heard.extend([*(f"+{net.name}" for net in put), *(f"-{net.name}" for net in gone)])

    one.on_change(tell)
    one.commit(put=[network("a")])
    other.commit(put=[network("b")])
    assert eventually(lambda: "+b" in heard), heard
    one.commit(delete=[network("a")])
    other.commit(put=[network("end")])
    assert eventually(lambda: "+end" in heard), heard
    assert heard == ["+a", "+b", "-a", "+end"]
    one.close()
    other.close()


@needs_etcd
def test_of_many_who_want_one_name_one_gets_it(etcd: Etcd, prefix: str) -> None:
    stores = [EtcdStore(etcd, prefix) for _ in range(4)]
    won: list[int] = []

    def claim(number: int) -> None:
        for n in range(20):
            if stores[number].attempt([network(f"n{n}", f"of-{number}")], absent=[network(f"n{n}")]):
                won.append(n)

    threads = [Thread(target=claim, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == list(range(20))
    for store in stores:
        store.refresh()
    assert len({names(store) for store in stores}) == 1
    for store in stores:
        store.close()


@needs_etcd
def test_what_was_changed_behind_ones_back_is_not_overwritten(etcd: Etcd, prefix: str) -> None:
    one, other = EtcdStore(etcd, prefix), EtcdStore(etcd, prefix)
    one.commit(put=[network("a", "first")])
    other.refresh()
    one.commit(put=[network("a", "second")])
    seen = other.get(Network, "a")
    if seen == network("a", "first"):  # Its watch may have been as fast.
        assert not other.attempt([network("a", "third")], unchanged=[seen])
        other.refresh()
    now = other.get(Network, "a")
    assert now == network("a", "second")
    assert other.attempt([network("a", "third")], unchanged=[now])
    assert not other.attempt([network("b")], unchanged=[network("nobody")])
    assert not other.attempt([], [network("a")], absent=[network("a")])
    one.refresh()
    assert names(one) == "a:third"
    one.close()
    other.close()


@needs_etcd
def test_what_is_put_with_a_lease_goes_with_it(etcd: Etcd, prefix: str) -> None:
    store = EtcdStore(etcd, prefix)
    lease = etcd.grant(60)
    assert store.attempt([network("alive")], lease=lease)
    store.commit(put=[network("stays")])
    assert etcd.renew(lease)
    etcd.revoke(lease)
    etcd.revoke(lease)
    assert not etcd.renew(lease)
    assert eventually(lambda: names(store) == "stays:stays"), names(store)
    store.close()


@needs_etcd
def test_a_lease_that_nobody_renews_ends(etcd: Etcd, prefix: str) -> None:
    store = EtcdStore(etcd, prefix)
    assert store.attempt([network("alive")], lease=etcd.grant(1))
    assert names(store) == "alive:alive"
    assert eventually(lambda: names(store) == ""), names(store)
    store.close()


# ---- watches


@needs_etcd
def test_a_watch_tells_what_came_after_its_listing_in_order(etcd: Etcd, prefix: str) -> None:
    etcd.transact({f"{prefix}a": "1"})
    listing = etcd.list(prefix)
    etcd.transact({f"{prefix}b": "2"}, [f"{prefix}a"])
    etcd.transact({f"{prefix}c": "3"})
    watch = etcd.watch(prefix, listing.revision)
    told: list[str] = []
    for _, events in watch:
        told += [f"{e.key.removeprefix(prefix)}={e.value}" if isinstance(e, Item) else "gone" for e in events]
        if "c=3" in told:
            break
    watch.close()
    assert ([item.value for item in listing.items], sorted(told[:2]), told[2:]) == (["1"], ["b=2", "gone"], ["c=3"])


@needs_etcd
def test_a_watch_that_is_closed_ends(etcd: Etcd, prefix: str) -> None:
    watch = etcd.watch(prefix, etcd.list(prefix).revision)
    ended = Event()

    def follow() -> None:
        with pytest.raises(Lost):
            list(watch)
        ended.set()

    thread = Thread(target=follow)
    thread.start()
    watch.close()
    assert ended.wait(10)
    thread.join()


@needs_etcd
def test_a_watch_from_what_was_compacted_is_lost(etcd: Etcd, prefix: str) -> None:
    for n in range(3):
        revision = etcd.transact({f"{prefix}a": str(n)})
    etcd._ask("/v3/kv/compaction", {"revision": str(revision)})
    watch = etcd.watch(prefix, 1)
    with pytest.raises(Lost, match="compacted"):
        list(watch)
    watch.close()
    store = EtcdStore(etcd, f"{prefix}store/")
    assert names(store) == ""
    store.close()


# ---- members that die


@needs_etcd
def test_a_store_lives_through_the_death_of_each_member_in_turn(trio: list[Member]) -> None:
    etcd = Etcd(Access(all_urls(trio), deadline=30))
    store, other = EtcdStore(etcd, "/net/"), EtcdStore(etcd, "/net/")
    for n, member in enumerate(trio):
        member.kill()
        store.commit(put=[network(f"during{n}")])
        assert eventually(lambda n=n: other.get(Network, f"during{n}") is not None), names(other)  # type: ignore[misc]
        member.start()
        member.wait()
    assert names(store) == names(other) == "during0:during0 during1:during1 during2:during2"
    store.close()
    other.close()
    etcd.close()


@needs_etcd
def test_without_a_quorum_writing_is_refused_by_the_deadline_and_reading_goes_on(trio: list[Member]) -> None:
    etcd = Etcd(Access(all_urls(trio), deadline=3))
    store = EtcdStore(etcd, "/net/")
    store.commit(put=[network("a")])
    for member in trio[:2]:
        member.kill()
    began = time.monotonic()
    with pytest.raises(Unavailable, match="cluster store: kv/txn"):
        store.attempt([network("b")], absent=[network("b")])
    took = time.monotonic() - began
    assert took < 10
    assert names(store) == "a:a"
    assert [i.key for i in etcd.list("/net/", serializable=True).items] == ["/net/network/a"]
    for member in trio[:2]:
        member.start()
    for member in trio[:2]:
        member.wait()
    # The refused one may have been written by now: an attempt says so, and a plain commit settles it.
    other = Etcd(Access(all_urls(trio), deadline=30))
    later = EtcdStore(other, "/net/")
    later.commit(put=[network("c")])
    assert eventually(lambda: store.get(Network, "c") is not None), names(store)
    store.close()
    later.close()
    etcd.close()
    other.close()


@needs_etcd
def test_a_difference_that_came_while_the_watch_was_lost_is_heard(tmp_path: Path) -> None:
    (member,) = members(tmp_path, 1)
    etcd = Etcd(Access((member.url,), deadline=30))
    one = EtcdStore(etcd, "/net/", pause=0.01)
    one.commit(put=[network("goes"), network("stays")])
    heard: list[tuple[Storable, ...]] = []
    one.on_change(lambda put, gone: heard.append((*put, *gone)))
    member.kill()
    member.start()
    member.wait()
    etcd.transact({}, ["/net/network/goes"])
    assert eventually(lambda: names(one) == "stays:stays"), names(one)
    assert heard == [(network("goes"),)]
    one.close()
    etcd.close()
    member.kill()


def test_a_server_that_is_not_there_is_told_by_the_deadline() -> None:
    (port,) = free_ports(1)
    etcd = Etcd(Access((f"http://127.0.0.1:{port}",), deadline=0.2))
    with pytest.raises(Unavailable, match=r"cluster store: kv/txn: .*refused"):
        EtcdStore(etcd, "/x/")


@pytest.mark.parametrize(
    "url", ["", "10.0.0.1:2379", "ftp://10.0.0.1", "http://", "https://a:b", "http://a/path", "http://[::1"]
)
def test_what_is_no_address_of_a_store_is_refused(url: str) -> None:
    with pytest.raises(Invalid, match="not an address like"):
        Etcd(Access((url,)))


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(
        Invalid, match=r"^cluster store at 10\.0\.0\.1: user and password are not part of"
    ) as refusal:
        Etcd(Access(("https://node:secret@10.0.0.1:2379",)))
    assert "secret" not in str(refusal.value)


def _request(here: socket.socket) -> bytes:
    """The whole of it: head and body may come apart."""
    told = b""
    while b"\r\n\r\n" not in told:
        told += here.recv(65536)
    head, _, body = told.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += here.recv(65536)
    return head + b"\r\n\r\n" + body


class Cutter:
    """Between a client and a server: the first connection's request is carried, its answer is not."""

    def __init__(self, url: str) -> None:
        self._server = url.rpartition("/")[2].split(":")
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        for carried in (False, True):
            here, _ = self._listening.accept()
            with here, socket.create_connection((self._server[0], int(self._server[1]))) as there:
                there.sendall(_request(here))
                answer = there.recv(65536)
                if carried:
                    here.sendall(answer)

    def close(self) -> None:
        self._thread.join()
        self._listening.close()


@needs_etcd
def test_a_compare_and_set_whose_answer_was_lost_is_known_to_be_made(server: str, etcd: Etcd, prefix: str) -> None:
    cutter = Cutter(server)
    client = Etcd(Access((cutter.url,)))
    revision = client.transact({f"{prefix}a": "mine"}, expected={f"{prefix}a": 0})
    cutter.close()
    client.close()
    (item,) = etcd.list(prefix).items
    assert (item.value, item.revision) == ("mine", revision)


@needs_etcd
def test_a_compare_and_set_whose_answer_was_lost_is_not_taken_for_anothers(
    server: str, etcd: Etcd, prefix: str
) -> None:
    etcd.transact({f"{prefix}a": "anothers"})
    cutter = Cutter(server)
    client = Etcd(Access((cutter.url,)))
    assert client.transact({f"{prefix}a": "mine"}, expected={f"{prefix}a": 0}) is None
    cutter.close()
    client.close()
    assert [item.value for item in etcd.list(prefix).items] == ["anothers"]


# ---- who may


def openssl(home: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=home, check=True, capture_output=True)


def certify(home: Path) -> None:
    """An authority; a server and a client that it signed."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    (home / "names").write_text("subjectAltName=IP:127.0.0.1")
    openssl(home, "req", "-x509", *key, "-days", "2", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca")
    for name in ("server", "client"):
        openssl(home, "req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names")
        openssl(home, "x509", "-req", "-days", "2", "-in", f"{name}.csr", "-out", f"{name}.pem", *signed)


def until_it_answers(etcd: Etcd) -> None:
    """A member that wants certificates cannot be asked for its health without one."""
    assert eventually(lambda: _answers(etcd))


def _answers(etcd: Etcd) -> bool:
    try:
        etcd.list("/")
    except Unavailable:
        return False
    return True


@needs_etcd
def test_with_certificates_only_their_holders_are_served(tmp_path: Path) -> None:
    certify(tmp_path)
    client, peer = free_ports(2)
    files = [f"--cert-file={tmp_path}/server.pem", f"--key-file={tmp_path}/server.key"]
    trusted = ["--client-cert-auth", f"--trusted-ca-file={tmp_path}/ca.pem"]
    member = Member(tmp_path, "m0", client, {"m0": peer}, [*files, *trusted], scheme="https")
    ca, cert, key = (str(tmp_path / name) for name in ("ca.pem", "client.pem", "client.key"))
    ours = Etcd(Access((member.url,), ca=ca, cert=cert, key=key, deadline=2))
    until_it_answers(ours)
    store = EtcdStore(ours, "/net/")
    store.commit(put=[network("a")])
    store.close()
    for stranger in (Access((member.url,), ca=ca, deadline=0.5), Access((member.url,), deadline=0.5)):
        with pytest.raises(Unavailable):
            Etcd(stranger).list("/net/")
    assert [item.key for item in ours.list("/net/").items] == ["/net/network/a"]
    ours.close()
    renewed(tmp_path, member.url)
    member.kill()
    with pytest.raises(Invalid, match="certificates of the cluster store"):
        Etcd(Access((member.url,), ca=f"{tmp_path}/nothing.pem"))


def renewed(home: Path, url: str) -> None:
    """Who began with a certificate that does not do is served as soon as a good one is in its place."""
    good = (home / "client.pem").read_text(), (home / "client.key").read_text()
    strange = home / "strange"
    strange.mkdir()
    certify(strange)
    cert, key = (strange / name for name in ("client.pem", "client.key"))
    ours = Etcd(Access((url,), ca=str(home / "ca.pem"), cert=str(cert), key=str(key), deadline=0.5))
    with pytest.raises(Unavailable):
        ours.list("/net/")
    for path, text in zip((cert, key), good, strict=True):
        path.write_text(text)
    assert eventually(lambda: _answers(ours))
    ours.close()


@needs_etcd
def test_a_user_is_held_to_his_password_and_his_keys(tmp_path: Path) -> None:
    (member,) = members(tmp_path, 1)
    root = Etcd(Access((member.url,)))
    permission = {"permType": "READWRITE", "key": "L25ldC8=", "range_end": "L25ldDA="}  # /net/ to /net0
    for path, body in (
        ("user/add", {"name": "root", "password": "r"}),
        ("role/add", {"name": "root"}),
        ("user/grant", {"user": "root", "role": "root"}),
        ("user/add", {"name": "node", "password": "secret"}),
        ("role/add", {"name": "node"}),
        ("role/grant", {"name": "node", "perm": permission}),
        ("user/grant", {"user": "node", "role": "node"}),
        ("enable", {}),
    ):
        root._ask(f"/v3/auth/{path}", body)
    node = Etcd(Access((member.url,), user="node", password="secret"))
    store = EtcdStore(node, "/net/")
    store.commit(put=[network("a")])
    node._token = "an-old-one.7"
    store.commit(put=[network("b")])
    assert names(store) == "a:a b:b"
    with pytest.raises(Forbidden, match="user node has no right to that"):
        node.transact({"/other/x": "1"})
    stranger = Etcd(Access((member.url,), user="node", password="guess"))
    with pytest.raises(Forbidden, match="it knows no user node with this password"):
        stranger.list("/net/")
    stranger.close()
    with pytest.raises(Forbidden, match="it serves nobody without a name and a password"):
        root.list("/net/")
    assert "secret" not in repr(Access((member.url,), user="node", password="secret"))
    store.close()
    node.close()
    root.close()
    member.kill()
