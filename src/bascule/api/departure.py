"""Knowing that a client has gone altogether, when it has closed its sending side already.

Both look the same to who reads: an end.  A socket in the file system tells them apart: when its other end is
closed, and not only half of it, epoll reports a hang-up, whatever else it was asked for.  TCP does not; there the
first bytes that are sent come back refused, and a peer whose machine is gone is found by keep-alive (listen.py).
"""

import asyncio
import select
import socket
from collections.abc import Callable


class Departure:
    """Calls *told* once, when the other end of *sock* has been closed: soon, if it has been already."""

    def __init__(self, sock: socket.socket, told: Callable[[], None]) -> None:
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._epoll = select.epoll()
        # Not for reading: the end of what the client sends would be reported for ever.
        self._epoll.register(sock.fileno(), 0)
        self._loop.add_reader(self._epoll.fileno(), self._tell)

    def close(self) -> None:
        """Nothing is told any more."""
        if not self._epoll.closed:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()

    def _tell(self) -> None:
        self.close()
        self._told()
