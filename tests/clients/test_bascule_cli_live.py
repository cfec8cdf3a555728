"""Our command line with the real daemon and real containers, in a network namespace of its own."""

import os
import pty
import re
import select
import shutil
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes namespaces: sudo make test-clients")

SRC = Path(__file__).parents[2] / "src"
APPLETS = ("sh", "echo", "cat", "sleep", "ip", "ping", "id", "true", "kill")


class Ground:
    """A daemon, and our command line pointed at it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.host = f"unix://{path}/s"
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(SRC),
            "BASCULE_HOST": self.host,
            "DOCKER_HOST": self.host,
        }

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "bascule", *words]

    def run(self, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*words), input=stdin, capture_output=True, env=self.environment, timeout=60, check=False
        )
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def out(self, *words: str) -> str:
        """What it prints, when it does what it was told."""
        done = self.run(*words)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout


def busybox(path: Path) -> Path:
    """A root file system in a tar archive."""
    with tarfile.open(path, "w") as archive:
        archive.add(str(shutil.which("busybox")), "bin/busybox")
        for applet in APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
        for name in ("etc", "tmp"):
            directory = tarfile.TarInfo(name)
            directory.type, directory.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(directory)
    return path


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    if not all(shutil.which(program) for program in ("busybox", "conmon", "ip", "nsenter")):
        pytest.skip("needs busybox-static, conmon, iproute2 and util-linux: sudo make setup")
    path = tmp_path_factory.mktemp("live")
    found, name = Ground(path), f"bascule-cli-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready, (path / "log").open("wb") as log:
        ready.bind(f"{path}/ready")
        ready.settimeout(30)
        words = found.command(
            "daemon", "--host", found.host, "--data-root", f"{path}/data", "--exec-root", f"{path}/x"
        )
        daemon = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{name}", *words, "--bridge", "cli0", "--pidfile", f"{path}/pid"],
            env={**found.environment, "NOTIFY_SOCKET": f"{path}/ready"},
            stdout=log,
            stderr=log,
        )
        try:
            while b"READY=1" not in ready.recv(4096):
                pass
            archive = busybox(path / "rootfs.tar")
            assert found.run("import", "-c", 'CMD ["sh"]', str(archive), "tiny:1").returncode == 0
            yield found
        finally:
            everything = found.run("ps", "-aq").stdout.split()
            if everything:
                found.run("rm", "-f", *everything)
            daemon.terminate()
            daemon.wait(30)
            _end_helpers(path)
            subprocess.run(["ip", "netns", "del", name], check=True)


def _end_helpers(path: Path) -> None:
    """The daemon's resolver and proxy live on by design; they know their daemon's paths."""
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            pid = int(entry.name)
            if str(path).encode() in (entry / "cmdline").read_bytes():
                os.kill(pid, 15)


@pytest.fixture
def web(ground: Ground) -> Iterator[str]:
    """A running container on the network `app`."""
    ground.out("network", "create", "app")
    ground.out("run", "-d", "--name", "web", "--network", "app", "-p", "8099:80", "tiny:1", "sleep", "600")
    yield "web"
    ground.run("rm", "-f", "web")
    ground.run("network", "rm", "app")


def test_the_three_default_networks(ground: Ground) -> None:
    lines = ground.out("network", "ls").splitlines()
    assert lines[0] == "NETWORK ID     NAME      DRIVER    SCOPE"
    assert [line.split()[1:] for line in lines[1:]] == [
        ["bridge", "bridge", "local"],
        ["host", "host", "local"],
        ["none", "null", "local"],
    ]


def test_containers_of_a_network_find_each_other_by_name(ground: Ground, web: str) -> None:
    said = ground.out("run", "--rm", "--network", "app", "tiny:1", "ping", "-c", "1", "-W", "2", web)
    assert "1 packets received" in said


@pytest.mark.parametrize(
    ("command", "code", "out", "err"),
    [
        (["echo", "hi"], 0, "hi\n", ""),
        (["sh", "-c", "echo out; echo err >&2; exit 3"], 3, "out\n", "err\n"),
    ],
)
def test_run_ends_as_its_container(ground: Ground, command: list[str], code: int, out: str, err: str) -> None:
    done = ground.run("run", "--rm", "tiny:1", *command)
    assert (done.returncode, done.stdout, done.stderr) == (code, out, err)


def test_a_command_that_is_not_there_is_127(ground: Ground) -> None:
    done = ground.run("run", "--rm", "tiny:1", "nosuch")
    assert done.returncode == 127
    assert "executable file not found" in done.stderr


def test_input_reaches_the_container_and_ends(ground: Ground) -> None:
    typed = b"0123456789abcdef" * 65536
    done = ground.run("run", "-i", "--rm", "tiny:1", "cat", stdin=typed)
    assert (done.returncode, done.stdout.encode() == typed) == (0, True)


def test_logs_and_ports_and_processes(ground: Ground, web: str) -> None:
    assert ground.out("port", web).splitlines()[0] == "80/tcp -> 0.0.0.0:8099"
    assert "sleep 600" in ground.out("top", web)
    ground.out("run", "--name", "said", "tiny:1", "sh", "-c", "echo one; echo two")
    assert ground.out("logs", "said") == "one\ntwo\n"
    assert ground.out("logs", "--tail", "1", "said") == "two\n"
    ground.out("rm", "said")


def test_a_dry_run_changes_nothing(ground: Ground) -> None:
    before = ground.out("network", "ls")
    said = ground.out("network", "create", "--dry-run", "planned")
    assert "ip link add br-" in said
    assert ground.out("network", "ls") == before


def test_dry_runs_of_containers_tell_their_networks_and_change_nothing(ground: Ground, web: str) -> None:
    def told(*words: str) -> list[str]:
        seen = (
            ("ps", "-a", "--format", "{{.ID}} {{.State}} {{.Ports}}"),
            ("inspect", web),
            ("network", "inspect", "app"),
        )
        before = [ground.out(*words) for words in seen]
        lines = ground.out(*words).splitlines()
        assert [ground.out(*words) for words in seen] == before
        return lines

    run = ("--dry-run", "--network", "app", "-p", "8098:80", "tiny:1", "true")
    assert [line.split()[0] for line in told("run", *run)][:2] == ["mkdir", "nft"]
    assert any(" type veth " in line for line in told("create", *run))
    ends = told("stop", "--dry-run", web)
    assert ends[-1].startswith("umount ")
    assert any(line.startswith("nft delete element") and "8099" in line for line in ends)
    assert told("rm", "-f", "--dry-run", web) == told("kill", "--dry-run", web) == ends
    again = told("restart", "--dry-run", web)
    assert again[: len(ends)] == ends
    assert any(" type veth " in line for line in again[len(ends) :])
    assert told("start", "--dry-run", web) == [f"# {web} runs: nothing is done"]
    assert told("run", "--dry-run", "--network", "host", "tiny:1") == [
        "# the network is the host's: nothing is done to it"
    ]
    refused = ground.run("run", *run[:4], "8099:80", "tiny:1", "true")
    assert (refused.returncode, "port is already allocated" in refused.stderr) == (125, True), refused.stderr
    assert ground.run("run", "--dry-run", "nosuch:1").returncode == 125


def test_connect_and_disconnect_and_their_dry_runs(ground: Ground, web: str) -> None:
    ground.out("network", "create", "other")
    assert "type veth" in ground.out("network", "connect", "--dry-run", "other", web)
    ground.out("network", "connect", "--alias", "www", "other", web)
    shown = "{{range $n, $e := .NetworkSettings.Networks}}{{$n}} {{end}}"
    assert ground.out("inspect", "-f", shown, web).split() == ["app", "other"]
    refused = ground.run("network", "rm", "other")
    assert refused.returncode == 1
    assert "network other has active endpoints" in refused.stderr
    ground.out("network", "disconnect", "other", web)
    assert ground.out("network", "rm", "other") == "other\n"


def test_files_are_copied_there_and_back(ground: Ground, web: str, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("hello\n")
    ground.out("cp", str(tmp_path / "there"), f"{web}:/tmp/")
    ground.out("cp", f"{web}:/tmp/there", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "hello\n"
    ground.out("cp", f"{web}:/tmp", str(tmp_path))
    assert (tmp_path / "tmp" / "there").read_text() == "hello\n"


def test_a_shell_at_a_terminal(ground: Ground) -> None:
    ours, theirs = pty.openpty()
    command = ground.command("run", "--rm", "-it", "tiny:1", "sh")
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=ground.environment) as process:
        os.close(theirs)
        screen(ours, b"# ")
        os.write(ours, b"echo $((6*7))\r")
        screen(ours, b"42\r\n")
        os.write(ours, b"exit 5\r")
        # The rest is read, or the terminal would not let go of it.
        with suppress(OSError):
            while os.read(ours, 4096):
                pass
        assert process.wait(30) == 5
    os.close(ours)


def screen(fd: int, wanted: bytes) -> None:
    data, deadline = b"", time.monotonic() + 20
    while wanted not in data:
        assert select.select([fd], [], [], max(0, deadline - time.monotonic()))[0], data
        data += os.read(fd, 4096)


@pytest.mark.skipif(not shutil.which("docker"), reason="no docker CLI: apt-get install docker.io")
def test_dockers_command_line_says_the_same_of_it(ground: Ground, web: str) -> None:
    lines = [
        "network ls",
        "network inspect app",
        "network inspect nope",
        "network create app",
        "network rm bridge",
        "ps -a --no-trunc",
        f"inspect {web}",
        f"port {web}",
        f"top {web}",
        f"logs {web}",
        "images",
        "image inspect tiny:1",
        "history tiny:1",
        "volume ls",
        "system df",
        "info --format {{.ServerVersion}}",
        "exec nope true",
    ]
    for line in lines:
        done = subprocess.run(
            ["docker", *line.split()],
            capture_output=True,
            text=True,
            env=ground.environment,
            timeout=60,
            check=False,
        )
        ours = ground.run(*line.split())
        assert (line, ours.returncode, _ageless(ours.stdout)) == (line, done.returncode, _ageless(done.stdout))


def _ageless(text: str) -> str:
    """*text* without ages, which grow between two questions, the blanks that follow from their lengths, and what a
    process in `top` had of the processor meanwhile."""
    text = re.sub(r" +", " ", re.sub(r"(Less than a|About a|\d+) (second|minute)s?", "AGE", text))
    return re.sub(r"^(\w+ \d+ \d+) \d+ ", r"\1 C ", text, flags=re.MULTILINE)
