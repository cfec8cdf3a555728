"""A network namespace as this process knows it: one long-lived socket, and which index each link name has."""

import errno
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from bascule.kernel.namespaces import HERE, Identity, identity, in_namespace, open_namespace
from bascule.kernel.route_socket import RouteSocket
from bascule.model.errors import KernelError
from bascule.wire import rtnetlink, rtstate
from bascule.wire.rtstate import LinkState

T = TypeVar("T")

# Two descriptors each, and a process has 1,024 where nobody raised that.
PLACES = 128


class Place:
    """One namespace.  Its descriptors close when nobody refers to it any more: a thread may still be using it when
    another one puts it out of the cache."""

    def __init__(self, path: str, fd: int, routes: RouteSocket) -> None:
        self.path = path
        self.fd = fd
        self.routes = routes
        self.identity: Identity | None = identity(fd)
        self._indexes: dict[str, int] = {}

    def __del__(self) -> None:
        os.close(self.fd)

    def index(self, name: str) -> int:
        """The index of the link *name*, remembered.  Raises KernelError ENODEV."""
        known = self._indexes.get(name)
        if known is not None:
            return known
        state = self.link(name)
        if state is None:
            raise KernelError(errno.ENODEV, f"ip link show {name}")
        self._indexes[name] = state.index
        return state.index

    def link(self, name: str) -> LinkState | None:
        """The link *name* as it is now."""
        message = self.routes.get(rtnetlink.get_link(name))
        return rtstate.link(message) if message else None

    def knows(self, name: str, index: int) -> None:
        """*name* has *index* from now on."""
        self._indexes[name] = index

    def forgets(self, name: str) -> None:
        """Ask the kernel the next time."""
        self._indexes.pop(name, None)

    def forgets_all(self) -> None:
        """Ask the kernel the next time, whatever it is about."""
        self._indexes.clear()

    def inside(self, function: Callable[[], T]) -> T:
        """What *function* returns, run in this namespace: here if this thread is in it, else on one that enters."""
        if identity(HERE) == self.identity:
            return function()
        return in_namespace(self.fd, function)


class Places:
    """Home, and those namespaces that were used last."""

    def __init__(self) -> None:
        self.home = Place("", open_namespace(HERE), RouteSocket())
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Place] = OrderedDict()

    def at(self, path: str) -> Place:
        """The namespace at *path*, "" being home.  Raises KernelError if there is none.

        What is bound to a path may change, and a socket would keep a namespace alive that its owner left: a path
        that is not the namespace it was is opened again.
        """
        if not path:
            return self.home
        with self._lock:
            known = self._known.get(path)
            if known is not None and known.identity == identity(path):
                self._known.move_to_end(path)
                return known
        fd = open_namespace(path)
        try:
            place = Place(path, fd, in_namespace(fd, RouteSocket))
        except BaseException:
            os.close(fd)
            raise
        self.enter(place)
        return place

    def enter(self, place: Place) -> None:
        """Remember *place*, and let go of those that are gone or were not used for long."""
        with self._lock:
            self._known[place.path] = place
            self._known.move_to_end(place.path)
            for path, other in list(self._known.items()):
                if other is not place and other.identity != identity(path):
                    del self._known[path]
            while len(self._known) > PLACES:
                self._known.popitem(last=False)

    def forget(self, path: str) -> None:
        with self._lock:
            self._known.pop(path, None)

    def known(self) -> list[str]:
        """The paths that are remembered."""
        with self._lock:
            return list(self._known)

    def close(self) -> None:
        """Let go of all but home, which ends with this object."""
        with self._lock:
            self._known.clear()
