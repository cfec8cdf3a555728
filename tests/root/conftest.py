"""A host of its own for each test: a network namespace that is gone afterwards, whatever happened in it."""

import itertools
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from tests.patience import patient

from bascule.kernel import namespaces
from bascule.kernel.linux import LinuxKernel

T = TypeVar("T")

_count = itertools.count(1)


class Host:
    """A network namespace that stands for a machine; *containers* is where namespaces of its containers go."""

    def __init__(self, directory: Path) -> None:
        self.path = str(directory / "host")
        self.containers = directory / "netns"
        self.containers.mkdir()
        namespaces.make(self.path, lambda: None)
        self.sh("ip link set lo up")

    def inside(self, function: Callable[[], T]) -> T:
        """What *function* returns, run on a thread in the host's namespace."""
        return namespaces.in_namespace(self.path, function)

    def sh(self, command: str, ns: str = "") -> str:
        """What a shell *command* prints, run in the host's namespace or the one at *ns*.  Fails if it fails."""
        done = subprocess.run(
            ["nsenter", f"--net={ns or self.path}", "sh", "-ec", command],
            capture_output=True,
            text=True,
            timeout=patient(30),
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def container(self, name: str) -> str:
        """The path for a container's namespace; nothing is there yet."""
        return str(self.containers / name)


@pytest.fixture(scope="session", autouse=True)
def _root() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: sudo make test-root")


@pytest.fixture
def host() -> Iterator[Host]:
    directory = Path(f"/run/bascule-test-{os.getpid()}-{next(_count)}")
    directory.mkdir()
    try:
        yield Host(directory)
    finally:
        for file in (*directory.glob("netns/*"), directory / "host"):
            namespaces.drop(str(file))
        shutil.rmtree(directory)


@pytest.fixture
def kernel(host: Host) -> Iterator[LinuxKernel]:
    """A LinuxKernel whose home is *host*."""
    made = host.inside(lambda: LinuxKernel(namespaces=str(host.containers)))
    try:
        yield made
    finally:
        made.close()
