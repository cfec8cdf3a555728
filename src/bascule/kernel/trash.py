"""Deleting links late and together.

The kernel takes 14-40 ms to delete one link, most of it waiting for everybody who may still be looking at it, and
hardly more for two hundred of them together.  So a removed link is only taken down, out of its bridge, out of
its name and into a group of its own; and here a thread of its own, with sockets of its own, deletes that group
later.

Bridges gain nothing by going together: 16 ms each, and all that time the kernel holds the lock that every change
of a link needs (rtnl; 20 bridges in one request kept an attach waiting for 320 ms).  They have a second group,
from which they are deleted one by one.  And deletions wait for a moment in which nobody asks for anything, though
not for ever.
"""

import errno
import logging
import os
import threading
import time
from collections.abc import Sequence

from bascule.kernel.namespaces import in_namespace
from bascule.kernel.place import Place
from bascule.kernel.route_socket import RouteSocket
from bascule.model.errors import KernelError
from bascule.wire import rtnetlink, rtstate
from bascule.wire.netlink import Answer

log = logging.getLogger(__name__)

# Between the requests of a client that makes one after another there is less.
QUIET = 0.03
# So long a deletion lets others go first.
PATIENCE = 1.0
# Of more bridges than these each waits the less, or they would become more and more on a busy host.
FEW = 8
# The group of removed bridges: far from any engine's.
_BRIDGES = 0x40000000


class Trash:
    """Links in `groups` are deleted soon in every namespace that `empty` was called for."""

    def __init__(self, home: Place, group: int) -> None:
        self.groups = (group, group | _BRIDGES)
        self._home = in_namespace(home.fd, RouteSocket)
        self._changed = threading.Condition()
        self._waiting: dict[str, int] = {}
        self._busy = False
        self._hurry = 0
        self._closing = False
        self._touched = 0.0
        self._thread: threading.Thread | None = None

    def group_for(self, kind: str) -> int:
        """Where a removed link of *kind* goes."""
        return self.groups[kind == "bridge"]

    def wait_a_little(self) -> None:
        """Somebody is about to ask the kernel for something: delete nothing for a moment."""
        self._touched = time.monotonic()

    def empty(self, place: Place) -> None:
        """Delete what is in the groups in *place*, soon."""
        with self._changed:
            if place.path not in self._waiting:
                # The path may be gone or somebody else's by then.
                self._waiting[place.path] = os.dup(place.fd)
                # Woken for the first only: it then waits for a quiet moment by the clock.
                self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="bascule-trash", daemon=True)
                self._thread.start()

    def settle(self) -> None:
        """Wait until nothing is left of what was thrown away so far."""
        with self._changed:
            self._hurry += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._waiting and not self._busy)
            self._hurry -= 1

    def close(self) -> None:
        """Settle, and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()
        with self._changed:
            self._thread, self._closing = None, False

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
            self._let_others_go_first()
            with self._changed:
                taken, self._waiting = self._waiting, {}
                self._busy = True
            for path, fd in taken.items():
                self._delete(path or "the host's namespace", fd, self._home if not path else None)
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _let_others_go_first(self, patience: float = PATIENCE) -> None:
        """Return in a quiet moment, when *patience* ends, or at once if somebody waits for us."""
        end = time.monotonic() + patience
        with self._changed:
            while not (self._closing or self._hurry):
                now = time.monotonic()
                left = min(self._touched + QUIET, end) - now
                if left <= 0:
                    return
                self._changed.wait(left)

    def _delete(self, where: str, fd: int, known: RouteSocket | None) -> None:
        together, one_by_one = self.groups
        try:
            socket = known or in_namespace(fd, RouteSocket)
            self._tell(where, socket.ask([rtnetlink.delete_group(together)]))
            links = map(rtstate.link, socket.dump(rtnetlink.links()))
            bridges = [state.index for state in links if state.group == one_by_one]
            for number, index in enumerate(bridges):
                self._let_others_go_first(PATIENCE * min(1.0, FEW / (len(bridges) - number)))
                self._tell(where, socket.ask([rtnetlink.delete_link(index)]))
        except (KernelError, OSError) as why:
            log.warning("cannot delete removed links in %s: %s", where, why)
        finally:
            os.close(fd)

    def _tell(self, where: str, refusals: Sequence[Answer]) -> None:
        for answer in refusals:
            # ENODEV: they went with their namespace, or with their other end.
            if answer.errno != errno.ENODEV:
                why = KernelError(answer.errno, "ip link del", answer.text)
                log.warning("cannot delete removed links in %s: %s", where, why)
