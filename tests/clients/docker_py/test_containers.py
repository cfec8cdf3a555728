"""docker-py's containers: how they are made, what they are shown as, what can be done to them."""

import re
import time
from typing import Any

import docker
import pytest
from docker.errors import ContainerError
from docker.types import Ulimit
from tests.clients.docker_py.conftest import Both, Box, refusal, running
from tests.clients.peer import IMAGE

ADDRESS = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}|\b172\.\d+\.\d+\.\d+\b|[0-9a-f]{12,64}")


def sh(box: Any, line: str) -> str:
    """What a shell in the container says."""
    told: str = box.exec_run(["sh", "-c", line]).output.decode()
    return told


def test_run_returns_what_was_written(client: docker.DockerClient) -> None:
    assert client.containers.run(IMAGE, ["echo", "hello"], remove=True) == b"hello\n"
    assert client.containers.run(IMAGE, "echo a b", remove=True, stdout=True, stderr=True) == b"a b\n"
    assert client.containers.run(IMAGE, ["sh", "-c", "echo o; echo e >&2"], stdout=False, stderr=True) == b"e\n"
    assert list(client.containers.run(IMAGE, ["echo", "hello"], stream=True, remove=True)) == [b"hello\n"]
    with pytest.raises(ContainerError, match="returned non-zero exit status 3: b'gone\\\\n'") as failed:
        client.containers.run(IMAGE, ["sh", "-c", "echo gone >&2; exit 3"], remove=True)
    assert (failed.value.exit_status, failed.value.stderr) == (3, b"gone\n")


def test_run_takes_everything_about_the_network(client: docker.DockerClient) -> None:
    client.networks.create("n1")
    other = running(client, name="other", network="n1")
    one = running(
        client,
        name="one",
        hostname="host1",
        domainname="example.org",
        network="n1",
        mac_address="02:42:00:00:00:11",
        extra_hosts={"far.example": "192.0.2.9"},
        dns=["192.0.2.53"],
        dns_search=["example.com"],
        dns_opt=["timeout:2"],
        sysctls={"net.ipv4.ip_unprivileged_port_start": "500"},
        ports={"80/tcp": ("127.0.0.1", 18180), "53/udp": None},
    )
    one.reload()
    assert sh(one, "hostname").strip() == "host1"
    assert "192.0.2.9\tfar.example" in sh(one, "cat /etc/hosts")
    told = sh(one, "cat /etc/resolv.conf").split("\n")
    assert [line for line in told if line.startswith(("nameserver", "search", "options"))] == [
        "nameserver 127.0.0.11",
        "search example.com",
        "options timeout:2 ndots:0",
    ]
    assert sh(one, "cat /sys/class/net/eth0/address").strip() == "02:42:00:00:00:11"
    assert sh(one, "cat /proc/sys/net/ipv4/ip_unprivileged_port_start").strip() == "500"
    assert sh(one, "ping -c 1 -W 2 other >/dev/null && echo there").strip() == "there"
    assert sh(other, "ping -c 1 -W 2 one >/dev/null && echo there").strip() == "there"
    ports = one.attrs["NetworkSettings"]["Ports"]
    assert ports["80/tcp"] == [{"HostIp": "127.0.0.1", "HostPort": "18180"}]
    assert [bound["HostIp"] for bound in ports["53/udp"]] == ["0.0.0.0", "::"]
    assert one.ports == ports
    assert client.api.port(one.id, 80) == [{"HostIp": "127.0.0.1", "HostPort": "18180"}]


DIRECTORY = re.compile("/dev/shm/b(clients|peer)-[-0-9]+/")

# What is never twice the same, or tells of the host and of who made the engine.
PRIVATE = {
    *("AppArmorProfile", "Created", "ExecIDs", "FinishedAt", "GraphDriver", "HostnamePath", "HostsPath", "Id"),
    *("Image", "LogPath", "Pid", "ResolvConfPath", "SandboxID", "SandboxKey", "StartedAt", "Storage"),
}


def page(shown: Any, path: str = "") -> list[str]:
    """Every leaf of an answer that says something, on a line of its own; addresses and ids are told as such."""
    if not shown:
        return []
    if isinstance(shown, dict):
        return [
            line
            for key in sorted(shown)
            for line in ([f"{path}.{key}: ..."] if key in PRIVATE else page(shown[key], f"{path}.{key}"))
        ]
    if isinstance(shown, list) and not isinstance(shown[0], str):
        return [line for number, one in enumerate(shown) for line in page(one, f"{path}[{number}]")]
    return [f"{path}: {DIRECTORY.sub('/dev/shm/', ADDRESS.sub('X', repr(shown)))}"]


