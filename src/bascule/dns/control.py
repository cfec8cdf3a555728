"""What a daemon and its resolver say to each other: JSON behind four bytes of length, and file descriptors.

Every message but the resolver's answers has an "op"; every op is answered, once it is true, by `{}`, what it asked
for, or `{"error": …}`.  The resolver never speaks first.

    hello    version                                   -> version, pid, sandboxes
    publish  network, name, members                    a network's names are exactly these
    forget   network
    join     network, name, member                     one more, or replaced
    part     network, endpoint
    serve    sandbox, key, netns, networks, links, upstream, families, listeners, descriptors (how many come along)
             + sockets of that namespace: UDP and TCP of 127.0.0.11 if *listeners*, then those to ask others by
    leave    sandbox
    keep     sandboxes, networks                       all others are dropped
    state                                              -> zones, sandboxes; then one for each sandbox + descriptors
    retire                                             answer nothing new, finish what is begun, end
    bye                                                -> ends: nothing is served, and so it ends

A member is `[endpoint, [name, …], [address in hex, …]]`.  `hello`, `state` and `retire` are what another version
of the code must understand: change them only by adding.
"""

import hashlib
import json
import socket
import struct
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Message = dict[str, Any]

_LENGTH = struct.Struct("!I")
_encode = json.JSONEncoder(separators=(",", ":")).encode
MESSAGE_MAX = 256 << 20
DESCRIPTORS_MAX = 64
# A larger piece is not of the heap, but mapped and unmapped each time (mallopt(3): M_MMAP_THRESHOLD).
_AT_ONCE = 1 << 16


def version() -> str:
    """Which code the resolver is: a digest of its sources as they are on disk now."""
    here = Path(__file__).parent
    sources = [
        *sorted(p for p in here.glob("*.py") if p.name not in ("client.py", "line.py")),
        here.parent / "wire" / "dns.py",
    ]
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()[:16]


def frame(message: Message) -> bytes:
    """*message* as it is sent."""
    text = _encode(message).encode()
    return _LENGTH.pack(len(text)) + text


def send(sock: socket.socket, message: Message, descriptors: Sequence[int] = ()) -> None:
    """Write one message, whole."""
    send_bytes(sock, frame(message), descriptors)


def send_bytes(sock: socket.socket, frames: bytes, descriptors: Sequence[int] = ()) -> None:
    """Write some frames, whole; the descriptors belong to the last that announces any."""
    sent = socket.send_fds(sock, [frames], descriptors) if descriptors else 0
    if sent < len(frames):
        sock.sendall(frames[sent:])


class Inbox:
    """What has come in on one connection and was not taken yet."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._bytes = bytearray()
        self._descriptors: deque[int] = deque()

    def read(self) -> None:
        """Take in what is there.  Raises BlockingIOError or TimeoutError when nothing is, EOFError at the end."""
        data, descriptors, _, _ = socket.recv_fds(self.sock, _AT_ONCE, DESCRIPTORS_MAX)
        self._descriptors.extend(descriptors)
        if not data:
            raise EOFError
        self._bytes += data

    def take(self) -> Message | None:
        """The next whole message.  Raises ValueError for what is none."""
        if len(self._bytes) < _LENGTH.size:
            return None
        end = _LENGTH.size + _LENGTH.unpack_from(self._bytes)[0]
        if end > MESSAGE_MAX:
            raise ValueError(f"a message of {end} bytes")
        if len(self._bytes) < end:
            return None
        message = json.loads(self._bytes[_LENGTH.size : end])
        if not isinstance(message, dict):
            raise ValueError("a message that is no object")
        del self._bytes[:end]
        return message

    def descriptors(self, count: int) -> list[socket.socket]:
        """The next *count* sockets that came along.  The caller owns them."""
        if count > len(self._descriptors):
            raise ValueError(f"{count} descriptors announced, {len(self._descriptors)} came")
        return [socket.socket(fileno=self._descriptors.popleft()) for _ in range(count)]

    def close(self) -> None:
        """The connection, and whatever came along unclaimed."""
        for left in self.descriptors(len(self._descriptors)):
            left.close()
        self.sock.close()
