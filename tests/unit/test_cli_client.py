"""The command line against a daemon of canned answers: requests, output, exit status."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from tests.unit.canned import Canned, canned, framed

from bascule.cli.start import main

ID = "f" * 64
SRC = Path(__file__).parents[2] / "src"


def net(name: str, letter: str, driver: str = "bridge") -> dict[str, Any]:
    return {
        "Name": name,
        "Id": letter * 64,
        "Created": "2026-11-23T22:14:11.5Z",
        "Scope": "local",
        "Driver": driver,
        "EnableIPv4": True,
        "EnableIPv6": False,
        "Internal": False,
        "Labels": {"a": "b"},
    }


ANSWERS: dict[str, Any] = {
    "GET /networks": (200, [net("net10", "d"), net("none", "c", "null"), net("net2", "e")]),
    "GET /networks/net2": (200, net("net2", "e")),
    "GET /networks/nope": (404, {"message": "network nope not found"}),
    "POST /networks/create": lambda r: (
        (200, b"ip link add br-1 type bridge\n") if "dryRun" in r.query else (201, {"Id": ID, "Warning": ""})
    ),
    "POST /networks/net2/connect": (200, None),
    "POST /networks/net2/disconnect": (200, b"ip link del x\n"),
    "DELETE /networks/net2": (204, None),
    "DELETE /networks/nope": (404, {"message": "network nope not found"}),
    "POST /networks/prune": (200, {"NetworksDeleted": ["net2"]}),
    "POST /containers/create": (201, {"Id": ID, "Warnings": ["careful"]}),
    f"POST /containers/{ID}/start": (204, None),
    f"POST /containers/{ID}/wait": (200, {"StatusCode": 3}),
    f"DELETE /containers/{ID}": (204, None),
    "POST /containers/web/exec": (201, {"Id": "x1"}),
    "GET /exec/x1/json": (200, {"ExitCode": 4}),
    "POST /containers/web/stop": (204, None),
    "POST /containers/nope/stop": (404, {"message": "No such container: nope"}),
    "GET /containers/web/json": (200, {"Id": ID, "Config": {"Tty": False}, "NetworkSettings": {"Ports": {}}}),
    "GET /containers/web/logs": (200, framed(1, b"out\n") + framed(2, b"err\n")),
    "POST /images/create": (200, b'{"status":"sha256:abc"}\n'),
    "POST /images/load": (200, b'{"stream":"Loaded image: a:b\\n"}\n{"errorDetail":{"message":"disk full"}}\n'),
    "GET /images/get": (200, b"tar"),
}


class Said:
    """What a command printed, and how it ended."""

    def __init__(self, daemon: Canned, *words: str) -> None:
        out, err = io.StringIO(), io.StringIO()
        before = len(daemon.requests)
        with redirect_stdout(out), redirect_stderr(err):
            self.code = main(["-H", daemon.host, *words])
        self.out, self.err = out.getvalue(), err.getvalue()
        self.requests = [str(r) for r in daemon.requests[before:]]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Canned]:
    with canned(tmp_path / "s", ANSWERS) as found:
        yield found


def process(daemon: Canned, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """The command in a process of its own, for what reads and writes its real streams."""
    environment = {**os.environ, "PYTHONPATH": str(SRC), "BASCULE_HOST": daemon.host}
    command = [sys.executable, "-m", "bascule", *words]
    return subprocess.run(command, input=stdin, capture_output=True, env=environment, timeout=30, check=False)


def test_network_ls_is_one_request_and_a_table_by_name(daemon: Canned) -> None:
    said = Said(daemon, "network", "ls")
    assert said.requests == ["GET /networks"]
    assert said.out == (
        "NETWORK ID     NAME      DRIVER    SCOPE\n"
        "eeeeeeeeeeee   net2      bridge    local\n"
        "dddddddddddd   net10     bridge    local\n"
        "cccccccccccc   none      null      local\n"
    )


def test_network_ls_filters_and_shows_ids(daemon: Canned) -> None:
    said = Said(daemon, "network", "ls", "-q", "--no-trunc", "-f", "name=x", "-f", "name=y", "-f", "driver=bridge")
    assert said.requests == ['GET /networks?filters={"driver":{"bridge":true},"name":{"x":true,"y":true}}']
    assert said.out.splitlines()[0] == "e" * 64


def test_network_ls_by_template(daemon: Canned) -> None:
    said = Said(
        daemon, "network", "ls", "--format", '{{.Name}} {{.Label "a"}} {{.Labels}} {{.CreatedAt}} {{.IPv6}}'
    )
    assert said.out.splitlines()[0].startswith("net2 b a=b 2026-11-23 ")


def test_network_create_prints_the_id_and_sends_what_was_typed(daemon: Canned) -> None:
    line = (
        "network create -d macvlan -o parent=eth0 --label a=b --internal --ipv6=false --subnet 10.7.0.0/24"
        " --gateway 10.7.0.1 --ip-range 10.7.0.128/25 --aux-address r=10.7.0.9 lan"
    )
    said = Said(daemon, *line.split())
    assert (said.out, said.code) == (ID + "\n", 0)
    assert daemon.bodies() == [
        {
            "Name": "lan",
            "Driver": "macvlan",
            "Scope": "",
            "IPAM": {
                "Driver": "default",
                "Options": {},
                "Config": [
                    {
                        "Subnet": "10.7.0.0/24",
                        "IPRange": "10.7.0.128/25",
                        "Gateway": "10.7.0.1",
                        "AuxiliaryAddresses": {"r": "10.7.0.9"},
                    }
                ],
            },
            "Internal": True,
            "Attachable": False,
            "Ingress": False,
            "ConfigOnly": False,
            "Options": {"parent": "eth0"},
            "Labels": {"a": "b"},
            "EnableIPv6": False,
        }
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--gateway 10.0.0.1", "every ip-range or gateway must have a corresponding subnet"),
        ("--subnet 10.7.0.0/24 --gateway 10.9.0.1", "no matching subnet for gateway 10.9.0.1"),
        ("--subnet 10.7.0.0/24 --ip-range 10.9.0.1/26", "no matching subnet for range 10.9.0.1/26"),
        ("--subnet 10.7.0.0/24 --aux-address r=10.9.0.1", "no matching subnet for aux-address 10.9.0.1"),
        (
            "--subnet 10.7.0.0/24 --subnet 10.7.0.0/25",
            "multiple overlapping subnet configuration is not supported",
        ),
        ("--subnet zz --subnet 10.0.0.0/8", "invalid subnet: invalid CIDR address: zz"),
        (
            "--subnet 10.7.0.0/24 --subnet 10.8.0.0/24 --gateway 10.7.0.1 --gateway 10.7.0.2",
            "cannot configure multiple gateways (10.7.0.2, 10.7.0.1) for the same subnet (10.7.0.0/24)",
        ),
        (
            "--subnet 10.7.0.0/24 --subnet 10.8.0.0/24 --ip-range 10.7.0.0/25 --ip-range 10.7.0.128/25",
            "cannot configure multiple ranges (10.7.0.128/25, 10.7.0.0/25) on the same subnet (10.7.0.0/24)",
        ),
    ],
)
def test_network_create_refuses_before_it_asks(daemon: Canned, line: str, message: str) -> None:
    said = Said(daemon, "network", "create", *line.split(), "n")
    assert (said.err, said.code, said.requests) == (message + "\n", 1, [])


def test_a_dry_run_prints_the_answer(daemon: Canned) -> None:
    said = Said(daemon, "network", "create", "--dry-run", "n")
    assert said.requests == ["POST /networks/create?dryRun=1"]
    assert said.out == "ip link add br-1 type bridge\n"
    said = Said(daemon, "network", "disconnect", "--dry-run", "net2", "web")
    assert (said.requests, said.out) == (["POST /networks/net2/disconnect?dryRun=1"], "ip link del x\n")


def test_network_connect_sends_the_endpoint(daemon: Canned) -> None:
    line = (
        "network connect --ip 10.0.0.5 --ip6 fd00::5 --alias a --alias b,c --link x:y --driver-opt k=v"
        " --link-local-ip 169.254.1.1 --gw-priority -3 net2 web"
    )
    said = Said(daemon, *line.split())
    assert (said.out, said.err, said.code) == ("", "", 0)
    assert daemon.bodies() == [
        {
            "Container": "web",
            "EndpointConfig": {
                "IPAMConfig": {
                    "IPv4Address": "10.0.0.5",
                    "IPv6Address": "fd00::5",
                    "LinkLocalIPs": ["169.254.1.1"],
                },
                "Links": ["x:y"],
                "Aliases": ["a", "b", "c"],
                "DriverOpts": {"k": "v"},
                "GwPriority": -3,
            },
        }
    ]


def test_one_of_several_that_is_not_there_does_not_keep_the_others(daemon: Canned) -> None:
    said = Said(daemon, "network", "rm", "nope", "net2")
    assert (said.out, said.err, said.code) == ("net2\n", "Error response from daemon: network nope not found\n", 1)
    said = Said(daemon, "network", "rm", "-f", "nope")
    assert (said.out, said.err, said.code) == ("", "", 0)
    said = Said(daemon, "stop", "-t", "3", "web", "nope")
    assert said.requests == ["POST /containers/web/stop?t=3", "POST /containers/nope/stop?t=3"]
    assert (said.out, said.err, said.code) == ("web\n", "Error response from daemon: No such container: nope\n", 1)


def test_inspect_prints_what_it_finds_and_tells_what_it_does_not(daemon: Canned) -> None:
    said = Said(daemon, "network", "inspect", "-f", "{{.Name}}", "net2", "nope")
    assert (said.out, said.err, said.code) == ("net2\n", "Error response from daemon: network nope not found\n", 1)
    said = Said(daemon, "inspect", "nope")
    assert (said.out, said.err, said.code) == ("[]\n", "Error: No such object: nope\n", 1)
    assert said.requests == [f"GET /{p}nope{s}" for p, s in [
        ("containers/", "/json"), ("images/", "/json"), ("networks/", ""), ("volumes/", "")
    ]]  # fmt: skip


def test_prune_asks_before_and_lists_after(daemon: Canned) -> None:
    said = Said(daemon, "network", "prune", "-f", "--filter", "until=24h")
    assert said.requests == ['POST /networks/prune?filters={"until":{"24h":true}}']
    assert said.out == "Deleted Networks:\nnet2\n\n"
    done = process(daemon, "network", "prune", stdin=b"n\n")
    assert done.stdout.decode().endswith("Are you sure you want to continue? [y/N] ")
    assert done.returncode == 0
    assert process(daemon, "network", "prune", stdin=b"y\n").stdout.decode().endswith("net2\n\n")


def test_network_create_prints_what_may_not_work_beside_the_id(tmp_path: Path) -> None:
    answers = {**ANSWERS, "POST /networks/create": (201, {"Id": ID, "Warning": "wlan0 is wireless"})}
    with canned(tmp_path / "s", answers) as daemon:
        said = Said(daemon, "network", "create", "-d", "macvlan", "-o", "parent=wlan0", "air")
    assert (said.out, said.err, said.code) == (ID + "\n", "WARNING: wlan0 is wireless\n", 0)


def test_run_in_the_background_prints_the_id(daemon: Canned) -> None:
    said = Said(daemon, "run", "-d", "--name", "web", "host", "sleep", "1")
    assert said.requests == ["POST /containers/create?name=web", f"POST /containers/{ID}/start"]
    assert (said.out, said.err, said.code) == (ID + "\n", "WARNING: careful\n", 0)


def test_run_attaches_waits_and_starts_in_this_order_and_ends_as_the_container(tmp_path: Path) -> None:
    with canned(tmp_path / "s", ANSWERS, framed(1, b"hi\n") + framed(2, b"warn\n")) as daemon:
        done = process(daemon, "run", "--rm", "-i", "host", "cat", stdin=b"typed\n")
        assert daemon.said.wait(10)
    assert (done.stdout, done.stderr, done.returncode) == (b"hi\n", b"WARNING: careful\nwarn\n", 3)
    assert daemon.told() == [
        "POST /containers/create",
        f"POST /containers/{ID}/attach?stderr=1&stdin=1&stdout=1&stream=1",
        f"POST /containers/{ID}/wait?condition=removed",
        f"POST /containers/{ID}/start",
    ]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ('exec: "nope": executable file not found in $PATH', 127),
        ("exec /etc/passwd: permission denied", 126),
        ("network app not found", 125),
    ],
)
def test_run_ends_as_a_shell_says_why_it_could_not_start(tmp_path: Path, message: str, code: int) -> None:
    answers = {**ANSWERS, f"POST /containers/{ID}/start": (400, {"message": message})}
    with canned(tmp_path / "s", answers) as daemon:
        said = Said(daemon, "run", "-d", "host", "nope")
    assert said.code == code
    assert said.out == ID + "\n"
    assert said.err == (
        f"WARNING: careful\nbascule: Error response from daemon: {message}\n\n"
        "Run 'bascule run --help' for more information\n"
    )


def test_an_image_that_is_missing_is_pulled(tmp_path: Path) -> None:
    tries: list[int] = []

    def create(_: object) -> tuple[int, object]:
        tries.append(1)
        return (404, {"message": "No such image: busybox:latest"}) if len(tries) == 1 else (201, {"Id": ID})

    with canned(tmp_path / "s", {**ANSWERS, "POST /containers/create": create}) as daemon:
        said = Said(daemon, "create", "busybox")
        assert said.requests[1] == "POST /images/create?fromImage=busybox&tag=latest"
        assert said.err.startswith("Unable to find image 'busybox:latest' locally\n")
        assert said.out == ID + "\n"
        tries.clear()
        said = Said(daemon, "create", "--pull", "never", "busybox")
        assert (len(said.requests), said.code) == (1, 125)


def test_exec_ends_as_the_command(tmp_path: Path) -> None:
    with canned(tmp_path / "s", ANSWERS, framed(1, b"out\n")) as daemon:
        done = process(daemon, "exec", "-e", "A=b", "-w", "/x", "web", "ls", "-l")
    assert (done.stdout, done.returncode) == (b"out\n", 4)
    assert daemon.bodies()[0]["Cmd"] == ["ls", "-l"]
    assert daemon.bodies()[1] == {"Detach": False, "Tty": False}


def test_logs_go_to_the_stream_that_they_came_from(daemon: Canned) -> None:
    done = process(daemon, "logs", "--tail", "5", "web")
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")
    assert daemon.told()[1] == "GET /containers/web/logs?stderr=1&stdout=1&tail=5"


def test_an_archive_is_sent_as_it_is_read(daemon: Canned) -> None:
    archive = bytes(range(256)) * 2000
    done = process(daemon, "import", "-c", "CMD x", "-c", "ENV a=b", "-", "tiny:1", stdin=archive)
    assert (done.stdout, done.returncode) == (b"sha256:abc\n", 0)
    assert daemon.requests[0].body == archive
    assert daemon.requests[0].query["repo"] == "tiny:1"


def test_an_error_in_the_middle_of_a_stream_is_one(daemon: Canned) -> None:
    done = process(daemon, "load", stdin=b"tar")
    assert (done.stdout, done.stderr, done.returncode) == (b"Loaded image: a:b\n", b"disk full\n", 1)


def test_save_writes_the_archive(daemon: Canned) -> None:
    assert process(daemon, "save", "a", "b").stdout == b"tar"


def test_no_daemon_is_one_sentence(tmp_path: Path) -> None:
    with canned(tmp_path / "s", {}) as gone:
        pass
    said = Said(gone, "network", "ls")
    assert said.err == f"Cannot connect to the bascule daemon at {gone.host}. Is it running? (bascule daemon)\n"
    assert said.code == 1


def test_tcp_without_certificates_is_refused() -> None:
    err = io.StringIO()
    with redirect_stderr(err):
        code = main(["-H", "tcp://127.0.0.1:2376", "network", "ls"])
    assert (code, err.getvalue().split(";")[0]) == (1, "tcp://127.0.0.1:2376: refused without TLS")


def test_an_answer_that_ends_too_early_is_told(tmp_path: Path) -> None:
    with canned(tmp_path / "s", {"GET /networks": (500, b"no JSON")}) as daemon:
        assert Said(daemon, "network", "ls").err == "Error response from daemon: no JSON\n"


@pytest.mark.parametrize(
    ("line", "code", "text"),
    [
        ("foo", 1, "bascule: unknown command: bascule foo\n\nRun 'bascule --help' for more information\n"),
        (
            "network foo",
            1,
            "bascule: unknown command: bascule network foo\n\nUsage:  bascule network COMMAND\n\n"
            "Run 'bascule network --help' for more information\n",
        ),
        (
            "network create",
            1,
            "bascule: 'bascule network create' requires 1 argument\n\n"
            "Usage:  bascule network create [OPTIONS] NETWORK\n\n"
            "Run 'bascule network create --help' for more information\n",
        ),
        (
            "network ls x",
            1,
            "bascule: 'bascule network ls' accepts no arguments\n\nUsage:  bascule network ls [OPTIONS]\n\n"
            "Run 'bascule network ls --help' for more information\n",
        ),
        (
            "run --foo x",
            125,
            "unknown flag: --foo\n\nUsage:  bascule run [OPTIONS] IMAGE [COMMAND] [ARG...]\n\n"
            "Run 'bascule run --help' for more information\n",
        ),
        (
            "stop",
            1,
            "bascule: 'bascule stop' requires at least 1 argument\n\n"
            "Usage:  bascule stop [OPTIONS] CONTAINER [CONTAINER...]\n\n"
            "See 'bascule stop --help' for more information\n",
        ),
        (
            "run -d -p 80/foo host",
            125,
            "bascule: invalid proto: foo\n\nRun 'bascule run --help' for more information\n",
        ),
    ],
)
def test_words_that_are_no_command_are_told_with_the_way_to_help(
    daemon: Canned, line: str, code: int, text: str
) -> None:
    said = Said(daemon, *line.split())
    assert (said.err, said.code, said.requests) == (text, code, [])


@pytest.mark.parametrize(
    "line", ["--help", "help", "network --help", "network", "help network", "help run", "rm --help"]
)
def test_help_is_printed_and_no_error(daemon: Canned, line: str) -> None:
    said = Said(daemon, *line.split())
    assert said.out.startswith("Usage:  bascule")
    assert (said.err, said.code) == ("", 0)


def test_what_may_be_typed_next(daemon: Canned) -> None:
    def next_words(*typed: str) -> list[str]:
        return Said(daemon, "completion", "words", "--", *typed).out.split()

    assert {"run", "network", "images"} <= set(next_words(""))
    assert {"ls", "create", "rm", "list"} <= set(next_words("network", ""))
    assert "--subnet" in next_words("network", "create", "--")
    assert next_words("network", "rm", "") == ["net10", "none", "net2"]
    assert next_words("run", "--network", "") == ["net10", "none", "net2"]
    assert "macvlan" in next_words("network", "create", "-d", "")
    assert next_words("nope", "") == []


HEAVY = [
    "re",
    "typing",
    "json",
    "socket",
    "argparse",
    "collections",
    "os",
    "asyncio",
    "enum",
    "functools",
    "ssl",
    "contextlib",
]


def test_a_start_imports_nothing_heavy(daemon: Canned) -> None:
    script = f"""
import sys
sys.path.insert(0, {str(SRC)!r})
import bascule
before = set(sys.modules)
from bascule.cli.start import main
main(["-H", {daemon.host!r}, "network", "ls"])
print(*sorted(set(sys.modules) - before), file=sys.stderr)
"""
    command = [sys.executable, "-I", "-S", "-c", script]
    done = subprocess.run(command, capture_output=True, timeout=30, check=True)
    assert b"net10" in done.stdout
    imported = done.stderr.decode().split()
    assert "bascule.cli.network" in imported
    assert [name for name in imported if name in HEAVY] == []


def test_a_certificate_that_is_not_there_is_named(tmp_path: Path) -> None:
    told = io.StringIO()
    ca = tmp_path / "ca.pem"
    with redirect_stderr(told):
        status = main(["-H", "tcp://127.0.0.1:2376", "--tls", f"--tlscacert={ca}", "network", "ls"])
    assert (status, told.getvalue()) == (1, f"tcp://127.0.0.1:2376: cannot read {ca}: No such file or directory\n")
