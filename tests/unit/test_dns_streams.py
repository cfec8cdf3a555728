"""TCP clients of the resolver, good and bad, on loopback and by a clock that the test moves."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from bascule.dns.loop import Loop
from bascule.dns.streams import PATIENCE, PER_SANDBOX, UNREAD_MAX, Door, Send, Streams

DEADLINE = 5.0


class Ground:
    """A door that answers a query with its bytes twice, and keeps waiting those that begin with `late`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.loop = Loop()
        self.streams = Streams(self.loop, lambda: self.now)
        self.late: list[Send] = []
        self.door = Door(socket.create_server(("127.0.0.1", 0)), self._answer)
        self.door.listener.setblocking(False)
        self.streams.open(self.door)
        self.clients = ExitStack()

    def _answer(self, data: bytes, send: Send) -> None:
        if data.startswith(b"late"):
            self.late.append(send)
        else:
            send(data * 2)

    def client(self) -> socket.socket:
        """Connected, and let in."""
        before = len(self.streams)
        sock = self.clients.enter_context(socket.create_connection(self.door.listener.getsockname(), DEADLINE))
        if before < PER_SANDBOX:
            self.until(lambda: len(self.streams) > before)
        return sock

    def until(self, holds: Callable[[], bool]) -> None:
        """Turn the loop until it holds."""
        for _ in range(1000):
            if holds():
                return
            self.loop.turn(0.1)
        raise AssertionError("it never came true")

    def hear(self, sock: socket.socket, count: int) -> bytes:
        """So many bytes, or fewer at the end."""
        heard = b""
        sock.settimeout(0)
        for _ in range(100_000):
            try:
                some = sock.recv(count - len(heard))
            except BlockingIOError:
                self.loop.turn(0.1)
                continue
            except ConnectionResetError:
                return heard
            heard += some
            if not some or len(heard) == count:
                return heard
        raise AssertionError(f"only {len(heard)} bytes came")


@pytest.fixture
def ground() -> Iterator[Ground]:
    here = Ground()
    yield here
    here.clients.close()
    here.streams.close(here.door)
    here.loop.close()


def framed(*queries: bytes) -> bytes:
    return b"".join(len(q).to_bytes(2) + q for q in queries)


def test_queries_sent_at_once_are_answered_in_order(ground: Ground) -> None:
    client = ground.client()
    client.sendall(framed(b"one", b"two", b"three"))
    assert ground.hear(client, 28) == framed(b"oneone", b"twotwo", b"threethree")


def test_a_query_in_pieces_is_answered_when_it_is_whole(ground: Ground) -> None:
    client = ground.client()
    for piece in (b"\0", b"\3o", b"n", b"e"):
        client.sendall(piece)
        ground.loop.turn(0.1)
    assert ground.hear(client, 8) == framed(b"oneone")


def test_an_answer_may_come_later_and_out_of_order(ground: Ground) -> None:
    client = ground.client()
    client.sendall(framed(b"late", b"one"))
    assert ground.hear(client, 8) == framed(b"oneone")
    ground.late[0](b"at last")
    assert ground.hear(client, 9) == framed(b"at last")


def test_an_answer_for_somebody_who_left_harms_nobody(ground: Ground) -> None:
    client = ground.client()
    client.sendall(framed(b"late"))
    ground.until(lambda: bool(ground.late))
    client.close()
    ground.until(lambda: not len(ground.streams))
    ground.late[0](b"at last")


def test_a_trickle_is_ended_when_its_time_is_over(ground: Ground) -> None:
    client = ground.client()
    for _ in range(4):
        client.sendall(b"\1")
        ground.loop.turn(0.1)
        ground.now += PATIENCE / 4 - 0.01
    assert ground.streams.expire() == pytest.approx(0.04)
    ground.now += 0.05
    assert ground.streams.expire() is None
    assert ground.hear(client, 1) == b""


def test_each_whole_query_gives_new_time(ground: Ground) -> None:
    client = ground.client()
    for _ in range(3):
        ground.now += PATIENCE - 1
        client.sendall(framed(b"one"))
        assert ground.hear(client, 8) == framed(b"oneone")
        assert ground.streams.expire() == PATIENCE


def test_the_oldest_of_too_many_has_to_go(ground: Ground) -> None:
    clients = [ground.client() for _ in range(PER_SANDBOX + 1)]
    ground.until(lambda: clients[-1].getsockname() in {s.sock.getpeername() for s in ground.door.streams})
    assert len(ground.streams) == PER_SANDBOX
    assert ground.hear(clients[0], 1) == b""
    clients[-1].sendall(framed(b"one"))
    assert ground.hear(clients[-1], 8) == framed(b"oneone")


def test_who_does_not_read_is_not_read_from(ground: Ground) -> None:
    for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        ground.door.listener.setsockopt(socket.SOL_SOCKET, buffer, 65536)
    client = ground.client()
    client.settimeout(0)
    many = framed(b"x" * 30_000) * 20
    stream = next(iter(ground.door.streams))
    sent = full = 0
    for _ in range(20_000):
        try:
            sent += client.send(many[sent % len(many) :])
        except BlockingIOError:
            ground.loop.turn(0)
        full += len(stream.outbox) >= UNREAD_MAX
        if full > 100:
            break
    assert UNREAD_MAX <= len(stream.outbox) < UNREAD_MAX + 70_000
    assert len(stream.inbox) < 70_000
    # And when at last he does, nothing is missing.
    whole = sent // 30_002
    assert ground.hear(client, 60_002 * whole) == framed(b"x" * 60_000) * whole
