"""A connection to a resolver, as its daemon has it: requests out, answers in, in order."""

import contextlib
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

from bascule.dns import control
from bascule.dns.control import Inbox, Message
from bascule.model.errors import Failed

PATIENCE = 10.0
# Answers that may wait: a resolver whose answers nobody reads would stand still when the socket's buffer is full,
# at 277 of them (each takes 768 bytes of 212,992).
UNHEARD_MAX = 64


@dataclass(slots=True)
class Told:
    """What the resolver has of one sandbox: its namespace, and the families of sockets to ask others by."""

    netns: str
    families: set[int] = field(default_factory=set)


class Line:
    """A connection to a resolver.  One request at a time."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(PATIENCE)
        self.sock = sock
        self.pid = 0
        self.served: dict[str, Told] = {}
        self._owed = 0
        self._unsent = b""
        self._inbox = Inbox(sock)

    def ask(self, message: Message, descriptors: Sequence[int] = ()) -> Message:
        """The resolver's answer.  Raises OSError or EOFError when it is gone, Failed when it refuses."""
        self.say(message, descriptors)
        return self.settle()

    def say(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Ask for what need not be true before the next `ask` or `settle`: the resolver keeps the order."""
        self.note(message)
        self._send(descriptors)

    def note(self, message: Message) -> None:
        """The same for what the resolver need not hear of before it is told the next thing: waking it costs more
        than the message."""
        if self._owed >= UNHEARD_MAX:
            self.settle()
        self._unsent += control.frame(message)
        self._owed += 1

    def _send(self, descriptors: Sequence[int] = ()) -> None:
        unsent, self._unsent = self._unsent, b""
        control.send_bytes(self.sock, unsent, descriptors)

    def settle(self) -> Message:
        """The last answer, when all are there.  Raises as `ask` does."""
        answer: Message = {}
        refusal = ""
        if self._unsent:
            self._send()
        while self._owed:
            answer = self.hear()
            self._owed -= 1
            refusal = refusal or answer.get("error", "")
        if refusal:
            raise Failed(f"the resolver refused: {refusal}")
        return answer

    def hear(self) -> Message:
        while (message := self._inbox.take()) is None:
            self._inbox.read()
        return message

    def sockets(self, count: int) -> list[socket.socket]:
        return self._inbox.descriptors(count)

    def close(self) -> None:
        # Wakes whoever watches a duplicate of it.
        with contextlib.suppress(OSError):  # not connected any more
            self.sock.shutdown(socket.SHUT_RDWR)
        self._inbox.close()
