"""What the engine asks of whoever speaks for the other hosts.  `cluster.gate.Gate` keeps these promises; NoCluster
is for engines on a host of their own.

Nothing but `changed` is called under the engine's lock: a store that several hosts share answers when it likes.
"""

# ruff: noqa: ARG002 -- who is in no cluster has nothing to look at.

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from bascule.engine.shared import Shared
from bascule.model.addresses import IPAddress
from bascule.model.cluster import VXLAN_PORT, Membership, Node
from bascule.model.endpoint import EndpointSpec
from bascule.model.errors import Unavailable
from bascule.model.network import Network

State = Literal["ready", "suspect", "down", "unknown"]
"""Of a node: it lives; it has not been heard of for a moment; its endpoints were taken out; nobody can say, because
the store does not answer."""
NOT_IN = 'This node is in no cluster. Use "bascule cluster init" or "bascule cluster join" first.'


@dataclass(frozen=True, slots=True)
class Joining:
    """How a host is to become a member.  *found*: it is the cluster's first, which is made with it."""

    found: bool
    address: IPAddress
    name: str
    store: tuple[str, ...] = ()
    """Where the cluster's etcd is; none: where the daemon was told that it is."""
    port: int = VXLAN_PORT
    embedded: bool = False
    """The store is to be the cluster's own, on its hosts: on *members* of them, says who founds it."""
    members: int = 3
    token: str = ""
    """What lets in to such a cluster, by asking its host *remote*; *client*: and without a member of the store."""
    remote: str = ""
    client: bool = False


@dataclass(frozen=True, slots=True)
class Invitation:
    """The word that lets hosts join, and which hosts let them in."""

    token: str = field(repr=False)
    doors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """A node as this one sees it."""

    node: Node
    state: State
    me: bool


@dataclass(frozen=True, slots=True)
class Status:
    """How this host is with its cluster.  *store*: "" where it answers, else what it said; *following* counts the
    networks whose endpoints elsewhere this host hears of; *warnings* are sentences for people."""

    membership: Membership
    store: str
    following: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """Names of the nodes that put in what they had, and of those that did not in time."""

    there: tuple[str, ...]
    missing: tuple[str, ...]


class Cluster(Protocol):
    def begin(self, shared: Shared) -> None:
        """If this host is a member, *shared* is told from now on what other hosts do."""
        ...

    def close(self) -> None:
        """Nothing is told any more.  The host stays a member, and its networks as they are."""
        ...

    # ---- use cases

    def propose(self, net: Network) -> Network | None:
        """*net*, with its tunnel, is the cluster's.  None: somebody else's came first, and is known now; decide
        anew.  Raises Unavailable."""
        ...

    def withdraw(self, net: Network) -> None:
        """*net* is no network of the cluster.  Raises Forbidden where other hosts have endpoints on it,
        Unavailable."""
        ...

    def provide(self, net: Network, spec: EndpointSpec) -> None:
        """This host has an address for an endpoint like *spec*, unless somebody is faster, and knows what other
        hosts have on the network.  Raises what `connect` would, Unavailable."""
        ...

    def changed(self, network: str) -> None:
        """Others will hear soon which endpoints of *network* are here now."""
        ...

    # ---- for people

    def join(self, how: Joining) -> Membership:
        """This host is a member.  Raises Conflict where it is one already, Failed, Unavailable."""
        ...

    def leave(self, *, force: bool = False) -> None:
        """This host is no member: others know, and nothing of the cluster is left here.  With *force* also where
        the store does not answer or containers are on its networks.  Raises Conflict, Unavailable."""
        ...

    def nodes(self) -> Sequence[Seen]:
        """Every node, by name.  Raises Unavailable where this host is no member; so do the following."""
        ...

    def status(self) -> Status: ...

    def trouble(self) -> str:
        """What the cluster's store said last, "" where all is well, or there is no cluster.  Costs nothing."""
        ...

    def remove(self, node: str, *, force: bool = False) -> None:
        """The node with this id is none of the cluster any more, and what it had is anybody's.  Raises Conflict
        where it is this one, or is not down; *force*: only where it is this one.  NotFound, Unavailable."""
        ...

    def move(self, address: IPAddress) -> None:
        """This host's tunnels end at *address*, and others know.  Raises Failed where no link of the host has it,
        Conflict, Unavailable."""
        ...

    def rebuild(self) -> Rebuilt:
        """A store that lost everything has again what the living nodes know.  Raises Conflict where it lost
        nothing, Unavailable."""
        ...

    def verify(self) -> Sequence[str]:
        """Every entry that is stale or missing, comparing the store, what this host knows, and the kernel."""
        ...

    def invitation(self, *, rotate: bool = False) -> Invitation:
        """How hosts join a cluster with a store of its own; *rotate*: earlier tokens are good for nothing any more.
        Raises Conflict where the store is somebody else's, Unavailable."""
        ...

    def rights(self, users: Sequence[str], founder: str) -> Sequence[str]:
        """The lines by which the administrator of an etcd lets each of its *users* be a host of the cluster, and
        *founder* of them its first.  Also where this host is no member."""
        ...


class NoCluster:
    """A host of its own."""

    def begin(self, shared: Shared) -> None:
        """Nobody tells anything."""

    def close(self) -> None:
        """Nothing was begun."""

    def propose(self, net: Network) -> Network | None:
        raise Unavailable(NOT_IN)

    def withdraw(self, net: Network) -> None:
        raise Unavailable(NOT_IN)

    def provide(self, net: Network, spec: EndpointSpec) -> None:
        """What is there must do."""

    def changed(self, network: str) -> None:
        """Nobody else is told."""

    def join(self, how: Joining) -> Membership:
        raise Unavailable(NOT_IN)

    def leave(self, *, force: bool = False) -> None:
        raise Unavailable(NOT_IN)

    def nodes(self) -> Sequence[Seen]:
        raise Unavailable(NOT_IN)

    def trouble(self) -> str:
        return ""

    def status(self) -> Status:
        raise Unavailable(NOT_IN)

    def remove(self, node: str, *, force: bool = False) -> None:
        raise Unavailable(NOT_IN)

    def move(self, address: IPAddress) -> None:
        raise Unavailable(NOT_IN)

    def rebuild(self) -> Rebuilt:
        raise Unavailable(NOT_IN)

    def verify(self) -> Sequence[str]:
        raise Unavailable(NOT_IN)

    def invitation(self, *, rotate: bool = False) -> Invitation:
        raise Unavailable(NOT_IN)

    def rights(self, users: Sequence[str], founder: str) -> Sequence[str]:
        raise Unavailable(NOT_IN)
