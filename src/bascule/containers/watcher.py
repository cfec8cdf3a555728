"""The watcher: one thread that hears of the end of processes, ours or not, by their pidfds."""

import os
import select
import threading
from collections.abc import Callable

Ended = Callable[[], None]


class Watcher:
    """*ended* is called on the watching thread and must be quick."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._lock = threading.Lock()
        self._watched: dict[int, tuple[int, Ended]] = {}
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
        self._thread.start()

    def watch(self, pid: int, ended: Ended) -> None:
        """Call *ended* once when the process *pid* has ended; a child of ours has been reaped then.  At once where
        it is gone already."""
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            ended()
            return
        with self._lock:
            self._watched[fd] = (pid, ended)
        self._epoll.register(fd, select.EPOLLIN)

    def close(self) -> None:
        """Hear no more.  The processes live on."""
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        self._epoll.close()
        for fd in self._watched:
            os.close(fd)
        os.close(self._wake)

    def _run(self) -> None:
        while True:
            for fd, _ in self._epoll.poll():
                if fd == self._wake:
                    return
                self._epoll.unregister(fd)
                with self._lock:
                    pid, ended = self._watched.pop(fd)
                _reap(pid)
                os.close(fd)
                ended()


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        # Started by an earlier process of ours, and now init's child.
        return
