"""This node's end of the cluster's store: what all members have of it, and which nodes live."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event

from bascule.cluster import keys
from bascule.cluster.lease import Lease
from bascule.engine.cluster import State
from bascule.model.cluster import Alive, Down, Membership, Node, StoreAccess
from bascule.model.codec import decode
from bascule.model.errors import BasculeError
from bascule.model.network import Network
from bascule.store.etcd import EtcdStore
from bascule.store.etcdclient import Access, Etcd
from bascule.store.protocol import Storable

log = logging.getLogger("bascule.cluster")


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds.  *lease*: a node that has not been heard of for so long is suspected; *grace*: and after so long
    more its endpoints are taken out; *tick*: how often what nobody tells of is looked at, *repair*: and all;
    *turn*: how often the secrets of encrypted networks move on."""

    lease: int = 10
    grace: float = 60.0
    tick: float = 1.0
    repair: float = 10.0
    turn: float = 3600.0


def access(store: StoreAccess, *, later: bool = False) -> Access:
    """*later*: for who is a member, and goes on while files are not there."""
    return Access(store.endpoints, store.user, store.password, store.ca, store.cert, store.key, later=later)


def known_nodes(etcd: Etcd) -> list[Node]:
    """As the store has them; what a node says of another, or cannot be read, is left out.  Raises Unavailable."""
    found = []
    for item in etcd.list(keys.NODES).items:
        try:
            node = decode(Node, item.value)
        except BasculeError as refusal:
            log.warning("what another host says is left out: %s: %s", item.key, refusal)
        else:
            found += [node] if keys.node(node.id) == item.key else []
    return found


class Commons:
    """Raises Unavailable where the store cannot be read; from then on reading never fails and never waits."""

    def __init__(
        self,
        etcd: Etcd,
        me: Membership,
        timing: Timing,
        changed: Callable[[], None],
        answers: Callable[[Node], bool],
    ) -> None:
        """*changed* is called, on a thread of the store's, when networks, nodes or lives are others than before;
        *answers* tells whether a host is there, whether or not its daemon is."""
        self.etcd = etcd
        self.me = me
        self._timing = timing
        self._answers = answers
        self._gone: dict[str, float] = {}
        self._asked: dict[str, tuple[float, bool]] = {}
        """When a node that has gone was last asked, and whether it answered."""
        # What each node writes about itself, and may be wrong or about another, keeps nobody from all the rest.
        self.shared = EtcdStore(etcd, keys.SHARED, doubted=[keys.NODES])
        try:
            self.alive = EtcdStore(etcd, keys.ALIVE, doubted=[keys.ALIVE])
        except BaseException:
            self.shared.close()
            raise
        self.news = Event()
        """Networks or nodes may be others than they were when it was cleared."""
        self.news.set()

        def heard(put: Sequence[Storable], gone: Sequence[Storable]) -> None:
            if any(isinstance(one, Network | Node) for one in (*put, *gone)):
                self.news.set()
            changed()

        self.shared.on_change(heard)
        self.alive.on_change(lambda _, __: changed())
        self.lease = Lease(etcd, self.alive, Alive(me.id, me.epoch), timing.lease)

    def close(self, *, revoke: bool = False) -> None:
        self.lease.close(revoke=revoke)
        self.alive.close()
        self.shared.close()

    def nodes(self) -> dict[str, Node]:
        return {node.id: node for node in self.shared.all(Node)}

    def look(self) -> None:
        """Remember since when who has not been alive, by our own clock; and see whether one of them is there all
        the same, only without a daemon."""
        now, nodes = time.monotonic(), self.nodes()
        for ident in nodes:
            if self.alive.get(Alive, ident) is not None or not self.lease.healthy():
                self._gone.pop(ident, None)
                self._asked.pop(ident, None)
            else:
                self._gone.setdefault(ident, now)
        # One at a time, who waits for longest: one that is not there lets us wait.
        last = {ident: max(since, self._asked.get(ident, (since, False))[0]) for ident, since in self._gone.items()}
        ident = min(last.keys() & nodes.keys(), key=lambda one: last[one], default="")
        if ident and now >= last[ident] + self._timing.grace:
            self._asked[ident] = (now, self._answers(nodes[ident]))

    def state(self, node: str) -> State:
        if not self.lease.healthy():
            return "unknown"
        if self.alive.get(Alive, node) is not None:
            return "ready"
        if self.shared.get(Down, node) is not None:
            return "down"
        # Suspected at first sight: nobody has counted the seconds before.  What runs on a host needs no daemon, so
        # while the host itself answers nothing is taken from it.
        return "suspect" if self._asked.get(node, (0.0, True))[1] else "down"

    def out(self) -> set[str]:
        """The nodes that are said to be down and give no sign of life: what they have counts for nothing."""
        return {one.id for one in self.shared.all(Down) if self.alive.get(Alive, one.id) is None}

    def speaker(self) -> bool:
        """Whether it is this node that does what one of all has to do."""
        living = sorted(one.id for one in self.alive.all(Alive))
        return bool(living) and living[0] == self.me.id and self.lease.healthy()
