"""docker-py against our daemon and against a real dockerd: the same tests, one after the other or side by side."""

import gc
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import unified_diff
from types import MappingProxyType
from typing import Any

import docker
import pytest
from docker.errors import APIError
from tests.clients.conftest import Ground
from tests.clients.peer import IMAGE, lacking, load_image, peer

ENGINES = ("ours", "dockerd")
Box = Callable[..., Any]


class Both:
    """Ours and dockerd's client, for what is compared whole."""

    def __init__(self, ours: docker.DockerClient, dockerd: docker.DockerClient) -> None:
        self._clients = (ours, dockerd)

    def difference(
        self, look: Callable[[docker.DockerClient], Sequence[str]], wanted: Mapping[str, str] = MappingProxyType({})
    ) -> str:
        """The lines that *look* sees at one of them alone, ours with a minus, but for those in which a pattern of
        *wanted* is found, which has a reason for each."""
        ours, dockerd = (look(client) for client in self._clients)
        lines = [line for line in list(unified_diff(ours, dockerd, lineterm="", n=0))[2:] if line[0] in "+-"]
        return "\n".join(line for line in lines if not any(re.search(pattern, line) for pattern in wanted))


def opened(host: str) -> docker.DockerClient:
    return docker.DockerClient(base_url=host, version="auto", timeout=60)


def sweep(client: docker.DockerClient) -> None:
    """No container, network, volume or image of a test is left, nor a connection."""
    with warnings.catch_warnings():
        # docker-py leaves the sockets of execs and streams to the collector.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    for box in client.containers.list(all=True, ignore_removed=True):
        box.remove(force=True, v=True)
    client.networks.prune()
    client.volumes.prune({"all": True})
    for image in client.images.list():
        for tag in image.tags:
            if tag.startswith("test"):
                client.images.remove(tag, force=True)


@pytest.fixture(scope="session")
def ours(shared: Ground) -> Iterator[docker.DockerClient]:
    load_image(shared)
    client = opened(shared.host)
    yield client
    client.close()


@pytest.fixture(scope="session")
def dockerd() -> Iterator[docker.DockerClient]:
    if why := lacking():
        pytest.skip(why)
    with peer() as (told, _):
        client = opened(told.host)
        yield client
        client.close()


@pytest.fixture(params=ENGINES)
def client(request: pytest.FixtureRequest) -> Iterator[docker.DockerClient]:
    """One engine after the other."""
    found = request.getfixturevalue(request.param)
    yield found
    sweep(found)


@pytest.fixture
def both(ours: docker.DockerClient, dockerd: docker.DockerClient) -> Iterator[Both]:
    """Both at once, to compare what they say."""
    yield Both(ours, dockerd)
    for one in (ours, dockerd):
        sweep(one)


@pytest.fixture
def box(client: docker.DockerClient) -> Box:
    return lambda *command, **more: running(client, *command, **more)


def running(client: docker.DockerClient, *command: str, **more: Any) -> Any:
    """A container that runs *command*, or sleeps."""
    return client.containers.run(IMAGE, list(command or ("sleep", "100000")), detach=True, **more)


def refusal(call: Callable[[], object]) -> str:
    """How docker-py tells that *call* was refused."""
    try:
        call()
    except APIError as error:
        return f"{type(error).__name__} {error.status_code}: {error.explanation}"
    except docker.errors.DockerException as error:
        return f"{type(error).__name__}: {error}"
    return "no refusal"


def without(shown: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """*shown* with *keys* told only as there or not, because their values are never twice the same."""
    return {key: bool(value) if key in keys else value for key, value in shown.items()}
