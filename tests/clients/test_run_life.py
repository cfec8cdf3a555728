"""The lives of containers: signals, ends, restarts, attachments, further processes; and daemons come and go."""

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.clients.conftest import DEADLINE, Ground

STATE = ("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}")
# A shell that says when it listens, and what it got.
TRAPS = (
    "trap 'echo got USR1' USR1; trap 'echo got TERM; exit 9' TERM; trap 'exit 8' INT;"
    " echo ready; while :; do sleep 0.05; done"
)


@pytest.fixture
def own() -> Iterator[Ground]:
    """A daemon of this test's own, to be stopped and killed."""
    if os.geteuid() != 0:
        pytest.skip("needs root: sudo make test-clients")
    ground = Ground(Path(f"/dev/shm/blife-{os.getpid()}"))
    try:
        ground.start()
        if ground.docker("version").status:
            pytest.skip("there is no docker CLI (apt-get install docker.io)")
        yield ground
    finally:
        ground.close()


def kill(ground: Ground) -> None:
    """The daemon has been killed."""
    daemon, ground._daemon = ground._daemon, None
    assert daemon
    daemon.kill()
    daemon.wait(DEADLINE)


def until(ground: Ground, name: str, text: str, number: int = 1) -> str:
    """The container's output, once *text* has been in it *number* times.  Following ends with each run, as Docker's
    does."""
    ended = time.monotonic() + DEADLINE
    while (said := heard(ground, name, text, number)).count(text) < number:
        assert time.monotonic() < ended, said
    return said


def heard(ground: Ground, name: str, text: str, number: int) -> str:
    command = ["timeout", str(DEADLINE), "docker", "logs", "-f", name]
    env = {**os.environ, "DOCKER_HOST": ground.host}
    said = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env) as client:
        assert client.stdout
        for line in client.stdout:
            said += line
            if said.count(text) >= number:
                break
        client.kill()
    return said


def state(ground: Ground, name: str) -> str:
    return ground.docker(*STATE, name).out.strip()


@pytest.mark.parametrize(
    ("words", "ended"),
    [
        (("stop", "c1"), "exited 9 0"),
        (("stop", "-s", "INT", "c1"), "exited 8 0"),
        (("kill", "c1"), "exited 137 0"),
        (("kill", "-s", "TERM", "c1"), "exited 9 0"),
        (("rm", "-f", "c1"), ""),
    ],
)
def test_a_process_ends_as_it_is_told(ground: Ground, words: tuple[str, ...], ended: str) -> None:
    ground.docker("run", "-d", "--name", "c1", "host", "sh", "-c", TRAPS)
    until(ground, "c1", "ready")
    assert str(ground.docker(*words)) == "c1"
    if ended:
        ground.docker("wait", "c1")
    assert state(ground, "c1") == ended


def test_signals_reach_the_process_by_name_and_number(ground: Ground) -> None:
    ground.docker("run", "-d", "--name", "c1", "--stop-signal", "INT", "host", "sh", "-c", TRAPS)
    until(ground, "c1", "ready")
    for name in ("USR1", "SIGUSR1", str(int(signal.SIGUSR1))):
        assert str(ground.docker("kill", "-s", name, "c1")) == "c1"
        until(ground, "c1", "got USR1")
    assert "invalid signal: NONE" in ground.docker("kill", "-s", "NONE", "c1").err.replace("Invalid", "invalid")
    ground.docker("stop", "c1")
    assert state(ground, "c1") == "exited 8 0"
    told = ground.docker("kill", "c1")
    assert (told.status, "is not running" in told.err) == (1, True), told


def test_a_process_that_does_not_listen_is_killed_when_its_time_is_over(ground: Ground) -> None:
    flags = ("--stop-timeout", "0", "--name", "c1")
    ground.docker("run", "-d", *flags, "host", "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done")
    until(ground, "c1", "ready")
    assert str(ground.docker("stop", "c1")) == "c1"
    assert state(ground, "c1") == "exited 137 0"


@pytest.mark.parametrize(
    ("policy", "command", "ended"),
    [
        ("no", "exit 3", "exited 3 0"),
        ("on-failure:2", "exit 3", "exited 3 2"),
        ("on-failure:2", "exit 0", "exited 0 0"),
    ],
)
def test_a_restart_policy_is_kept(ground: Ground, policy: str, command: str, ended: str) -> None:
    ground.docker("run", "-d", "--restart", policy, "--name", "c1", "host", "sh", "-c", f"echo run; {command}")
    until(ground, "c1", "run", 3 if ended.endswith("2") else 1)
    ground.docker("wait", "c1")
    assert state(ground, "c1") == ended


