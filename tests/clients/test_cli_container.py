"""`docker run` and what follows it, against our daemon, as it reads against Docker's."""

import json
import os
import pty
import subprocess
import time

import pytest
from tests.clients.conftest import DEADLINE, Ground

DAEMON = "Error response from daemon: "


def test_run_gives_output_and_exit_status(ground: Ground) -> None:
    told = ground.docker("run", "--rm", "host", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (told.status, told.out, told.err) == (3, "out\n", "err\n")
    assert ground.docker("ps", "-aq").out == ""


def test_run_carries_input_and_its_end(ground: Ground) -> None:
    data = "".join(f"line {n}\n" for n in range(20000))
    assert ground.docker("run", "-i", "--rm", "host", "cat", stdin=data).out == data


def test_nothing_is_lost_of_a_process_that_ends_at_once(ground: Ground) -> None:
    told = [ground.docker("run", "--rm", "host", "echo", str(n)).out for n in range(10)]
    assert told == [f"{n}\n" for n in range(10)]


@pytest.mark.parametrize(
    ("command", "status", "told"),
    [("nosuchcommand", 127, "executable file not found in $PATH"), ("/etc/passwd", 126, "permission denied")],
)
def test_a_command_that_cannot_run_has_its_own_status(ground: Ground, command: str, status: int, told: str) -> None:
    done = ground.docker("run", "--rm", "host", command)
    assert done.status == status, done
    assert told in done.err


def test_a_missing_image_is_told(ground: Ground) -> None:
    told = ground.docker("run", "--rm", "--pull=never", "zzz")
    assert told.status == 125
    assert "No such image: zzz:latest" in told.err


def test_logs_know_the_streams_and_the_times(ground: Ground) -> None:
    ground.docker("run", "--name", "c1", "host", "sh", "-c", "echo one; echo two >&2; echo three")
    told = ground.docker("logs", "c1")
    assert (told.out, told.err) == ("one\nthree\n", "two\n")
    ground.docker("run", "--name", "c2", "host", "sh", "-c", "echo one; echo two; echo three")
    assert ground.docker("logs", "--tail", "2", "c2").out == "two\nthree\n"
    assert ground.docker("logs", "-t", "c1").out.splitlines()[0].endswith("Z one")
    assert ground.docker("logs", "--until", "1h", "c1").out == ""


def test_a_restart_that_fails_says_so(ground: Ground) -> None:
    ground.docker("network", "create", "n1")
    ground.docker("create", "--name", "c1", "--network", "n1", "host", "true")
    ground.docker("network", "rm", "n1")
    told = ground.docker("restart", "c1")
    assert told.status == 1
    assert "Cannot restart container c1: " in told.err
    assert "network n1 not found" in told.err
    assert "No such container: nosuch" in ground.docker("restart", "nosuch").err


def test_a_line_that_was_written_in_pieces_is_one_line_of_the_logs(ground: Ground) -> None:
    # The other stream's line between two pieces has them written apart.
    pieces = "printf 'load'; sleep 0.2; echo err >&2; sleep 0.2; printf 'ing '; sleep 0.2; echo done"
    ground.docker("run", "--name", "c1", "host", "sh", "-c", f"echo one; {pieces}")
    assert ground.docker("logs", "--tail", "2", "c1").out == "loading done\n"
    stamped = ground.docker("logs", "-t", "c1").out.splitlines()
    assert [line.partition("Z ")[2] for line in stamped] == ["one", "loading done"]


def test_logs_are_followed_to_the_end(ground: Ground) -> None:
    ground.docker("run", "-d", "--name", "c1", "host", "sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.1; done")
    assert ground.docker("logs", "-f", "c1").out == "1\n2\n3\n"


def test_exec_gives_output_input_and_exit_status(ground: Ground) -> None:
    ground.docker("run", "-d", "--name", "c1", "host", "sleep", "600")
    told = ground.docker("exec", "c1", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (told.status, told.out, told.err) == (7, "out\n", "err\n")
    assert ground.docker("exec", "-i", "c1", "cat", stdin="in\n").out == "in\n"
    assert ground.docker("exec", "-w", "/tmp", "-e", "A=b", "c1", "sh", "-c", "pwd; echo $A").out == "/tmp\nb\n"
    missing = ground.docker("exec", "c1", "nosuchcommand")
    assert missing.status == 127, missing
    assert "executable file not found in $PATH" in missing.out + missing.err


def test_exec_in_a_stopped_container_is_refused(ground: Ground) -> None:
    ground.docker("create", "--name", "c1", "host", "true")
    ident = ground.docker("inspect", "-f", "{{.Id}}", "c1").out.strip()
    assert ground.docker("exec", "c1", "true").err.strip() == f"{DAEMON}container {ident} is not running"


def test_a_container_lives_through_its_whole_life(ground: Ground) -> None:
    state = ("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "c1")

    def after(*words: str) -> str:
        done = ground.docker(*words)
        assert done.status == 0, done
        return ground.docker(*state).out.strip()

    assert after("create", "--name", "c1", "host", "sleep", "600") == "created 0"
    assert after("start", "c1") == "running 0"
    assert after("pause", "c1") == "paused 0"
    assert after("unpause", "c1") == "running 0"
    assert after("restart", "-t", "0", "c1") == "running 0"
    assert after("kill", "c1").startswith(("exited 137", "running"))
    assert ground.docker("wait", "c1").out == "137\n"
    assert after("start", "c1") == "running 0"
    assert after("stop", "-t", "0", "c1") == "exited 137"
    assert str(ground.docker("rm", "c1")) == "c1"
    assert ground.docker(*state).status == 1


def test_a_running_container_is_not_removed_without_force(ground: Ground) -> None:
    ground.docker("run", "-d", "--name", "c1", "host", "sleep", "600")
    told = ground.docker("rm", "c1")
    assert told.status == 1
    assert "cannot remove container" in told.err
    assert str(ground.docker("rm", "-f", "c1")) == "c1"


def test_a_name_is_taken_once(ground: Ground) -> None:
    ident = ground.docker("create", "--name", "c1", "host", "true").out.strip()
    told = ground.docker("create", "--name", "c1", "host", "true")
    assert told.err.strip() == (
        f'{DAEMON}Conflict. The container name "/c1" is already in use by container "{ident}". You have to remove'
        " (or rename) that container to be able to reuse that name."
    )


def test_ps_shows_published_ports(ground: Ground) -> None:
    ground.docker("run", "-d", "--name", "c1", "-p", "18080:80", "host", "sleep", "600")
    assert ground.docker("ps", "--format", "{{.Names}} {{.Ports}}").out == (
        "c1 0.0.0.0:18080->80/tcp, [::]:18080->80/tcp\n"
    )
    assert ground.docker("port", "c1").out == "80/tcp -> 0.0.0.0:18080\n80/tcp -> [::]:18080\n"
    told = ground.docker("run", "--name", "c2", "-p", "18080:80", "host", "true")
    assert (told.status, "port is already allocated" in told.err) == (125, True)


def test_files_go_in_and_out(ground: Ground) -> None:
    ground.docker("create", "--name", "c1", "host", "cat", "/srv/in/f")
    source = ground.directory / "in"
    source.mkdir(exist_ok=True)
    (source / "f").write_text("content\n")
    assert ground.docker("cp", str(source), "c1:/srv/").status == 0
    assert ground.docker("start", "-a", "c1").out == "content\n"
    assert ground.docker("cp", "c1:/srv/in/f", str(ground.directory / "out")).status == 0
    assert (ground.directory / "out").read_text() == "content\n"
    missing = ground.docker("cp", "c1:/not-there", "-")
    assert "Could not find the file /not-there in container c1" in missing.err


def test_a_terminal_is_a_terminal_and_can_be_left(ground: Ground) -> None:
    mine, theirs = pty.openpty()
    env = {**os.environ, "DOCKER_HOST": ground.host}
    command = ["docker", "run", "-it", "--name", "c1", "host", "sh", "-c", "tty; exec cat"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env) as client:
        os.close(theirs)
        said = b""
        while b"/dev/pts/" not in said and b"/dev/console" not in said:
            said += os.read(mine, 1000)
        os.write(mine, b"typed\n")
        while said.count(b"typed") < 2:
            said += os.read(mine, 1000)
        os.write(mine, b"\x10\x11")
        client.wait(DEADLINE)
    os.close(mine)
    assert ground.docker("inspect", "-f", "{{.State.Status}}", "c1").out == "running\n"


def test_events_are_told_as_they_happen(ground: Ground) -> None:
    since = str(time.time())
    ground.docker("run", "--rm", "--name", "c1", "host", "true")
    until = str(time.time())
    told = ground.docker(
        "events", "--since", since, "--until", until, "--format", "{{json .}}", "-f", "container=c1"
    )
    events = [json.loads(line) for line in told.out.splitlines()]
    assert [e["Action"] for e in events] == ["create", "attach", "start", "die", "destroy"]
    (die,) = [e for e in events if e["Action"] == "die"]
    assert (die["Type"], die["Actor"]["Attributes"]["exitCode"], die["status"]) == ("container", "0", "die")


def test_volumes_keep_what_was_written(ground: Ground) -> None:
    assert str(ground.docker("volume", "create", "v1")) == "v1"
    ground.docker("run", "--rm", "-v", "v1:/d", "host", "sh", "-c", "echo kept > /d/f")
    assert ground.docker("run", "--rm", "-v", "v1:/d:ro", "host", "cat", "/d/f").out == "kept\n"
    assert str(ground.docker("volume", "rm", "v1")) == "v1"
    assert "no such volume" in ground.docker("volume", "inspect", "v1").err


def test_an_image_is_imported_tagged_saved_loaded_and_removed(ground: Ground) -> None:
    root = ground.directory / "root"
    (root / "bin").mkdir(parents=True, exist_ok=True)
    (root / "hello").write_text("hello\n")
    subprocess.run(["tar", "-C", root, "-cf", ground.directory / "root.tar", "."], check=True)
    told = ground.docker("import", "-c", 'CMD ["/x"]', str(ground.directory / "root.tar"), "mine:1")
    assert told.out.startswith("sha256:"), told
    assert ground.docker("tag", "mine:1", "mine:2").status == 0
    assert ground.docker("images", "--format", "{{.Repository}}:{{.Tag}}", "mine").out == "mine:1\nmine:2\n"
    assert ground.docker("save", "-o", str(ground.directory / "saved.tar"), "mine:1").status == 0
    assert str(ground.docker("rmi", "mine:2")) == "Untagged: mine:2"
    gone = ground.docker("rmi", "mine:1").out.splitlines()
    assert (gone[0], gone[1].split(":")[0]) == ("Untagged: mine:1", "Deleted")
    assert ground.docker("load", "-i", str(ground.directory / "saved.tar")).out == "Loaded image: mine:1\n"
    assert json.loads(ground.docker("inspect", "mine:1").out)[0]["Config"]["Cmd"] == ["/x"]
    ground.docker("rmi", "mine:1")


def test_everything_that_a_client_asks_of_the_daemon_is_answered(ground: Ground) -> None:
    ground.docker("run", "-d", "--name", "c1", "host", "sleep", "600")
    for words in (
        "version",
        "info",
        "system df",
        "system df -v",
        "top c1",
        "stats --no-stream",
        "diff c1",
        "ps -a -s",
        "history host",
        "image inspect host",
        "system prune -f",
    ):
        told = ground.docker(*words.split())
        assert told.status == 0, f"{words}: {told}"


def test_what_is_not_there_is_told(ground: Ground) -> None:
    assert "not a swarm manager" in ground.docker("service", "ls").err
    assert "Bascule does not talk to registries" in ground.docker("search", "x").err


def test_containers_live_on_while_the_daemon_does_not(ground: Ground) -> None:
    ground.docker("network", "create", "n1")
    ground.docker("run", "-d", "--name", "c1", "--network", "n1", "host", "sleep", "600")
    before = ground.docker("inspect", "-f", "{{.State.Pid}} {{.NetworkSettings.Networks.n1.IPAddress}}", "c1").out
    ground.stop()
    ground.start()
    after = ground.docker("inspect", "-f", "{{.State.Pid}} {{.NetworkSettings.Networks.n1.IPAddress}}", "c1").out
    assert after == before
    assert ground.docker("exec", "c1", "echo", "here").out == "here\n"
