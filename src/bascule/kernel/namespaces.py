"""Network namespaces: make, drop, and run something inside one.

A thread is in one network namespace, and Python's own threads are the kernel's.  So what must happen inside another
namespace happens on a thread that enters it and then ends: no thread that others use is ever in the wrong place.
A socket stays in the namespace it was made in, whoever uses it, which makes such a visit rare.

Python 3.12 has os.setns and os.unshare; 3.11 does not, hence ctypes.
"""

import ctypes
import errno
import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bascule.model.errors import KernelError

CLONE_NEWNET = 0x40000000
# include/uapi/linux/nsfs.h: _IO(0xb7, 0x3).  Only files of nsfs know it: it tells a namespace from other files.
NS_GET_NSTYPE = 0xB703
MS_BIND, MNT_DETACH = 4096, 2
HERE = "/proc/thread-self/ns/net"

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_void_p)

T = TypeVar("T")
Identity = tuple[int, int]
"""Which namespace: device and inode.  Unique while anything holds the namespace."""


def _call(result: int, what: str) -> None:
    if result != 0:
        raise KernelError(ctypes.get_errno(), what)


def open_namespace(path: str) -> int:
    """A descriptor of the network namespace at *path*, the caller's to close.

    Raises KernelError if there is nothing, or something that is no network namespace (S15).
    """
    try:
        # Not to hang on a FIFO that somebody put there.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as why:
        raise KernelError(why.errno or errno.EIO, f"nsenter --net={path}") from None
    try:
        kind = fcntl.ioctl(fd, NS_GET_NSTYPE)
    except OSError:
        kind = 0
    if kind != CLONE_NEWNET:
        os.close(fd)
        raise KernelError(errno.EINVAL, f"nsenter --net={path}", "not a network namespace")
    return fd


def identity(place: str | int) -> Identity | None:
    """Which namespace *place* is; None if there is nothing."""
    try:
        found = os.stat(place)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def on_a_thread(function: Callable[[], T]) -> T:
    """What *function* returns or raises, run on a thread that then ends."""
    results: list[T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function())
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, name="bascule-visitor")
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
    return results[0]


def in_namespace(place: str | int, function: Callable[[], T]) -> T:
    """What *function* returns or raises, run inside the network namespace at *place* (a path, or a descriptor of
    it).  The caller's own thread stays where it is.  Raises KernelError if *place* is no network namespace.
    """
    fd = open_namespace(place) if isinstance(place, str) else place

    def visit() -> T:
        _call(_libc.setns(fd, CLONE_NEWNET), f"nsenter --net={place}")
        return function()

    try:
        return on_a_thread(visit)
    finally:
        if isinstance(place, str):
            os.close(fd)


def make(path: str, inside: Callable[[], T]) -> T:
    """A new network namespace bound to *path*; the result of *inside*, called in it while it is new.

    The directory is made where needed.  Whatever file was at *path* is covered; the caller has looked.
    """
    file = Path(path)
    file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    file.touch(mode=0o444)

    def enter() -> T:
        _call(_libc.unshare(CLONE_NEWNET), f"unshare --net={path}")
        result = inside()
        _call(_libc.mount(HERE.encode(), os.fsencode(path), None, MS_BIND, None), f"mount --bind {HERE} {path}")
        return result

    try:
        return on_a_thread(enter)
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def drop(path: str) -> None:
    """Nothing is at *path* any more.  The namespace itself goes when nobody is in it and nothing holds it; its
    links go with it.  Not an error if there was nothing."""
    while _libc.umount2(os.fsencode(path), MNT_DETACH) == 0:
        pass  # One mount for each time that somebody bound it.
    why = ctypes.get_errno()
    if why not in (errno.EINVAL, errno.ENOENT):  # Not a mount; nothing there.
        raise KernelError(why, f"umount {path}")
    Path(path).unlink(missing_ok=True)
