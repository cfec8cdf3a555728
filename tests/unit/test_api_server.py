"""The server as a whole: who waits for whom, errors, streams, and its end."""

import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from docs import generate_api
from tests.unit.api_house import Client, Crowd, serving

from bascule.api.routes import ROUTES
from bascule.api.table import Route, Table

C1 = "1d0a3766da5d" + "e" * 52


@pytest.fixture
def house(tmp_path: Path) -> Iterator[tuple[Client, Crowd]]:
    with serving(tmp_path) as both:
        yield both


def knock(tmp_path: Path, request: bytes) -> socket.socket:
    """A connection on which *request* has been sent."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(10)
    sock.connect(str(tmp_path / "api.sock"))
    sock.sendall(request)
    return sock


def read_until(sock: socket.socket, mark: bytes) -> bytes:
    said = b""
    while mark not in said:
        data = sock.recv(65536)
        if not data:
            break
        said += data
    return said


def test_a_hundred_stops_that_wait_hold_up_nobody(house: tuple[Client, Crowd], tmp_path: Path) -> None:
    client, crowd = house
    crowd.add("c1", C1)
    crowd.gate.clear()
    waiting = [knock(tmp_path, b"POST /containers/c1/stop HTTP/1.1\r\n\r\n") for _ in range(100)]
    for _ in waiting:
        assert crowd.stopping.acquire(timeout=10)
    assert client.told("POST", "/networks/create", {"Name": "n1"}) == "201"
    crowd.gate.set()
    for sock in waiting:
        assert read_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 204 ")
        sock.close()


def test_a_wait_sends_its_head_before_there_is_anything_to_tell(
    house: tuple[Client, Crowd], tmp_path: Path
) -> None:
    _, crowd = house
    crowd.add("c1", C1)
    with knock(tmp_path, b"POST /v1.50/containers/c1/wait?condition=next-exit HTTP/1.1\r\n\r\n") as sock:
        assert read_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")
        crowd.waiters[0].set_running_or_notify_cancel()
        crowd.waiters[0].set_result(7)
        assert b'{"StatusCode":7}\n' in read_until(sock, b"0\r\n\r\n")


def test_an_unexpected_error_is_logged_and_told_without_its_insides(
    house: tuple[Client, Crowd], caplog: pytest.LogCaptureFixture
) -> None:
    client, crowd = house
    crowd.failing = RuntimeError("the password is 1234")
    with caplog.at_level(logging.ERROR, "bascule.api"):
        told = client.told("GET", "/containers/json")
    assert told == "500 the daemon met an error that it did not expect; its log has the details"
    assert "the password is 1234" in caplog.text


def test_a_follower_that_goes_lets_go_of_the_log(house: tuple[Client, Crowd], tmp_path: Path) -> None:
    _, crowd = house
    crowd.add("c1", C1)
    with knock(tmp_path, b"GET /v1.50/containers/c1/logs?follow=1&stdout=1 HTTP/1.1\r\n\r\n") as sock:
        head, _, said = read_until(sock, b"hello\n").partition(b"\r\n\r\n")
    assert b"application/vnd.docker.multiplexed-stream" in head
    assert said == b"e\r\n\x01\x00\x00\x00\x00\x00\x00\x06hello\n\r\n"
    assert crowd.let_go.wait(10)


def test_events_are_flushed_at_once_and_filtered(house: tuple[Client, Crowd], tmp_path: Path) -> None:
    client, _ = house
    request = b'GET /events?filters={"event":["create"],"type":["network"]} HTTP/1.1\r\n\r\n'
    with knock(tmp_path, request) as sock:
        assert read_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")
        client.ask("POST", "/networks/create", {"Name": "n1"})
        client.ask("DELETE", "/networks/n1")
        client.ask("POST", "/networks/create", {"Name": "n2"})
        told = read_until(sock, b'"n2"')
    lines = [json.loads(line) for line in told.split(b"\r\n") if line.startswith(b"{")]
    assert [(e["Type"], e["Action"], e["Actor"]["Attributes"], e["scope"]) for e in lines] == [
        ("network", "create", {"name": "n1", "type": "bridge"}, "local"),
        ("network", "create", {"name": "n2", "type": "bridge"}, "local"),
    ]


def test_past_events_are_told_and_then_no_more(house: tuple[Client, Crowd]) -> None:
    client, _ = house
    client.ask("POST", "/networks/create", {"Name": "n1"})
    answer = client.raw("GET", "/events?since=1&until=0s")
    assert [json.loads(line)["Action"] for line in answer.read().splitlines()] == ["create"]


def test_the_end_of_the_server_ends_streams_and_removes_the_socket(tmp_path: Path) -> None:
    with serving(tmp_path) as (_, crowd):
        crowd.add("c1", C1)
        sock = knock(tmp_path, b"POST /containers/c1/wait HTTP/1.1\r\n\r\n")
        read_until(sock, b"\r\n\r\n")
    with sock:
        assert sock.recv(100) == b""
    assert not (tmp_path / "api.sock").exists()


def test_the_table_finds_the_first_route_that_fits() -> None:
    def nobody(_: object) -> None: ...

    routes = [
        Route("GET", "/networks/{name}", nobody),  # type: ignore[arg-type]
        Route("POST", "/networks/{name}/connect", nobody),  # type: ignore[arg-type]
        Route("GET", "/networks", nobody),  # type: ignore[arg-type]
    ]
    table = Table(routes)

    def found(method: str, path: str) -> str:
        got = table.find(method, path)
        return f"{got[0].path} {got[1]}" if got else "none"

    assert found("GET", "/networks/") == "/networks {}"
    assert found("GET", "/networks/a/b") == "/networks/{name} {'name': 'a/b'}"
    assert found("POST", "/networks/a/b/connect") == "/networks/{name}/connect {'name': 'a/b'}"
    assert found("POST", "/networks/connect") == "none"
    assert found("GET", "/nosuch") == "none"


def test_no_route_is_there_twice() -> None:
    keys = [(route.method, route.path) for route in ROUTES]
    assert sorted(keys) == sorted(set(keys))


def test_the_page_of_the_api_is_what_its_generator_writes() -> None:
    assert generate_api.PAGE.read_text() == generate_api.text(), "run: python docs/generate_api.py"


def test_every_route_is_on_its_page() -> None:
    documented = [route for routes in generate_api.TITLES.values() for route in routes]
    assert sorted((r.method, r.path) for r in documented) == sorted((r.method, r.path) for r in ROUTES)
