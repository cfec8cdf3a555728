"""The terminal and a container's streams: raw mode, size, detach keys, signals, and the copying between them.

One thread and one poll: what is typed goes to the container as fast as it takes it, what comes is written at
once, and neither waits for the other (a container that is fed more than it reads still gets its output read).
"""

import contextlib
import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from bascule.cli.client import Client, Refusal, Unreachable
from bascule.cli.options import UsageError

if TYPE_CHECKING:
    from bascule.cli.client import Stream

DEFAULT_KEYS = "ctrl-p,ctrl-q"
# Not passed on: those that are about our own process, or that no process can catch.
OWN = {"SIGCHLD", "SIGPIPE", "SIGURG", "SIGKILL", "SIGSTOP", "SIGWINCH", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGCONT"}


class Detached(Exception):
    """The detach keys were typed."""


def parse_keys(text: str) -> bytes:
    """`ctrl-p,q` as the bytes it stands for.  Raises UsageError."""
    found = b""
    for key in (text or DEFAULT_KEYS).split(","):
        letter = key.removeprefix("ctrl-").lower()
        if len(key) == 1:
            found += key.encode()
        elif key.startswith("ctrl-") and len(letter) == 1 and letter in "@abcdefghijklmnopqrstuvwxyz[\\]^_":
            found += bytes([ord(letter.upper()) & 31])
        else:
            raise UsageError(f"invalid detach keys ({text}): Unknown character: '{key}'")
    return found


class Keys:
    """Looks for the detach keys in what is typed, and holds back what may be their beginning."""

    def __init__(self, keys: bytes) -> None:
        self.keys = keys
        self.complete = False
        """They have been typed; nothing more is passed on."""
        self._held = b""

    def pass_on(self, typed: bytes) -> bytes:
        """What of it goes to the container."""
        out = b""
        for byte in typed:
            self._held += bytes([byte])
            while self._held and not self.keys.startswith(self._held):
                out, self._held = out + self._held[:1], self._held[1:]
            if self._held == self.keys:
                self.complete = True
                break
        return out


@contextlib.contextmanager
def raw(fd: int) -> Iterator[None]:
    """The terminal takes every key as it is, until the end of the block."""
    before = termios.tcgetattr(fd)
    tty.setraw(fd)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def size() -> dict[str, str]:
    """The terminal's size, as the API takes it; nothing where there is no terminal."""
    try:
        found = os.get_terminal_size(1)
    except OSError:
        return {}
    return {"h": str(found.lines), "w": str(found.columns)} if found.lines else {}


@contextlib.contextmanager
def resizing(client: Client, path: str) -> Iterator[None]:
    """The container's terminal has our terminal's size, now and after each change of it."""

    def tell(*_: object) -> None:
        # A container that has just ended, or not yet begun, has no terminal; its size does not matter then.
        with contextlib.suppress(Refusal, Unreachable):
            if wanted := size():
                client.ask("POST", path, wanted).body()

    before = signal.signal(signal.SIGWINCH, tell)
    try:
        tell()
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


@contextlib.contextmanager
def proxied(client: Client, ident: str) -> Iterator[None]:
    """Signals that reach us go to the container."""

    def pass_on(number: int, _: object) -> None:
        # It may have ended while the signal was on its way.
        with contextlib.suppress(Refusal, Unreachable):
            name = signal.Signals(number).name
            client.ask("POST", f"/containers/{ident}/kill", {"signal": name.removeprefix("SIG")}).body()

    wanted = [s for s in signal.Signals if s.name not in OWN and s.value < signal.SIGRTMIN]
    before = {s: signal.signal(s, pass_on) for s in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


class Frames:
    """Undoes the framing of a stream without a terminal: which bytes are output, which are errors."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        self._rest += data
        while len(self._rest) >= 8:
            end = 8 + int.from_bytes(self._rest[4:8], "big")
            if len(self._rest) < end:
                return
            yield self._rest[0], self._rest[8:end]
            self._rest = self._rest[end:]


def write(fd: int, data: bytes) -> None:
    """All of it, also to a terminal that takes a part."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            # Somebody else made our output non-blocking; wait until it takes more.
            select.select([], [fd], [])


def writer(*, framed: bool) -> Callable[[bytes], None]:
    """A function that writes what comes of the container to our outputs."""
    if not framed:
        return lambda data: write(1, data)
    frames = Frames()

    def out(data: bytes) -> None:
        for kind, part in frames.feed(data):
            write(2 if kind == 2 else 1, part)

    return out


def copy(stream: "Stream", first: bytes, *, framed: bool, stdin: bool, keys: bytes = b"") -> None:
    """Copy between us and the container until it closes its end.  Raises Detached."""
    out, watch = writer(framed=framed), Keys(keys)
    sys.stdout.flush()
    if first:
        out(first)
    poll = select.poll()
    poll.register(stream.fileno(), select.POLLIN)
    if stdin:
        poll.register(0, select.POLLIN)
    waiting, ended, reading = b"", False, stdin
    while True:
        for fd, what in poll.poll():
            if fd == 0:
                typed = _typed()
                ended = not typed
                waiting += watch.pass_on(typed) if keys else typed
            elif what & select.POLLOUT:
                waiting = _send(stream, waiting)
            if fd != 0 and what & ~select.POLLOUT:
                data = stream.recv(65536)
                if not data:
                    return
                out(data)
        if watch.complete and not waiting:
            raise Detached
        if ended and not waiting and reading:
            reading = False
            with contextlib.suppress(OSError):  # It has gone already: its end comes as data.
                stream.shutdown(1)
        _interest(poll, stream.fileno(), stdin=stdin and not ended and not watch.complete, waiting=bool(waiting))


def _typed() -> bytes:
    try:
        return os.read(0, 65536)
    except OSError:
        return b""  # The terminal is gone: its end.


def _send(stream: "Stream", waiting: bytes) -> bytes:
    """Send a little, so that a full connection stops us only when poll said that it is not."""
    try:
        stream.sendall(waiting[:4096])
    except (BrokenPipeError, ConnectionResetError):
        return b""  # Nobody reads it any more.
    return waiting[4096:]


def _interest(poll: "select.poll", fd: int, *, stdin: bool, waiting: bool) -> None:
    poll.register(fd, select.POLLIN | (select.POLLOUT if waiting else 0))
    if stdin and not waiting:
        poll.register(0, select.POLLIN)
    else:
        with contextlib.suppress(KeyError):
            poll.unregister(0)
