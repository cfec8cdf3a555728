"""The bytes of one request as they arrive, for a coroutine or for a thread, with back-pressure on the client."""

import asyncio
import io
from collections import deque
from collections.abc import Callable

HIGH_WATER = 1 << 20
"""Bytes that may wait for a reader before the client's socket is no longer read."""


class BodyTooLarge(Exception):
    """The client sent more than the route takes."""


class BodyBroken(Exception):
    """The client went away, or stalled, in the middle of its body."""


class Body:
    """A stream with one writer (the parser) and one reader.  *flow* is called when the fill level has changed:
    the connection decides there whether to go on reading."""

    def __init__(self, flow: Callable[[], None], expects: Callable[[], None] | None = None) -> None:
        self._flow = flow
        self._expects = expects
        self._chunks: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._error: BodyBroken | None = None
        self.waiting = 0
        self.complete = False
        self._discarding = False

    @property
    def full(self) -> bool:
        return self.waiting > HIGH_WATER

    def feed(self, data: bytes) -> None:
        if not self._discarding:
            self._chunks.append(data)
            self.waiting += len(data)
            self._wake()
            if self.full:
                self._flow()

    def finish(self) -> None:
        self.complete = True
        self._wake()

    def fail(self, why: str) -> None:
        """Whoever reads, or will read, past what is here gets BodyBroken.  Nothing happens to a complete body."""
        if not self.complete:
            self._error = BodyBroken(why)
            self._wake()

    def discard(self) -> None:
        """What is here and what still comes is thrown away."""
        self._discarding = True
        self._chunks.clear()
        self.waiting = 0
        self._flow()

    async def settle(self) -> None:
        """Return when everything has arrived, or never will."""
        while not self.complete and self._error is None:
            await self._wait()

    async def chunk(self) -> bytes:
        """The next bytes; b"" after the last ones."""
        while not self._chunks:
            if self._error:
                raise self._error
            if self.complete:
                return b""
            if self._expects:
                self._expects()
                self._expects = None
            await self._wait()
        data = self._chunks.popleft()
        was_full = self.full
        self.waiting -= len(data)
        if was_full and not self.full:
            self._flow()
        return data

    async def read(self, limit: int) -> bytes:
        """All of it.  Raises BodyTooLarge as soon as it is longer than *limit*."""
        data = await self.chunk()
        if self.complete and not self._chunks:
            if len(data) > limit:
                raise BodyTooLarge
            return data
        whole = bytearray(data)
        while data := await self.chunk():
            whole += data
            if len(whole) > limit:
                raise BodyTooLarge
        return bytes(whole)

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter


class Upload(io.RawIOBase):
    """A request's body as a file for a worker thread.  Raises BodyBroken when the client broke off or stalled."""

    def __init__(self, body: Body, loop: asyncio.AbstractEventLoop, patience: float) -> None:
        super().__init__()
        self._body = body
        self._loop = loop
        self._patience = patience
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, into: object) -> int:
        view = memoryview(into).cast("B")  # type: ignore[arg-type]
        if not self._rest:
            self._rest = memoryview(self._next())
        count = min(len(view), len(self._rest))
        view[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def _next(self) -> bytes:
        async def within() -> bytes:
            async with asyncio.timeout(self._patience):
                return await self._body.chunk()

        try:
            return asyncio.run_coroutine_threadsafe(within(), self._loop).result()
        except TimeoutError as late:
            raise BodyBroken("the client stalled") from late
