"""Deleting links late and together.

The kernel takes 14-40 ms to delete one link, most of it waiting for everybody who may still be looking at it, and
hardly more for two hundred.  So a removed link is only taken down, out of its bridge, out of its name and into a
group of its own; and here a thread of its own, with sockets of its own, deletes that group a moment later.
"""

import errno
import logging
import os
import threading

from bascule.kernel.namespaces import in_namespace
from bascule.kernel.place import Place
from bascule.kernel.route_socket import RouteSocket
from bascule.model.errors import KernelError
from bascule.wire import rtnetlink

log = logging.getLogger(__name__)

# Long enough for the removals of one request to come together, too short for a person to notice.
GATHER = 0.02


class Trash:
    """Links in *group* are deleted soon in every namespace that `empty` was called for."""

    def __init__(self, home: Place, group: int) -> None:
        self.group = group
        self._home = home
        self._sockets = {"": in_namespace(home.fd, RouteSocket)}
        self._changed = threading.Condition()
        self._waiting: dict[str, int] = {}
        self._busy = False
        self._closing = False
        self._hurry = 0
        self._thread: threading.Thread | None = None

    def empty(self, place: Place) -> None:
        """Delete what is in the group in *place*, soon."""
        with self._changed:
            if place.path not in self._waiting:
                # The path may be gone or somebody else's by then.
                self._waiting[place.path] = os.dup(place.fd)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="bascule-trash", daemon=True)
                self._thread.start()
            self._changed.notify_all()

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
                self._changed.wait_for(lambda: self._closing or self._hurry, GATHER)
                taken, self._waiting = self._waiting, {}
                self._busy = True
            for path, fd in taken.items():
                self._delete(path, fd)
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _delete(self, path: str, fd: int) -> None:
        try:
            socket = self._sockets.get(path) or in_namespace(fd, RouteSocket)
            answers = socket.ask((rtnetlink.delete_group(self.group),))
        except (KernelError, OSError) as why:
            log.warning("cannot delete removed links in %s: %s", path or "the host's namespace", why)
        else:
            for answer in answers:
                # ENODEV: they went with their namespace, or with their other end.
                if answer.errno != errno.ENODEV:
                    refusal = KernelError(answer.errno, f"ip link del group {self.group}", answer.text)
                    log.warning("cannot delete removed links in %s: %s", path or "the host's namespace", refusal)
        finally:
            os.close(fd)
