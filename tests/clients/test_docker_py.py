"""docker-py against our daemon."""

from collections.abc import Iterator

import docker
import pytest
from docker.errors import APIError, ImageNotFound, NotFound
from docker.types import IPAMConfig, IPAMPool
from tests.clients.conftest import Ground


@pytest.fixture
def client(ground: Ground) -> Iterator[docker.DockerClient]:
    made = docker.DockerClient(base_url=ground.host, timeout=60)
    try:
        yield made
    finally:
        made.close()


def test_the_version_is_negotiated(ground: Ground) -> None:
    client = docker.DockerClient(base_url=ground.host, version="auto")
    try:
        assert client.api.api_version >= "1.44"
        assert client.ping()
        assert client.info()["OSType"] == "linux"
    finally:
        client.close()


def test_networks_are_made_listed_and_removed(client: docker.DockerClient) -> None:
    pools = IPAMConfig(pool_configs=[IPAMPool(subnet="10.79.0.0/24", gateway="10.79.0.254")])
    net = client.networks.create("n1", ipam=pools, labels={"a": "b"}, internal=True)
    assert [n.name for n in client.networks.list(names=["n1"])] == ["n1"]
    assert [n.name for n in client.networks.list(filters={"label": "a=b"})] == ["n1"]
    assert net.attrs["IPAM"]["Config"] == [{"Subnet": "10.79.0.0/24", "Gateway": "10.79.0.254"}]
    with pytest.raises(APIError, match="network with name n1 already exists"):
        client.networks.create("n1")
    net.remove()
    with pytest.raises(NotFound):
        client.networks.get("n1")


def test_a_container_is_connected_as_an_object(client: docker.DockerClient) -> None:
    net = client.networks.create("n1")
    box = client.containers.run("host", ["sleep", "600"], detach=True, name="c1")
    net.connect(box, aliases=["al"])
    net.reload()
    assert [c.name for c in net.containers] == ["c1"]
    net.disconnect(box)
    net.reload()
    assert net.containers == []


def test_run_returns_what_was_written(client: docker.DockerClient) -> None:
    assert client.containers.run("host", ["echo", "hello"], remove=True) == b"hello\n"
    with pytest.raises(docker.errors.ContainerError, match="exit status 3"):
        client.containers.run("host", ["sh", "-c", "exit 3"], remove=True)
    with pytest.raises((ImageNotFound, APIError)):
        client.containers.run("zzz", ["true"])


def test_exec_tells_output_and_status(client: docker.DockerClient) -> None:
    box = client.containers.run("host", ["sleep", "600"], detach=True)
    assert tuple(box.exec_run(["sh", "-c", "echo out; exit 4"])) == (4, b"out\n")
    assert tuple(box.exec_run(["sh", "-c", "echo o; echo e >&2"], demux=True)) == (0, (b"o\n", b"e\n"))


def test_logs_wait_and_stats(client: docker.DockerClient) -> None:
    box = client.containers.run("host", ["sh", "-c", "echo one; sleep 0.2; exit 5"], detach=True)
    assert b"".join(box.logs(stream=True)) == b"one\n"
    assert box.wait()["StatusCode"] == 5
    box = client.containers.run("host", ["sleep", "600"], detach=True)
    assert box.stats(stream=False)["memory_stats"]["limit"] > 0
    assert box.top()["Processes"]


def test_files_go_in_and_out(client: docker.DockerClient) -> None:
    box = client.containers.create("host", ["true"])
    archive, stat = box.get_archive("/etc/hostname")
    assert (stat["name"], b"hostname" in b"".join(archive)) == ("hostname", True)


def test_events_stream(client: docker.DockerClient) -> None:
    events = client.events(decode=True, filters={"type": "network"})
    client.networks.create("n1")
    told = next(events)
    events.close()
    assert (told["Action"], told["Actor"]["Attributes"]) == ("create", {"name": "n1", "type": "bridge"})


def test_no_limit_leaves_nobody_out(client: docker.DockerClient) -> None:
    """The low-level API says -1 where nobody asked for a limit."""
    made = {client.api.create_container("host", ["true"])["Id"] for _ in range(3)}
    assert {found["Id"] for found in client.api.containers(all=True)} == made
    assert len(client.api.containers(limit=2)) == 2
