"""At a terminal: raw keys, size, detaching, and streams that do not wait for each other."""

import fcntl
import os
import pty
import select
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.unit.canned import canned, framed

from bascule.cli.options import UsageError
from bascule.cli.terminal import Frames, Keys, parse_keys

ID = "f" * 64
SRC = Path(__file__).parents[2] / "src"


@pytest.mark.parametrize(
    ("text", "keys"),
    [("", b"\x10\x11"), ("ctrl-p,ctrl-q", b"\x10\x11"), ("ctrl-a,x", b"\x01x"), ("ctrl-[", b"\x1b")],
)
def test_detach_keys_are_read(text: str, keys: bytes) -> None:
    assert parse_keys(text) == keys


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-1", "abc", "a,,b"])
def test_wrong_detach_keys_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="invalid detach keys"):
        parse_keys(text)


def test_what_only_begins_like_the_detach_keys_is_passed_on_later() -> None:
    keys = Keys(b"\x10\x11")
    assert keys.pass_on(b"a\x10") == b"a"
    assert keys.pass_on(b"b") == b"\x10b"
    assert keys.pass_on(b"\x10\x10") == b"\x10"
    assert not keys.complete
    assert keys.pass_on(b"\x11and more") == b""
    assert keys.complete


def test_frames_are_read_however_they_are_cut() -> None:
    data = framed(1, b"out") + framed(2, b"") + framed(2, b"err" * 1000)
    whole = [(1, b"out"), (2, b""), (2, b"err" * 1000)]
    assert list(Frames().feed(data)) == whole
    frames = Frames()
    assert [found for n in range(len(data)) for found in frames.feed(data[n : n + 1])] == whole


