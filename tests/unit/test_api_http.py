"""The HTTP layer with a small application of its own: keep-alive, pipelining, streams, hijacked connections,
limits, and clients that go away."""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from bascule.api.body import BodyBroken, BodyTooLarge
from bascule.api.exchange import Exchange, Limits
from bascule.api.http import Connection

DEADLINE = 10
QUICK = Limits(header_seconds=0.05, idle_seconds=0.1, discard_seconds=0.1)


class House:
    """The application: what it saw, and events for tests to wait on."""

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()
        self.begun = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked: list[str] = []

    async def __call__(self, exchange: Exchange) -> None:
        self.asked.append(exchange.request.path)
        await getattr(self, exchange.request.path[1:].split("/")[0])(exchange)

    async def hello(self, exchange: Exchange) -> None:
        exchange.send(200, f"hello {exchange.request.query.get('who', ['you'])[0]}\n".encode())

    async def echo(self, exchange: Exchange) -> None:
        try:
            exchange.send(200, await exchange.request.body.read(1000))
        except BodyTooLarge:
            exchange.send(413, b"too large")

    async def deaf(self, exchange: Exchange) -> None:
        exchange.send(404, b"not here")

    async def count(self, exchange: Exchange) -> None:
        total = 0
        while data := await exchange.request.body.chunk():
            total += len(data)
        exchange.send(200, str(total).encode())

    async def stream(self, exchange: Exchange) -> None:
        exchange.begin(200)
        for word in (b"one ", b"two ", b"three"):
            await exchange.write(word)
        exchange.end()

    async def forever(self, exchange: Exchange) -> None:
        await self.gate.wait()
        exchange.begin(200, lasting=True)
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def flood(self, exchange: Exchange) -> None:
        exchange.begin(200)
        try:
            for _ in range(1000):
                await exchange.write(bytes(1 << 20))
        except (asyncio.CancelledError, ConnectionError):
            self.cancelled.set()
            raise

    async def pipe(self, exchange: Exchange) -> None:
        await exchange.request.body.read(1000)
        pipe = exchange.hijack(101, "UPGRADED", [("Connection", "Upgrade"), ("Upgrade", "tcp")])
        try:
            while data := await pipe.read():
                await pipe.write(data.upper())
        except BodyBroken:
            self.cancelled.set()
        await pipe.write(b"<after eof>")
        pipe.write_eof()

    async def quiet(self, exchange: Exchange) -> None:
        pipe = exchange.hijack(101, "UPGRADED")
        assert await pipe.read() == b""
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def broken(self, exchange: Exchange) -> None:
        exchange.begin(200)
        await exchange.write(b"half")
        raise ConnectionAbortedError("no more")


