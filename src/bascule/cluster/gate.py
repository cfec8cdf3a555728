"""`engine.cluster.Cluster`: this host's way into a cluster, and out of it.

It costs nothing where there is none: what a member needs is imported when this host becomes one, or is one at the
start.
"""

from collections.abc import Sequence
from dataclasses import replace
from threading import Lock

from bascule.engine.cluster import NOT_IN, Cluster, Joining, NoCluster, Rebuilt, Seen, Status
from bascule.engine.shared import Shared
from bascule.model.addresses import IPAddress
from bascule.model.cluster import Membership, StoreAccess
from bascule.model.endpoint import EndpointSpec
from bascule.model.errors import Conflict, Invalid, Unavailable
from bascule.model.network import Network


class Gate:
    """*lease* and *grace* are seconds: see `cluster.commons.Timing`.  *store* is where the daemon was told that the
    cluster's etcd is; it wins over what a member remembers."""

    def __init__(self, lease: int = 10, grace: float = 60.0, store: StoreAccess | None = None) -> None:
        self._times = (lease, grace)
        self._store = store or StoreAccess()
        self._shared: Shared | None = None
        self._changing = Lock()
        self._now: Cluster = NoCluster()

    def begin(self, shared: Shared) -> None:
        self._shared = shared
        me = shared.membership()
        if me is not None:
            from bascule.cluster.inside import Inside

            if self._store.endpoints:
                me = replace(me, store=self._store)
            self._now = Inside(shared, me, *self._times)

    def close(self) -> None:
        self._now.close()

    # ---- use cases

    def propose(self, net: Network) -> Network | None:
        return self._now.propose(net)

    def withdraw(self, net: Network) -> None:
        self._now.withdraw(net)

    def provide(self, net: Network, spec: EndpointSpec) -> None:
        self._now.provide(net, spec)

    def changed(self, network: str) -> None:
        self._now.changed(network)

    # ---- for people

    def join(self, how: Joining) -> Membership:
        with self._changing:
            if self._shared is None:
                raise Unavailable(NOT_IN)
            if self._shared.membership() is not None:
                raise Conflict(
                    'This node is already part of a cluster. Use "bascule cluster leave" to leave this one first.'
                )
            from bascule.cluster.inside import Inside, join

            self._now = Inside(self._shared, join(self._shared, how, self._reach(how)), *self._times)
            try:
                self._now.settle()
            except Unavailable:
                # It is a member all the same, and goes on asking.
                pass
            return self._now.me

    def _reach(self, how: Joining) -> StoreAccess:
        if not how.store and not self._store.endpoints:
            raise Invalid("where is the cluster's store?  Say --store, or start the daemon with --cluster-store")
        return replace(self._store, endpoints=how.store or self._store.endpoints)

    def leave(self, *, force: bool = False) -> None:
        with self._changing:
            self._now.leave(force=force)
            self._now = NoCluster()

    def nodes(self) -> Sequence[Seen]:
        return self._now.nodes()

    def status(self) -> Status:
        return self._now.status()

    def move(self, address: IPAddress) -> None:
        self._now.move(address)

    def rebuild(self) -> Rebuilt:
        return self._now.rebuild()

    def verify(self) -> Sequence[str]:
        return self._now.verify()
