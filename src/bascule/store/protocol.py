"""What must survive: objects by kind and id.  Memory, SQLite and etcd keep these promises."""

from collections.abc import Sequence
from typing import Protocol, TypeVar, get_args

from bascule.model.cluster import Alive, Down, Ledger, Membership, Node, Remote, Ring
from bascule.model.container import Container, Image, Volume
from bascule.model.endpoint import Endpoint
from bascule.model.network import Network
from bascule.model.sandbox import Sandbox
from bascule.model.service import Service

Local = Network | Endpoint | Sandbox | Container | Image | Volume
Shared = Membership | Node | Alive | Down | Ledger | Remote | Service | Ring
Storable = Local | Shared
T = TypeVar(
    "T",
    Network,
    Endpoint,
    Sandbox,
    Container,
    Image,
    Volume,
    Membership,
    Node,
    Alive,
    Down,
    Ledger,
    Remote,
    Service,
    Ring,
)
KINDS: dict[str, type[Storable]] = {kind.__name__.lower(): kind for kind in get_args(Local) + get_args(Shared)}
"""Every kind by its name in what is written."""
INDEXED: dict[type[Storable], tuple[str, ...]] = {
    Network: ("name",),
    Endpoint: ("network", "sandbox"),
    Container: ("name",),
    Remote: ("network", "node"),
    Service: ("network",),
}
"""The fields that `where` knows, by kind."""


class Store(Protocol):
    def all(self, kind: type[T]) -> list[T]:
        """Every object of *kind*, oldest commit first.  Cheap: no disk is read for it after the start."""
        ...

    def get(self, kind: type[T], ident: str) -> T | None:
        """The object of *kind* with exactly this id."""
        ...

    def where(self, kind: type[T], field: str, value: str) -> list[T]:
        """The objects of *kind* whose *field*, one that is INDEXED, is *value*; it costs as much as there are of
        these, however many others there are."""
        ...

    def commit(self, put: Sequence[Storable] = (), delete: Sequence[Storable] = ()) -> None:
        """Write and delete in one transaction, all of it or nothing.  When this returns it outlives the process,
        however that ends; a loss of power may take the last moments."""
        ...

    def close(self) -> None: ...
