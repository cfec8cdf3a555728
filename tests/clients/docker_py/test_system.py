"""docker-py's events, and what it asks the daemon about itself."""

import re
import time
from typing import Any

import docker
from tests.clients.docker_py.conftest import Both, refusal, running
from tests.clients.peer import IMAGE

IDENT = re.compile(r"[0-9a-f]{64}")


def story(client: docker.DockerClient) -> None:
    """A network and a container's life on it."""
    net = client.networks.create("n1", labels={"a": "b"})
    other = client.networks.create("n2")
    one = running(client, name="one", network="n1", labels={"x": "y"})
    other.connect(one)
    one.exec_run(["true"])
    one.pause()
    one.unpause()
    one.rename("two")
    other.disconnect(one)
    one.kill("SIGKILL")
    one.wait()
    one.start()
    one.remove(force=True)
    net.remove()
    client.networks.prune()


def line(event: dict[str, Any]) -> str:
    """An event on a line, ids told as such."""
    given = sorted(event["Actor"]["Attributes"].items())
    shown = " ".join(f"{key}={IDENT.sub('ID', value)}" for key, value in given if key != "execDuration")
    return f"{event['Type']} {IDENT.sub('ID', event['Action'])} {event['scope']} {shown}"


def told_of(client: docker.DockerClient, since: float, **how: Any) -> list[dict[str, Any]]:
    return list(client.events(decode=True, since=int(since) - 1, until=f"{time.time():.9f}", **how))


def test_a_story_is_told_in_the_same_events(both: Both) -> None:
    def told(client: docker.DockerClient) -> list[str]:
        begun = time.time_ns()
        story(client)
        events = told_of(client, begun / 10**9, filters={"type": ["network", "container"]})
        # What ends at once is told by two sides, in either order.
        return sorted(line(event) for event in events if event["timeNano"] >= begun)

    assert both.difference(told, {"exec_(create|start): true": "a blank behind a word alone"}) == ""


def test_events_are_filtered(client: docker.DockerClient) -> None:
    begun = time.time_ns()
    story(client)
    asked: list[tuple[dict[str, Any], set[str]]] = [
        ({"type": "network", "event": "create"}, {"network create n1", "network create n2"}),
        ({"network": "n1", "event": "destroy"}, {"network destroy n1"}),
        ({"container": "two", "event": ["kill"]}, {"container kill two"}),
        ({"label": "x=y", "event": "create"}, {"container create one"}),
        ({"image": IMAGE, "event": "pause"}, {"container pause one"}),
        ({"event": "rename"}, {"container rename two"}),
    ]
    for filters, told in asked:
        events = [e for e in told_of(client, begun / 10**9, filters=filters) if e["timeNano"] >= begun]
        found = {f"{e['Type']} {e['Action']} {e['Actor']['Attributes']['name']}" for e in events}
        assert found == told, filters


def test_a_stream_of_events_tells_what_happens_and_is_closed(client: docker.DockerClient) -> None:
    events = client.events(decode=True, filters={"type": "network"})
    net = client.networks.create("n1")
    told = next(events)
    events.close()
    assert (told["Action"], told["Actor"]["ID"]) == ("create", net.id)
    assert told["Actor"]["Attributes"] == {"name": "n1", "type": "bridge"}
    assert told["timeNano"] // 10**9 == told["time"]


def test_the_daemon_is_asked_about_itself(client: docker.DockerClient) -> None:
    assert client.ping() is True
    told = client.version()
    assert (told["Os"], told["Arch"], told["MinAPIVersion"]) == ("linux", "amd64", "1.24")
    info = client.info()
    assert (info["OSType"], info["Architecture"], info["Swarm"]["LocalNodeState"]) == (
        "linux",
        "x86_64",
        "inactive",
    )
    running(client)
    assert client.info()["ContainersRunning"] == 1
    used = client.df()
    assert set(used) >= {"LayersSize", "Images", "Containers", "Volumes", "BuildCache"}
    assert [found["State"] for found in used["Containers"]] == ["running"]
    assert client.api.api_version >= "1.50"


def test_info_and_version_have_the_same_keys(both: Both) -> None:
    def told(client: docker.DockerClient) -> list[str]:
        return sorted([*(f"version {key}" for key in client.version()), *(f"info {key}" for key in client.info())])

    wanted = {
        "info DefaultAddressPools": "dockerd leaves them out where they are its own",
        "info KernelMemoryTCP": "gone from the kernel since 5.11",
    }
    assert both.difference(told, wanted) == ""


def test_what_is_not_there_is_refused_alike(both: Both) -> None:
    def told(client: docker.DockerClient) -> list[str]:
        calls: list[Any] = [
            lambda: client.swarm.reload(),
            lambda: client.services.list(),
            lambda: client.nodes.list(),
            lambda: client.secrets.list(),
            lambda: client.configs.list(),
            lambda: list(client.events(filters={"nosuch": "x"}, until=1)),
            lambda: list(client.events(since="x", until=1)),
            lambda: client.api._result(client.api._get(client.api._url("/nosuch")), json=True),
        ]
        return [refusal(call) for call in calls]

    assert both.difference(told) == ""