SHOWN_OTHERWISE = {
    r"Config\.Env: ": "the PATH that every container has is told",
    r"Config\.Hostname: '(X|vm)'": "on the host's network its host's name is not told before it runs",
    r"HostConfig\.Runtime: ": "which of runc and crun runs it is the machine's affair",
    r"HostConfig\.(MaskedPaths|ReadonlyPaths): ": "the same ones, not told",
    r"HostConfig\.CgroupnsMode: ": "always a namespace of its own",
    r"Networks\.(host|none)\.(EndpointID|NetworkID): ": "there is no endpoint",
    r"listed.*\.DNSNames: ": "told in the list, too",
    r"Config\.NetworkDisabled: |HostConfig\.NetworkMode: '(none|bridge)'": "disabled is the network none",
    r"Mounts\[0\]\.(Destination: '/run'|Mode: 'size=1m'|RW: True|Type: 'tmpfs')": "a tmpfs is a mount",
    r"Mounts\[1\]\.Mode: 'z'": "SELinux's label, where nothing was said: there is no SELinux",
}

MADE: dict[str, dict[str, Any]] = {
    "plain": {},
    "limits": {
        "mem_limit": "64m",
        "memswap_limit": "128m",
        "mem_reservation": "32m",
        "nano_cpus": 500000000,
        "cpu_shares": 512,
        "cpuset_cpus": "0",
        "pids_limit": 50,
        "shm_size": "32m",
        "ulimits": [Ulimit(name="core", soft=0, hard=0)],
        "oom_kill_disable": False,
    },
    "process": {
        "user": "1000:1000",
        "working_dir": "/tmp",
        "environment": {"A": "b", "C": "d e"},
        "labels": {"x": "y"},
        "entrypoint": ["sleep"],
        "tty": True,
        "stdin_open": True,
        "init": True,
        "stop_signal": "SIGINT",
        "cap_add": ["NET_ADMIN"],
        "cap_drop": ["MKNOD"],
        "group_add": ["12"],
        "privileged": False,
        "read_only": True,
        "security_opt": ["no-new-privileges"],
        "tmpfs": {"/run": "size=1m"},
    },
    "life": {"restart_policy": {"Name": "on-failure", "MaximumRetryCount": 3}, "auto_remove": False},
    "network": {
        "network": "n1",
        "hostname": "host1",
        "mac_address": "02:42:00:00:00:11",
        "dns": ["192.0.2.53"],
        "dns_search": ["example.com"],
        "dns_opt": ["ndots:2"],
        "extra_hosts": {"far": "192.0.2.9"},
        "ports": {"80/tcp": 18181, "90/udp": ("127.0.0.1", 18182), "100/tcp": [18183, 18184]},
        "sysctls": {"net.ipv4.ip_forward": "1"},
    },
    "none": {"network_mode": "none"},
    "host": {"network_mode": "host"},
    "off": {"network_disabled": True},
    "volumes": {"volumes": ["v1:/data:rw", "/usr/share:/share:ro", "v2:/more", "/usr/lib:/other"]},
    "namespaces": {"ipc_mode": "shareable", "uts_mode": "host"},
}


@pytest.mark.parametrize("kind", sorted(MADE))
def test_a_container_is_shown_alike_before_and_while_it_runs(both: Both, kind: str) -> None:
    def told(client: docker.DockerClient) -> list[str]:
        client.networks.create("n1")
        command = ["100000"] if kind == "process" else ["sleep", "100000"]
        made = client.containers.create(IMAGE, command, name="one", **MADE[kind])
        fresh = client.api.inspect_container(made.id)
        fresh["Mounts"].sort(key=lambda mount: str(mount["Destination"]))
        before = page(fresh, "created")
        made.start()
        made.reload()
        (row,) = client.api.containers(all=True)
        for shown in (made.attrs, row):
            shown["Mounts"].sort(key=lambda mount: str(mount["Destination"]))
        found = before + page(made.attrs, "running")
        # Docker's are in no order.
        row["Ports"].sort(key=lambda port: (port["PrivatePort"], port["PublicPort"], port["IP"]))
        return found + page(row, "listed")

    assert both.difference(told, SHOWN_OTHERWISE) == ""


