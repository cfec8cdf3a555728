"""A store that several hosts share: a prefix of etcd, an object a key, read from memory.

`PREFIX<kind>/<id>`, or another path that ends so, has the object's JSON (model/codec.py) with one key more,
`place`: the revision and the number within its commit at which it came, because etcd gives everything of a
transaction the same revision.

What others commit comes by a watch.  On any loss of it all is listed again and compared with what is in memory, so
that whoever listens hears the difference and never that something was missed.  Docs/decisions/030.
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Event, RLock, Thread
from types import MappingProxyType
from typing import NamedTuple, Protocol

from bascule.model.codec import decode, encode
from bascule.model.errors import BasculeError, Failed
from bascule.store.etcdwatch import Lost
from bascule.store.etcdwire import Gone, Item, Listing
from bascule.store.memory import MemoryStore
from bascule.store.protocol import KINDS, Storable, T

Tell = Callable[[Sequence[Storable], Sequence[Storable]], None]
"""Called with what came or changed, and with what went."""

NOTHING: Mapping[str, int] = MappingProxyType({})


class Watching(Protocol):
    """See `etcdwatch.Watch`."""

    def __iter__(self) -> Iterator[tuple[int, list[Item | Gone]]]: ...
    def close(self) -> None: ...


class Source(Protocol):
    """What a store needs of `etcdclient.Etcd`."""

    def list(self, prefix: str) -> Listing: ...
    def watch(self, prefix: str, after: int) -> Watching: ...
    def transact(
        self, put: Mapping[str, str], delete: Sequence[str], expected: Mapping[str, int], lease: int, /
    ) -> int | None: ...


def by_kind(value: Storable) -> str:
    """Where an object is below its store's prefix: its kind and its id."""
    return f"{type(value).__name__.lower()}/{value.id}"


# Seconds before a lost watch is tried again.
_PAUSE = 0.2
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Kept:
    """A key as it was last seen; *value* None: it was deleted at that revision."""

    revision: int
    value: Storable | None
    place: tuple[int, int] = (0, 0)


class _New(NamedTuple):
    key: str
    kept: _Kept


