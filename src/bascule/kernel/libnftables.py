"""nft's own library, in process: text in, text out, a transaction a call.  A fork of `nft` costs 10-25 ms.

A context holds one netlink socket, of the network namespace of the thread that made it.  It is for one thread
at a time; the caller holds a lock.
"""

import ctypes
import errno
import os
import re
import socket
import stat

from bascule.model.errors import KernelError, Unavailable

_LIBRARY = "libnftables.so.1"
# The library translates errno with strerror and does not give the number.
_NUMBERS = {os.strerror(number): number for number in errno.errorcode}
_REASON = re.compile(r"Error: (?:Could not process rule: )?(.*)")


def _library() -> ctypes.CDLL:
    try:
        lib = ctypes.CDLL(_LIBRARY, use_errno=True)
    except OSError as missing:
        raise Unavailable(f"{_LIBRARY} cannot be loaded ({missing}): install the package libnftables1") from missing
    lib.nft_ctx_new.restype = ctypes.c_void_p
    lib.nft_ctx_new.argtypes = [ctypes.c_uint32]
    lib.nft_ctx_free.argtypes = [ctypes.c_void_p]
    lib.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    for kind in ("output", "error"):
        getattr(lib, f"nft_ctx_buffer_{kind}").argtypes = [ctypes.c_void_p]
        read = getattr(lib, f"nft_ctx_get_{kind}_buffer")
        read.argtypes = [ctypes.c_void_p]
        read.restype = ctypes.c_char_p
    return lib


class Libnftables:
    """One context of the library."""

    def __init__(self) -> None:
        self._lib = _library()
        self._context: int | None = self._lib.nft_ctx_new(0)
        if not self._context:
            raise Unavailable(f"{_LIBRARY} gives no context: {os.strerror(ctypes.get_errno())}")
        _keep_from_children()
        self._lib.nft_ctx_buffer_output(self._context)
        self._lib.nft_ctx_buffer_error(self._context)

    def run(self, text: str, what: str) -> str:
        """What *text* prints, after all of it came true.  Raises KernelError, about *what*, if none of it did."""
        if self._context is None:
            raise Unavailable(f"{what}: the firewall is closed")
        failed = self._lib.nft_run_cmd_from_buffer(self._context, text.encode())
        printed: bytes = self._lib.nft_ctx_get_output_buffer(self._context) or b""
        refusal: bytes = self._lib.nft_ctx_get_error_buffer(self._context) or b""
        if failed:
            raise _refused(what, refusal.decode(errors="replace"))
        return printed.decode()

    def close(self) -> None:
        """Give the socket back.  The second time nothing happens."""
        if self._context is not None:
            self._lib.nft_ctx_free(self._context)
            self._context = None


def _keep_from_children() -> None:
    """The library's socket does not go along into processes that we start (libmnl opens it without SOCK_CLOEXEC):
    they would hold what belongs to it after our end."""
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        try:
            if os.get_inheritable(fd) and _is_netlink(fd):
                os.set_inheritable(fd, False)
        except OSError:
            # The listing's own, or closed meanwhile.
            continue


def _is_netlink(fd: int) -> bool:
    if not stat.S_ISSOCK(os.fstat(fd).st_mode):
        return False
    with socket.socket(fileno=os.dup(fd)) as copy:
        return copy.family == socket.AF_NETLINK


def _refused(what: str, text: str) -> KernelError:
    found = _REASON.search(text)
    reason = found.group(1) if found else text.strip()
    number = _NUMBERS.get(reason.rsplit("; ", 1)[-1], 0) or _NUMBERS.get(reason.split("; ")[0], 0)
    return KernelError(number, what, "" if number else reason)
