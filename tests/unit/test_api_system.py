"""Versions, headers, and what the daemon says of itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.api_house import Client, serving


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with serving(tmp_path) as (client, _):
        yield client


def test_ping_tells_what_clients_negotiate_by(client: Client) -> None:
    for method in ("GET", "HEAD"):
        answer = client.raw(method, "/_ping")
        assert answer.read() == (b"OK" if method == "GET" else b"")
        assert dict(answer.getheaders()) == {
            "Api-Version": "1.50",
            "Docker-Experimental": "false",
            "Ostype": "linux",
            "Server": "Bascule/0.1.0 (linux)",
            "Builder-Version": "1",
            "Cache-Control": "no-cache, no-store, must-revalidate",
            "Pragma": "no-cache",
            "Swarm": "inactive",
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Length": "2",
        }


def test_versions_that_are_not_spoken_are_refused_in_dockers_words(client: Client) -> None:
    old = client.raw("GET", "/v1.23/networks")
    assert (old.status, old.getheader("Content-Type")) == (400, "text/plain; charset=utf-8")
    assert old.read() == (
        b"client version 1.23 is too old. Minimum supported API version is 1.24,"
        b" please upgrade your client to a newer version\n"
    )
    assert client.told("GET", "/v1.99/networks") == (
        "400 client version 1.99 is too new. Maximum supported API version is 1.50"
    )
    assert client.told("GET", "/v1.24/networks") == "200"
    assert client.told("GET", "/networks/") == "200"


def test_version_has_what_docker_py_and_the_cli_read(client: Client) -> None:
    told = client.ask("GET", "/version")[1]
    assert (told["ApiVersion"], told["MinAPIVersion"], told["Version"]) == ("1.50", "1.24", "0.1.0")
    assert (told["Os"], told["Arch"], told["KernelVersion"]) == ("linux", "amd64", "6.1")
    assert told["Components"][0]["Details"]["ApiVersion"] == "1.50"


@pytest.mark.parametrize(
    ("method", "path", "told"),
    [
        ("GET", "/services", "503 This node is not a swarm manager."),
        ("GET", "/swarm", "503 This node is not a swarm manager."),
        ("POST", "/services/create", "503 This node is not a swarm manager."),
        ("POST", "/build?t=x", "501 Bascule builds no images"),
        ("GET", "/images/search?term=x", "501 Bascule does not talk to registries"),
        ("POST", "/auth", "501 Bascule does not talk to registries"),
        (
            "POST",
            "/swarm/init",
            '501 Bascule has no swarm mode: "bascule cluster init" and "join" make several hosts one',
        ),
    ],
)
def test_what_is_not_there_says_so(client: Client, method: str, path: str, told: str) -> None:
    assert client.told(method, path).startswith(told)
