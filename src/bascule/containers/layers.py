"""Layers: unpacked once each, below data_root/layers, in overlayfs's own form."""

import bz2
import gzip
import hashlib
import lzma
import os
import secrets
import shutil
import tarfile
from collections.abc import Callable, Iterable
from typing import IO, Any, cast

from bascule.containers.unpack import Root, unpack
from bascule.model.errors import Invalid

# Short, because mount(2) takes one page of options: a hundred layers of 24 characters and a colon fit.
NAME = 24
INIT = "init"
"""Under every image's own layers lies nothing, over them this: the places where files of ours are mounted."""

_MAGIC: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": lambda source: gzip.GzipFile(fileobj=source),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}


class Digest:
    """A reader that knows the SHA-256 of what went through it."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        block = self._source.read(size)
        self._hash.update(block)
        return block

    def finish(self) -> str:
        """`sha256:…` of everything, the rest included."""
        while self.read(1 << 20):
            continue
        return "sha256:" + self._hash.hexdigest()


class _Rewound:
    """A stream whose first bytes were looked at."""

    def __init__(self, head: bytes, source: IO[bytes]) -> None:
        self._head, self._source = head, source

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            head, self._head = self._head, b""
            return head + self._source.read()
        head, self._head = self._head[:size], self._head[size:]
        while len(head) < size:
            block = self._source.read(size - len(head))
            if not block:
                break
            head += block
        return head

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    @property
    def closed(self) -> bool:
        return False


def plain(stream: IO[bytes]) -> IO[bytes]:
    """*stream* without its compression, told by its first bytes.  Raises Invalid for one Python cannot read."""
    head = stream.read(6)
    source = cast(IO[bytes], _Rewound(head, stream))
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        raise Invalid("archive: compressed with zstd, which cannot be read here; use gzip, bzip2 or xz")
    for magic, reader in _MAGIC.items():
        if head.startswith(magic):
            return cast(IO[bytes], reader(source))
    return source


class Layers:
    """The layers of one data root."""

    def __init__(self, root: str) -> None:
        self.root = root

    def path(self, diff: str) -> str:
        return os.path.join(self.root, self.name(diff))

    @staticmethod
    def name(diff: str) -> str:
        return diff.removeprefix("sha256:")[:NAME]

    def add(self, stream: IO[bytes], expected: str = "") -> tuple[str, int]:
        """The layer in *stream* (a tar, compressed or not) is there; its diff id and size.  Either whole or not
        at all.  Raises Invalid when it is not the *expected* one, or no archive."""
        unfinished = os.path.join(self.root, f"new-{os.getpid()}-{secrets.token_hex(4)}")
        os.makedirs(unfinished, mode=0o755)
        try:
            os.chmod(unfinished, 0o755)
            digest = Digest(plain(stream))
            size = _fill(digest, unfinished)
            diff = digest.finish()
            if expected and diff != expected:
                raise Invalid(f"layer {expected} has the content of {diff}")
            self._keep(unfinished, self.path(diff))
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        return diff, size

    @staticmethod
    def _keep(unfinished: str, path: str) -> None:
        try:
            os.rename(unfinished, path)
        except OSError:
            if not os.path.isdir(path):
                raise
            # It was there before; the same content makes the same layer.

    def has(self, diff: str) -> bool:
        return os.path.isdir(self.path(diff))

    def size(self, diff: str) -> int:
        """The sum of its files' sizes."""
        return files_size(self.path(diff))

    def keep_only(self, diffs: Iterable[str]) -> None:
        """Every other layer, and what an earlier process left half unpacked, is gone."""
        kept = {self.name(diff) for diff in diffs} | {INIT}
        for entry in os.listdir(self.root):
            if entry not in kept and not entry.startswith(f"new-{os.getpid()}-"):
                shutil.rmtree(os.path.join(self.root, entry), ignore_errors=True)

    def init(self) -> str:
        """The layer that has the mount points which every container needs; made when it is not there."""
        path = os.path.join(self.root, INIT)
        if not os.path.isdir(path):
            unfinished = os.path.join(self.root, f"new-{os.getpid()}-{secrets.token_hex(4)}")
            for directory in ("etc", "dev", "dev/pts", "dev/shm", "proc", "sys"):
                os.makedirs(os.path.join(unfinished, directory), mode=0o755)
            for name in ("hosts", "hostname", "resolv.conf"):
                open(os.path.join(unfinished, "etc", name), "xb").close()
            os.symlink("/proc/mounts", os.path.join(unfinished, "etc/mtab"))
            self._keep(unfinished, path)
            shutil.rmtree(unfinished, ignore_errors=True)
        return path


def files_size(directory: str) -> int:
    """The sum of the sizes of all files below *directory*; what goes meanwhile is not counted."""
    found = 0
    for above, _, names in os.walk(directory):
        for name in names:
            try:
                found += os.lstat(os.path.join(above, name)).st_size
            except FileNotFoundError:
                continue
    return found


def _fill(digest: Digest, directory: str) -> int:
    try:
        with tarfile.open(fileobj=cast(IO[bytes], digest), mode="r|") as archive, Root(directory) as root:
            return unpack(archive, root, layer=True)
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, lzma.LZMAError) as error:
        raise Invalid(f"Error processing tar file: {error}") from None
