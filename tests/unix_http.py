"""HTTP over a Unix socket, for tests that ask a daemon by bytes."""

import http.client
import socket


class UnixConnection(http.client.HTTPConnection):
    """A connection to the socket at *path*."""

    def __init__(self, path: str, deadline: float) -> None:
        super().__init__("localhost", timeout=deadline)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        try:
            # Before it has a time-out: then a queue that is full would be an error.
            self.sock.connect(self._path)
            self.sock.settimeout(self.timeout)
        except BaseException:
            self.sock.close()
            raise
