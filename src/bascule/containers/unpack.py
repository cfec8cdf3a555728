"""Tar archives to directories and back, safely: no name in an archive, and no symbolic link in the directory,
leads out of it.

Every directory is opened by openat2 with RESOLVE_IN_ROOT, and what is in it is made by its descriptor; so an
archive that plants a link and then writes through it writes below the root, as it would have in a container.
Python's own tarfile extraction works with paths, and asks the user database, which loads code.
"""

import errno
import os
import shutil
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager

from bascule.containers.syscalls import open_in_root
from bascule.model.errors import Invalid

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
# What the Go and GNU writers call extended attributes in a pax header.
XATTRS = ("SCHILY.xattr.", "LIBARCHIVE.xattr.")


class Root:
    """A directory as if it were "/".  Keeps the last parent open: members of an archive come sorted."""

    def __init__(self, path: str | int) -> None:
        self.fd = path if isinstance(path, int) else os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._parent = ("", -1)

    def __enter__(self) -> "Root":
        return self

    def __exit__(self, *_: object) -> None:
        if self._parent[1] >= 0:
            os.close(self._parent[1])
        os.close(self.fd)

    def directory(self, path: str) -> int:
        """A descriptor of the directory *path*, made with its parents where missing; kept until the next call."""
        known, fd = self._parent
        if fd >= 0 and known == path:
            return fd
        if fd >= 0:
            self._parent = ("", -1)
            os.close(fd)
        try:
            fd = open_in_root(self.fd, path or ".", os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            above, _, name = path.rpartition("/")
            try:
                os.mkdir(name, 0o755, dir_fd=self.directory(above))
            except FileExistsError:
                raise Invalid(f"archive: {path!r} is a link that leads nowhere, and not a directory") from None
            fd = open_in_root(self.fd, path, os.O_RDONLY | os.O_DIRECTORY)
            if self._parent[1] >= 0:
                os.close(self._parent[1])
        self._parent = (path, fd)
        return fd

    def open(self, path: str, flags: int) -> int:
        return open_in_root(self.fd, path or ".", flags)

    @contextmanager
    def opened(self, path: str, flags: int) -> Iterator[int]:
        fd = self.open(path, flags)
        try:
            yield fd
        finally:
            os.close(fd)


def clean(name: str) -> str:
    """A member's name relative to the root, "" for the root.  Raises Invalid for `..` and for NUL."""
    parts = [p for p in name.split("/") if p not in ("", ".")]
    if ".." in parts or "\0" in name:
        raise Invalid(f"archive: {name!r} leads out of the directory it is unpacked to")
    return "/".join(parts)


def unpack(
    archive: tarfile.TarFile, root: Root, *, below: str = "", layer: bool = False, strict: bool = False
) -> int:
    """Everything in *archive* is below *root*/*below*, with owner, mode, times and attributes; the sum of the
    sizes.  *layer*: whiteouts become overlayfs's (a 0:0 device, the opaque attribute).  *strict*: raises Invalid
    rather than put a directory in the place of something else, or the other way round."""
    size = 0
    directories: list[tuple[str, tarfile.TarInfo]] = []
    for member in archive:
        path = clean(f"{below}/{member.name}")
        above, _, name = path.rpartition("/")
        if not name:
            if layer:
                _finish_directory(root, path, member)
            continue
        parent = root.directory(above)
        if layer and name.startswith(WHITEOUT):
            _whiteout(parent, name)
            continue
        if strict:
            _check_same_kind(parent, name, member)
        if member.islnk():
            _hard_link(root, f"{below}/{member.linkname}", parent, name)
            continue
        _make(archive, member, parent, name)
        # A link's own size is its target's length (inode(7)).
        size += member.size if member.isreg() else len(member.linkname.encode()) if member.issym() else 0
        if member.isdir():
            directories.append((path, member))
    for path, member in reversed(directories):
        _finish_directory(root, path, member)
    return size


def _check_same_kind(parent: int, name: str, member: tarfile.TarInfo) -> None:
    try:
        is_directory = stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return
    if is_directory and not member.isdir():
        raise Invalid(f"cannot overwrite directory {member.name!r} with non-directory")
    if member.isdir() and not is_directory:
        raise Invalid(f"cannot overwrite non-directory {member.name!r} with directory")


def _whiteout(parent: int, name: str) -> None:
    if name == OPAQUE:
        os.setxattr(parent, "trusted.overlay.opaque", b"y")
        return
    target = name.removeprefix(WHITEOUT)
    if target in ("", ".", ".."):
        raise Invalid(f"archive: {name!r} is no whiteout")
    _clear(parent, target)
    os.mknod(target, stat.S_IFCHR, os.makedev(0, 0), dir_fd=parent)


def _clear(parent: int, name: str, *, keep_directory: bool = False) -> bool:
    """Whatever is called *name* is gone.  True if a directory was there and was to be kept."""
    try:
        mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(mode):
        os.unlink(name, dir_fd=parent)
    elif keep_directory:
        return True
    else:
        shutil.rmtree(name, dir_fd=parent)
    return False


def _make(archive: tarfile.TarFile, member: tarfile.TarInfo, parent: int, name: str) -> None:
    kept = _clear(parent, name, keep_directory=member.isdir())
    if member.isdir():
        if not kept:
            os.mkdir(name, 0o700, dir_fd=parent)
        return
    if member.isreg():
        fd = os.open(
            name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=parent
        )
        with os.fdopen(fd, "wb", buffering=0) as target:
            source = archive.extractfile(member)
            if source is not None:
                shutil.copyfileobj(source, target, 1 << 20)
    elif member.issym():
        os.symlink(member.linkname, name, dir_fd=parent)
    elif member.isfifo():
        os.mkfifo(name, 0o600, dir_fd=parent)
    elif member.ischr() or member.isblk():
        kind = stat.S_IFCHR if member.ischr() else stat.S_IFBLK
        os.mknod(name, kind | 0o600, os.makedev(member.devmajor, member.devminor), dir_fd=parent)
    else:
        raise Invalid(f"archive: {member.name!r} is of a kind that cannot be unpacked")
    _own(parent, name, member)


def _hard_link(root: Root, target: str, parent: int, name: str) -> None:
    _clear(parent, name)
    above, _, base = clean(target).rpartition("/")
    with root.opened(above, os.O_PATH | os.O_DIRECTORY) as directory:
        os.link(base, name, src_dir_fd=directory, dst_dir_fd=parent, follow_symlinks=False)


def _own(parent: int, name: str, member: tarfile.TarInfo) -> None:
    os.chown(name, member.uid, member.gid, dir_fd=parent, follow_symlinks=False)
    if not member.issym():
        # After the owner: chown(2) takes set-user-id away.
        os.chmod(name, member.mode & 0o7777, dir_fd=parent)
    _attributes(f"/proc/self/fd/{parent}/{name}", member)
    stamp = (int(member.mtime * 1_000_000_000),) * 2
    os.utime(name, ns=stamp, dir_fd=parent, follow_symlinks=False)


def _finish_directory(root: Root, path: str, member: tarfile.TarInfo) -> None:
    """Last, so that a directory without write permission could be filled, and its time is not changed again."""
    with root.opened(path, os.O_RDONLY | os.O_DIRECTORY) as fd:
        os.fchown(fd, member.uid, member.gid)
        os.fchmod(fd, member.mode & 0o7777)
        _attributes(fd, member)
        os.utime(fd, ns=(int(member.mtime * 1_000_000_000),) * 2)


def _attributes(place: str | int, member: tarfile.TarInfo) -> None:
    for key, value in member.pax_headers.items():
        name = next((key.removeprefix(p) for p in XATTRS if key.startswith(p)), "")
        # trusted.* is overlayfs's own language: an image must not speak it.
        if not name or name.startswith("trusted."):
            continue
        follow = isinstance(place, int)
        try:
            os.setxattr(place, name, value.encode("utf-8", "surrogateescape"), follow_symlinks=follow)
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EPERM):
                raise
            # Not every file system has every attribute (security.selinux); Docker goes on as well.
