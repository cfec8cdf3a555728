"""One request and its one answer, whatever carries them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from bascule.api.body import Body

REASONS = {status.value: status.phrase for status in HTTPStatus}
Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may cost.  Seconds and bytes."""

    header_bytes: int = 64 << 10
    header_seconds: float = 30
    idle_seconds: float = 300
    json_bytes: int = 8 << 20
    json_seconds: float = 60
    upload_stall_seconds: float = 600
    discard_seconds: float = 5


class Wire(Protocol):
    """What an answer needs of the connection."""

    @property
    def half_closed(self) -> bool: ...
    def put(self, data: bytes) -> None: ...
    async def drain(self) -> None: ...
    def leave_http(self) -> "Duplex": ...
    def flow(self) -> None: ...
    def write_eof(self) -> None: ...
    def close(self) -> None: ...


@dataclass(slots=True, eq=False)
class Request:
    method: str
    path: str
    """Decoded; as the client sent it, with its version prefix."""
    query: Mapping[str, Sequence[str]]
    """Every value of each key, in order."""
    headers: Mapping[str, str]
    """By lower-case name."""
    body: Body
    http10: bool = False
    keep_alive: bool = True

    @property
    def upgrade(self) -> str:
        return self.headers.get("upgrade", "").lower()


class Exchange:
    """One request and the one answer to it: send(), or begin() with write()s and end(), or hijack()."""

    def __init__(self, connection: Wire, request: Request) -> None:
        self._connection = connection
        self.request = request
        self.begun = False
        self.ended = False
        self.lasting = False
        """Begun, and without an end of its own."""
        self._chunked = False

    def send(self, status: int, body: bytes = b"", headers: Headers = ()) -> None:
        """The whole answer, in one write."""
        bare = status in (204, 304) or status < 200
        length = [] if bare else [("Content-Length", str(len(body)))]
        head = self._head(status, [*headers, *length])
        quiet = bare or self.request.method == "HEAD"
        self._connection.put(head if quiet else head + body)
        self.begun = self.ended = True

    def begin(self, status: int, headers: Headers = (), *, lasting: bool = False) -> None:
        """Send the head at once; what follows comes in pieces of unknown number.  A *lasting* answer ends when the
        client closes its side.  Raises ConnectionResetError when it has done that already."""
        if lasting and self._connection.half_closed:
            raise ConnectionResetError("the client is gone")
        self.lasting = lasting
        self._chunked = not self.request.http10
        if not self._chunked:
            self.request.keep_alive = False
        how = [("Transfer-Encoding", "chunked")] if self._chunked else []
        self._connection.put(self._head(status, [*headers, *how]))
        self.begun = True

    async def write(self, data: bytes) -> None:
        """Send a piece; returns when the client has taken enough of what went before."""
        if data and self.request.method != "HEAD":
            self._connection.put(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        await self._connection.drain()

    def end(self) -> None:
        if self._chunked and self.request.method != "HEAD":
            self._connection.put(b"0\r\n\r\n")
        self.ended = True

    def hijack(self, status: int, reason: str, headers: Headers = ()) -> "Duplex":
        """Send the head and leave HTTP: from now on the connection is the returned pipe."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        self._connection.put(f"HTTP/1.1 {status} {reason}\r\n{lines}\r\n".encode())
        self.begun = self.ended = True
        return self._connection.leave_http()

    def _head(self, status: int, headers: Iterable[tuple[str, str]]) -> bytes:
        request = self.request
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in headers]
        if not request.keep_alive:
            lines.append("Connection: close")
        elif request.http10:
            lines.append("Connection: keep-alive")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Duplex:
    """A connection that is no longer HTTP.  Each direction ends on its own."""

    def __init__(self, connection: Wire, first: bytes) -> None:
        self._connection = connection
        self.incoming = Body(connection.flow)
        if first:
            self.incoming.feed(first)

    async def read(self) -> bytes:
        """The client's next bytes, b"" when it has closed its sending side.  Raises BodyBroken if it is gone."""
        return await self.incoming.chunk()

    async def write(self, data: bytes) -> None:
        self._connection.put(data)
        await self._connection.drain()

    def write_eof(self) -> None:
        """The client reads an end; its own bytes are still read."""
        self._connection.write_eof()

    def close(self) -> None:
        self._connection.close()
