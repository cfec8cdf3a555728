"""What runs between two containers while something fails: a stream of bytes, and a hundred pings a second."""

import re
import signal
import socket
import subprocess
import tempfile
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
        self._said = tempfile.TemporaryFile("w+")
        self._ping = subprocess.Popen(
            ["nsenter", f"--net={self._one.path}", "ping", "-n", "-i", "0.01", str(self._address)],
            stdout=self._said,
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
        self._ping.wait()
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for sock in (self._asker, self._heard, self._server):
            sock.close()
        with self._said:
            self._said.seek(0)
            pings = unanswered(self._said.read())
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


# A busy machine lets pings wait for their answers: so many may be on their way when they end.
_UNDERWAY = 20


def unanswered(said: str) -> int:
    """How many echo requests had no answer, by what ping printed."""
    found = re.search(r"(\d+) packets transmitted", said)
    assert found, said
    sent, answered = int(found[1]), {int(number) for number in re.findall(r"icmp_seq=(\d+) ttl=", said)}
    assert sent > 10, said
    last = max(answered, default=0)
    return last - len(answered) + max(0, sent - last - _UNDERWAY)
