"""inotify(7), of which Python's library has nothing."""

import ctypes
import os

IN_MODIFY = 0x2
IN_CLOSE_WRITE = 0x8
IN_MOVED_TO = 0x80
IN_MOVE_SELF = 0x800

_libc = ctypes.CDLL(None, use_errno=True)


def watch(path: str, mask: int) -> int:
    """A descriptor that is readable after *mask* has happened to *path*.  The caller closes it."""
    fd: int = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    if fd < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "inotify")
    if _libc.inotify_add_watch(fd, os.fsencode(path), ctypes.c_uint32(mask)) < 0:
        errno = ctypes.get_errno()
        os.close(fd)
        raise OSError(errno, os.strerror(errno), path)
    return fd


def drain(fd: int) -> None:
    """Read away what has happened."""
    try:
        while os.read(fd, 4096):
            continue
    except BlockingIOError:
        return
