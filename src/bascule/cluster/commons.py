"""This node's end of the cluster's store: what all members have of it, and which nodes live."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from bascule.cluster import keys
from bascule.cluster.lease import Lease
from bascule.engine.cluster import State
from bascule.model.cluster import Alive, Membership, Node, StoreAccess
from bascule.store.etcd import EtcdStore
from bascule.store.etcdclient import Access, Etcd


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds.  *lease*: a node that has not been heard of for so long is suspected; *grace*: and after so long
    more its endpoints are taken out; *tick*: how often what nobody tells of is looked at, *repair*: and all;
    *turn*: how often the secrets of encrypted networks move on."""

    lease: int = 10
    grace: float = 60.0
    tick: float = 1.0
    repair: float = 10.0
    turn: float = 12 * 3600.0


def access(store: StoreAccess) -> Access:
    return Access(store.endpoints, store.user, store.password, store.ca, store.cert, store.key)


class Commons:
    """Raises Unavailable where the store cannot be read; from then on reading never fails and never waits."""

    def __init__(self, etcd: Etcd, me: Membership, timing: Timing, changed: Callable[[], None]) -> None:
        """*changed* is called, on a thread of the store's, when networks, nodes or lives are others than before."""
        self.etcd = etcd
        self.me = me
        self._timing = timing
        self._gone: dict[str, float] = {}
        self.shared = EtcdStore(etcd, keys.SHARED)
        try:
            self.alive = EtcdStore(etcd, keys.ALIVE)
        except BaseException:
            self.shared.close()
            raise
        self.shared.on_change(lambda _, __: changed())
        self.alive.on_change(lambda _, __: changed())
        self.lease = Lease(etcd, self.alive, Alive(me.id, me.epoch), timing.lease)

    def close(self, *, revoke: bool = False) -> None:
        self.lease.close(revoke=revoke)
        self.alive.close()
        self.shared.close()

    def nodes(self) -> dict[str, Node]:
        return {node.id: node for node in self.shared.all(Node)}

    def look(self) -> None:
        """Remember since when who has not been alive, by our own clock."""
        now = time.monotonic()
        for ident in self.nodes():
            if self.alive.get(Alive, ident) is not None or not self.lease.healthy():
                self._gone.pop(ident, None)
            else:
                self._gone.setdefault(ident, now)

    def state(self, node: str) -> State:
        if not self.lease.healthy():
            return "unknown"
        if self.alive.get(Alive, node) is not None:
            return "ready"
        since = self._gone.get(node)
        # Suspected at first sight: nobody has counted the seconds before.
        return "down" if since is not None and time.monotonic() - since >= self._timing.grace else "suspect"

    def speaker(self) -> bool:
        """Whether it is this node that does what one of all has to do."""
        living = sorted(one.id for one in self.alive.all(Alive))
        return bool(living) and living[0] == self.me.id and self.lease.healthy()