@pytest.mark.parametrize("policy", ["always", "unless-stopped"])
def test_what_is_always_restarted_stops_when_it_is_stopped(ground: Ground, policy: str) -> None:
    ground.docker("run", "-d", "--restart", policy, "--name", "c1", "host", "sh", "-c", "echo run; exit 4")
    until(ground, "c1", "run", 3)
    assert str(ground.docker("stop", "c1")) == "c1"
    assert state(ground, "c1").startswith("exited")
    ground.docker("update", "--restart", "no", "c1")
    assert ground.docker("inspect", "-f", "{{.HostConfig.RestartPolicy.Name}}", "c1").out == "no\n"


def test_policies_over_a_restart_of_the_daemon(own: Ground) -> None:
    """Docker's: `always` comes back even when it was stopped, `unless-stopped` does not."""
    script = ("host", "sleep", "600")
    for policy in ("no", "always", "unless-stopped"):
        own.docker("run", "-d", "--restart", policy, "--name", policy, *script)
        own.docker("run", "-d", "--restart", policy, "--name", f"{policy}-stopped", *script)
    own.docker("stop", "-t", "0", *(f"{p}-stopped" for p in ("no", "always", "unless-stopped")))
    own.stop()
    own.start()
    running = own.docker("ps", "--format", "{{.Names}}").out.split()
    assert sorted(running) == ["always", "always-stopped", "no", "unless-stopped"]


@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
def test_containers_and_what_they_say_outlive_the_daemon(own: Ground, killed: bool) -> None:
    script = "echo before; while [ ! -e /dev/shm/go ]; do sleep 0.05; done; echo after; exit 5"
    own.docker("run", "-d", "--name", "c1", "-v", f"{own.directory}:/dev/shm", "host", "sh", "-c", script)
    own.docker("run", "-d", "--name", "c2", "-v", f"{own.directory}:/dev/shm", "host", "sh", "-c", script)
    own.docker("run", "-d", "--name", "stays", "host", "sh", "-c", "echo here; exec sleep 600")
    until(own, "stays", "here")
    pids = {n: int(own.docker("inspect", "-f", "{{.State.Pid}}", n).out) for n in ("c1", "c2", "stays")}
    kill(own) if killed else own.stop()
    # They end while nobody looks.
    watched = [os.pidfd_open(pids[name]) for name in ("c1", "c2")]
    (own.directory / "go").touch()
    for fd in watched:
        assert wait_for_end(fd)
        os.close(fd)
    own.start()
    assert [own.docker("wait", name).out for name in ("c1", "c2")] == ["5\n", "5\n"]
    assert own.docker("logs", "c1").out == "before\nafter\n"
    assert state(own, "stays") == "running 0 0"
    assert int(own.docker("inspect", "-f", "{{.State.Pid}}", "stays").out) == pids["stays"]
    assert own.docker("logs", "stays").out == "here\n"
    assert str(own.docker("exec", "stays", "echo", "again")) == "again"
    own.docker("stop", "-t", "0", "stays")
    assert state(own, "stays") == "exited 137 0"


def wait_for_end(fd: int) -> bool:
    """Whether the process of a pidfd ended in time."""
    return bool(select.select([fd], [], [], DEADLINE)[0])


def test_an_attachment_hears_and_speaks(ground: Ground) -> None:
    ground.docker(
        "run", "-di", "--name", "c1", "host", "sh", "-c", "for n in 1 2; do read x; echo said $x; done; exit 6"
    )
    told = ground.docker("attach", "c1", stdin="one\ntwo\n")
    assert (told.out, told.status) == ("said one\nsaid two\n", 6)


def test_an_attachment_passes_signals_on(ground: Ground) -> None:
    ground.docker("run", "-d", "--name", "c1", "host", "sh", "-c", TRAPS)
    until(ground, "c1", "ready")
    env = {**os.environ, "DOCKER_HOST": ground.host}
    with subprocess.Popen(["docker", "attach", "c1"], stdout=subprocess.PIPE, text=True, env=env) as client:
        assert client.stdout
        # Until it is attached nobody hears the answer.
        ended = time.monotonic() + DEADLINE
        while not select.select([client.stdout], [], [], 0.2)[0]:
            assert time.monotonic() < ended
            ground.docker("kill", "-s", "USR1", "c1")
        assert client.stdout.readline() == "got USR1\n"
        client.send_signal(signal.SIGTERM)
        # Signals that came close together may have been answered since.
        rest = client.stdout.read().replace("got USR1\n", "")
        assert (rest, client.wait(DEADLINE)) == ("got TERM\n", 9)


