"""A real dockerd beside ours: on a ground of its own, with the same image, asked by the same clients."""

import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.ground import Found
from bench.sides import PEER, Side, docker, rootfs
from tests.clients.conftest import Client, Ground

_count = itertools.count(1)
IMAGE = "bench"
"""The image with nothing but busybox that both engines have."""


def lacking() -> str:
    """Why there is no peer here, or ""."""
    if os.geteuid() != 0:
        return "needs root: sudo make test-clients"
    if not (PEER / "dockerd").exists() or not shutil.which("containerd"):
        return "there is no dockerd to compare with (sudo packaging/peer-setup)"
    return ""


@contextmanager
def peer() -> Iterator[tuple[Client, Side]]:
    """A dockerd that answers, with IMAGE; nothing of it is left afterwards."""
    mark = f"bpeer-{os.getpid()}-{next(_count)}"
    place, found = Path(f"/dev/shm/{mark}"), Found()
    side = docker(place, mark)
    try:
        side.start()
        side.load_image()
        yield Client(side.host, place), side
    finally:
        idents = side.known_containers()
        side.stop()
        side.close()
        found.take_cgroups([mark, *idents])
        shutil.rmtree(place)


def load_image(ground: Ground) -> None:
    """*ground*'s daemon has IMAGE as well."""
    archive = ground.directory / "rootfs.tar"
    archive.write_bytes(rootfs())
    told = ground.docker("import", str(archive), IMAGE)
    assert told.status == 0, told
