"""A netlink socket, NETLINK_ROUTE unless another is asked for: requests out, answers back, dumps whole.

The kernel works through a datagram while it is being sent, so when sendmsg returns every answer is in the socket's
buffer already, and reading them never waits.
"""

import errno
import socket
import threading
from collections.abc import Sequence

from bascule.model.errors import KernelError
from bascule.wire import netlink
from bascule.wire.netlink import Answer, Listing, Message, Request

SOL_NETLINK = 270
NETLINK_CAP_ACK, NETLINK_EXT_ACK = 10, 11
# A datagram of the kernel's dumps is at most this long (net/netlink/af_netlink.c: max_recvmsg_len).
RECEIVE = 1 << 16
# Header, errno, the request's header, and a sentence of explanation.
ANSWER = 4096
YES = Answer(0, 0)
ALL_DONE: list[Answer] = []
"""What `ask` returns when nothing was refused: this very list."""
# An answer takes under 1 KiB of the receive buffer (an skb's truesize): 128 always fit in the default 208 KiB.
BATCH = 128
# Links come and go while they are listed; a list that was cut through this often is somebody's busy loop.
DUMP_TRIES = 50


class RouteSocket:
    """One socket in the namespace of the thread that makes it; any thread may use it, one at a time."""

    def __init__(self, protocol: int = socket.NETLINK_ROUTE) -> None:
        self._lock = threading.Lock()
        self._seq = 0
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        try:
            self._socket.bind((0, 0))
            self._socket.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
            self._socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        except OSError:
            self._socket.close()
            raise

    def __del__(self) -> None:
        # Whoever uses it last closes it; see place.Place.
        self._socket.close()

    def ask(self, requests: Sequence[Request]) -> list[Answer]:
        """One answer for each request, in order; ALL_DONE if none was refused.  A refusal does not stop
        the requests behind it."""
        with self._lock:
            if len(requests) <= BATCH:
                return self._ask(requests)
            parts = [requests[start : start + BATCH] for start in range(0, len(requests), BATCH)]
            given = [self._ask(part) for part in parts]
        if all(answers is ALL_DONE for answers in given):
            return ALL_DONE
        return [a for part, answers in zip(parts, given, strict=True) for a in answers or [YES] * len(part)]

    def _ask(self, requests: Sequence[Request]) -> list[Answer]:
        if not requests:
            return ALL_DONE
        first = self._number(len(requests))
        last = first + len(requests) - 1
        self._send(netlink.frame(requests, first))
        refused: list[Answer] = []
        while True:
            for message in netlink.messages(self._receive(ANSWER)):
                if message.type == netlink.NLMSG_ERROR and first <= message.seq <= last:
                    answer = netlink.answer(message)
                    if answer.errno:
                        refused.append(answer)
                    if message.seq == last:
                        return _all(refused, first, len(requests)) if refused else ALL_DONE

    def get(self, request: Request) -> Message | None:
        """The one message that answers *request*; None if there is no such thing.  Raises KernelError."""
        with self._lock:
            seq = self._number(1)
            self._send(netlink.frame_question(request, seq))
            while True:
                for message in netlink.messages(self._receive(RECEIVE)):
                    if message.seq != seq:
                        continue
                    if message.type != netlink.NLMSG_ERROR:
                        return message
                    answer = netlink.answer(message)
                    if answer.errno in (errno.ENODEV, errno.ENOENT):
                        return None
                    raise KernelError(answer.errno, "netlink request", answer.text)

    def dump(self, request: Request) -> list[Message]:
        """Everything that *request* lists, as it was at one moment.  Raises KernelError."""
        with self._lock:
            for _ in range(DUMP_TRIES):
                seq = self._number(1)
                self._send(netlink.frame_question(request, seq))
                listing = Listing(seq)
                while listing.end is None:
                    listing.take(self._receive(RECEIVE))
                if listing.end.errno:
                    raise KernelError(listing.end.errno, "netlink dump", listing.end.text)
                if listing.whole:
                    return listing.found
        raise KernelError(errno.EINTR, "netlink dump", f"changed while it was read, {DUMP_TRIES} times")

    def _number(self, count: int) -> int:
        """The first of *count* numbers that no request had lately."""
        first = self._seq + 1
        self._seq = (self._seq + count) & 0x3FFFFFFF
        return first

    def _send(self, datagram: bytes) -> None:
        try:
            self._socket.send(datagram)
        except OSError as why:
            raise KernelError(why.errno or errno.EIO, "netlink request") from None

    def _receive(self, size: int) -> bytes:
        try:
            return self._socket.recv(size)
        except OSError as why:
            # ENOBUFS: an answer was lost.  Nobody may take that for a yes.
            raise KernelError(why.errno or errno.EIO, "netlink answer") from None


def _all(refused: Sequence[Answer], first: int, count: int) -> list[Answer]:
    answers = [YES] * count
    for answer in refused:
        answers[answer.seq - first] = answer
    return answers
