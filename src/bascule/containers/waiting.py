"""Waiting: who wants to know when a container ends, or goes."""

import threading
from concurrent.futures import Future

from bascule.model.errors import Invalid

Waiter = Future[int]
CONDITIONS = ("not-running", "next-exit", "removed")


class Waiting:
    """The waiters of every container.  A waiter's result is the exit code."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiters: dict[str, list[tuple[str, Waiter]]] = {}

    def add(self, ident: str, condition: str) -> Waiter:
        """A waiter for *condition*, registered when this returns.  Raises Invalid for an unknown one."""
        if condition not in CONDITIONS:
            raise Invalid(f'invalid condition: "{condition}"')
        waiter: Waiter = Future()
        with self._lock:
            # Those who gave up (their clients went) are not kept for as long as the container runs.
            waiting = [entry for entry in self._waiters.get(ident, ()) if not entry[1].done()]
            self._waiters[ident] = [*waiting, (condition, waiter)]
        return waiter

    def ended(self, ident: str, code: int) -> None:
        """The container's process has ended: those who wait for its removal go on waiting."""
        self._resolve(ident, code, ("not-running", "next-exit"))

    def removed(self, ident: str, code: int) -> None:
        """The container is gone."""
        self._resolve(ident, code, CONDITIONS)

    def _resolve(self, ident: str, code: int, conditions: tuple[str, ...]) -> None:
        with self._lock:
            all_of_it = self._waiters.pop(ident, [])
            left = [entry for entry in all_of_it if entry[0] not in conditions]
            if left:
                self._waiters[ident] = left
        # Outside the lock: a waiter may have a callback that asks something of us.
        for condition, waiter in all_of_it:
            if condition in conditions and waiter.set_running_or_notify_cancel():
                waiter.set_result(code)
