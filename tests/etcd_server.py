"""A real etcd for tests: one member or several on loopback, in a directory of the test's own."""

import http.client
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType

from bascule.kernel.namespaces import in_namespace

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


LOOPBACK: Mapping[str, str] = MappingProxyType({})


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
        *,
        hosts: Mapping[str, str] = LOOPBACK,
        netns: str = "",
    ) -> None:
        """*peers* are all members' ports by name, *hosts* their addresses; *netns* the path of the namespace that
        this one lives in."""

        def at(who: str) -> str:
            return hosts.get(who, "127.0.0.1")

        self.url = f"{scheme}://{at(name)}:{client}"
        self._netns = netns
        self._log = directory / f"{name}.log"
        self._data = directory / name
        peer = f"http://{at(name)}:{peers[name]}"
        together = ",".join(f"{n}=http://{at(n)}:{port}" for n, port in peers.items())
        self._command = [
            *(("nsenter", f"--net={netns}") if netns else ()),
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

    def revive(self) -> None:
        """Runs, if it did not."""
        if self._process.poll() is not None:
            self.start()

    def wipe(self) -> None:
        """It is gone, and so is all that it had."""
        self.kill()
        shutil.rmtree(self._data)

    def wait(self) -> None:
        """Answers /health, over plain HTTP."""
        deadline = time.monotonic() + 60
        host, port = self.url.rpartition("/")[2].split(":")
        while time.monotonic() < deadline:
            assert self._process.poll() is None, self._log.read_text()[-2000:]
            if self._healthy(host, int(port)):
                return
            os.sched_yield()
        raise AssertionError(f"etcd does not answer: {self._log.read_text()[-2000:]}")

    def _healthy(self, host: str, port: int) -> bool:
        if self._netns:
            return in_namespace(self._netns, partial(_answers, host, port))
        return _answers(host, port)


def _answers(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=1)
    try:
        connection.request("GET", "/health")
        return b"true" in connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def members(directory: Path, count: int) -> list[Member]:
    """A cluster of so many, all of them answering."""
    ports = free_ports(2 * count)
    peers = {f"m{n}": ports[count + n] for n in range(count)}
    made = [Member(directory, f"m{n}", ports[n], peers) for n in range(count)]
    for one in made:
        one.wait()
    return made