class Container:
    """A daemon with one container on a terminal; the test speaks for the container over `stream`."""

    def __init__(self, path: Path) -> None:
        self.host = f"unix://{path}"
        self.told: list[str] = []
        self.attached = threading.Event()
        self.resized = threading.Condition()
        self.ended = threading.Event()
        self.stream: socket.socket
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        file = connection.makefile("rb")
        method, path = file.readline().decode().split()[:2]
        length = 0
        while line := file.readline().strip().lower():
            length = int(line.split(b":")[1]) if line.startswith(b"content-length") else length
        file.read(length)
        path = path.removeprefix("/v1.50").replace(ID, "ID")
        with self.resized:
            self.told.append(f"{method} {path}")
            self.resized.notify_all()
        file.close()
        if "/attach" in path:
            connection.sendall(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
            self.stream = connection
            self.attached.set()
            return
        with connection, suppress(ConnectionError):  # Who detaches does not wait for the end.
            body = b'{"Id":"' + ID.encode() + b'"}' if path.endswith("/create") else b""
            if "/wait" in path:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n")
                self.ended.wait(20)
                connection.sendall(b'{"StatusCode":7}')
            else:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    def wait_for(self, line: str) -> None:
        with self.resized:
            assert self.resized.wait_for(lambda: line in self.told, 10), (line, self.told)

    def end(self) -> None:
        """The container's process is over."""
        self.stream.shutdown(socket.SHUT_RDWR)
        self.ended.set()

    def read(self, count: int) -> bytes:
        data = b""
        self.stream.settimeout(10)
        while len(data) < count and (more := self.stream.recv(count - len(data))):
            data += more
        return data


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    found = Container(tmp_path / "s")
    yield found
    found.ended.set()
    found.listener.shutdown(socket.SHUT_RDWR)
    found.listener.close()
    if found.attached.is_set():
        found.stream.close()


def resize(fd: int, lines: int, columns: int) -> None:
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


@contextmanager
def at_terminal(container: Container, *words: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The command at a terminal of 24 lines; its other end."""
    ours, theirs = pty.openpty()
    resize(ours, 24, 80)
    environment = {**os.environ, "PYTHONPATH": str(SRC), "BASCULE_HOST": container.host}
    command = [sys.executable, "-m", "bascule", *words]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        try:
            yield process, ours
        finally:
            process.kill()
            os.close(ours)


def screen(fd: int, wanted: bytes) -> bytes:
    """What the terminal shows, until *wanted* is in it."""
    data, deadline = b"", time.monotonic() + 10
    while wanted not in data and time.monotonic() < deadline:
        if select.select([fd], [], [], 1)[0]:
            try:
                data += os.read(fd, 4096)
            except OSError:
                break
    assert wanted in data, data
    return data


def test_keys_go_raw_to_the_container_and_its_words_to_the_screen(container: Container) -> None:
    with at_terminal(container, "run", "-it", "host", "sh") as (process, terminal):
        assert container.attached.wait(10)
        container.wait_for("POST /containers/ID/start")
        container.wait_for("POST /containers/ID/resize?h=24&w=80")
        container.stream.sendall(b"prompt$ ")
        screen(terminal, b"prompt$ ")
        os.write(terminal, b"ls\r\x03")
        assert container.read(4) == b"ls\r\x03"
        container.end()
        assert process.wait(10) == 7


def test_a_change_of_the_terminals_size_is_passed_on(container: Container) -> None:
    with at_terminal(container, "run", "-it", "host", "sh") as (process, terminal):
        assert container.attached.wait(10)
        container.wait_for("POST /containers/ID/resize?h=24&w=80")
        resize(terminal, 50, 132)
        process.send_signal(28)
        container.wait_for("POST /containers/ID/resize?h=50&w=132")


def test_the_detach_keys_leave_the_container_running(container: Container) -> None:
    with at_terminal(container, "run", "-it", "--detach-keys", "ctrl-a,d", "host", "sh") as (process, terminal):
        assert container.attached.wait(10)
        container.stream.sendall(b"ready")
        screen(terminal, b"ready")
        os.write(terminal, b"x\x01d")
        assert container.read(1) == b"x"
        assert process.wait(10) == 0
    assert not [line for line in container.told if "kill" in line]


def piped(container: Container, *words: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(SRC), "BASCULE_HOST": container.host}
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-m", "bascule", *words], stdin=pipe, stdout=pipe, env=environment)


def test_a_signal_is_passed_on_to_the_container(container: Container) -> None:
    with piped(container, "run", "-i", "host", "cat") as process:
        assert process.stdin
        assert process.stdout
        assert container.attached.wait(10)
        container.wait_for("POST /containers/ID/start")
        container.stream.sendall(framed(1, b"ready"))
        assert process.stdout.read(5) == b"ready"
        process.terminate()
        container.wait_for("POST /containers/ID/kill?signal=TERM")
        container.end()
        assert process.wait(10) == 7


def test_input_that_nobody_reads_does_not_hold_up_the_output(container: Container) -> None:
    megabytes = b"x" * (4 << 20)
    with piped(container, "run", "-i", "host", "cat") as process:
        assert process.stdin
        assert process.stdout
        assert container.attached.wait(10)
        writer = threading.Thread(target=process.stdin.write, args=(megabytes,), daemon=True)
        writer.start()
        container.stream.sendall(framed(1, megabytes))
        assert process.stdout.read(len(megabytes)) == megabytes
        assert container.read(len(megabytes)) == megabytes
        writer.join(10)
        process.stdin.close()
        assert container.stream.recv(1) == b""
        container.stream.sendall(framed(1, b"end"))
        assert process.stdout.read(3) == b"end"
        container.end()
        assert process.wait(10) == 7


def test_the_headers_of_a_table_stand_out_on_a_terminal_only(tmp_path: Path) -> None:
    with canned(tmp_path / "s", {"GET /volumes": (200, {"Volumes": []})}) as daemon:
        ours, theirs = pty.openpty()
        environment = {**os.environ, "PYTHONPATH": str(SRC), "BASCULE_HOST": daemon.host}
        environment.pop("NO_COLOR", None)
        command = [sys.executable, "-m", "bascule", "volume", "ls"]
        subprocess.run(command, stdout=theirs, env=environment, check=True, timeout=30)
        assert screen(ours, b"\n") == b"\x1b[1mDRIVER    VOLUME NAME\x1b[0m\r\n"
        subprocess.run(command, stdout=theirs, env={**environment, "NO_COLOR": "1"}, check=True, timeout=30)
        assert screen(ours, b"\n") == b"DRIVER    VOLUME NAME\r\n"
        os.close(theirs)
        os.close(ours)
    done = subprocess.run(command, capture_output=True, env=environment, check=False, timeout=30)
    assert (done.stdout, done.returncode) == (b"", 1)
