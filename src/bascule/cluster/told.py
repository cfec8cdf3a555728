"""The endpoints of one network, each among its own node's keys, as one store has them.

etcd gives rights to ranges of keys, and watches ranges, and the two want different orders: a node's keys together,
and a network's.  So records are by node; and beside them each network has, by node, which of them changed last.
That is written in the same transaction and watched, and nobody believes it: who hears of it reads the records that
it names.  Any member may write it.  What is false in it lets others look in vain, and what is taken away is put
back by the node that it is about.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from threading import Lock

from bascule.cluster import keys
from bascule.model.cluster import Remote
from bascule.model.codec import decode
from bascule.model.errors import BasculeError, Failed, Unavailable
from bascule.store.etcd import EtcdStore
from bascule.store.etcdclient import Etcd
from bascule.store.etcdwatch import Lost, Watch
from bascule.store.etcdwire import Gone, Item, Listing
from bascule.store.protocol import Storable

# A node tells of no more at once: a transaction of etcd's has 128 operations.
_AT_ONCE = 100


def key(one: Remote) -> str:
    return f"{keys.endpoints(one.node, one.network)}remote/{one.id}"


def line(network: str, node: str, idents: Iterable[str]) -> dict[str, str]:
    """What a node writes beside its records."""
    return {f"{keys.told(network)}{node}": json.dumps(sorted(idents))}


def store(etcd: Etcd, network: str, me: str) -> EtcdStore:
    """The endpoints of the network, *me*'s to be written.  Raises Unavailable."""
    return EtcdStore(Told(etcd, network, me), keys.ENDPOINTS, path=_path, doubted=[keys.ENDPOINTS])


def read(etcd: Etcd, network: str, me: str) -> list[Remote]:
    """Every endpoint of the network; what cannot be read is none.  Raises Unavailable."""
    found = []
    for item in Told(etcd, network, me).list().items:
        try:
            found.append(decode(Remote, item.value))
        except BasculeError:
            # A store of them says so.
            continue
    return found


def take_out(etcd: Etcd, node: str, network: str = "") -> None:
    """What *node* has on the network, or on all, is not there, and who is on it hears of that."""
    by_network: dict[str, list[str]] = {}
    for item in etcd.list(keys.endpoints(node, network)).items:
        by_network.setdefault(item.key.split("/")[-3], []).append(item.key)
    for net, there in by_network.items():
        for start in range(0, len(there), _AT_ONCE):
            some = there[start : start + _AT_ONCE]
            etcd.transact(line(net, node, (_owner(one)[1] for one in some)), some)
    for one in [keys.told(network) + node] if network else _lines(etcd, node):
        etcd.transact({}, [one])


def _lines(etcd: Etcd, node: str) -> list[str]:
    return [item.key for item in etcd.list(keys.TOLD).items if item.key.endswith(f"/{node}")]


def _path(value: Storable) -> str:
    if not isinstance(value, Remote):
        raise Failed(f"{value.id}: no endpoint")
    return key(value).removeprefix(keys.ENDPOINTS)


class Told:
    """See the module; `store.etcd.Source`.  Any thread may call it."""

    def __init__(self, etcd: Etcd, network: str, me: str) -> None:
        self._etcd = etcd
        self._network = network
        self._me = me
        self._lines = keys.told(network)
        self._lock = Lock()
        self._nodes: dict[str, str] = {}
        """Whose an endpoint's id is: who came with it first."""

    def list(self, _: str = "") -> Listing:
        lines = self._etcd.list(self._lines)
        nodes = {item.key.removeprefix(self._lines) for item in lines.items}
        at = [keys.endpoints(node, self._network) for node in sorted(nodes | {self._me})]
        found = self._etcd.read(at).items
        mine = [item for item in found if item.key.startswith(keys.endpoints(self._me))]
        if mine and self._me not in nodes:
            self._say(mine)
        with self._lock:
            self._nodes = {}
            return Listing(lines.revision, tuple(self._first(found)))

    def watch(self, _: str, after: int) -> "Heard":
        return Heard(self, self._etcd.watch(self._lines, after))

    def transact(
        self, put: Mapping[str, str], delete: Sequence[str], expected: Mapping[str, int], lease: int
    ) -> int | None:
        idents = (_owner(one)[1] for one in (*put, *delete))
        return self._etcd.transact({**put, **line(self._network, self._me, idents)}, delete, expected, lease)

    def look(self, events: Iterable[Item | Gone], at: int) -> Sequence[Item | Gone]:
        """The records that changed, as they are at revision *at* or later."""
        wanted: dict[str, None] = {}
        for event in events:
            node = event.key.removeprefix(self._lines)
            if isinstance(event, Item):
                begin = f"{keys.endpoints(node, self._network)}remote/"
                wanted |= dict.fromkeys(f"{begin}{ident}" for ident in _idents(event.value))
            elif node == self._me:
                self._say(self._etcd.list(keys.endpoints(self._me, self._network)).items)
        if not wanted:
            return []
        # The member that told has it, and needs to ask no other.
        found = self._etcd.read(keys=list(wanted), serializable=True)
        if found.revision < at:
            found = self._etcd.read(keys=list(wanted))
        gone = wanted.keys() - {item.key for item in found.items}
        with self._lock:
            for one in gone:
                node, ident = _owner(one)
                if self._nodes.get(ident) == node:
                    del self._nodes[ident]
            return [*self._first(found.items), *(Gone(one, found.revision) for one in gone)]

    def _say(self, mine: Sequence[Item]) -> None:
        """Somebody took away what this node said: it says all of it."""
        idents = [_owner(item.key)[1] for item in mine]
        for start in range(0, len(idents), _AT_ONCE):
            self._etcd.transact(line(self._network, self._me, idents[start : start + _AT_ONCE]))

    def _first(self, items: Iterable[Item]) -> Iterator[Item]:
        """Without those of nodes that call theirs as another's is called."""
        for item in sorted(items, key=lambda one: (one.created, one.key)):
            node, ident = _owner(item.key)
            if self._nodes.setdefault(ident, node) == node:
                yield item


class Heard:
    """A watch of what is told, as one of the records."""

    def __init__(self, told: Told, watch: Watch) -> None:
        self._told = told
        self._watch = watch

    def __iter__(self) -> Iterator[tuple[int, list[Item | Gone]]]:
        for revision, events in self._watch:
            try:
                found = self._told.look(events, revision)
            except Unavailable as refusal:
                raise Lost(str(refusal)) from refusal
            yield revision, list(found)

    def close(self) -> None:
        self._watch.close()


def _owner(key: str) -> tuple[str, str]:
    """The node and the id that a record's key says."""
    node, _, rest = key.removeprefix(keys.ENDPOINTS).partition("/")
    return node, rest.rpartition("/")[2]


def _idents(text: str) -> list[str]:
    try:
        told = json.loads(text)
    except ValueError:
        return []
    named = [one for one in told if isinstance(one, str) and one.isalnum()] if isinstance(told, list) else []
    return named[:_AT_ONCE]
