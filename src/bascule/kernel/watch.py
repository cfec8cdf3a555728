"""A thread that hears when somebody else changes the tables, and calls for a look at once.

What it hears names the table, the chain or set, and at the end of each transaction the process that made it.
Our own element changes never reach it (a filter in the kernel); our own loads do, and the look finds nothing.
"""

import os
import select
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

from bascule.kernel.netfilter import changes, listen
from bascule.wire.nfnetlink import FAMILY, NEWGEN, messages
from bascule.wire.nftelements import generation, touched

_FAMILIES = (FAMILY["inet"], FAMILY["bridge"])
_RECEIVE = 256 * 1024


@dataclass(frozen=True, slots=True)
class Change:
    """A transaction of somebody else's in our tables; 0 and "" where what was heard was lost."""

    generation: int = 0
    pid: int = 0
    process: str = ""


class Watch:
    """Hears of table *table* in the namespace of the thread that makes this, from `start` to `close`."""

    def __init__(self, table: str, portid: int, look: Callable[[Change], None]) -> None:
        self._table = table
        self._look = look
        self._hears = changes(but=portid)
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        self._ours = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Hear from now on.  The second time nothing happens."""
        if self._thread is None:
            listen(self._hears)
            self._thread = threading.Thread(target=self._run, name="firewall-watch", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Hear nothing any more.  Must not be called from *look*."""
        if self._thread is not None:
            os.eventfd_write(self._wake, 1)
            self._thread.join()
            self._thread = None
        if self._wake >= 0:
            os.close(self._wake)
            self._wake = -1
        self._hears.close()

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._hears, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while all(fd != self._wake for fd, _ in poll.poll()):
            # One look for all that is there: whoever reloads a firewall does it in many transactions.
            last = None
            while (data := self._receive()) is not None:
                last = self._heard(data) or last
            if last is not None:
                self._look(last)

    def _receive(self) -> bytes | None:
        try:
            return self._hears.recv(_RECEIVE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except OSError:
            # ENOBUFS: more was said than the buffer holds, so anything may have been.
            return b""

    def _heard(self, data: bytes) -> Change | None:
        if not data:
            return Change()
        change = None
        for heard in messages(data):
            if heard.type == NEWGEN:
                if self._ours:
                    change = Change(*generation(heard))
                self._ours = False
            elif heard.family in _FAMILIES and touched(heard)[0] == self._table:
                self._ours = True
        return change
