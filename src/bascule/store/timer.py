"""A timer of the kernel's (timerfd_create(2)): setting it wakes nobody.  os.timerfd_create is of Python 3.13."""

import ctypes
import os
import time

_TFD_CLOEXEC = 0o2000000
_libc = ctypes.CDLL(None, use_errno=True)


class _Setting(ctypes.Structure):
    """struct itimerspec: how often again, and when first."""

    _fields_ = (
        ("again_seconds", ctypes.c_long),
        ("again_nanoseconds", ctypes.c_long),
        ("seconds", ctypes.c_long),
        ("nanoseconds", ctypes.c_long),
    )


class Timer:
    """Runs out once after each start.  One thread waits, any may start it."""

    def __init__(self) -> None:
        self._fd = _checked(_libc.timerfd_create(time.CLOCK_MONOTONIC, _TFD_CLOEXEC))

    def start(self, seconds: float) -> None:
        """It runs out *seconds* from now, and not at the moment it had before."""
        # Nothing at all would stop it.
        whole, part = divmod(max(1, int(seconds * 1e9)), 10**9)
        _checked(_libc.timerfd_settime(self._fd, 0, ctypes.byref(_Setting(0, 0, whole, part)), None))

    def wait(self) -> None:
        """Return when it has run out."""
        os.read(self._fd, 8)

    def close(self) -> None:
        os.close(self._fd)


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"timerfd: {os.strerror(ctypes.get_errno())}")
    return result
