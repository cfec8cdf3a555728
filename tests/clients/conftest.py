"""A daemon for the real clients: in a network namespace of its own, with directories that are gone afterwards."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src"
DEADLINE = 60


@dataclass(frozen=True, slots=True)
class Told:
    """What a command said."""

    status: int
    out: str
    err: str

    def __str__(self) -> str:
        """Everything on one page, for a test to compare: a zero status is not told."""
        return "\n".join(
            x for x in (self.out.rstrip(), self.err.rstrip(), f"-> {self.status}" * bool(self.status)) if x
        )


class Client:
    """The real clients, of the engine that listens at *host*; their own files are in *directory*."""

    def __init__(self, host: str, directory: Path) -> None:
        self.host = host
        self.directory = directory

    def docker(self, *words: str, stdin: str | None = None) -> Told:
        """What the docker CLI says."""
        return self.run(["docker", *words], stdin)

    def run(self, command: Sequence[str], stdin: str | None = None) -> Told:
        done = subprocess.run(
            command,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            env={**os.environ, "DOCKER_HOST": self.host, "DOCKER_CONFIG": str(self.directory)},
        )
        return Told(done.returncode, done.stdout, done.stderr)

    def sweep(self) -> None:
        """No container, network or volume of a test is left."""
        left = self.docker("ps", "-aq").out.split()
        if left:
            self.docker("rm", "-fv", *left)
        self.docker("network", "prune", "-f")
        self.docker("volume", "prune", "-af")


class Ground(Client):
    """One daemon of ours, and a namespace that is its host.  It may be stopped and started again."""

    def __init__(self, directory: Path, *flags: str) -> None:
        """*flags* are more of the daemon's."""
        super().__init__(f"unix://{directory}/s", directory)
        self.flags = flags
        self.netns = directory.name
        self.bridge = f"bc{os.getpid()}"
        self.log: list[str] = []
        self._daemon: subprocess.Popen[str] | None = None
        directory.mkdir()
        self._ip("netns", "add", self.netns)
        self._ip("-n", self.netns, "link", "set", "lo", "up")

    def start(self) -> None:
        """The daemon listens when this returns."""
        listening = threading.Event()
        self._daemon = subprocess.Popen(
            [
                "nsenter",
                # Not `ip netns exec`: its mount namespace would lose the containers' mounts with the daemon.
                f"--net=/run/netns/{self.netns}",
                sys.executable,
                "-m",
                "bascule",
                "daemon",
                f"--data-root={self.directory}/data",
                f"--exec-root={self.directory}/run",
                f"--host={self.host}",
                f"--bridge={self.bridge}",
                *self.flags,
            ],
            env={**os.environ, "PYTHONPATH": str(SRC)},
            stderr=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._read, args=(self._daemon, listening), daemon=True).start()
        assert listening.wait(DEADLINE), "".join(self.log)
        assert self._daemon.poll() is None, "".join(self.log)

    @property
    def pid(self) -> int:
        """The daemon's process."""
        assert self._daemon
        return self._daemon.pid

    def _read(self, daemon: subprocess.Popen[str], listening: threading.Event) -> None:
        assert daemon.stderr
        with daemon.stderr as lines:
            for line in lines:
                self.log.append(line)
                if " listening " in line:
                    listening.set()
        listening.set()

    def stop(self) -> None:
        """The daemon has ended by itself, as asked."""
        if self._daemon:
            self._daemon.terminate()
            status = self._daemon.wait(DEADLINE)
            self._daemon = None
            assert status == 0, "".join(self.log)

    def close(self) -> None:
        if self._daemon:
            self.sweep()
            self.stop()
        self._ip("netns", "del", self.netns)
        left = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        left = [mount for mount in left if mount.startswith(f"{self.directory}/")]
        for mount in reversed(left):
            subprocess.run(["umount", "-l", mount], check=True)
        shutil.rmtree(self.directory)
        assert not left, f"left mounted: {left}"

    @staticmethod
    def _ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True)


@pytest.fixture(scope="session")
def shared() -> Iterator[Ground]:
    if os.geteuid() != 0:
        pytest.skip("needs root: sudo make test-clients")
    if not shutil.which("docker"):
        pytest.skip("there is no docker CLI (apt-get install docker.io)")
    ground = Ground(Path(f"/dev/shm/bclients-{os.getpid()}"))
    try:
        ground.start()
        yield ground
    finally:
        ground.close()


@pytest.fixture
def ground(shared: Ground) -> Iterator[Ground]:
    """The session's daemon, with nothing left behind by this test."""
    yield shared
    shared.sweep()
