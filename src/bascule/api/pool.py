"""Worker threads for the calls that block.

Not concurrent.futures': its threads are joined when the interpreter ends, so that a `stop -t 600` under way would
hold up the daemon's own stop; and its futures have to be carried over to asyncio's, which is half of the 60 µs
that a hop to a thread and back costs here.
"""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
_Job = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[[], Any]]


class Pool:
    """At most *size* threads, started when they are needed."""

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0
        self._threads = 0

    async def call(self, work: Callable[[], T]) -> T:
        """*work*'s result.  Cancelling the wait leaves the work to itself."""
        loop = asyncio.get_running_loop()
        result: asyncio.Future[T] = loop.create_future()
        with self._lock:
            if self._idle:
                self._idle -= 1
            elif self._threads < self._size:
                self._threads += 1
                threading.Thread(target=self._work, name=f"{self._name}-{self._threads}", daemon=True).start()
        self._jobs.put((loop, result, work))
        return await result

    def close(self) -> None:
        """Idle threads end; what is under way is left to itself."""
        for _ in range(self._threads):
            self._jobs.put(None)

    def _work(self) -> None:
        # Whoever counts the daemon's threads (`ps -T`) sees whose they are.
        Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text(threading.current_thread().name)
        while job := self._jobs.get():
            loop, result, work = job
            try:
                value, error = work(), None
            except BaseException as refusal:
                value, error = None, refusal
            with self._lock:
                self._idle += 1
            try:
                loop.call_soon_threadsafe(_settle, result, value, error)
            except RuntimeError:
                # The loop is closed: nobody waits any more.
                return
            del job, result, work, value, error


def _settle(result: "asyncio.Future[Any]", value: Any, error: BaseException | None) -> None:
    if result.done():
        return
    if error is None:
        result.set_result(value)
    else:
        result.set_exception(error)
