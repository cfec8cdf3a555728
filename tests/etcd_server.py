"""A real etcd for tests: one member or several on loopback, in a directory of the test's own."""

import http.client
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

UNPACKED = Path(__file__).parents[1] / ".etcd/usr/bin/etcd"
ETCD = str(UNPACKED) if UNPACKED.exists() else shutil.which("etcd") or ""
REASON = "needs etcd: packaging/etcd-setup"


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody has now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for one in sockets:
        one.close()
    return ports


class Member:
    """One member, running until it is killed."""

    def __init__(
        self,
        directory: Path,
        name: str,
        client: int,
        peers: dict[str, int],
        more: Sequence[str] = (),
        scheme: str = "http",
    ) -> None:
        self.url = f"{scheme}://127.0.0.1:{client}"
        self._log = directory / f"{name}.log"
        self._data = directory / name
        peer = f"http://127.0.0.1:{peers[name]}"
        together = ",".join(f"{n}=http://127.0.0.1:{port}" for n, port in peers.items())
        self._command = [
            *(ETCD, "--name", name, "--data-dir", str(directory / name)),
            *("--listen-client-urls", self.url, "--advertise-client-urls", self.url),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", together),
            *("--initial-cluster-token", directory.name, "--logger", "zap", "--log-outputs", "stderr"),
            *more,
        ]
        self.start()

    def start(self) -> None:
        """Runs (again), with the data that it has."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env={"PATH": os.environ["PATH"]}
            )

    def kill(self) -> None:
        """Gone, as by a power cut."""
        self._process.kill()
        self._process.wait()

    def wipe(self) -> None:
        """Another one in its place, that has nothing; it answers."""
        self.kill()
        shutil.rmtree(self._data)
        self.start()
        self.wait()

    def wait(self) -> None:
        """Answers /health, over plain HTTP."""
        deadline = time.monotonic() + 60
        host, port = self.url.rpartition("/")[2].split(":")
        while time.monotonic() < deadline:
            assert self._process.poll() is None, self._log.read_text()[-2000:]
            connection = http.client.HTTPConnection(host, int(port), timeout=1)
            try:
                connection.request("GET", "/health")
                if b"true" in connection.getresponse().read():
                    return
            except (OSError, http.client.HTTPException):
                os.sched_yield()
            finally:
                connection.close()
        raise AssertionError(f"etcd does not answer: {self._log.read_text()[-2000:]}")


def members(directory: Path, count: int) -> list[Member]:
    """A cluster of so many, all of them answering."""
    ports = free_ports(2 * count)
    peers = {f"m{n}": ports[count + n] for n in range(count)}
    made = [Member(directory, f"m{n}", ports[n], peers) for n in range(count)]
    for one in made:
        one.wait()
    return made
