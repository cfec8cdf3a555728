"""What must survive: objects by kind and id.  Memory, SQLite (and later etcd) keep these promises."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from bascule.model.container import Container, Image, Volume
from bascule.model.endpoint import Endpoint
from bascule.model.network import Network
from bascule.model.sandbox import Sandbox

Storable = Network | Endpoint | Sandbox | Container | Image | Volume
T = TypeVar("T", Network, Endpoint, Sandbox, Container, Image, Volume)


class Store(Protocol):
    def all(self, kind: type[T]) -> list[T]:
        """Every object of *kind*, oldest commit first.  Cheap: no disk is read for it after the start."""
        ...

    def get(self, kind: type[T], ident: str) -> T | None:
        """The object of *kind* with exactly this id."""
        ...

    def commit(self, put: Sequence[Storable] = (), delete: Sequence[Storable] = ()) -> None:
        """Write and delete in one transaction that is on disk when this returns: all of it or nothing."""
        ...

    def close(self) -> None: ...
