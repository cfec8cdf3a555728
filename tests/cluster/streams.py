"""What runs between two containers while something fails: a stream of bytes, and a hundred pings a second."""

import re
import signal
import socket
import subprocess
import threading
from types import TracebackType
from typing import Self

from tests.cluster.daemons import Container
from tests.root.ground import until

from bascule.kernel.namespaces import in_namespace

PORT = 5999


class Talk:
    """*one* sends to *other* and pings it, from entering to leaving; then `lost` says what did not arrive."""

    def __init__(self, one: Container, other: Container) -> None:
        self._one = one
        self._other = other
        self._address = other.addresses[0]
        self._stop = threading.Event()
        self.lost = ""

    def __enter__(self) -> Self:
        self._server = in_namespace(self._other.path, lambda: socket.create_server((str(self._address), PORT)))
        self._asker = in_namespace(
            self._one.path, lambda: socket.create_connection((str(self._address), PORT), timeout=30)
        )
        self._heard, _ = self._server.accept()
        self._sent = 0
        self._received = 0
        self._threads = [threading.Thread(target=self._send), threading.Thread(target=self._receive)]
        for thread in self._threads:
            thread.start()
        self._ping = subprocess.Popen(
            ["nsenter", f"--net={self._one.path}", "ping", "-n", "-q", "-i", "0.01", str(self._address)],
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if kind is None:
            # However quickly it was over: a second of both.
            enough = self._sent + 50_000
            until(lambda: self._sent > enough)
        self._ping.send_signal(signal.SIGINT)
        told = self._ping.communicate()[0]
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for sock in (self._asker, self._heard, self._server):
            sock.close()
        found = re.search(r"(\d+) packets transmitted, (\d+) received", told)
        assert found, told
        # The last one may be on its way when the pings end.
        pings = max(0, int(found[1]) - int(found[2]) - 1)
        assert int(found[1]) > 10
        gone = self._sent - self._received
        self.lost = f"{pings} pings " * bool(pings) + f"{gone} bytes" * bool(gone)

    def _send(self) -> None:
        try:
            while not self._stop.wait(0.01):
                self._asker.sendall(b"x" * 1000)
                self._sent += 1000
        finally:
            self._asker.shutdown(socket.SHUT_WR)

    def _receive(self) -> None:
        while data := self._heard.recv(1 << 16):
            self._received += len(data)
