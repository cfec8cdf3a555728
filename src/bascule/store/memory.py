"""A store that forgets: for tests, for the library without a data directory, and what SqliteStore reads from."""

from collections.abc import Sequence
from threading import Lock
from typing import cast

from bascule.store.protocol import Storable, T


class MemoryStore:
    """Store in this process only; any thread may call it."""

    def __init__(self) -> None:
        self._lock = Lock()
        # A dictionary keeps the place of a key that is written again: oldest commit first.
        self._objects: dict[type[Storable], dict[str, Storable]] = {}

    def all(self, kind: type[T]) -> list[T]:
        with self._lock:
            return cast(list[T], list(self._objects.get(kind, {}).values()))

    def get(self, kind: type[T], ident: str) -> T | None:
        with self._lock:
            return cast(T | None, self._objects.get(kind, {}).get(ident))

    def commit(self, put: Sequence[Storable] = (), delete: Sequence[Storable] = ()) -> None:
        """Deletions come first; deleting what is not there is no error."""
        with self._lock:
            for gone in delete:
                self._objects.get(type(gone), {}).pop(gone.id, None)
            for value in put:
                self._objects.setdefault(type(value), {})[value.id] = value

    def kinds(self) -> list[type[Storable]]:
        """The kinds that there are objects of."""
        with self._lock:
            return [kind for kind, objects in self._objects.items() if objects]

    def close(self) -> None:
        """Nothing is held."""
