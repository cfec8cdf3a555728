"""Names over TCP: queries with two bytes of length before each, one after the other or many at once (RFC 7766).

Nobody can hold the resolver up: a connection has ten seconds from one whole query to the next, however it
trickles; who does not read what he asked for is not read from; and a sandbox that opens too many loses its oldest.
"""

import socket
from collections import OrderedDict
from collections.abc import Callable

from bascule.dns.loop import READ, WRITE, Loop

PATIENCE = 10.0
PER_SANDBOX = 32
# Two of the longest answers.
UNREAD_MAX = 2 * 65537
AT_ONCE = 4096
BATCH = 16

Send = Callable[[bytes], None]
Answer = Callable[[bytes, Send], None]


class Stream:
    """One client's connection."""

    __slots__ = ("door", "events", "inbox", "outbox", "sock")

    def __init__(self, door: "Door", sock: socket.socket) -> None:
        self.door = door
        self.sock = sock
        self.events = 0
        self.inbox = bytearray()
        self.outbox = bytearray()


class Door:
    """A sandbox's listening socket, who came in by it, and what answers them."""

    def __init__(self, listener: socket.socket, answer: Answer) -> None:
        self.listener = listener
        self.answer = answer
        self.streams: dict[Stream, None] = {}


class Streams:
    """All connections of all sandboxes."""

    def __init__(self, loop: Loop, clock: Callable[[], float]) -> None:
        self._loop = loop
        self._clock = clock
        # All have the same time, so the first is the first to run out of it.
        self._open: OrderedDict[Stream, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def open(self, door: Door) -> None:
        self._loop.watch(door.listener.fileno(), READ, lambda _: self._accept(door))

    def shut(self, door: Door) -> None:
        """No more come in; those inside may finish."""
        self._loop.forget(door.listener.fileno())
        door.listener.close()

    def close(self, door: Door) -> None:
        """Nobody comes in and nobody stays."""
        self.shut(door)
        for stream in list(door.streams):
            self._end(stream)

    def expire(self) -> float | None:
        """End what is too slow.  How long until the next one is, None: nobody is here."""
        while self._open:
            stream, until = next(iter(self._open.items()))
            left = until - self._clock()
            if left > 0:
                return left
            self._end(stream)
        return None

    def _accept(self, door: Door) -> None:
        for _ in range(BATCH):
            try:
                sock, _ = door.listener.accept()
            except OSError:
                # Nobody more, or he left before he was let in (accept(2)).
                return
            sock.setblocking(False)
            if len(door.streams) >= PER_SANDBOX:
                self._end(next(iter(door.streams)))
            stream = Stream(door, sock)
            door.streams[stream] = None
            self._open[stream] = self._clock() + PATIENCE
            self._watch(stream, READ)

    def _ready(self, stream: Stream, events: int) -> None:
        if events & WRITE:
            self._flush(stream)
        elif self._read(stream):
            self._end(stream)
        self._serve(stream)

    def _read(self, stream: Stream) -> bool:
        """Take in what is there; whether that was the end."""
        try:
            data = stream.sock.recv(AT_ONCE)
        except BlockingIOError:
            return False
        except OSError:
            return True
        stream.inbox += data
        return not data

    def _serve(self, stream: Stream) -> None:
        """Answer what is whole, as long as the client reads."""
        inbox = stream.inbox
        while stream in self._open and len(stream.outbox) < UNREAD_MAX and len(inbox) >= 2:
            end = 2 + int.from_bytes(inbox[:2])
            if len(inbox) < end:
                return
            query = bytes(inbox[2:end])
            del inbox[:end]
            self._open[stream] = self._clock() + PATIENCE
            self._open.move_to_end(stream)
            stream.door.answer(query, lambda answer: self._send(stream, answer))

    def _send(self, stream: Stream, answer: bytes) -> None:
        """Perhaps long after the query: the client may be gone."""
        if stream in self._open:
            stream.outbox += len(answer).to_bytes(2) + answer
            self._flush(stream)

    def _flush(self, stream: Stream) -> None:
        try:
            sent = stream.sock.send(stream.outbox)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._end(stream)
            return
        del stream.outbox[:sent]
        self._watch(stream, (WRITE if stream.outbox else 0) | (READ if len(stream.outbox) < UNREAD_MAX else 0))

    def _watch(self, stream: Stream, events: int) -> None:
        if events != stream.events:
            stream.events = events
            self._loop.watch(stream.sock.fileno(), events, lambda events: self._ready(stream, events))

    def _end(self, stream: Stream) -> None:
        self._open.pop(stream, None)
        stream.door.streams.pop(stream, None)
        self._loop.forget(stream.sock.fileno())
        stream.sock.close()
