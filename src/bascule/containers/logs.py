"""Logs: what conmon wrote of a container's output, in the format of Kubernetes' container runtimes.

A line of the file is `2026-01-02T03:04:05.123456789+00:00 stdout F text`, with P in place of F where the text did
not end in a newline (a long line, or a flush in the middle of one).
"""

import contextlib
import os
import select
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import datetime

from bascule.kernel import inotify

BLOCK = 64 * 1024
# Milliseconds, where the kernel does not tell of changes.
LOOK_AGAIN = 200
_STREAMS = {b"stdout": 1, b"stderr": 2}


@dataclass(frozen=True, slots=True)
class LogLine:
    """*data* ends in a newline unless the process has not written one (yet).  *stream* is 1 for stdout, 2 for
    stderr."""

    time: int
    """Nanoseconds since the epoch."""
    stream: int
    data: bytes


def parse(line: bytes) -> LogLine | None:
    """One line of the file without its newline; None for what conmon did not write."""
    stamp, _, rest = line.partition(b" ")
    stream, _, rest = rest.partition(b" ")
    flag, _, text = rest.partition(b" ")
    when = nanoseconds(stamp.decode("ascii", "replace"))
    if when is None or stream not in _STREAMS or flag not in (b"F", b"P"):
        return None
    return LogLine(when, _STREAMS[stream], text + b"\n" if flag == b"F" else text)


def nanoseconds(stamp: str) -> int | None:
    """An RFC 3339 time with up to nine digits of fraction, as nanoseconds since the epoch; None if it is none."""
    whole, dot, rest = stamp.partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    zone = rest[digits:] if dot else ""
    try:
        seconds = int(datetime.fromisoformat(whole + zone).timestamp())
        return seconds * 1_000_000_000 + int((rest[:digits] or "0").ljust(9, "0")[:9])
    except ValueError:
        return None


def tail_offset(fd: int, lines: int) -> int:
    """Where the last *lines* lines of the container's begin.  One that was written in pieces is one line."""
    start = os.fstat(fd).st_size
    streams: set[bytes] = set()
    seen = 0
    for offset, piece in _backwards(fd):
        _, stream, flag = [*piece.split(b" ", 3), b"", b""][:3]
        # Any other piece is one that its line goes on after.
        if flag != b"P" or stream not in streams:
            seen += 1
            if seen > lines:
                break
        streams.add(stream)
        start = offset
    return start


def _backwards(fd: int) -> Iterator[tuple[int, bytes]]:
    """The lines of the file without their newlines, and where they begin, from the last one to the first."""
    end = position = os.fstat(fd).st_size
    left = b""
    while position > 0:
        size = min(BLOCK, position)
        position -= size
        block = os.pread(fd, size, position) + left
        at = position + len(block) + 1
        left, *whole = block.split(b"\n")
        for line in reversed(whole):
            at -= len(line) + 1
            # Behind the newline that ends the file there is no line.
            if at < end:
                yield at, line
    if end:
        yield 0, left


class LogStream(Iterator[LogLine]):
    """The lines of a container's log.  With *follow* it waits for more until `stop` is called, and then still
    gives what was written before; `close` ends it at once, from any thread."""

    def __init__(
        self, path: str, *, follow: bool = False, tail: int | None = None, since: int = 0, until: int = 0
    ) -> None:
        self._since, self._until = since, until
        self._closed = False
        self._follow = follow
        self._lines: Generator[LogLine, None, None] | None = None
        self._fd = self._wake = self._changes = -1
        # O_CREAT: a container that has not run yet has no log, and may still be followed.
        self._fd = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        if follow:
            with contextlib.suppress(OSError):
                # A user has 128 of them by default.  Those who come later look again and again.
                self._changes = inotify.watch(path, inotify.IN_MODIFY)
        os.lseek(self._fd, 0 if tail is None else tail_offset(self._fd, tail), os.SEEK_SET)

    def __next__(self) -> LogLine:
        if self._lines is None:
            # Not before: its frame holds us, and a stream that nobody reads would keep its descriptors.
            self._lines = self._read()
        return next(self._lines)

    def stop(self) -> None:
        """Nothing more will be written: end when everything has been read."""
        if not self._closed:
            os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """End now; a reader waiting in another thread is woken."""
        self._closed = True
        os.eventfd_write(self._wake, 1)
        if self._lines:
            with contextlib.suppress(ValueError):
                # Without a frame it no longer holds us.  A thread that is in it has been woken and ends it itself.
                self._lines.close()

    def __del__(self) -> None:
        for fd in (self._fd, self._wake, self._changes):
            if fd >= 0:
                os.close(fd)

    def _read(self) -> Generator[LogLine, None, None]:
        held = b""
        ending = not self._follow
        while not self._closed:
            block = os.read(self._fd, BLOCK)
            if not block:
                if ending:
                    return
                ending = self._wait()
                continue
            *lines, held = (held + block).split(b"\n")
            for line in lines:
                found = parse(line)
                if found is None or found.time < self._since:
                    continue
                if self._until and found.time > self._until:
                    return
                yield found

    def _wait(self) -> bool:
        """Wait for a change; True when told to stop."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if self._changes < 0:
            return bool(poll.poll(LOOK_AGAIN))
        poll.register(self._changes, select.POLLIN)
        ready = {fd for fd, _ in poll.poll()}
        inotify.drain(self._changes)
        return self._wake in ready
