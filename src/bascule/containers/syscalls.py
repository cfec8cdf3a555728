"""System calls that Python 3.11 has no function for.  Numbers are the same on every 64-bit architecture that
joined after x86 for openat2; the others go through libc."""

import ctypes
import os

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
CLONE_FS, CLONE_NEWNS = 0x200, 0x20000
RESOLVE_NO_MAGICLINKS, RESOLVE_IN_ROOT = 0x02, 0x10
SYS_OPENAT2 = 437

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> int:
    if result < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno), what)
    return result


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    done = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        kind.encode() or None,
        ctypes.c_ulong(flags),
        os.fsencode(data) or None,
    )
    _checked(done, target)


def umount(target: str, flags: int = 0) -> None:
    _checked(_libc.umount2(os.fsencode(target), flags), target)


def unshare(flags: int) -> None:
    """For the calling thread alone."""
    _checked(_libc.unshare(flags), "unshare")


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_in_root(root: int, path: str | bytes, flags: int, mode: int = 0) -> int:
    """Open *path* as a process whose root directory is the descriptor *root* would: absolute symbolic links and
    `..` stay below it, whoever races with us (openat2(2), Linux 5.6)."""
    how = _OpenHow(flags | os.O_CLOEXEC, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    done = _libc.syscall(
        ctypes.c_long(SYS_OPENAT2),
        ctypes.c_int(root),
        os.fsencode(path),
        ctypes.byref(how),
        ctypes.c_size_t(ctypes.sizeof(how)),
    )
    return _checked(done, os.fsdecode(path))
