"""A netfilter netlink socket: transactions and dumps, some ten microseconds each.

The kernel does the work of a request inside `send` and its answers wait in the socket when that returns, so
nothing here blocks.  A socket is for one thread at a time; the caller holds a lock.
"""

import errno
import socket
import struct
from collections.abc import Iterable, Iterator

from bascule.kernel.filters import EQUAL, LEAVE, LOAD_WORD, TAKE, attach
from bascule.model.errors import KernelError
from bascule.wire.nfnetlink import (
    GETGEN,
    GROUP_NFTABLES,
    NLM_F_DUMP_INTR,
    NLMSG_DONE,
    NLMSG_ERROR,
    Message,
    batch,
    message,
    messages,
    refusal,
)
from bascule.wire.nftelements import generation

_NETLINK_NETFILTER = 12
_SOL_NETLINK = 270
_ADD_MEMBERSHIP, _CAP_ACK, _EXT_ACK = 1, 10, 11
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE, _SO_ATTACH_FILTER = 32, 33, 26
# A transaction is one datagram, which must fit into the send buffer (net/netlink/af_netlink.c: netlink_sendmsg).
_SEND_BUFFER = 256 * 1024
# Refusals of a big batch, and dumps, which the kernel makes 32 KiB at most.
_RECEIVE = 64 * 1024
_DUMP_TRIES = 10


class Netfilter:
    """One socket in the network namespace of the thread that makes it."""

    def __init__(self) -> None:
        self._socket = _open()
        self._send_buffer = 0
        self._grow(_SEND_BUFFER)
        self.portid: int = self._socket.getsockname()[0]

    def _grow(self, size: int) -> None:
        if size > self._send_buffer:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, size)
            self._send_buffer = size

    def transact(self, requests: Iterable[bytes], what: str) -> None:
        """Make *requests* of nftables come true together.  Raises KernelError, about *what*, if none did."""
        self._send(batch(requests), what)
        for answer in self._answers():
            refused = refusal(answer)
            if refused:
                raise KernelError(refused.errno, what, refused.text)

    def request(self, requests: bytes, what: str) -> list[KernelError]:
        """Make each of *requests* come true by itself; the refusals."""
        self._send(requests, what)
        refusals = (refusal(answer) for answer in self._answers())
        return [KernelError(refused.errno, what, refused.text) for refused in refusals if refused]

    def dump(self, request: bytes, what: str) -> list[Message]:
        """Everything *request* asks for.  What is not there has nothing in it."""
        for _ in range(_DUMP_TRIES):
            self._send(request, what)
            found = list(self._until_done(what))
            if not any(answer.flags & NLM_F_DUMP_INTR for answer in found):
                return [answer for answer in found if answer.type not in (NLMSG_ERROR, NLMSG_DONE)]
            # The kernel says that the list changed while it was written.
        raise KernelError(errno.EINTR, what)

    def generation(self) -> int:
        """The number of the rule set's present state; every transaction of anybody makes a new one."""
        self._send(message(GETGEN, 0), "ask for the generation")
        return next((generation(answer)[0] for answer in self._answers() if answer.type not in (2, 3)), 0)

    def _send(self, data: bytes, what: str) -> None:
        # sk_sndbuf counts 32 bytes of overhead with each datagram.
        self._grow(len(data) + 64)
        try:
            self._socket.send(data)
        except OSError as refused:
            raise KernelError(refused.errno or 0, what) from refused

    def _answers(self) -> Iterator[Message]:
        while True:
            try:
                data = self._socket.recv(_RECEIVE, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            yield from messages(data)

    def _until_done(self, what: str) -> Iterator[Message]:
        while True:
            for answer in messages(self._socket.recv(_RECEIVE)):
                refused = refusal(answer)
                if refused and refused.errno != errno.ENOENT:
                    raise KernelError(refused.errno, what, refused.text)
                yield answer
                if answer.type in (NLMSG_DONE, NLMSG_ERROR):
                    return

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()


def changes(but: int) -> socket.socket:
    """A socket that, once it is told to `listen`, hears every change of nftables except those made through the
    port *but*.

    Ours come hundreds at a time and are known; the kernel leaves them out before they are queued.
    """
    hears = _open()
    hears.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 4 * 1024 * 1024)
    _attach(hears, but)
    hears.setblocking(False)
    return hears


def listen(hears: socket.socket) -> None:
    """From now on *hears* does."""
    hears.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, GROUP_NFTABLES)


def _open() -> socket.socket:
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
    opened.bind((0, 0))
    for option in (_CAP_ACK, _EXT_ACK):
        opened.setsockopt(_SOL_NETLINK, option, 1)
    return opened


def _attach(hears: socket.socket, but: int) -> None:
    # nlmsg_pid is at 12, in the host's order; a filter loads in the network's (linux/filter.h).
    port = int.from_bytes(but.to_bytes(4, "big"), "little") if struct.pack("=H", 1)[0] else but
    attach(hears, ((LOAD_WORD, 0, 0, 12), (EQUAL, 0, 1, port), LEAVE, TAKE))
