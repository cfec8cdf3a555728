"""`cp`: archives out of and into a container's root file system, whether it runs or not."""

import os
import stat
import tarfile
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import IO, Any, TypeVar

from bascule.containers.images import Images
from bascule.containers.layers import plain
from bascule.containers.pack import pack, stream_archive
from bascule.containers.rootfs import RootFs
from bascule.containers.unpack import Root, clean, unpack
from bascule.model.container import Container
from bascule.model.errors import Failed, Forbidden, Invalid, NotFound

T = TypeVar("T")


class Archives:
    """Reading and writing below a container's "/"."""

    def __init__(self, rootfs: RootFs, images: Images) -> None:
        self._rootfs = rootfs
        self._images = images

    def stat(self, container: Container, path: str) -> dict[str, Any]:
        """name, size, mode (as stat(2)), mtime (nanoseconds), link (a symbolic link's target)."""
        return self._inside(container, lambda root: _look(container, root, path)[0]).result()

    def read(self, container: Container, path: str, called: str | None = None) -> tuple[IO[bytes], dict[str, Any]]:
        """What is at *path* as a tar, written while it is read, under its last name, or *called* so ("": its
        contents alone); and its stat.  The caller closes it, at any time.  Raises NotFound."""
        reader, writer = os.pipe()
        seen: Future[dict[str, Any]] = Future()

        def work(root: Root) -> None:
            with os.fdopen(writer, "wb") as target:
                found, above, name = _look(container, root, path)
                seen.set_result(found)
                with root.opened(above, os.O_RDONLY | os.O_DIRECTORY) as parent, stream_archive(target) as archive:
                    left = _without_files(container.state.pid)
                    name_it = _called(path) if called is None else called
                    pack(parent, name or ".", archive, called=name_it, leaving=left)

        done = self._inside(container, work)
        done.add_done_callback(lambda d: seen.set_exception(d.exception()) if not seen.done() else None)
        try:
            found = seen.result()
        except BaseException:
            os.close(reader)
            raise
        return os.fdopen(reader, "rb"), found

    def write(self, container: Container, path: str, stream: IO[bytes], *, strict: bool = False) -> None:
        """What the tar in *stream* has is below the directory *path*.  *strict*: a directory is not replaced by
        something else, nor the other way round."""
        if container.spec.read_only:
            raise Forbidden("container rootfs is marked read-only")

        def work(root: Root) -> None:
            where = clean(path)
            try:
                with root.opened(where, os.O_PATH | os.O_DIRECTORY):
                    pass
            except FileNotFoundError:
                raise NotFound(f"Could not find the file {path} in container {container.name}") from None
            except NotADirectoryError:
                raise Invalid("extraction point is not a directory") from None
            with tarfile.open(fileobj=plain(stream), mode="r|") as archive:
                unpack(archive, root, below=where, strict=strict)

        self._inside(container, work).result()

    def _inside(self, container: Container, work: Callable[[Root], T]) -> Future[T]:
        """*work* on a thread of its own, which for a container that does not run sees its mounts alone."""
        done: Future[T] = Future()

        def run() -> None:
            try:
                if container.state.pid:
                    path = f"/proc/{container.state.pid}/root"
                else:
                    path = self._rootfs.enter(container, self._images.image(container.image))
                with Root(path) as root:
                    done.set_result(work(root))
            except BrokenPipeError as error:
                # The reader has heard enough.
                done.set_exception(error)
            except tarfile.TarError as error:
                done.set_exception(Invalid(f"Error processing tar file: {error}"))
            except OSError as error:
                done.set_exception(Failed(f"container {container.name}: {error}"))
            except BaseException as error:
                # Whoever waits must not wait for ever; what cannot be read of a request's body is its reader's.
                done.set_exception(error)

        threading.Thread(target=run, name="archive", daemon=True).start()
        return done


# What is mounted there is no part of a container: Docker, too, shows an empty directory.
_NO_FILES = {"proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2"}


def _without_files(pid: int) -> set[int]:
    """The devices of a running container's mounts that hold none of its files."""
    if not pid:
        return set()
    found = set()
    for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
        # proc_pid_mountinfo(5): the third word is major:minor, the one behind the dash the type.
        words, _, rest = line.partition(" - ")
        if rest.split()[0] in _NO_FILES:
            major, _, minor = words.split()[2].partition(":")
            found.add(os.makedev(int(major), int(minor)))
    return found


def _called(path: str) -> str:
    name = path.rstrip("/").rpartition("/")[2]
    return name or "."


def _look(container: Container, root: Root, path: str) -> tuple[dict[str, Any], str, str]:
    """The stat of what is at *path*, its directory, and its name there ("" for the root)."""
    where = clean(path)
    above, _, name = where.rpartition("/")
    if path.endswith(("/", "/.")):
        # With a slash behind it a symbolic link is what it points to.
        above, name = where, ""
    try:
        with root.opened(above, os.O_PATH | os.O_DIRECTORY) as parent:
            found = os.stat(name or ".", dir_fd=parent, follow_symlinks=False)
            link = os.readlink(name, dir_fd=parent) if stat.S_ISLNK(found.st_mode) else ""
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"Could not find the file {path} in container {container.name}") from None
    described = {
        "name": _called(path) if clean(path) else "/",
        "size": found.st_size,
        "mode": found.st_mode,
        "mtime": found.st_mtime_ns,
        "link": link,
    }
    return described, above, name


def changes(upper: str, lower: list[str]) -> list[tuple[int, str]]:
    """What a container wrote: (0 modified, 1 added, 2 deleted; path), by its upper directory and the layers below
    it, topmost first."""
    found: list[tuple[int, str]] = []
    for above, directories, names in os.walk(upper):
        place = "/" + os.path.relpath(above, upper).lstrip(".").lstrip("/")
        for name in sorted([*directories, *names]):
            path = os.path.join(place, name)
            status = os.lstat(os.path.join(above, name))
            if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                found.append((2, path))
            else:
                found.append((0 if _below(path, lower) else 1, path))
        directories.sort()
    return sorted(found, key=lambda change: change[1])


def _below(path: str, lower: list[str]) -> bool:
    for layer in lower:
        try:
            status = os.lstat(layer + path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        return not (stat.S_ISCHR(status.st_mode) and status.st_rdev == 0)
    return False
