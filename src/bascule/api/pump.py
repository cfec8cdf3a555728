"""From a thread that produces bytes to a coroutine that sends them, in batches and with back-pressure."""

import asyncio
import threading
from collections.abc import Callable, Iterator

HIGH_WATER = 1 << 20
"""Bytes that may wait to be sent before the producer has to wait."""


class Pump:
    """Runs *pieces* on a thread of its own.  A thread each, because a follower of logs may wait for days: a pool
    of any size could be filled with them."""

    def __init__(self, pieces: Iterator[bytes], stop: Callable[[], None] | None = None) -> None:
        self._pieces = pieces
        self._stop = stop
        self._loop = asyncio.get_running_loop()
        self._changed = threading.Condition()
        self._batch: list[bytes] = []
        self._size = 0
        self._ended = False
        self._closed = False
        self._error: BaseException | None = None
        self._ready = asyncio.Event()
        threading.Thread(target=self._run, name="pump", daemon=True).start()

    async def batch(self) -> bytes:
        """What has been produced meanwhile; b"" at the end.  Raises what the producer raised."""
        await self._ready.wait()
        with self._changed:
            self._ready.clear()
            data = b"".join(self._batch)
            self._batch.clear()
            self._size = 0
            self._changed.notify_all()
            ended, error = self._ended, self._error
        if data:
            if ended:
                self._ready.set()
            return data
        if error:
            raise error
        return b""

    def close(self) -> None:
        """The producer is told to stop; nothing more of it is wanted."""
        with self._changed:
            self._closed = True
            ended = self._ended
            self._changed.notify_all()
        if self._stop and not ended:
            self._stop()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            for piece in self._pieces:
                if not self._put(piece):
                    break
        except Exception as refusal:
            error = refusal
        finally:
            close = getattr(self._pieces, "close", None)
            if close:
                close()
            with self._changed:
                self._ended, self._error = True, error
            self._tell()

    def _put(self, piece: bytes) -> bool:
        with self._changed:
            while self._size > HIGH_WATER and not self._closed:
                self._changed.wait()
            if self._closed:
                return False
            first = not self._batch
            if piece:
                self._batch.append(piece)
                self._size += len(piece)
        if first and piece:
            self._tell()
        return True

    def _tell(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._ready.set)
        except RuntimeError:
            # The loop is closed: the server has gone, and nobody waits.
            return
