"""A store that forgets: for tests, for the library without a data directory, and what SqliteStore reads from."""

from collections.abc import Mapping, Sequence
from threading import Lock
from types import MappingProxyType
from typing import cast

from bascule.store.protocol import INDEXED, Storable, T

_NONE: Mapping[str, Storable] = MappingProxyType({})


class MemoryStore:
    """Store in this process only; any thread may call it."""

    def __init__(self) -> None:
        self._lock = Lock()
        # A dictionary keeps the place of a key that is written again: oldest commit first.
        self._objects: dict[type[Storable], dict[str, Storable]] = {}
        self._index: dict[tuple[type[Storable], str, str], dict[str, Storable]] = {}

    def all(self, kind: type[T]) -> list[T]:
        with self._lock:
            return cast("list[T]", list(self._objects.get(kind, _NONE).values()))

    def get(self, kind: type[T], ident: str) -> T | None:
        return cast("T | None", self._objects.get(kind, _NONE).get(ident))

    def where(self, kind: type[T], field: str, value: str) -> list[T]:
        if field not in INDEXED.get(kind, ()):
            raise ValueError(f"{kind.__name__} is not indexed by {field}")
        with self._lock:
            return cast("list[T]", list(self._index.get((kind, field, value), _NONE).values()))

    def commit(self, put: Sequence[Storable] = (), delete: Sequence[Storable] = ()) -> None:
        """Deletions come first; deleting what is not there is no error."""
        with self._lock:
            for gone in delete:
                before = self._objects.get(type(gone), {}).pop(gone.id, None)
                if before is not None:
                    self._unindex(before, None)
            for value in put:
                objects = self._objects.setdefault(type(value), {})
                if value.id in objects:
                    self._unindex(objects[value.id], value)
                objects[value.id] = value
                for key in _keys(value):
                    self._index.setdefault(key, {})[value.id] = value

    def _unindex(self, before: Storable, after: Storable | None) -> None:
        """*before* is not found by what *after* does not say."""
        for key in _keys(before) - (_keys(after) if after is not None else set()):
            found = self._index[key]
            del found[before.id]
            if not found:
                del self._index[key]

    def kinds(self) -> list[type[Storable]]:
        """The kinds that there are objects of."""
        with self._lock:
            return [kind for kind, objects in self._objects.items() if objects]

    def close(self) -> None:
        """Nothing is held."""


def _keys(value: Storable) -> set[tuple[type[Storable], str, str]]:
    kind = type(value)
    return {(kind, field, getattr(value, field)) for field in INDEXED.get(kind, ())}