def test_what_is_done_to_a_container_shows(client: docker.DockerClient, box: Box) -> None:
    one = box(name="one")
    assert (one.status, one.name, one.short_id) == ("created", "one", one.id[:12])
    one.reload()
    states = [one.status]
    one.pause()
    one.reload()
    states.append(one.status)
    one.unpause()
    one.rename("two")
    assert client.containers.get("two").id == one.id
    one.update(mem_limit="96m", memswap_limit="96m", cpu_shares=300, restart_policy={"Name": "on-failure"})
    one.reload()
    limits = one.attrs["HostConfig"]
    assert [limits[key] for key in ("Memory", "CpuShares", "RestartPolicy")] == [
        96 << 20,
        300,
        {"Name": "on-failure", "MaximumRetryCount": 0},
    ]
    pid = one.attrs["State"]["Pid"]
    one.restart(timeout=0)
    one.reload()
    assert one.attrs["State"]["Pid"] not in (0, pid)
    one.update(restart_policy={"Name": "no"})
    one.kill("SIGKILL")
    assert one.wait()["StatusCode"] == 137
    one.reload()
    states.append(one.status)
    one.start()
    one.stop(timeout=0)
    one.reload()
    states.append(one.status)
    assert states == ["running", "paused", "exited", "exited"]
    assert client.api.inspect_container("two")["State"]["ExitCode"] == 137


def test_wait_waits_for_what_it_is_told(box: Box) -> None:
    one = box("sh", "-c", "exit 7", name="one")
    assert one.wait() == {"StatusCode": 7}
    assert one.wait(condition="not-running") == {"StatusCode": 7}
    two = box("sh", "-c", "sleep 0.3; exit 8", name="two", auto_remove=True)
    assert two.wait(condition="removed") == {"StatusCode": 8}
    three = box(name="three")
    with pytest.raises((docker.errors.APIError, OSError)):
        three.wait(timeout=1, condition="next-exit")


def test_containers_are_filtered(client: docker.DockerClient, box: Box) -> None:
    client.networks.create("n1")
    begun = time.time()
    one = box(name="one", labels={"a": "b"}, network="n1")
    two = box("true", name="two", labels={"a": "c"})
    two.wait()
    client.containers.create(IMAGE, ["sh", "-c", "exit 3"], name="three")
    assert time.time() - begun < 60
    asked: list[tuple[dict[str, Any], str]] = [
        ({}, "one"),
        ({"all": True}, "one three two"),
        ({"limit": 2}, "three two"),
        ({"all": True, "filters": {"status": "exited"}}, "two"),
        ({"all": True, "filters": {"status": ["created", "running"]}}, "one three"),
        ({"all": True, "filters": {"label": "a"}}, "one two"),
        ({"all": True, "filters": {"label": ["a=b"]}}, "one"),
        ({"all": True, "filters": {"name": "^t"}}, "three two"),
        ({"all": True, "filters": {"network": "n1"}}, "one"),
        ({"all": True, "filters": {"ancestor": IMAGE}}, "one three two"),
        ({"all": True, "filters": {"exited": 0}}, "two"),
        ({"all": True, "filters": {"before": "three"}}, "one two"),
        ({"all": True, "filters": {"since": "one"}}, "three two"),
        ({"all": True, "filters": {"id": one.id[:12]}}, "one"),
        ({"all": True, "sparse": True}, "one three two"),
    ]
    told = [" ".join(sorted(c.name or "" for c in client.containers.list(**how))) for how, _ in asked[:-1]]
    sparse = client.containers.list(all=True, sparse=True)
    told.append(" ".join(sorted(c.attrs["Names"][0][1:] for c in sparse)))
    assert told == [names for _, names in asked]
    assert client.containers.prune({"label": ["a=c"]})["ContainersDeleted"] == [two.id]
    assert len(client.containers.prune()["ContainersDeleted"]) == 1