class EtcdStore:
    """The store below *prefix*, which ends in a slash; any thread may call it.  Raises Unavailable when etcd
    cannot be read at the start, Failed when what is there cannot be; later, reading never fails and never waits.

    *path* is where an object is below the prefix; its kind and id are the end of that.  Below each of *doubted* an
    object that cannot be read, or is not where it says that it belongs, is left out, and said so once.
    """

    def __init__(
        self,
        etcd: Source,
        prefix: str,
        *,
        pause: float = _PAUSE,
        path: Callable[[Storable], str] = by_kind,
        doubted: Sequence[str] = (),
    ) -> None:
        self._etcd = etcd
        self._prefix = prefix
        self._path = path
        self._doubted = tuple(doubted)
        self._wrong: set[str] = set()
        self._pause = pause
        self._lock = RLock()
        self._mirror = MemoryStore()
        self._known: dict[str, _Kept] = {}
        self._revision = 0
        self._last = (0, 0)
        self.set_back = False
        """Whether etcd has been seen at an earlier revision than before: then nothing is taken from it any more."""
        self._listeners: list[Tell] = []
        self._closing = Event()
        self._watch: Watching | None = None
        listing = self._relist()
        self._listed: int | None = listing.revision
        self._thread = Thread(target=self._follow, name="store-watch", daemon=True)
        self._thread.start()

    # ---- the protocol of every store

    def all(self, kind: type[T]) -> list[T]:
        return self._mirror.all(kind)

    def get(self, kind: type[T], ident: str) -> T | None:
        return self._mirror.get(kind, ident)

    def where(self, kind: type[T], field: str, value: str) -> list[T]:
        return self._mirror.where(kind, field, value)

    def commit(self, put: Sequence[Storable] = (), delete: Sequence[Storable] = ()) -> None:
        """Deletions come first; deleting what is not there is no error.  Raises Unavailable where etcd cannot
        be asked or has no quorum: then it may still come to be, and the watch will tell."""
        self.attempt(put, delete)

    def close(self) -> None:
        """The watch ends.  What was committed stays; the client is its owner's to close."""
        self._closing.set()
        with self._lock:
            watch = self._watch
        if watch is not None:
            watch.close()
        self._thread.join()

    # ---- what a cluster needs beyond it

    def attempt(
        self,
        put: Sequence[Storable] = (),
        delete: Sequence[Storable] = (),
        *,
        unchanged: Sequence[Storable] = (),
        absent: Sequence[Storable] = (),
        lease: int = 0,
        expected: Mapping[str, int] = NOTHING,
    ) -> bool:
        """Commit, if the objects of *unchanged* are as this store last saw them and none of *absent* is there, and
        other keys of etcd's have the revisions *expected*.

        False: something was otherwise, nothing changed, and `refresh` tells what.  What is put with a *lease* goes
        when that ends.
        """
        if not put and not delete:
            return True
        expected = {**expected, **{self._key(value): self._seen(value) for value in unchanged}}
        expected |= {self._key(value): 0 for value in absent}
        placed = self._placed(put, delete)
        texts = {key: text for key, (_, _, text) in placed.items()}
        gone = [key for key in dict.fromkeys(map(self._key, delete)) if key not in texts]
        revision = self._etcd.transact(texts, gone, expected, lease)
        if revision is None:
            return False
        self._learn(
            [_New(key, _Kept(revision, value, place)) for key, (value, place, _) in placed.items()],
            [Gone(key, revision) for key in gone],
        )
        return True

    def revision(self, value: Storable) -> int:
        """The revision of *value*'s key as this store last saw it, -1 where it is not there."""
        return self._seen(value)

    def refresh(self) -> None:
        """What this store has is what etcd has, by quorum.  Raises Unavailable."""
        self._relist()

    def on_change(self, tell: Tell) -> None:
        """Call *tell* with each difference from now on, those of our own commits among them.  In the order of their
        commits, one at a time, on the thread that learnt of it; it must not call back here to write."""
        with self._lock:
            self._listeners.append(tell)

    # ---- keys and bodies

    def _key(self, value: Storable) -> str:
        return f"{self._prefix}{self._path(value)}"

    def _seen(self, value: Storable) -> int:
        known = self._known.get(self._key(value))
        # -1 is no key's revision.
        return known.revision if known is not None and known.value is not None else -1

    def _placed(
        self, put: Sequence[Storable], delete: Sequence[Storable]
    ) -> dict[str, tuple[Storable, tuple[int, int], str]]:
        """By key: the object, where it stands in the order, and its text.  Who was there keeps his place."""
        leaving = {self._key(value) for value in delete}
        with self._lock:
            placed = {}
            for number, value in enumerate(put):
                key = self._key(value)
                known = self._known.get(key)
                stays = known is not None and known.value is not None and key not in leaving
                place = known.place if known is not None and stays else (self._revision + 1, number)
                text = json.dumps({**json.loads(encode(value)), "place": place}, sort_keys=True)
                placed[key] = (value, place, text)
            return placed

    def _read(self, items: Iterable[Item]) -> list[_New]:
        found = []
        for item in items:
            try:
                found.append(self._read_one(item))
            except BasculeError as refusal:
                if not item.key.startswith(self._doubted):
                    raise
                if item.key not in self._wrong:
                    log.warning("what another host says is left out: %s: %s", item.key, refusal)
                self._wrong.add(item.key)
        return found

    def _read_one(self, item: Item) -> _New:
        kind = KINDS.get(item.key.split("/")[-2])
        if kind is None:
            raise Failed(f"cluster store: {item.key}: an object of an unknown kind")
        value: Storable = decode(kind, item.value)
        if item.key.startswith(self._doubted) and self._key(value) != item.key:
            raise Failed("it is not where it says that it belongs")
        place = json.loads(item.value).get("place")
        if not isinstance(place, list) or len(place) != 2:
            place = [item.created, 0]
        return _New(item.key, _Kept(item.revision, value, (place[0], place[1])))

    # ---- learning

    def _learn(self, new: Iterable[_New], gone: Iterable[Gone]) -> None:
        """Take over what is newer than what is known, and tell it."""
        with self._lock:
            put: list[Storable] = []
            delete: list[Storable] = []
            came: list[tuple[int, int]] = []
            for key, kept in new:
                known = self._known.get(key)
                if known is None or known.revision < kept.revision:
                    if known is None or known.place != kept.place:
                        came.append(kept.place)
                    if known is not None and known.value is not None and known.place != kept.place:
                        # It left and came back: it is the last now.
                        self._mirror.commit(delete=[known.value])
                    self._known[key] = kept
                    self._revision = max(self._revision, kept.revision)
                    if kept.value is not None and (known is None or known.value != kept.value):
                        put.append(kept.value)
            for key, revision in ((each.key, each.revision) for each in gone):
                known = self._known.get(key)
                if known is None or known.revision < revision:
                    # Kept as a mark, so that an older event does not bring it back.
                    self._known[key] = _Kept(revision, None)
                    self._revision = max(self._revision, revision)
                    if known is not None and known.value is not None:
                        delete.append(known.value)
            self._mirror.commit(put, delete)
            self._in_order(came)
            if put or delete:
                for tell in self._listeners:
                    tell(put, delete)

    def _in_order(self, places: Iterable[tuple[int, int]]) -> None:
        """Ours are known before those of others that were earlier: then all are put in again, as they stand."""
        late = False
        for place in places:
            late = late or place <= self._last
            self._last = max(self._last, place)
        if late:
            there = sorted((kept.place, key) for key, kept in self._known.items() if kept.value is not None)
            values = [value for _, key in there if (value := self._known[key].value) is not None]
            self._mirror.commit(values, values)

    def _relist(self) -> Listing:
        """All is read: what is in memory and not there has gone, unless it came after it."""
        with self._lock:
            before = self._revision
        listing = self._etcd.list(self._prefix)
        if listing.revision < before:
            self.set_back = True
            raise Failed(f"cluster store: {self._prefix}: it was set back to an earlier time")
        new = sorted(self._read(listing.items), key=lambda one: (one.kept.place, one.key))
        there = {key for key, _ in new}
        with self._lock:
            marks = [key for key, k in self._known.items() if k.value is None and k.revision <= listing.revision]
            gone = [
                Gone(key, listing.revision)
                for key, kept in self._known.items()
                if kept.value is not None and key not in there and kept.revision <= listing.revision
            ]
            self._learn(new, gone)
            for key in marks:
                if self._known[key].value is None:
                    del self._known[key]
            self._revision = max(self._revision, listing.revision)
        return listing

    # ---- the watch's thread

    def _follow(self) -> None:
        said = ""
        while not self._closing.is_set():
            try:
                self._follow_one()
            except Lost as lost:
                said = ""
                if not self._closing.is_set():
                    log.info("the cluster store's watch ended, listing again: %s", lost)
            except BasculeError as refusal:
                # No server, or an object of a newer Bascule: neither passes in a moment.
                if str(refusal) != said:
                    log.warning("%s", refusal)
                said = str(refusal)
                self._closing.wait(self._pause * 9)
            self._closing.wait(self._pause)

    def _follow_one(self) -> None:
        listed, self._listed = self._listed, None
        if listed is None:
            listed = self._relist().revision
        watch = self._etcd.watch(self._prefix, listed)
        with self._lock:
            self._watch = watch
        try:
            if self._closing.is_set():
                return
            for _, events in watch:
                new = self._read(event for event in events if isinstance(event, Item))
                self._learn(new, [event for event in events if isinstance(event, Gone)])
        finally:
            with self._lock:
                self._watch = None
            with suppress(OSError):
                watch.close()
