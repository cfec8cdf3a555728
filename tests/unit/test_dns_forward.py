"""Asking others, over loopback, by a clock that the test moves."""

import itertools
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bascule.dns.forward import OUTSTANDING_MAX, PATIENCE, Forwarder, Pool
from bascule.dns.loop import Loop
from bascule.dns.upstream import host_servers
from bascule.model.addresses import ip_address
from bascule.wire.dns import (
    NOERROR,
    NXDOMAIN,
    REFUSED,
    SERVFAIL,
    TRUNCATED,
    A,
    query,
    read_message,
    read_query,
    reply,
    to_wire,
)

FIRST, SECOND, THIRD, FOURTH = (f"127.0.0.{n}" for n in (2, 3, 4, 5))
DEADLINE = 5.0


class Ground:
    """A forwarder whose servers all live on one port of different loopback addresses, and what it was told."""

    def __init__(self) -> None:
        self.now = 0.0
        self.loop = Loop()
        self.open = ExitStack()
        first = self.open.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        first.bind((FIRST, 0))
        self.port = first.getsockname()[1]
        self.servers = {FIRST: first}
        ids = itertools.count(1000)
        self.forwarder = Forwarder(self.loop, lambda: self.now, lambda: next(ids) & 0xFFFF, port=self.port)
        self.home = Pool()
        self.heard: list[bytes] = []

    def server(self, address: str) -> socket.socket:
        if address not in self.servers:
            sock = self.open.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sock.bind((address, self.port))
            self.servers[address] = sock
        self.servers[address].settimeout(DEADLINE)
        return self.servers[address]

    def ask(self, *servers: str, name: str = "example.com", stream: bool = False) -> None:
        data = query(to_wire(name), A, ident=7)
        self.forwarder.ask(self.home, servers, data, read_query(data), self.heard.append, stream=stream)

    def codes(self) -> list[tuple[int, int]]:
        """(id, rcode) of what was answered so far."""
        return [(m.ident, m.rcode) for m in map(read_message, self.heard)]

    def until(self, holds: Callable[[], object]) -> None:
        for _ in range(1000):
            if holds():
                return
            self.loop.turn(0.1)
        raise AssertionError("it never came true")

    def expect(self, *codes: int) -> None:
        self.until(lambda: len(self.heard) >= len(codes))
        assert self.codes() == [(7, code) for code in codes]


@pytest.fixture
def ground() -> Iterator[Ground]:
    here = Ground()
    yield here
    here.forwarder.drop(here.home)
    here.forwarder.close()
    here.open.close()
    here.loop.close()


def answer(
    server: socket.socket, *, rcode: int = NOERROR, change: Callable[[bytes], bytes] = bytes
) -> tuple[bytes, int]:
    """Answer the next query; what it was, and the port it came from."""
    data, sender = server.recvfrom(4096)
    server.sendto(change(reply(data, read_query(data), ttl=1, rcode=rcode, limit=512)), sender)
    return data, sender[1]


def test_the_answer_comes_back_with_the_askers_id(ground: Ground) -> None:
    ground.ask(FIRST)
    asked, _ = answer(ground.server(FIRST))
    assert read_message(asked).ident == 1000
    ground.expect(NOERROR)


@pytest.mark.parametrize("rcode", [SERVFAIL, REFUSED])
def test_what_one_server_will_not_answer_the_next_is_asked(ground: Ground, rcode: int) -> None:
    ground.server(SECOND)
    ground.ask(FIRST, SECOND)
    answer(ground.server(FIRST), rcode=rcode)
    ground.until(lambda: ground.forwarder.asking() == [SECOND])
    answer(ground.server(SECOND))
    ground.expect(NOERROR)


def test_a_name_that_does_not_exist_is_an_answer(ground: Ground) -> None:
    ground.ask(FIRST, SECOND)
    answer(ground.server(FIRST), rcode=NXDOMAIN)
    ground.expect(NXDOMAIN)


def test_a_server_that_is_not_there_costs_no_time(ground: Ground) -> None:
    ground.ask(THIRD, FIRST)
    ground.until(lambda: ground.forwarder.asking() == [FIRST])
    answer(ground.server(FIRST))
    ground.expect(NOERROR)


def test_a_silent_server_costs_four_seconds_and_three_are_asked(ground: Ground) -> None:
    for address in (SECOND, THIRD, FOURTH):
        ground.server(address)
    ground.ask(FIRST, SECOND, THIRD, FOURTH)
    for address in (FIRST, SECOND, THIRD):
        assert ground.forwarder.asking() == [address]
        assert ground.forwarder.expire() == PATIENCE
        ground.now += PATIENCE
        ground.forwarder.expire()
    ground.expect(SERVFAIL)


def test_a_server_that_cannot_even_read_the_question_is_passed_over(ground: Ground) -> None:
    ground.server(SECOND)
    ground.ask(FIRST, SECOND)
    answer(ground.server(FIRST), rcode=1, change=lambda data: data[:4] + bytes(8))
    ground.until(lambda: ground.forwarder.asking() == [SECOND])


