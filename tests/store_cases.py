"""What every store promises (store/protocol.py).  A case takes a function that opens the store: opened again, a
store that survives its process has what was committed."""

from collections.abc import Callable
from threading import Thread

import pytest

from bascule.model.endpoint import Endpoint
from bascule.model.network import Network
from bascule.model.sandbox import Sandbox
from bascule.store.protocol import Store

Case = Callable[[Store], None]


def network(ident: str, name: str = "") -> Network:
    return Network(ident, name or ident, "bridge", created=1)


def names(store: Store) -> str:
    return " ".join(f"{net.id}:{net.name}" for net in store.all(Network))


def a_new_store_is_empty(store: Store) -> None:
    assert store.all(Network) == []
    assert store.get(Network, "a") is None


def what_is_put_is_there_by_kind_and_id(store: Store) -> None:
    store.commit(put=[network("a"), Sandbox("a", "c", "box", "/ns", 1)])
    assert store.get(Network, "a") == network("a")
    assert store.get(Sandbox, "a") == Sandbox("a", "c", "box", "/ns", 1)
    assert store.get(Endpoint, "a") is None


def an_id_is_not_found_by_its_prefix(store: Store) -> None:
    store.commit(put=[network("abc")])
    assert store.get(Network, "ab") is None


def objects_come_in_the_order_of_their_first_commit(store: Store) -> None:
    for ident in ("c", "a", "b"):
        store.commit(put=[network(ident)])
    store.commit(put=[network("c", "again")])
    assert names(store) == "c:again a:a b:b"


def what_is_deleted_is_gone_and_comes_last_when_it_comes_back(store: Store) -> None:
    store.commit(put=[network("a"), network("b")])
    store.commit(delete=[network("a")])
    assert names(store) == "b:b"
    store.commit(put=[network("a")])
    assert names(store) == "b:b a:a"


def deleting_what_is_not_there_is_no_error(store: Store) -> None:
    store.commit(delete=[network("a")])
    assert names(store) == ""


def a_deletion_needs_the_id_only(store: Store) -> None:
    store.commit(put=[network("a", "now")])
    store.commit(delete=[network("a", "then")])
    assert names(store) == ""


def in_one_commit_deletions_come_first(store: Store) -> None:
    store.commit(put=[network("a"), network("b")])
    store.commit(put=[network("a", "new")], delete=[network("a")])
    assert names(store) == "b:b a:new"


def endpoint(ident: str, net: str, box: str) -> Endpoint:
    return Endpoint(ident, net, box, name=box, created=1)


def what_is_indexed_is_found_by_what_it_says_now(store: Store) -> None:
    store.commit(put=[network("a", "web"), network("b", "web"), network("c", "db")])
    store.commit(put=[network("a", "db")])
    found = {name: "".join(n.id for n in store.where(Network, "name", name)) for name in ("web", "db", "none")}
    assert found == {"web": "b", "db": "ca", "none": ""}
    store.commit(put=[endpoint("e", "b", "s"), endpoint("f", "c", "s")])
    store.commit(delete=[endpoint("e", "", ""), network("c")])
    assert [ep.id for ep in store.where(Endpoint, "sandbox", "s")] == ["f"]
    assert (store.where(Endpoint, "network", "b"), store.where(Network, "name", "db")) == ([], [network("a", "db")])


def what_is_not_indexed_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="Network is not indexed by driver"):
        store.where(Network, "driver", "bridge")


def the_list_is_the_callers_own(store: Store) -> None:
    store.commit(put=[network("a")])
    store.all(Network).clear()
    assert names(store) == "a:a"


def threads_do_not_lose_one_anothers_commits(store: Store) -> None:
    def fill(first: str) -> None:
        for n in range(20):
            store.commit(put=[network(f"{first}{n}")])

    threads = [Thread(target=fill, args=(first,)) for first in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(net.id for net in store.all(Network)) == sorted(f"{f}{n}" for f in "abcd" for n in range(20))


CASES: tuple[Case, ...] = (
    a_new_store_is_empty,
    what_is_put_is_there_by_kind_and_id,
    an_id_is_not_found_by_its_prefix,
    objects_come_in_the_order_of_their_first_commit,
    what_is_deleted_is_gone_and_comes_last_when_it_comes_back,
    deleting_what_is_not_there_is_no_error,
    a_deletion_needs_the_id_only,
    in_one_commit_deletions_come_first,
    what_is_indexed_is_found_by_what_it_says_now,
    what_is_not_indexed_is_refused,
    the_list_is_the_callers_own,
    threads_do_not_lose_one_anothers_commits,
)
