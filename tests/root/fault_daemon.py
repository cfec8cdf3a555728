"""The daemon, which kills itself before its n-th step: `python -m tests.root.fault_daemon OPTIONS`, with bascule
daemon's options.

A step is a call by which it changes something outside itself: a transaction of the store, a datagram to the
kernel, a rule set, a mount, a file, a process begun or signalled.  A profile function sees them all go by, so the
product knows nothing of this.  SIGUSR1 has it read the number from the file ORDERS and count from there; it says so
on standard error.  0 is never reached.
"""

import _posixsubprocess
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

from bascule.containers import files, syscalls
from bascule.daemon import main
from bascule.dns import control
from bascule.kernel import namespaces
from bascule.kernel.libnftables import Libnftables
from bascule.kernel.netfilter import Netfilter
from bascule.kernel.route_socket import RouteSocket
from bascule.proxy import client as proxy
from bascule.store.sqlite import SqliteStore

OURS: tuple[Callable[..., Any], ...] = (
    SqliteStore.commit,
    RouteSocket.ask,
    Libnftables.run,
    Netfilter.transact,
    Netfilter.request,
    namespaces.make,
    namespaces.drop,
    syscalls.mount,
    syscalls.umount,
    files.write,
    control.send_bytes,
    proxy._exchange,
)
BEFORE: frozenset[CodeType] = frozenset(function.__code__ for function in OURS)
# The reply is about to be sent, or something slow has only been begun.
AFTER: frozenset[CodeType] = frozenset({SqliteStore.commit.__code__, namespaces.make.__code__})
# By themselves and not by name: a list, too, has a `remove`.
NATIVE: frozenset[Callable[..., Any]] = frozenset(
    {
        os.mkdir,
        os.rmdir,
        os.unlink,
        os.remove,
        os.rename,
        os.replace,
        os.chmod,
        os.chown,
        os.symlink,
        os.link,
        os.kill,
        os.posix_spawn,
        signal.pidfd_send_signal,
        _posixsubprocess.fork_exec,
    }
)
SLOW = frozenset({os.posix_spawn, _posixsubprocess.fork_exec, signal.pidfd_send_signal})


class Steps:
    """Counts down to the end of this process."""

    def __init__(self) -> None:
        self._left = 0
        self._lock = threading.Lock()

    def see(self, frame: FrameType, event: str, what: Any) -> None:
        match event:
            case "call":
                step = frame.f_code in BEFORE
            case "return":
                step = frame.f_code in AFTER
            case "c_call":
                step = what in NATIVE
            case "c_return":
                step = what in SLOW
            case _:
                step = False
        if self._left and step:
            self._step()

    def _step(self) -> None:
        with self._lock:
            self._left -= 1
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)

    def obey(self, _number: int, _frame: FrameType | None) -> None:
        with open(os.environ["ORDERS"], encoding="ascii") as orders:
            self._left = int(orders.read())
        os.write(2, b" obeyed \n")


if __name__ == "__main__":
    steps = Steps()
    signal.signal(signal.SIGUSR1, steps.obey)
    threading.setprofile(steps.see)
    sys.setprofile(steps.see)
    sys.exit(main(sys.argv[1:]))
