"""The resolver as a process: what it may do, what it survives, and that it ends."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.root.dns_ground import (
    APP,
    BACK,
    SERVER,
    Box,
    alive,
    box,
    end,
    ip,
    member,
    resolver,
    sockets_in,
    until,
    upstream,
    view,
)

from bascule.dns.client import ResolverClient
from bascule.engine.names import Zone

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo make test-root")

DAEMON = """\
import sys
from bascule.dns.client import ResolverClient
from tests.root.dns_ground import APP, SERVER, Box, view
root, name = sys.argv[1:]
client = ResolverClient(root)
client.publish(APP)
client.serve(Box(name).sandbox, view(Box(name), "n1", upstream=(SERVER,)))
print(client.pid, flush=True)
sys.stdin.read()
"""

STRANGER = """\
import os, socket, sys
os.setgroups([])
os.setgid(12345)
os.setuid(12345)
line = socket.socket(socket.AF_UNIX)
line.settimeout(10)
line.connect(f"/proc/self/fd/{sys.argv[1]}")
try:
    line.sendall(b'\\0\\0\\0\\x0d{"op": "bye"}')
    print(line.recv(1) or "closed")
except ConnectionError:
    print("closed")
"""


@pytest.fixture
def one() -> Iterator[Box]:
    with box() as made:
        yield made


@contextmanager
def asking(ask: Callable[[], str]) -> Iterator[list[str]]:
    """Somebody who asks without pause, and what he heard."""
    heard: list[str] = []
    failed: list[Exception] = []
    ends = threading.Event()

    def loop() -> None:
        while not ends.is_set():
            try:
                heard.append(ask())
            except (OSError, AssertionError) as failure:
                failed.append(failure)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        until(lambda: len(heard) > 3 or bool(failed))
        yield heard
        enough = len(heard) + 3
        until(lambda: len(heard) > enough or bool(failed))
    finally:
        ends.set()
        thread.join()
    assert not failed


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def test_it_may_do_nothing(one: Box, tmp_path: Path) -> None:
    with resolver(tmp_path, one) as client:
        client.serve(one.sandbox, view(one, "n1"))
        found = status(client.pid)
        shown = [" ".join(found[key].split()) for key in ("Uid", "Gid", "Groups", "NoNewPrivs")]
        assert shown == ["65534 65534 65534 65534"] * 2 + ["", "1"]
        caps = {found[key] for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
        assert caps == {"0" * 16}
        assert os.getsid(client.pid) == client.pid
        assert int(found["VmRSS"].split()[0]) < 30_000


def test_only_root_may_speak_to_it(one: Box, tmp_path: Path) -> None:
    with resolver(tmp_path, one) as client:
        client.serve(one.sandbox, view(one, "n1"))
        path = tmp_path / "resolver.sock"
        assert oct(path.stat().st_mode)[-3:] == "600"
        # And were the file open to all, the resolver itself would look who it is.
        path.chmod(0o666)
        fd = os.open(path, os.O_PATH)
        argv = [sys.executable, "-c", STRANGER, str(fd)]
        said = subprocess.run(argv, pass_fds=[fd], capture_output=True, text=True, check=False)
        os.close(fd)
        assert said.stdout == "closed\n"
        assert one.ask("web") == "NOERROR 10.0.0.2"


@contextmanager
def daemon(root: Path, one: Box) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """A process that serves *one*, and the resolver that it started."""
    argv = [sys.executable, "-c", DAEMON, str(root), one.name]
    paths = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=paths) as process:
        assert process.stdout
        try:
            yield int(process.stdout.readline()), process
        finally:
            process.kill()


def more(*heard: list[str]) -> None:
    """Wait until everybody heard twenty answers more."""
    enough = [len(answers) + 20 for answers in heard]
    until(lambda: all(len(answers) > count for answers, count in zip(heard, enough, strict=True)))


def test_no_query_is_lost_when_the_daemon_is_killed_and_comes_again(one: Box, tmp_path: Path) -> None:
    with upstream(one), daemon(tmp_path, one) as (pid, process):
        with asking(lambda: one.ask("web")) as ours, asking(lambda: one.ask("example.com")) as others:
            process.send_signal(signal.SIGKILL)
            process.wait()
            # Nobody is there, and it goes on: our names, and asking others.
            more(ours, others)
            client = ResolverClient(str(tmp_path))
            more(ours, others)
            client.publish(APP)
            client.serve(one.sandbox, view(one, "n1", upstream=(SERVER,)))
            client.settle()
            more(ours, others)
            assert client.pid == pid
        assert (set(ours), set(others)) == ({"NOERROR 10.0.0.2"}, {"NOERROR 192.0.2.1"})
        end(client, tmp_path, one)


def test_no_query_is_lost_when_a_resolver_of_other_code_is_replaced(one: Box, tmp_path: Path) -> None:
    with upstream(one), daemon(tmp_path, one) as (pid, process):
        asks = [
            lambda: one.ask("web"),
            lambda: one.ask("web", stream=True),
            lambda: one.ask("example.com"),
            lambda: one.ask("example.com", stream=True),
        ]
        with ExitStack() as stack:
            heard = [stack.enter_context(asking(ask)) for ask in asks]
            process.send_signal(signal.SIGKILL)
            process.wait()
            client = ResolverClient(str(tmp_path), version="another")
            assert client.pid != pid
            more(*heard)
            until(lambda: not alive(pid))
            more(*heard)
        assert [set(answers) for answers in heard] == [{"NOERROR 10.0.0.2"}] * 2 + [{"NOERROR 192.0.2.1"}] * 2
        end(client, tmp_path, one)


def test_a_resolver_that_dies_is_replaced_and_told_everything(one: Box, tmp_path: Path) -> None:
    with resolver(tmp_path, one) as client:
        client.serve(one.sandbox, view(one, "n1", friend="10.9.9.9"))
        client.join(BACK, member("e9", "late", "10.0.1.9"))
        client.part("n1", "e2")
        pid = client.pid
        os.kill(pid, signal.SIGKILL)
        until(lambda: client.pid not in (0, pid))
        # The process is there before it has been told all.
        until(lambda: "127.0.0.11:53" in sockets_in(one))
        said = [one.ask("web"), one.ask("friend"), one.ask("late"), one.ask("db")]
        assert said == ["NOERROR 10.0.0.2", "NOERROR 10.9.9.9", "NXDOMAIN", "SERVFAIL"]


def test_a_resolver_that_dies_unnoticed_is_replaced_by_the_next_request(one: Box, tmp_path: Path) -> None:
    with resolver(tmp_path, one) as client:
        client.serve(one.sandbox, view(one, "n1"))
        for number in range(3):
            os.kill(client.pid, signal.SIGKILL)
            client.join(APP, member(f"e{number}", f"x{number}", "10.0.0.9"))
            # Joining waits for nothing; what is asked next does.
            client.flush()
            assert one.ask(f"x{number}") == "NOERROR 10.0.0.9"


def test_what_an_earlier_daemon_left_is_dropped_when_all_is_said(one: Box, tmp_path: Path) -> None:
    with box() as other:
        with daemon(tmp_path, other) as (pid, _):
            pass
        with resolver(tmp_path, one) as client:
            client.serve(one.sandbox, view(one, "n2"))
            before = [other.ask("web"), one.ask("store")]
            client.settle()
            assert client.pid == pid
            assert (before, one.ask("store")) == (["NOERROR 10.0.0.2", "NOERROR 10.0.1.2"], "NOERROR 10.0.1.2")
            with pytest.raises(ConnectionRefusedError):
                other.ask("web")


def test_a_sandbox_whose_namespace_went_with_nobody_there_is_dropped(tmp_path: Path) -> None:
    """Its sockets would keep the namespace, and what is in it, for ever."""
    with box() as gone, daemon(tmp_path, gone) as (pid, _):
        pass
    assert alive(pid)
    end(ResolverClient(str(tmp_path)), tmp_path)


def test_a_namespace_made_anew_under_the_same_path_is_served(tmp_path: Path) -> None:
    with box() as first:
        with daemon(tmp_path, first) as (pid, _):
            pass
        ip("netns", "del", first.name)
        ip("netns", "add", first.name)
        ip("-n", first.name, "link", "set", "lo", "up")
        client = ResolverClient(str(tmp_path))
        client.serve(first.sandbox, view(first, "n1"))
        client.publish(APP)
        assert (client.pid, first.ask("web")) == (pid, "NOERROR 10.0.0.2")
        end(client, tmp_path, first)


def test_nothing_is_left_open_by_serving_and_leaving(one: Box, tmp_path: Path) -> None:
    with resolver(tmp_path, one) as client:
        client.serve(one.sandbox, view(one, "n1"))
        before = (count(client.pid), count(os.getpid()))
        for _ in range(5):
            with box() as other:
                client.serve(other.sandbox, view(other, "n1", upstream=(SERVER, "fd00::1")))
                client.serve(other.sandbox, view(other, "n2", upstream=(SERVER, "fd00::1")))
                other.ask("store", stream=True)
                client.leave(other.name)
                client.leave(other.name)
        assert (count(client.pid), count(os.getpid())) == before


def test_without_anybody_to_serve_there_is_no_process(one: Box, tmp_path: Path) -> None:
    with resolver(tmp_path) as client:
        client.join(APP, member("e9", "x", "10.0.0.9"))
        client.leave(one.name)
        client.settle()
        assert client.pid == 0


def test_a_network_of_many_names_is_published_whole(one: Box, tmp_path: Path) -> None:
    with resolver(tmp_path, one) as client:
        client.serve(one.sandbox, view(one, "n1"))
        members = tuple(member(f"e{n}", f"c{n} all", f"10.1.{n >> 8}.{n & 255}") for n in range(2000))
        client.publish(Zone("n1", "app", members))
        assert (one.ask("c1999"), len(one.ask("all", stream=True).split())) == ("NOERROR 10.1.7.207", 2001)


def count(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))
