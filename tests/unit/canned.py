"""A daemon of canned answers on a Unix socket, which remembers what it was asked."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qsl, unquote, urlsplit

Answer = tuple[int, Any]
"""Status, and a body: a JSON value, or bytes as they are."""


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    """Without the API's version."""
    query: dict[str, str]
    body: Any

    def __str__(self) -> str:
        told = "&".join(f"{k}={v}" for k, v in sorted(self.query.items()))
        return f"{self.method} {self.path}{'?' if told else ''}{told}"


@dataclass
class Canned:
    """*answers* has `METHOD /path` -> answer; a function of the request where it depends on it.  A path that
    ends in attach or start of an exec becomes a stream: *output* is what it says, and *typed* what it heard."""

    path: Path
    answers: dict[str, Answer | Callable[[Request], Answer]]
    output: bytes = b""
    typed: bytes = b""
    requests: list[Request] = field(default_factory=list)
    said: threading.Event = field(default_factory=threading.Event)
    """Set when a stream has been closed by its other end."""

    @property
    def host(self) -> str:
        return f"unix://{self.path}"

    def told(self) -> list[str]:
        """The requests as lines, without the pings that Docker's client begins with."""
        return [str(r) for r in self.requests if r.path != "/_ping"]

    def bodies(self) -> list[Any]:
        return [r.body for r in self.requests if r.body is not None]

    def serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as file, suppress(ConnectionError):
            while request := self._read(file):
                self.requests.append(request[0])
                if "upgrade" in request[1]:
                    self._stream(connection, file, request[0])
                    return
                self._answer(connection, request[0])

    def _read(self, file: BinaryIO) -> tuple[Request, dict[str, str]] | None:
        words = file.readline().decode().split()
        if not words:
            return None
        headers = {}
        while line := file.readline().decode().strip():
            key, _, value = line.partition(":")
            headers[key.lower()] = value.strip()
        if headers.get("transfer-encoding") == "chunked":
            data = b""
            while size := int(file.readline(), 16):
                data += file.read(size)
                file.readline()
            file.readline()
        else:
            data = file.read(int(headers.get("content-length", 0)))
        url = urlsplit(words[1])
        path = unquote(url.path)
        path = "/" + path.split("/", 2)[2] if path.startswith("/v1.") else path
        body = json.loads(data) if data and headers.get("content-type") == "application/json" else data or None
        return Request(words[0], path, dict(parse_qsl(url.query)), body), headers

    def _answer(self, connection: socket.socket, request: Request) -> None:
        found = self.answers.get(f"{request.method} {request.path}", (404, {"message": f"no {request.path}"}))
        if request.path == "/_ping":
            found = (200, b"OK")
        status, body = found(request) if callable(found) else found
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        kind = "application/json" if not isinstance(body, bytes) else "text/plain"
        head = (
            f"HTTP/1.1 {status} Whatever\r\nApi-Version: 1.50\r\nOstype: linux\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(data)}\r\n\r\n"
        )
        connection.sendall(head.encode() + (b"" if request.method == "HEAD" else data))

    def _stream(self, connection: socket.socket, file: BinaryIO, request: Request) -> None:
        kind = "raw-stream" if request.query.get("tty") else "multiplexed-stream"
        connection.sendall(
            b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker." + kind.encode() + b"\r\n"
            b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n" + self.output
        )
        connection.shutdown(socket.SHUT_WR)
        self.typed += file.read()
        self.said.set()


def framed(kind: int, text: bytes) -> bytes:
    """*text* as the API frames a stream without a terminal: 1 output, 2 errors."""
    return bytes([kind, 0, 0, 0]) + len(text).to_bytes(4, "big") + text


@contextmanager
def canned(
    path: Path, answers: dict[str, Answer | Callable[[Request], Answer]], output: bytes = b""
) -> Iterator[Canned]:
    """A canned daemon at *path*, until the end of the block."""
    told = Canned(path, answers, output)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(64)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=told.serve, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield told
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)