def test_top_stats_and_changes_are_told_alike(both: Both) -> None:
    def told(client: docker.DockerClient) -> list[str]:
        one = running(client, name="one")
        one.exec_run(["sh", "-c", "echo x > /tmp/new; rm /www -r; mkdir /etc/d"])
        top = one.top(ps_args="-o pid,comm")
        stats = one.stats(stream=False)
        first = next(one.stats(stream=True, decode=True))
        return [
            f"top {top['Titles']} {[row[1:] for row in top['Processes']]}",
            f"top {one.top()['Titles']}",
            f"changes {sorted((c['Path'], c['Kind']) for c in one.diff())}",
            f"stats {sorted(stats)}",
            f"stream {sorted(first)}",
            f"networks {sorted(stats['networks'])} {sorted(stats['networks']['eth0'])}",
            f"memory {stats['memory_stats']['usage'] > 0} {stats['memory_stats']['limit'] > 0}",
            f"cpu {sorted(stats['cpu_stats'])} {stats['cpu_stats']['cpu_usage']['total_usage'] > 0}",
        ]

    assert both.difference(told) == ""


def test_what_is_refused_is_refused_alike(both: Both) -> None:
    def told(client: docker.DockerClient) -> list[str]:
        one = running(client, name="one")
        idle = client.containers.create(IMAGE, ["true"], name="idle")
        calls: list[Any] = [
            lambda: client.containers.get("nosuch"),
            lambda: client.containers.get(""),
            lambda: client.containers.create(IMAGE, ["true"], name="one"),
            lambda: client.containers.create(IMAGE, ["true"], name="-x"),
            lambda: client.containers.create("nosuch", ["true"]),
            lambda: client.containers.create(IMAGE, ["true"], mem_limit="1m"),
            lambda: client.containers.create(IMAGE, ["true"], restart_policy={"Name": "x"}),
            lambda: client.containers.create(IMAGE, ["true"], network_mode="host", ports={"80/tcp": 80}).start(),
            lambda: client.containers.create(IMAGE, ["true"], mac_address="x"),
            lambda: client.containers.create(IMAGE, ["true"], volumes=["rel:/x"]).start(),
            lambda: client.containers.create(IMAGE, ["true"], network="nosuch").start(),
            lambda: client.containers.create(IMAGE, ["true"], network_mode="container:nosuch").start(),
            lambda: client.containers.create(IMAGE, ["nosuch"], name="n2").start(),
            lambda: one.remove(),
            lambda: one.rename("idle"),
            lambda: one.rename(""),
            lambda: one.unpause(),
            lambda: idle.pause(),
            lambda: idle.kill(),
            lambda: one.kill("SIGNOSUCH"),
            lambda: idle.top(),
            lambda: idle.exec_run(["true"]),
            lambda: one.update(mem_limit="1"),
            lambda: one.wait(condition="x"),
            lambda: one.get_archive("/nosuch"),
            lambda: one.put_archive("/nosuch", b""),
            lambda: one.resize(height=-1, width=1),
            lambda: client.containers.list(filters={"nosuch": "x"}),
            lambda: client.containers.list(filters={"status": "x"}),
            lambda: client.containers.list(filters={"exited": "x"}),
            lambda: client.containers.list(all=True, since="nosuch"),
            lambda: client.containers.prune({"nosuch": "x"}),
        ]
        return [ADDRESS.sub("X", refusal(call)) for call in calls]

    wanted = {
        "(remove|kill) container|container (one|idle|X)$": "by its name, not by what it was asked for with",
        "(name|network bridge: invalid MAC address x|MAC address x)$": "without the network that it would be on",
        "is already in use by container": "without the words before it",
        "[Cc]ontainer X is not running": "with a capital",
        "Container X is not paused": "409, where Docker says that the fault is its own (500)",
        "executable file not found in": "without `unknown`",
        "invalid (signal|filter)": "without saying what would be valid",
    }
    assert both.difference(told, wanted) == ""


def test_no_limit_leaves_nobody_out(client: docker.DockerClient) -> None:
    """The low-level API says -1 where nobody asked for a limit."""
    made = {client.api.create_container(IMAGE, ["true"])["Id"] for _ in range(3)}
    assert {found["Id"] for found in client.api.containers(all=True)} == made
    assert len(client.api.containers(limit=2)) == 2


def test_an_image_that_cannot_be_pulled_is_an_error(client: docker.DockerClient) -> None:
    assert refusal(lambda: client.containers.run("nosuch-image", ["true"])).split(" ")[:2] in (
        ["ImageNotFound", "404:"],
        ["APIError", "500:"],
    )
