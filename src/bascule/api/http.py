"""HTTP/1.1 for one connection: requests in, answers out, and hijacked connections.

Parsing is httptools' (llhttp); the answers are written here, because a Docker API needs three kinds of them that
the servers of the field do not have together: a complete one in one write, a chunked stream that waits for slow
readers, and a connection that stops being HTTP (`Upgrade: tcp`, or Docker's older way of just answering 200),
each direction closed on its own.

Rules that hold the file together:
- Requests of a connection are answered one after the other.  Bytes that come while a whole request is being
  answered are kept unparsed: they are the next request, or the other protocol's first bytes, and only the answer
  decides which.
- A client that goes away cancels its answer.  One that closes only its sending side still gets an answer that has
  an end, but one that lasts (events, logs that are followed) ends, as with Docker (net/http cancels a request when
  it reads the end).
- What is no request ends the connection with 400, after the answers to the requests before it.  A request whose
  body is broken is not begun, if it has not begun yet.
- Nothing waits for a client without a limit on bytes or on time; see Limits.
"""

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import parse_qs, unquote

import httptools

from bascule.api.body import HIGH_WATER, Body
from bascule.api.departure import Departure
from bascule.api.exchange import REASONS, Duplex, Exchange, Limits, Request

log = logging.getLogger(__name__)

Application = Callable[[Exchange], Awaitable[None]]


