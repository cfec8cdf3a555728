"""One request to the daemon, over its Unix socket (or TCP with TLS), and its answer.

Written on `_socket` because `http.client` and `socket` alone take longer to import than Docker's whole command
needs (docs/decisions/010).  The server is ours: HTTP/1.1, answers with a length, chunked, or to the end of the
connection, and `101` for the calls that become a stream.
"""

from __future__ import annotations

import _socket

from bascule.cli import jsontext

TYPE_CHECKING = False  # As in typing, whose import costs 5 ms: docs/decisions/010.
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Protocol

    class Stream(Protocol):
        """The part of a socket that this room uses; ssl's has it too."""

        def recv(self, size: int, /) -> bytes: ...
        def sendall(self, data: bytes, /) -> None: ...
        def shutdown(self, how: int, /) -> None: ...
        def fileno(self) -> int: ...
        def close(self) -> None: ...


API = "/v1.50"
DEFAULT_HOST = "unix:///run/bascule/bascule.sock"
PLENTY = 65536


class Refusal(Exception):
    """The daemon said no.  The message is Docker's form of it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"Error response from daemon: {message}")
        self.status = status
        self.message = message


class Unreachable(Exception):
    """There is nobody to ask."""


def quote(text: str) -> str:
    """*text* with everything escaped that means something in a path or a query (RFC 3986, section 2.3)."""
    safe = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"
    return "".join(chr(b) if b in safe else f"%{b:02X}" for b in text.encode())


def query(pairs: dict[str, str]) -> str:
    """`?a=b&c=d`, or nothing."""
    return ("?" if pairs else "") + "&".join(f"{k}={quote(v)}" for k, v in sorted(pairs.items()))


def filters(wanted: list[str]) -> dict[str, str]:
    """Typed `key=value` filters as the API's `filters` parameter; none when nothing was typed."""
    found: dict[str, dict[str, bool]] = {}
    for text in wanted:
        key, _, value = text.partition("=")
        found.setdefault(key.strip().lower(), {})[value.strip()] = True
    return {"filters": jsontext.dumps({key: found[key] for key in sorted(found)})} if found else {}


class Answer:
    """A response whose head has been read; its body is read when asked for."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._rest = b""
        head = self._until(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split(" ", 2)[1])
        self.headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines if line)}

    def _until(self, mark: bytes) -> bytes:
        while (at := self._rest.find(mark)) < 0:
            more = self.stream.recv(PLENTY)
            if not more:
                raise Unreachable("the daemon closed the connection before it had answered")
            self._rest += more
        found, self._rest = self._rest[:at], self._rest[at + len(mark) :]
        return found

    def _some(self) -> bytes:
        found, self._rest = self._rest or self.stream.recv(PLENTY), b""
        return found

    def pieces(self) -> Iterator[bytes]:
        """The body as it comes; the connection is closed behind it."""
        try:
            yield from self._pieces()
        finally:
            self.stream.close()

    def _pieces(self) -> Iterator[bytes]:
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            yield from self._chunks()
            return
        left = int(self.headers.get("content-length", "-1"))
        if left == 0 or self.status == 204:
            return
        while left and (data := self._some()):
            left -= len(data)
            yield data

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._until(b"\r\n").split(b";")[0], 16):
            while size:
                data = self._some()
                if not data:
                    raise Unreachable("the daemon closed the connection in the middle of its answer")
                self._rest = data[size:]
                data = data[:size]
                size -= len(data)
                yield data
            self._until(b"\r\n")

    def body(self) -> bytes:
        return b"".join(self.pieces())

    def documents(self) -> Iterator[Any]:
        """The JSON documents of a body that holds one a line, each as it comes."""
        text = b""
        for piece in self.pieces():
            *lines, text = (text + piece).split(b"\n")
            yield from (jsontext.loads(line.decode()) for line in lines if line.strip())
        if text.strip():
            yield jsontext.loads(text.decode())

    def taken_over(self) -> tuple[Stream, bytes]:
        """The connection as a stream both ways, and what had already come of it."""
        rest, self._rest = self._rest, b""
        return self.stream, rest


class Client:
    """The daemon at *host*.  Every call is a connection of its own: a command needs one or two."""

    def __init__(self, host: str = DEFAULT_HOST, tls: dict[str, str] | None = None) -> None:
        self.host = host
        self.tls = tls

    def ask(
        self,
        method: str,
        path: str,
        pairs: dict[str, str] | None = None,
        body: Any = None,
        *,
        upgrade: bool = False,
        upload: Iterator[bytes] | None = None,
    ) -> Answer:
        """The answer to one request.  *body* goes as JSON, *upload* as a chunked body of bytes.  Raises Refusal
        for every status from 400 up, Unreachable if there is no daemon."""
        head = [f"{method} {API}{path}{query(pairs or {})} HTTP/1.1", "Host: bascule", "User-Agent: bascule"]
        data = b""
        if body is not None:
            data = jsontext.dumps(body).encode()
            head.append("Content-Type: application/json")
        if upload is not None:
            head += ["Content-Type: application/x-tar", "Transfer-Encoding: chunked"]
        elif body is not None or method == "POST":
            head.append(f"Content-Length: {len(data)}")
        head += ["Connection: Upgrade", "Upgrade: tcp"] if upgrade else ["Connection: close"]
        stream = self._connect()
        try:
            stream.sendall("\r\n".join([*head, "", ""]).encode("latin-1") + data)
            if upload is not None:
                _send_chunks(stream, upload)
        except (BrokenPipeError, ConnectionResetError):
            pass  # The daemon may say no, and why, before it has read all of it.
        answer = Answer(stream)
        if answer.status >= 400:
            raise Refusal(answer.status, _message(answer))
        if method == "HEAD" or answer.status == 204 or answer.headers.get("content-length") == "0":
            stream.close()
        return answer

    def json(self, method: str, path: str, pairs: dict[str, str] | None = None, body: Any = None) -> Any:
        """The answer's JSON value, None where it has no body."""
        text = self.ask(method, path, pairs, body).body().decode()
        return jsontext.loads(text) if text.strip() else None

    def get(self, path: str, pairs: dict[str, str] | None = None) -> Any:
        return self.json("GET", path, pairs)

    def post(self, path: str, pairs: dict[str, str] | None = None, body: Any = None) -> Any:
        return self.json("POST", path, pairs, body)

    def _connect(self) -> Stream:
        scheme, _, where = self.host.partition("://")
        if scheme == "unix":
            return self._connect_unix(where)
        if scheme == "tcp":
            from bascule.cli import tcp

            return tcp.connect(where, self.tls)
        raise Unreachable(
            f'unable to parse the daemon\'s address "{self.host}": use unix:///path or tcp://host:port'
        )

    def _connect_unix(self, path: str) -> Stream:
        stream = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            stream.connect(path)
        except PermissionError:
            stream.close()
            raise Unreachable(
                f"permission denied while trying to connect to the bascule daemon at {self.host}:"
                " only root and the group that owns its socket may"
            ) from None
        except OSError:
            stream.close()
            raise Unreachable(
                f"Cannot connect to the bascule daemon at {self.host}. Is it running? (bascule daemon)"
            ) from None
        return stream


def _send_chunks(stream: Stream, pieces: Iterator[bytes]) -> None:
    for piece in pieces:
        if piece:
            stream.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
    stream.sendall(b"0\r\n\r\n")


def _message(answer: Answer) -> str:
    text = answer.body().decode(errors="replace").strip()
    try:
        return str(jsontext.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text or f"status {answer.status} without a reason"