def test_wait_answers_who_asked_before_the_end_and_after(ground: Ground) -> None:
    ground.docker("run", "-di", "--name", "c1", "host", "sh", "-c", "read x; exit $x")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ground.docker, "wait", "c1")
        ground.docker("attach", "c1", stdin="42\n")
        assert (asked.result(DEADLINE).out, ground.docker("wait", "c1").out) == ("42\n", "42\n")


def test_execs_as_they_are_asked_for(ground: Ground) -> None:
    ground.docker("run", "-d", "--name", "c1", "-e", "A=1", "host", "sleep", "600")

    def told(*words: str) -> str:
        return str(ground.docker("exec", *words))

    assert told("-u", "7:8", "c1", "sh", "-c", "id -u; id -g; echo $A") == "7\n8\n1"
    assert told("c1", "grep", "CapEff", "/proc/self/status").split()[1] == "00000000a80425fb"
    every = told("--privileged", "c1", "grep", "CapBnd", "/proc/self/status").split()[1]
    assert int(every, 16) & 0xA80425FB == 0xA80425FB != int(every, 16)
    assert told("-t", "c1", "tty").strip().startswith("/dev/pts/")
    assert told("c1", "/etc/passwd").endswith("-> 126")
    assert told("c1", "sh", "-c", "kill -9 $$") == "-> 137"
    assert told("-d", "c1", "sh", "-c", "echo made > /srv/f") == ""
    assert told("c1", "sh", "-c", "until [ -s /srv/f ]; do sleep 0.01; done; cat /srv/f") == "made"
    assert told("-w", "/not/there", "c1", "true").endswith(("-> 126", "-> 127"))


def test_many_execs_one_after_another_and_at_once(ground: Ground) -> None:
    ground.docker("run", "-d", "--name", "c1", "host", "sleep", "600")
    with ThreadPoolExecutor(8) as pool:
        told = pool.map(lambda n: str(ground.docker("exec", "c1", "sh", "-c", f"echo {n}; exit {n}")), range(1, 65))
        assert list(told) == [f"{n}\n-> {n}" for n in range(1, 65)]


def test_many_short_runs_at_once(ground: Ground) -> None:
    with ThreadPoolExecutor(8) as pool:
        told = pool.map(
            lambda n: str(ground.docker("run", "--rm", "host", "sh", "-c", f"echo {n}; exit {n}")), range(1, 33)
        )
        assert list(told) == [f"{n}\n-> {n}" for n in range(1, 33)]
    assert ground.docker("ps", "-aq").out == ""


def test_what_a_container_changed_is_told_renamed_exported_and_pruned(ground: Ground) -> None:
    ground.docker(
        "run", "--name", "c1", "host", "sh", "-c", "echo x > /srv/new; rm /etc/hostname 2>/dev/null; true"
    )
    assert "A /srv/new" in ground.docker("diff", "c1").out.splitlines()
    assert str(ground.docker("rename", "c1", "c2")) == ""
    assert state(ground, "c2") == "exited 0 0"
    assert "No such" in ground.docker("inspect", "c1").err
    ident = ground.docker("inspect", "-f", "{{.Id}}", "c2").out.strip()
    assert ident in ground.docker("container", "prune", "-f").out
    assert ground.docker("ps", "-aq").out == ""


def test_cp_stays_inside_the_container(ground: Ground) -> None:
    """Links of the container's lead nowhere but into it (CVE-2018-15664, CVE-2019-14271)."""
    mark = Path(f"/tmp/{ground.netns}-cp")
    source = ground.directory / "payload"
    source.write_text("payload\n")
    ground.docker("run", "-d", "--name", "c1", "host", "sh", "-c", f"ln -s {mark.parent} /srv/up; exec sleep 600")
    ground.docker("exec", "c1", "sh", "-c", "until [ -h /srv/up ]; do sleep 0.01; done")
    assert ground.docker("cp", str(source), f"c1:/srv/up/{mark.name}").status == 0
    assert not mark.exists()
    assert str(ground.docker("exec", "c1", "cat", str(mark))) == "payload"
    ground.docker("exec", "c1", "ln", "-s", "/etc/shadow", "/srv/shadow")
    told = json.loads(ground.docker("inspect", "c1").out)[0]["State"]["Status"]
    assert told == "running"
