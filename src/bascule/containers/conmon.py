"""conmon: the small process that stays with a container.  It has the runtime make it, keeps its output, passes
input and terminal sizes on, and writes down how it ended.

It is our child (`--sync`: one fork less) in a session of its own, so it lives on when we die; whoever finds it
again later watches it by a pidfd.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from bascule.containers.runtime import Runtime, reason
from bascule.model.errors import Failed, Unavailable

# Where conmon looks for its end of the pipes (src/utils.c): descriptor numbers in the environment.
_SYNC, _START, _ATTACH = 3, 4, 5
ENV = "/usr/bin/env"


@dataclass(frozen=True, slots=True)
class Started:
    """A conmon that has made its container, or run its process."""

    conmon: int
    pid: int


def program(name: str) -> str:
    """The path of the monitor called *name*.  Raises Unavailable when there is none."""
    path = shutil.which(name)
    if path is None:
        raise Unavailable(f"no container monitor: {name} is not installed")
    return path


class Conmon:
    """conmon, for containers of one runtime."""

    def __init__(self, path: str, runtime: Runtime) -> None:
        self.path = program(path)
        self._runtime = runtime

    def create(
        self, ident: str, name: str, bundle: str, *, log: str, exits: str, tty: bool, stdin: bool, keep_stdin: bool
    ) -> Started:
        """The container of *bundle* is made, its process waits.  Raises Failed with the runtime's words."""
        words = [
            *self._common(ident, ident, bundle, exits, tty=tty, stdin=stdin),
            "-n",
            name,
            "-l",
            f"k8s-file:{log}",
        ]
        if keep_stdin:
            words.append("--leave-stdin-open")
        return self._spawn(words, bundle).made()

    def execute(self, ident: str, session: str, bundle: str, *, tty: bool, stdin: bool) -> "Session":
        """A further process of container *ident*, by *bundle*/process.json, about to be run: see Session."""
        words = self._common(ident, session, bundle, bundle, tty=tty, stdin=stdin)
        # Version 1: conmon refuses to attach to an exec without it, and tells the pid before the exit code.
        words += ["--api-version", "1", "-e", "--exec-attach", "-l", "none"]
        words += ["--exec-process-spec", f"{bundle}/process.json"]
        return self._spawn(words, bundle)

    def _common(self, ident: str, unique: str, bundle: str, exits: str, *, tty: bool, stdin: bool) -> list[str]:
        words = [self.path, "--sync", "--full-attach", "-c", ident, "-u", unique, "-b", bundle]
        words += ["-r", self._runtime.path, "--runtime-arg", f"--root={self._runtime.root}"]
        words += ["-p", f"{bundle}/pidfile", "--exit-dir", exits, "--log-level", "error"]
        return words + ["-t"] * tty + ["-i"] * stdin

    def _spawn(self, words: Sequence[str], bundle: str) -> "Session":
        # When the kernel kills for want of memory conmon writes a file "oom" wherever it is (src/oom.c).
        words = ["env", "-C", bundle, *words]
        # The child sees its ends as 3, 4 and 5.  All six of ours are above, so that no dup2 covers another.
        pipes = [tuple(_above(fd) for fd in os.pipe()) for _ in range(3)]
        (sync_r, sync_w), (start_r, start_w), (attach_r, attach_w) = pipes
        attached = "--exec-attach" in words
        env = {"PATH": os.environ.get("PATH", os.defpath), "_OCI_SYNCPIPE": str(_SYNC)}
        actions: list[tuple[int, ...]] = [(os.POSIX_SPAWN_DUP2, sync_w, _SYNC)]
        if attached:
            env |= {"_OCI_STARTPIPE": str(_START), "_OCI_ATTACHPIPE": str(_ATTACH)}
            actions += [(os.POSIX_SPAWN_DUP2, start_r, _START), (os.POSIX_SPAWN_DUP2, attach_w, _ATTACH)]
        quiet = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0),
        ]
        try:
            pid = os.posix_spawn(ENV, list(words), env, file_actions=[*quiet, *actions], setsid=True)
        finally:
            for fd in (sync_w, start_r, attach_w):
                os.close(fd)
        return Session(pid, sync_r, start_w, attach_r, self._runtime)


class Session:
    """A conmon that has just been started: first `attached`, where it waits for it, then `made`, always."""

    def __init__(self, conmon: int, sync: int, start: int, attach: int, runtime: Runtime) -> None:
        self.conmon = conmon
        self._sync, self._start, self._attach = sync, start, attach
        self._runtime = runtime

    def attached(self) -> None:
        """Its socket is there: nothing has run yet.  The process is run by `made`."""
        # It waits twice: for whoever would move it to a control group first, and once its socket is there.
        self._go_on()
        _read_line(self._attach)

    def made(self) -> Started:
        """Let it go on, and hear what became of it.  Raises Failed with the runtime's words."""
        self._go_on()
        line = _read_line(self._sync)
        for fd in (self._sync, self._start, self._attach):
            os.close(fd)
        try:
            answer = json.loads(line)
            pid = int(answer.get("pid", answer.get("data", -1)))
        except (ValueError, AttributeError, TypeError):
            answer, pid = {}, -1
        if pid > 0:
            return Started(self.conmon, pid)
        reap(self.conmon)
        message = str(answer.get("message") or "")
        raise Failed(reason(message) if message else "the container monitor ended without a word")

    def _go_on(self) -> None:
        try:
            os.write(self._start, b"\0")
        except BrokenPipeError:
            # It waits for nothing: a container's conmon does not.
            pass


def _above(fd: int) -> int:
    """The same pipe's end under a number that the child's fixed ones do not reach."""
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(fd)
    return moved


def _read_line(fd: int) -> bytes:
    """The first line; an exec's monitor may have written the next one, the exit code, by then."""
    data = b""
    while b"\n" not in data:
        block = os.read(fd, 4096)
        if not block:
            break
        data += block
    return data.partition(b"\n")[0]


def reap(pid: int) -> None:
    """Wait for our child *pid*.  Not an error if it is not ours: an earlier process of ours started it."""
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        return


def find(bundles: str) -> dict[str, int]:
    """The living conmons of containers below *bundles*: the bundle's path and the process id."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as source:
                words = source.read().split(b"\0")
        except OSError:
            # It ended while we looked.
            continue
        if b"-b" in words and words[0].endswith(b"conmon"):
            bundle = os.fsdecode(words[words.index(b"-b") + 1])
            if bundle.startswith(bundles + "/"):
                found[bundle] = int(entry)
    return found
