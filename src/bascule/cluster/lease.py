"""That this node lives: a record with a lease in the cluster's store, renewed by a thread of its own.

Nothing else of a node's has a lease: what it has on networks outlives its daemon, as its containers do.
"""

import logging
import time
from threading import Event, Thread

from bascule.model.cluster import Alive
from bascule.model.errors import BasculeError
from bascule.store.etcd import EtcdStore
from bascule.store.etcdclient import Etcd

log = logging.getLogger("bascule.cluster")


class Lease:
    """*alive* is there for *seconds* after the last sign of life."""

    def __init__(self, etcd: Etcd, store: EtcdStore, alive: Alive, seconds: int) -> None:
        self._etcd = etcd
        self._store = store
        self._alive = alive
        self._seconds = seconds
        self._lease = 0
        self.trouble = ""
        """Why the last sign was not given, "" where it was."""
        self._renewed = time.monotonic()
        self._closing = Event()
        self._thread = Thread(target=self._run, name="cluster-lease", daemon=True)
        self._thread.start()

    def healthy(self) -> bool:
        """Whether the store has heard of us within the lease's time."""
        return time.monotonic() - self._renewed < self._seconds

    def close(self, *, revoke: bool = False) -> None:
        """No more signs.  *revoke*: the record goes at once, where the store answers."""
        self._closing.set()
        self._thread.join()
        if revoke and self._lease:
            try:
                self._etcd.revoke(self._lease)
            except BasculeError as refusal:
                # It ends by itself.
                log.warning("cannot tell the cluster that this host does not live: %s", refusal)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._renew()
            except BasculeError as refusal:
                if str(refusal) != self.trouble:
                    log.warning("cannot tell the cluster that this host lives: %s", refusal)
                self.trouble = str(refusal)
                self._closing.wait(min(1.0, self._seconds / 3))
            else:
                if self.trouble:
                    log.info("the cluster hears again that this host lives")
                self.trouble = ""
                self._closing.wait(self._seconds / 3)

    def _renew(self) -> None:
        known = self._store.get(Alive, self._alive.id)
        if not self._lease or known != self._alive or not self._etcd.renew(self._lease):
            self._lease = 0
            lease = self._etcd.grant(self._seconds)
            self._store.attempt(put=[self._alive], lease=lease)
            self._lease = lease
        self._renewed = time.monotonic()
