"""Guests that live for one command, and are gone with everything of theirs when it has ended, however that was."""

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from tests.vmrun.guest import Guest, job
from tests.vmrun.kernel import HERE, Kernel

DIED, LATE = 125, 124
"""Exit statuses that are ours: a guest died or never came up; the command had no time left.  As of timeout(1)."""
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Wish:
    """A *command* for the first of *hosts* guests; seconds are of the wall's clock, from the start."""

    command: Sequence[str]
    hosts: int = 1
    seconds: float = 600
    boot_seconds: float = 120
    memory: int = 1024
    environment: Mapping[str, str] = field(default_factory=dict)
    out: Path | None = None
    """Where files that the command wrote to /run/vm/out are copied."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The command's exit *status*; or DIED or LATE, and *why*, with what the guests said last."""

    status: int
    why: str = ""


def run(wish: Wish, kernel: Kernel, accelerator: str) -> Outcome:
    """What became of the command, whose output was ours.  Nothing of the guests is left: no process, no file.

    Raises SystemExit when a signal ends us.
    """
    with ExitStack() as stack:
        stack.enter_context(_ended_by_signals())
        place = Path(tempfile.mkdtemp(prefix="bascule-vm-"))
        stack.callback(shutil.rmtree, place)
        guests = [
            Guest(number, wish.hosts, str(place), str(kernel.image), accelerator, wish.memory)
            for number in range(1, wish.hosts + 1)
        ]
        (place / "initramfs").write_bytes(kernel.initramfs())
        for guest in guests:
            _furnish(guest, kernel, wish if guest.number == 1 else None)
        outcome = _lived(guests, wish)
        if wish.out:
            shutil.copytree(place / "h1/out", wish.out, dirs_exist_ok=True)
        return outcome


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Signals that end a process end it by an exception, so that everything is taken back on the way."""

    def end(number: int, _frame: FrameType | None) -> None:
        for each in ENDING:
            # Who asks twice is not told more, and must not keep us from clearing up.
            signal.signal(each, signal.SIG_IGN)
        sys.exit(128 + number)

    before = {each: signal.signal(each, end) for each in ENDING}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _furnish(guest: Guest, kernel: Kernel, wish: Wish | None) -> None:
    """The guest's directory, with a job where there is a *wish*."""
    directory = Path(guest.directory)
    (directory / "out").mkdir(parents=True)
    (directory / "vars").write_text(guest.variables(kernel.release, str(kernel.modules)))
    shutil.copy(HERE / "guest.sh", directory)
    if wish:
        (directory / "job").write_text(job(wish.command, wish.environment, os.getcwd()))


def _lived(guests: Sequence[Guest], wish: Wish) -> Outcome:
    """What became of the command; every guest has ended."""
    begin = time.monotonic()
    running: list[subprocess.Popen[bytes]] = []
    try:
        for guest in guests:
            running.append(_started(guest))
        first = _first_end(running, begin + min(wish.boot_seconds, wish.seconds))
        up = all(Path(guest.directory, "up").exists() for guest in guests)
        if first is None and up:
            first = _first_end(running, begin + wish.seconds)
    finally:
        for process in running:
            with process:
                process.kill()
    status = Path(guests[0].directory, "status")
    if first == 0 and status.exists():
        return Outcome(int(status.read_text()))
    if first is None and up:
        return Outcome(LATE, f"no end within {wish.seconds:g} s")
    why = f"not up within {wish.boot_seconds:g} s" if first is None else f"h{first + 1} died"
    return Outcome(DIED, "\n".join((why, *(line for guest in guests for line in _last_words(guest)))))


def _started(guest: Guest) -> "subprocess.Popen[bytes]":
    """Its QEMU, which ends with us even if nobody can tell it to; in a session of its own: Ctrl-C is ours."""
    with open(f"{guest.directory}.qemu", "wb") as complaints:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *guest.argv()],
            # At an end of its input QEMU would take the job's port away.
            stdin=subprocess.PIPE,
            stderr=complaints,
            start_new_session=True,
        )


def _first_end(running: Sequence["subprocess.Popen[bytes]"], end: float) -> int | None:
    """Which of them ended before the monotonic clock says *end*; None if none has."""
    waiting = select.poll()
    with ExitStack() as stack:
        index = {}
        for number, process in enumerate(running):
            pidfd = os.pidfd_open(process.pid)
            stack.callback(os.close, pidfd)
            waiting.register(pidfd, select.POLLIN)
            index[pidfd] = number
        found = waiting.poll(max(0, end - time.monotonic()) * 1000)
        return min((index[pidfd] for pidfd, _ in found), default=None)


def _last_words(guest: Guest) -> Iterator[str]:
    """The last lines of its console, and what QEMU complained of."""
    for page in (Path(f"{guest.directory}.console"), Path(f"{guest.directory}.qemu")):
        if page.exists():
            yield from (f"h{guest.number}: {line}" for line in page.read_text(errors="replace").splitlines()[-60:])
