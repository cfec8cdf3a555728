"""A small client of Docker's API over a Unix socket: the same for Bascule and for its peer."""

import http.client
import json
import socket
import time
from typing import Any


class Refused(Exception):
    """The server said no: its status and its words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Api:
    """One connection to a server, kept open; a lost one is opened anew at the next request."""

    def __init__(self, path: str, timeout: float = 600.0) -> None:
        self.path = path
        self._connection = _UnixConnection(path, timeout)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's JSON, text where it is none, None where it is empty.  Raises Refused from status 400 on."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        kind = "application/x-tar" if isinstance(body, bytes) else "application/json"
        headers = {"Content-Type": kind} if data is not None else {}
        try:
            try:
                self._connection.request(method, path, body=data, headers=headers)
            except BrokenPipeError:
                # The server closed it while it was idle, and has heard nothing of this.
                self._connection.close()
                self._connection.request(method, path, body=data, headers=headers)
            answer = self._connection.getresponse()
            text = answer.read()
        except BaseException:
            # Half an exchange can't be continued.
            self._connection.close()
            raise
        return self._read(answer, text)

    def begin(self, method: str, path: str) -> None:
        """Send a request and return when the head of its answer is here; `finish` waits for the rest."""
        self._connection.request(method, path)
        self._begun = self._connection.getresponse()

    def finish(self) -> Any:
        return self._read(self._begun, self._begun.read())

    def close(self) -> None:
        self._connection.close()

    @staticmethod
    def _read(answer: http.client.HTTPResponse, text: bytes) -> Any:
        if answer.status >= 400:
            try:
                message = json.loads(text)["message"]
            except (ValueError, KeyError, TypeError):
                message = text.decode(errors="replace")
            raise Refused(answer.status, message)
        if "json" in (answer.getheader("Content-Type") or ""):
            # `images/create` answers several documents, a line each.
            return json.loads(text.splitlines()[-1]) if text.strip() else None
        return text.decode(errors="replace") or None


def wait_until_answers(path: str, within: float = 120.0) -> None:
    """Return as soon as the server at *path* answers a ping.  Raises TimeoutError."""
    deadline = time.monotonic() + within
    while True:
        api = Api(path, timeout=10)
        try:
            api.ask("GET", "/_ping")
            return
        except (OSError, Refused, http.client.HTTPException):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{path} does not answer after {within} s") from None
            time.sleep(0.001)
        finally:
            api.close()