Talk = Callable[[House, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[Any]]


def converse(tmp_path: Path, talk: Talk, limits: Limits | None = None) -> Any:
    """Run *talk* with a client's two ends of a connection to a server of its own."""

    async def main() -> Any:
        house, crowd = House(), set[Connection]()
        path = str(tmp_path / "s")
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(lambda: Connection(house, limits or Limits(), crowd), path)
        reader, writer = await asyncio.open_unix_connection(path)
        try:
            async with asyncio.timeout(DEADLINE):
                return await talk(house, reader, writer)
        finally:
            writer.close()
            for connection in crowd:
                connection.abort()
            server.close()

    return asyncio.run(main())


def say(text: bytes) -> Callable[..., Coroutine[Any, Any, bytes]]:
    """A talk that sends *text* and reads to the end."""

    async def talk(_: House, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(text)
        return await reader.read()

    return talk


CLOSE = b"Connection: close\r\n"


def test_an_answer_has_its_length_and_its_body(tmp_path: Path) -> None:
    answer = converse(tmp_path, say(b"GET /hello?who=a%20b HTTP/1.1\r\n" + CLOSE + b"\r\n"))
    assert answer == b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nhello a b\n"


def test_head_gets_the_length_without_the_body(tmp_path: Path) -> None:
    answer = converse(tmp_path, say(b"HEAD /hello HTTP/1.1\r\n" + CLOSE + b"\r\n"))
    assert answer == b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\n"


def test_pipelined_requests_are_answered_in_order(tmp_path: Path) -> None:
    requests = b"".join(b"GET /hello?who=%d HTTP/1.1\r\n\r\n" % n for n in range(50))
    answer = converse(tmp_path, say(requests + b"GET /hello?who=end HTTP/1.1\r\n" + CLOSE + b"\r\n"))
    told = [line for line in answer.split(b"\n") if b"hello" in line]
    assert told == [b"hello %d" % n for n in range(50)] + [b"hello end"]


def test_a_connection_is_kept_for_the_next_request(tmp_path: Path) -> None:
    async def talk(_: House, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> list[bytes]:
        found = []
        for n in range(3):
            writer.write(b"GET /hello?who=%d HTTP/1.1\r\n\r\n" % n)
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"Connection" not in head
            found.append(await reader.readline())
        return found

    assert converse(tmp_path, talk) == [b"hello 0\n", b"hello 1\n", b"hello 2\n"]


def test_a_chunked_body_is_put_together(tmp_path: Path) -> None:
    request = (
        b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + CLOSE + b"\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    assert converse(tmp_path, say(request)).endswith(b"\r\n\r\nabcde")


def test_a_body_over_the_limit_is_refused_and_the_connection_goes_on(tmp_path: Path) -> None:
    first = b"POST /echo HTTP/1.1\r\nContent-Length: 5000\r\n\r\n" + bytes(5000)
    answer = converse(tmp_path, say(first + b"GET /hello HTTP/1.1\r\n" + CLOSE + b"\r\n"))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.endswith(b"hello you\n")


def test_an_early_answer_is_read_by_a_client_that_is_still_sending(tmp_path: Path) -> None:
    async def talk(_: House, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"PUT /deaf HTTP/1.1\r\nContent-Length: 8000000\r\n\r\n" + bytes(1_000_000))
        first = await reader.readuntil(b"not here")
        writer.write(bytes(7_000_000))
        writer.write(b"GET /hello HTTP/1.1\r\n" + CLOSE + b"\r\n")
        return first + await reader.read()

    answer = converse(tmp_path, talk)
    assert answer.startswith(b"HTTP/1.1 404 Not Found")
    assert answer.endswith(b"hello you\n")


def test_a_big_upload_arrives_whole_through_the_back_pressure(tmp_path: Path) -> None:
    request = b"PUT /count HTTP/1.1\r\nContent-Length: 30000000\r\n" + CLOSE + b"\r\n" + bytes(30_000_000)
    assert converse(tmp_path, say(request)).endswith(b"\r\n\r\n30000000")


def test_a_client_that_asks_first_is_told_to_go_on(tmp_path: Path) -> None:
    async def talk(_: House, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"POST /echo HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n" + CLOSE + b"\r\n")
        told = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"ok")
        return told + await reader.read()

    answer = converse(tmp_path, talk)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")
    assert answer.endswith(b"ok")


def test_a_stream_is_chunked_and_ends(tmp_path: Path) -> None:
    answer = converse(tmp_path, say(b"GET /stream HTTP/1.1\r\n" + CLOSE + b"\r\n"))
    assert answer.partition(b"\r\n\r\n")[2] == b"4\r\none \r\n4\r\ntwo \r\n5\r\nthree\r\n0\r\n\r\n"


def test_an_old_client_gets_a_stream_up_to_the_end_of_the_connection(tmp_path: Path) -> None:
    answer = converse(tmp_path, say(b"GET /stream HTTP/1.0\r\n\r\n"))
    assert b"chunked" not in answer
    assert answer.endswith(b"\r\n\r\none two three")


def test_a_stream_that_breaks_off_has_no_end(tmp_path: Path) -> None:
    async def talk(_: House, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"GET /broken HTTP/1.1\r\n\r\n")
        return await reader.read()

    assert b"0\r\n\r\n" not in converse(tmp_path, talk).partition(b"\r\n\r\n")[2]


def test_a_client_that_goes_away_cancels_its_stream(tmp_path: Path) -> None:
    async def talk(house: House, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"GET /forever HTTP/1.1\r\n\r\n")
        await house.begun.wait()
        writer.close()
        return await house.cancelled.wait()

    assert converse(tmp_path, talk)


def test_a_slow_reader_is_waited_for_and_its_going_noticed(tmp_path: Path) -> None:
    async def talk(house: House, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"GET /flood HTTP/1.1\r\n\r\n")
        await reader.readexactly(1 << 20)
        writer.transport.abort()
        return await house.cancelled.wait()

    assert converse(tmp_path, talk)


def test_a_hijacked_connection_outlives_the_end_of_the_clients_side(tmp_path: Path) -> None:
    async def talk(_: House, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(
            b"POST /pipe HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 2\r\n\r\n{}first "
        )
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"second ")
        assert await reader.readexactly(13) == b"FIRST SECOND "
        writer.write_eof()
        return head + await reader.read()

    answer = converse(tmp_path, talk)
    assert answer == (b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n<after eof>")


def test_an_upgrade_that_nobody_wants_is_an_ordinary_request(tmp_path: Path) -> None:
    request = b"GET /hello HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    answer = converse(tmp_path, say(request + b"GET /hello?who=next HTTP/1.1\r\n" + CLOSE + b"\r\n"))
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.endswith(b"hello next\n")


def test_a_half_closed_client_still_gets_its_answer(tmp_path: Path) -> None:
    async def talk(_: House, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"GET /hello HTTP/1.1\r\n\r\n")
        writer.write_eof()
        return await reader.read()

    assert converse(tmp_path, talk).endswith(b"hello you\n")


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"])
def test_garbage_is_a_bad_request(tmp_path: Path, garbage: bytes) -> None:
    assert converse(tmp_path, say(garbage)).startswith(b"HTTP/1.1 400 Bad Request")


def test_garbage_after_requests_is_refused_after_their_answers(tmp_path: Path) -> None:
    answer = converse(tmp_path, say(b"GET /hello HTTP/1.1\r\n\r\nGET /hello?who=two HTTP/1.1\r\n\r\n\0"))
    assert re.findall(rb"HTTP/1.1 (\d+)|hello (\w+)", answer) == [
        (b"200", b""),
        (b"", b"you"),
        (b"200", b""),
        (b"", b"two"),
        (b"400", b""),
    ]


@pytest.mark.parametrize("body", [b"zz\r\n", b"-1\r\n", b"fffffffffffffffff\r\n", b"3\r\nabcd"])
def test_a_request_whose_body_is_no_body_is_not_begun(tmp_path: Path, body: bytes) -> None:
    async def talk(
        house: House, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[bytes, list[str]]:
        writer.write(b"DELETE /hello HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
        return await reader.read(), house.asked

    answer, asked = converse(tmp_path, talk)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert asked == []


def test_a_body_that_breaks_later_is_answered_once(tmp_path: Path) -> None:
    async def talk(_: House, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"POST /deaf HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        first = await reader.readuntil(b"not here")
        writer.write(b"zz\r\n")
        return first + await reader.read()

    answer = converse(tmp_path, talk)
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert answer.count(b"HTTP/1.1") == 1


def test_an_upgrade_whose_body_has_no_length_is_refused(tmp_path: Path) -> None:
    head = b"POST /pipe HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert converse(tmp_path, say(head + b"2\r\n{}\r\n0\r\n\r\n")).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        b"Content-Length: 5\r\nContent-Length: 6",
        b"Content-Length: 5, 6",
        b"Content-Length: -5",
        b"Content-Length: +5",
        b"Content-Length: 5 5",
        b"Content-Length: 99999999999999999999999",
        b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding : chunked",
        b"X: a\0b",
    ],
)
def test_a_request_with_two_ends_is_refused_and_its_connection_closed(tmp_path: Path, lines: bytes) -> None:
    answer = converse(
        tmp_path, say(b"POST /echo HTTP/1.1\r\n" + lines + b"\r\n\r\n0\r\n\r\nGET /hello HTTP/1.1\r\n\r\n")
    )
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1


def test_an_answer_that_lasts_is_not_begun_for_a_client_that_has_gone(tmp_path: Path) -> None:
    async def talk(house: House, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        house.gate.clear()
        writer.write(b"GET /forever HTTP/1.1\r\n\r\n")
        writer.write_eof()
        # An answer on another connection: by then the end has been read on the first.
        other, _ = await asyncio.open_unix_connection(str(tmp_path / "s"))
        _.write(b"GET /hello HTTP/1.0\r\n\r\n")
        await other.read()
        _.close()
        house.gate.set()
        return await reader.read()

    assert converse(tmp_path, talk) == b""


def test_a_client_that_closed_its_side_and_then_goes_ends_what_it_took_over(tmp_path: Path) -> None:
    async def talk(house: House, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"POST /quiet HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.write_eof()
        await house.begun.wait()
        writer.close()
        return await house.cancelled.wait()

    assert converse(tmp_path, talk)


def test_an_answer_with_an_end_is_read_to_it_by_a_client_that_has_closed_its_side(tmp_path: Path) -> None:
    async def talk(_: House, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"GET /stream HTTP/1.1\r\n\r\n")
        writer.write_eof()
        return await reader.read()

    assert converse(tmp_path, talk).endswith(b"5\r\nthree\r\n0\r\n\r\n")


def test_a_head_without_end_is_refused(tmp_path: Path) -> None:
    answer = converse(tmp_path, say(b"GET /hello HTTP/1.1\r\nX: " + b"x" * 100_000))
    assert answer.startswith(b"HTTP/1.1 431 ")


def test_a_head_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    assert converse(tmp_path, say(b"GET /hello HT"), QUICK).startswith(b"HTTP/1.1 408 ")


def test_an_idle_connection_is_closed(tmp_path: Path) -> None:
    async def talk(_: House, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"GET /hello HTTP/1.1\r\n\r\n")
        return await reader.read()

    assert converse(tmp_path, talk, QUICK).endswith(b"hello you\n")


def test_a_closed_client_in_the_middle_of_its_body_harms_nobody(tmp_path: Path) -> None:
    async def talk(_: House, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"POST /count HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc")
        await writer.drain()
        writer.close()
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX) as other:
            other.setblocking(False)
            await loop.sock_connect(other, str(tmp_path / "s"))
            await loop.sock_sendall(other, b"GET /hello HTTP/1.0\r\n\r\n")
            return await loop.sock_recv(other, 1000)

    assert converse(tmp_path, talk).endswith(b"hello you\n")