@dataclass(slots=True)
class _Head:
    """A request's head while it arrives."""

    url: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class Connection(asyncio.Protocol):
    """One client.  *crowd* holds every open connection, for the server's drain."""

    def __init__(self, application: Application, limits: Limits, crowd: "set[Connection]") -> None:
        self._application = application
        self._limits = limits
        self._crowd = crowd
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._parser = httptools.HttpRequestParser(self)
        self._head: _Head | None = None
        self._head_bytes = 0
        self._pending: deque[Exchange] = deque()
        self._current: Exchange | None = None
        self._arriving: Exchange | None = None
        self._task: asyncio.Task[None] | None = None
        self._stash = b""
        self._owed = 0
        self._duplex: Duplex | None = None
        self._due: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        """Runs out at `_due` or before."""
        self._writable: asyncio.Future[None] | None = None
        self._lost = False
        self._eof = False
        self._closing = False
        self._refusal: tuple[int, str] | None = None
        self._departure: Departure | None = None

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=256 << 10)
        self._crowd.add(self)
        self._deadline(self._limits.idle_seconds)

    def data_received(self, data: bytes) -> None:
        if self._duplex:
            self._duplex.incoming.feed(data)
        elif self._owed:
            self._take(data)
        elif self._current and not self._arriving:
            self._stash += data
            self.flow()
        elif not self._refusal:
            self._parse(data)

    def eof_received(self) -> bool:
        self._eof = True
        sock = self._transport.get_extra_info("socket")
        if sock is not None and sock.family == socket.AF_UNIX:
            self._departure = Departure(sock, self.abort)
        if self._duplex:
            self._duplex.incoming.finish()
            return True
        if self._arriving:
            self._arriving.request.body.fail("the client closed the connection")
        if self._task is None:
            return False
        if self._current and self._current.lasting and not self._current.ended:
            self._task.cancel()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._crowd.discard(self)
        if self._timer:
            self._timer.cancel()
        if self._departure:
            self._departure.close()
        why = f"the client is gone: {exc}" if exc else "the client is gone"
        if self._arriving:
            self._arriving.request.body.fail(why)
        if self._duplex:
            self._duplex.incoming.fail(why)
        if self._writable and not self._writable.done():
            self._writable.set_exception(ConnectionResetError(why))
            self._writable.exception()  # Whoever waits is told; if nobody does, nobody needs to be.
        if self._task:
            self._task.cancel()

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._writable and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # What httptools calls.

    def on_message_begin(self) -> None:
        self._head = _Head()
        self._head_bytes = 0
        self._deadline(self._limits.header_seconds)

    def on_url(self, url: bytes) -> None:
        if self._head:
            self._head.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head:
            self._head.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        head, self._head = self._head, None
        if head is None or self._closing:
            return
        url = httptools.parse_url(head.url)
        query = parse_qs((url.query or b"").decode("latin-1"), keep_blank_values=True)
        expects = self._continue if head.headers.get("expect", "").lower() == "100-continue" else None
        request = Request(
            method=self._parser.get_method().decode("latin-1"),
            path=unquote((url.path or b"/").decode("latin-1")),
            query=query,
            headers=head.headers,
            body=Body(self.flow, expects),
            http10=self._parser.get_http_version() == "1.0",
            keep_alive=self._parser.should_keep_alive() or "upgrade" in head.headers,
        )
        self._arriving = Exchange(self, request)
        self._pending.append(self._arriving)
        self._deadline(None)
        if self._task is None:
            self._task = self._loop.create_task(self._answer_all())

    def on_body(self, data: bytes) -> None:
        if self._arriving:
            self._arriving.request.body.feed(data)

    def on_message_complete(self) -> None:
        if self._arriving is None:
            return
        if self._parser.should_upgrade():
            # httptools takes the head of an upgrade for its end, but `exec start` has a body before it changes.
            headers = self._arriving.request.headers
            if "transfer-encoding" in headers:
                raise ValueError("an upgrade whose body has no length")
            self._owed = int(headers.get("content-length", "0"))
            if self._owed:
                return
        self._arriving.request.body.finish()
        self._arriving = None

    def _take(self, data: bytes) -> None:
        """The body of an upgrade, and after it whatever comes."""
        part, rest = data[: self._owed], data[self._owed :]
        self._owed -= len(part)
        if self._arriving:
            self._arriving.request.body.feed(part)
            if not self._owed:
                self._arriving.request.body.finish()
                self._arriving = None
        self._stash += rest

    # What an answer needs of the connection.

    @property
    def half_closed(self) -> bool:
        """The client sends nothing more: it may be gone."""
        return self._eof or self._lost

    def put(self, data: bytes) -> None:
        if not self._lost:
            self._transport.write(data)

    async def drain(self) -> None:
        """Return when the client has taken enough.  Raises ConnectionResetError when it is gone."""
        if self._lost:
            raise ConnectionResetError("the client is gone")
        if self._writable:
            await self._writable

    def flow(self) -> None:
        """Read on, or stop reading, by how much waits for a reader."""
        body = self._arriving.request.body if self._arriving else None
        full = len(self._stash) > HIGH_WATER or (body is not None and body.full)
        if self._duplex:
            full = self._duplex.incoming.full
        if self._lost or self._transport.is_closing():
            return
        if full and self._transport.is_reading():
            self._transport.pause_reading()
        elif not full and not self._transport.is_reading():
            self._transport.resume_reading()

    def leave_http(self) -> Duplex:
        first, self._stash = self._stash, b""
        self._duplex = Duplex(self, first)
        if self._eof:
            self._duplex.incoming.finish()
        if self._lost:
            self._duplex.incoming.fail("the client is gone")
        self.flow()
        return self._duplex

    def write_eof(self) -> None:
        if not self._lost and not self._transport.is_closing() and self._transport.can_write_eof():
            self._transport.write_eof()

    def close(self) -> None:
        """Send what is still to be sent, then close."""
        if not self._lost:
            self._transport.close()

    @property
    def task(self) -> "asyncio.Task[None] | None":
        """What answers, while something is answered."""
        return self._task

    def retire(self) -> None:
        """Close now if idle, after the answer if one is under way.  Streams and hijacked connections end now."""
        self._closing = True
        if self._duplex or (self._current and self._current.begun and not self._current.ended):
            if self._task:
                self._task.cancel()
        elif self._current is None:
            self.close()

    def abort(self) -> None:
        if not self._lost:
            self._transport.abort()

    # How the answers follow one another.

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._parser = httptools.HttpRequestParser(self)
            self._take(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._refuse(400, f"bad request: {error}")
        else:
            if self._head:
                self._head_bytes += len(data)
                if self._head_bytes > self._limits.header_bytes:
                    self._refuse(431, "the request's head is too large")

    def _refuse(self, status: int, why: str) -> None:
        """Answer what is no request, and close.  What came before it is answered first."""
        arriving, self._arriving = self._arriving, None
        if arriving and arriving is self._current:
            # It says itself that its body did not arrive.
            self._closing = True
            arriving.request.body.fail(why)
            return
        if arriving:
            self._pending.remove(arriving)
        self._refusal = status, why
        if self._task is None:
            self._tell_refusal(status, why)

    def _tell_refusal(self, status: int, why: str) -> None:
        text = why.encode()
        self.put(
            f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(text)}\r\nConnection: close\r\n\r\n".encode()
            + text
        )
        self.close()

    def _continue(self) -> None:
        self.put(b"HTTP/1.1 100 Continue\r\n\r\n")

    async def _answer_all(self) -> None:
        try:
            while self._pending:
                self._current = self._pending.popleft()
                await self._application(self._current)
                if self._duplex:
                    self.close()
                    return
                await self._finish(self._current)
                self._current = None
                if self._stash and not self._closing and not self._refusal:
                    data, self._stash = self._stash, b""
                    self.flow()
                    self._parse(data)
        except (asyncio.CancelledError, ConnectionError):
            # The client is gone, or the server is going.
            self.abort()
        except Exception:
            log.exception("an answer broke off")
            self.abort()
        else:
            self._rest()
        finally:
            self._current = None
            self._task = None

    async def _finish(self, exchange: Exchange) -> None:
        """The connection is ready for its next request, or closing."""
        body = exchange.request.body
        if not exchange.ended:
            raise ConnectionAbortedError("the answer was not completed")
        if not body.complete:
            # Answered before it had sent everything: closing now would reset the connection under the answer.
            body.discard()
            try:
                async with asyncio.timeout(self._limits.discard_seconds):
                    await body.settle()
            except TimeoutError:
                self._closing = True
        if not exchange.request.keep_alive:
            self._closing = True
        if self._closing:
            self._pending.clear()
        await self.drain()

    def _rest(self) -> None:
        if self._refusal and not self._closing:
            self._tell_refusal(*self._refusal)
        elif self._closing or self._eof:
            self.close()
        else:
            self._deadline(self._limits.header_seconds if self._head else self._limits.idle_seconds)

    def _deadline(self, seconds: float | None) -> None:
        """Wait *seconds* from now, or for ever.  Each request has three of these, so a timer that would run out too
        early is left, and looks again.  Not after the connection is lost."""
        self._due = None if seconds is None else self._loop.time() + seconds
        if self._due is not None and (self._timer is None or self._timer.when() > self._due):
            self._wait_until(self._due)

    def _wait_until(self, due: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._expire)

    def _expire(self) -> None:
        self._timer = None
        if self._due is None:
            return
        if self._loop.time() < self._due:
            self._wait_until(self._due)
        elif self._head:
            self._refuse(408, "the request's head did not arrive in time")
        else:
            self.retire()
