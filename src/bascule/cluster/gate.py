"""`engine.cluster.Cluster`: this host's way into a cluster, and out of it.

It costs nothing where there is none: what a member needs is imported when this host becomes one, or is one at the
start.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from threading import Lock

from bascule.cluster.home import Home
from bascule.engine.cluster import NOT_IN, Cluster, Invitation, Joining, NoCluster, Rebuilt, Seen, Status
from bascule.engine.shared import Shared
from bascule.model.addresses import IPAddress
from bascule.model.cluster import Membership, StoreAccess
from bascule.model.endpoint import EndpointSpec
from bascule.model.errors import Conflict, Invalid, Unavailable
from bascule.model.network import Network


class Gate:
    """*lease* and *grace* are seconds: see `cluster.commons.Timing`.  *store* is where the daemon was told that the
    cluster's etcd is; it wins over what a member remembers.  *home* is where one of the cluster's own is kept."""

    def __init__(
        self, lease: int = 10, grace: float = 60.0, store: StoreAccess | None = None, home: Home | None = None
    ) -> None:
        self._times = (lease, grace)
        self._store = store or StoreAccess()
        self._home = home
        self._shared: Shared | None = None
        self._changing = Lock()
        self._now: Cluster = NoCluster()

    def begin(self, shared: Shared) -> None:
        self._shared = shared
        me = shared.membership()
        if me is not None:
            if self._store != StoreAccess() and not me.embedded:
                # Who says how it is asked, and not where, founded or joined with --store.
                me = replace(me, store=replace(self._store, endpoints=self._store.endpoints or me.store.endpoints))
            self._begin(shared, me)
        elif self._home is not None and self._home.path.exists():
            from bascule.cluster.embedded import clear

            # A host that was leaving, or joining, when its daemon ended.
            clear(self._home)

    def _begin(self, shared: Shared, me: Membership, *, settle: bool = False) -> None:
        from bascule.cluster.inside import Inside

        keeper = None
        if me.embedded and self._home is not None:
            from bascule.cluster.keeper import Keeper

            # First it: without the store there is nobody to ask.
            keeper = Keeper(self._home, me)
        self._now = now = Inside(shared, me, *self._times, keeper)
        if settle:
            # Where the store does not answer it is a member all the same, and goes on asking.
            with suppress(Unavailable):
                now.settle()

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
            me = self._enter(self._shared, how)
            self._begin(self._shared, me, settle=True)
            return me

    def _enter(self, shared: Shared, how: Joining) -> Membership:
        if how.embedded:
            from bascule.cluster.embedded import enter

            if self._home is None:
                raise Invalid("this host has no place for a store of the cluster's own")
            return enter(self._home, shared, how)
        from bascule.cluster.inside import join

        return join(shared, how, self._reach(how))

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

    def remove(self, node: str, *, force: bool = False) -> None:
        self._now.remove(node, force=force)

    def trouble(self) -> str:
        return self._now.trouble()

    def move(self, address: IPAddress) -> None:
        self._now.move(address)

    def rebuild(self) -> Rebuilt:
        return self._now.rebuild()

    def verify(self) -> Sequence[str]:
        return self._now.verify()

    def invitation(self, *, rotate: bool = False) -> Invitation:
        return self._now.invitation(rotate=rotate)

    def rights(self, users: Sequence[str], founder: str) -> Sequence[str]:
        from bascule.cluster.rights import lines

        return list(lines(users, founder))