@pytest.mark.parametrize(
    "forge",
    [
        lambda data: bytes((data[0] ^ 1,)) + data[1:],
        lambda data: data[:2] + bytes((data[2] & 0x7F,)) + data[3:],
        lambda data: data[:13] + b"E" + data[14:-5] + b"\x02" + data[-4:],
        lambda data: data[:-3] + bytes((data[-3] ^ 1,)) + data[-2:],
        lambda data: data[:5] + b"\x02" + data[6:],
        lambda data: data[:20],
        lambda data: data[:11],
        lambda data: data[:0],
    ],
    ids=["id", "query", "name", "type", "count", "short", "header", "empty"],
)
def test_an_answer_that_does_not_fit_the_question_is_none(ground: Ground, forge: Callable[[bytes], bytes]) -> None:
    ground.ask(FIRST)
    server = ground.server(FIRST)
    data, sender = server.recvfrom(4096)
    true = reply(data, read_query(data), ttl=1, rcode=NXDOMAIN, limit=512)
    server.sendto(forge(true), sender)
    server.sendto(true, sender)
    ground.expect(NXDOMAIN)


def test_an_answer_from_somebody_else_is_none(ground: Ground) -> None:
    ground.ask(FIRST)
    server = ground.server(FIRST)
    data, sender = server.recvfrom(4096)
    ground.server(SECOND).sendto(reply(data, read_query(data), ttl=1, rcode=NOERROR, limit=512), sender)
    server.sendto(reply(data, read_query(data), ttl=1, rcode=NXDOMAIN, limit=512), sender)
    ground.expect(NXDOMAIN)


def test_each_question_leaves_by_another_port(ground: Ground) -> None:
    ports = set()
    for _ in range(20):
        ground.ask(FIRST)
        ports.add(answer(ground.server(FIRST))[1])
        ground.until(lambda: not ground.forwarder.asking())
    # Of 28,232 ports twenty are all different in 993 of 1,000 cases.
    assert len(ports) >= 18


def test_more_questions_than_may_be_open_are_refused(ground: Ground) -> None:
    for _ in range(OUTSTANDING_MAX + 2):
        ground.ask(FIRST)
    assert ground.codes() == [(7, REFUSED)] * 2
    ground.forwarder.drop(ground.home)
    assert ground.forwarder.asking() == []
    ground.ask(FIRST)
    assert len(ground.heard) == 2


def test_an_answer_that_is_too_long_for_the_asker_is_cut(ground: Ground) -> None:
    ground.ask(FIRST)
    answer(ground.server(FIRST), change=lambda data: data + bytes(600))
    ground.expect(NOERROR)
    assert read_message(ground.heard[0]).truncated
    assert len(ground.heard[0]) < 512


def test_a_truncated_answer_is_passed_on_as_it_is(ground: Ground) -> None:
    ground.ask(FIRST)
    answer(ground.server(FIRST), change=lambda d: d[:2] + (int.from_bytes(d[2:4]) | TRUNCATED).to_bytes(2) + d[4:])
    ground.expect(NOERROR)
    assert read_message(ground.heard[0]).truncated


def framed(data: bytes) -> bytes:
    return len(data).to_bytes(2) + data


def test_who_came_by_tcp_is_asked_for_by_tcp(ground: Ground) -> None:
    with socket.create_server((FIRST, ground.port)) as listener:
        listener.settimeout(DEADLINE)
        # More than there are sockets, so that some have to wait for one, which then is used again.
        for number in range(9):
            ground.ask(FIRST, name=f"x{number}.example", stream=True)
        for number in range(9):
            call, _ = listener.accept()
            with call:
                call.settimeout(DEADLINE)
                ground.loop.turn(0.1)
                data = call.recv(4096)[2:]
                whole = framed(reply(data, read_query(data), [(A, bytes(4))] * 200, ttl=1, limit=65535))
                call.sendall(whole[:1])
                ground.loop.turn(0.1)
                call.sendall(whole[1:])
                done = number + 1
                ground.until(lambda done=done: len(ground.heard) >= done)  # type: ignore[misc]
    assert sorted(read_message(m).questions[0][0] for m in ground.heard) == [
        to_wire(f"x{number}.example") for number in range(9)
    ]
    assert {len(read_message(m).answers) for m in ground.heard} == {200}


def test_a_tcp_server_that_hangs_up_or_is_not_there_is_passed_over(ground: Ground) -> None:
    with socket.create_server((FIRST, ground.port)) as listener:
        listener.settimeout(DEADLINE)
        ground.ask(SECOND, FIRST, THIRD, stream=True)
        ground.until(lambda: ground.forwarder.asking() == [FIRST])
        listener.accept()[0].close()
    ground.expect(SERVFAIL)


def test_a_thousand_unreachable_questions_are_all_told(ground: Ground) -> None:
    for _ in range(1000):
        ground.ask(SECOND, stream=True)
    ground.until(lambda: len(ground.heard) == 1000)
    assert set(ground.codes()) == {(7, SERVFAIL)}


def test_the_hosts_nameservers_are_read_as_the_c_library_does(tmp_path: Path) -> None:
    conf = tmp_path / "resolv.conf"
    conf.write_text(
        "# x\nnameserver 127.0.0.53\nsearch a b\nnameserver fe80::1%eth0\nnameserver what\nnameserver 127.0.0.53\n"
    )
    assert host_servers(str(conf)) == (ip_address("127.0.0.53"), ip_address("fe80::1%eth0"))
    assert host_servers(str(tmp_path / "none")) == ()
