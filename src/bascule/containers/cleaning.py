"""Cleaning: the slow removals (the runtime's state, directories) behind everybody's back, and waited for where
somebody needs them done."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

log = logging.getLogger(__name__)


class Cleaning:
    """Work by container, in order for one container, side by side for several."""

    def __init__(self) -> None:
        self._workers = ThreadPoolExecutor(max_workers=4, thread_name_prefix="cleaning")
        self._lock = threading.Lock()
        self._pending: dict[str, Future[None]] = {}

    def later(self, ident: str, work: Callable[[], None]) -> None:
        """*work* is done soon, after what was asked for the same container before."""
        with self._lock:
            before = self._pending.get(ident)
            self._pending[ident] = self._workers.submit(self._do, ident, work, before)

    def finish(self, ident: str) -> None:
        """Everything asked for the container has been done."""
        with self._lock:
            pending = self._pending.get(ident)
        if pending:
            pending.result()

    def close(self) -> None:
        """Everything asked has been done."""
        self._workers.shutdown()

    def _do(self, ident: str, work: Callable[[], None], before: Future[None] | None) -> None:
        if before:
            before.result()
        try:
            work()
        except Exception:
            # Nobody waits for it who could be told; the next start sweeps what is left.
            log.exception("could not clean up after container %s", ident)
        with self._lock:
            if self._pending.get(ident) and self._pending[ident].done():
                del self._pending[ident]
