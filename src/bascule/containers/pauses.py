"""The pause before a container is started again: one a container, and it can be called off."""

import threading
from collections.abc import Callable


class Pauses:
    """Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._timers: dict[str, threading.Timer] = {}
        self._closed = False

    def begin(self, ident: str, seconds: float, work: Callable[[], None]) -> None:
        """*work* is done when they are over, unless the pause has been ended, or another begun, by then."""
        timer = threading.Timer(seconds, self._over, (ident, work))
        timer.daemon = True
        with self._lock:
            self._timers[ident] = timer
            if not self._closed:
                timer.start()

    def _over(self, ident: str, work: Callable[[], None]) -> None:
        with self._lock:
            if self._closed or self._timers.get(ident) is not threading.current_thread():
                return
            del self._timers[ident]
        work()

    def end(self, ident: str) -> bool:
        """Whether there was one."""
        with self._lock:
            timer = self._timers.pop(ident, None)
        if timer:
            timer.cancel()
        return timer is not None

    def close(self) -> None:
        """Nothing is done any more."""
        with self._lock:
            self._closed = True
            for timer in self._timers.values():
                timer.cancel()
