"""One thread, many sockets: epoll and who is to be called for what."""

import select
import sys
import traceback
from collections.abc import Callable

READ, WRITE, ERROR = select.EPOLLIN, select.EPOLLOUT, select.EPOLLERR
Ready = Callable[[int], None]
# The log is a file that nobody rotates.
TOLD_MAX = 200


class Loop:
    """Level-triggered: what a callback leaves unread, it is called for again, after the others had their turn."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._ready: dict[int, Ready] = {}
        self._told = 0

    def watch(self, fd: int, events: int, ready: Ready) -> None:
        """Call *ready* with what happened.  Watching again changes what for."""
        if fd in self._ready:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
        self._ready[fd] = ready

    def forget(self, fd: int) -> None:
        """Before the descriptor is closed.  Not an error if it was not watched."""
        if self._ready.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def turn(self, timeout: float | None) -> None:
        """Wait for something to happen, *timeout* seconds at most, and have it dealt with.

        One packet must not end the names of a whole host: what a callback failed to foresee is written down, and
        the others are served.  Callbacks consume what they are called for before they look at it, so this ends.
        """
        for fd, events in self._epoll.poll(timeout):
            ready = self._ready.get(fd)
            if ready is None:
                # An earlier callback of this turn closed it.
                continue
            try:
                ready(events)
            except Exception:
                if self._told < TOLD_MAX:
                    self._told += 1
                    traceback.print_exc(file=sys.stderr)

    def close(self) -> None:
        self._epoll.close()
