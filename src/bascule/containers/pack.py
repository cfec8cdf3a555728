"""Directories to tar archives: for `cp` out of a container and for `save`."""

import os
import stat
import tarfile
from collections.abc import Callable, Collection
from typing import IO

from bascule.containers.unpack import OPAQUE, WHITEOUT

_OPAQUE_ATTRIBUTE = "trusted.overlay.opaque"


def pack(
    directory: int,
    name: str,
    archive: tarfile.TarFile,
    *,
    called: str,
    layer: bool = False,
    leaving: Collection[int] = (),
) -> None:
    """*name* in the directory descriptor, with all below it, goes into *archive* under the name *called* ("" for
    the contents alone).  *layer*: overlayfs's whiteouts become the archive's.  What is mounted below it from one of
    the devices *leaving* is an empty directory."""
    _Packer(archive, layer, leaving).add(directory, name, called)


class _Packer:
    def __init__(self, archive: tarfile.TarFile, layer: bool, leaving: Collection[int]) -> None:
        self._archive = archive
        self._layer = layer
        self._leaving = leaving
        self._seen: dict[tuple[int, int], str] = {}

    def add(self, parent: int, name: str, called: str) -> None:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if self._layer and stat.S_ISCHR(found.st_mode) and found.st_rdev == 0:
            above, _, base = called.rpartition("/")
            self._archive.addfile(_info(found, f"{above}/{WHITEOUT}{base}".lstrip("/"), tarfile.REGTYPE, size=0))
            return
        if stat.S_ISDIR(found.st_mode):
            self._directory(parent, name, called, found)
        elif stat.S_ISREG(found.st_mode):
            self._file(parent, name, called, found)
        elif kind := _KINDS.get(stat.S_IFMT(found.st_mode)):
            info = _info(found, called, kind, size=0)
            if kind == tarfile.SYMTYPE:
                info.linkname = os.readlink(name, dir_fd=parent)
            self._archive.addfile(info)
        # A socket is nothing an archive can hold; Docker leaves it out as well.

    def _directory(self, parent: int, name: str, called: str, found: os.stat_result) -> None:
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            if called:
                self._archive.addfile(_info(found, called + "/", tarfile.DIRTYPE, size=0))
            if self._layer and _opaque(fd):
                mark = f"{called}/{OPAQUE}".lstrip("/")
                self._archive.addfile(_info(found, mark, tarfile.REGTYPE, size=0))
            if found.st_dev in self._leaving and found.st_dev != os.fstat(parent).st_dev:
                return
            for child in sorted(os.listdir(fd)):
                self.add(fd, child, f"{called}/{child}".lstrip("/"))
        finally:
            os.close(fd)

    def _file(self, parent: int, name: str, called: str, found: os.stat_result) -> None:
        key = (found.st_dev, found.st_ino)
        if found.st_nlink > 1 and key in self._seen:
            info = _info(found, called, tarfile.LNKTYPE, size=0)
            info.linkname = self._seen[key]
            self._archive.addfile(info)
            return
        self._seen[key] = called
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
        with os.fdopen(fd, "rb") as source:
            # Again, by the descriptor: what was looked at may have been exchanged, or have grown.
            info = _info(os.fstat(fd), called, tarfile.REGTYPE, size=os.fstat(fd).st_size)
            for attribute in os.listxattr(fd):
                value = os.getxattr(fd, attribute).decode("utf-8", "surrogateescape")
                info.pax_headers = {**info.pax_headers, f"SCHILY.xattr.{attribute}": value}
            self._archive.addfile(info, _Exactly(source.read, info.size))


class _Exactly:
    """A reader of exactly *size* bytes: a file that shrinks while it is read is filled with zeros."""

    def __init__(self, read: Callable[[int], bytes], size: int) -> None:
        self._read = read
        self._left = size

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        block = self._read(wanted)
        block += b"\0" * (wanted - len(block))
        self._left -= len(block)
        return block


def _opaque(fd: int) -> bool:
    try:
        return os.getxattr(fd, _OPAQUE_ATTRIBUTE) == b"y"
    except OSError:
        # No such attribute, or none at all on this file system.
        return False


_KINDS = {
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
}


def _info(found: os.stat_result, name: str, kind: bytes, *, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = size
    info.mode = stat.S_IMODE(found.st_mode)
    info.uid, info.gid = found.st_uid, found.st_gid
    info.mtime = int(found.st_mtime)
    if kind in (tarfile.CHRTYPE, tarfile.BLKTYPE):
        info.devmajor, info.devminor = os.major(found.st_rdev), os.minor(found.st_rdev)
    return info


def stream_archive(target: IO[bytes]) -> tarfile.TarFile:
    """An archive that is written forwards only, with pax headers."""
    return tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT)
