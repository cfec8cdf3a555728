"""docker-py's streams: logs, attach, exec, and files in and out."""

import io
import tarfile
import threading
import time
from contextlib import closing
from typing import Any

import docker
import pytest
from docker.utils.socket import frames_iter
from tests.clients.docker_py.conftest import Both, Box, running
from tests.clients.peer import IMAGE


def hang_up(pipe: Any) -> None:
    """All that docker-py holds of a connection that it handed out."""
    for held in (pipe._sock, pipe._response, pipe):
        held.close()


SPEAKS = "echo one; echo two >&2; sleep 0.3; echo three"


def test_logs_are_told_whole_and_as_they_come(box: Box) -> None:
    one = box("sh", "-c", SPEAKS)
    assert b"".join(one.logs(stream=True, follow=True)) in (b"one\ntwo\nthree\n", b"two\none\nthree\n")
    one.wait()
    assert one.logs(stdout=True, stderr=False) == b"one\nthree\n"
    assert one.logs(stdout=False, stderr=True) == b"two\n"
    assert one.logs(stderr=False, tail=1) == b"three\n"
    assert one.logs(tail=0) == b""
    stamped = one.logs(stderr=False, timestamps=True).decode().splitlines()
    assert [line.partition(" ")[2] for line in stamped] == ["one", "three"]
    assert all(len(line.partition("Z ")[0]) == 29 for line in stamped)
    assert one.logs(since=int(time.time()) + 100) == b""
    assert one.logs(until=int(time.time()) - 100) == b""


def test_what_a_container_says_is_heard_by_attach(box: Box) -> None:
    one = box("sh", "-c", "sleep 0.4; echo out; echo err >&2")
    heard = list(one.attach(stream=True, logs=True, demux=True))
    assert sorted(heard, key=str) == [(None, b"err\n"), (b"out\n", None)]
    two = box("sh", "-c", "echo early; sleep 0.6; echo late")
    with closing(two.logs(stream=True)) as lines:
        assert next(lines) == b"early\n"
    assert b"".join(two.attach(stream=True)) == b"late\n"


def test_a_container_hears_what_is_said_to_it(client: docker.DockerClient) -> None:
    one = client.containers.create(IMAGE, ["cat"], stdin_open=True)
    pipe = one.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    one.start()
    pipe._sock.sendall(b"hello\n")
    stream, data = next(frames_iter(pipe, tty=False))
    assert (stream, data) == (1, b"hello\n")
    hang_up(pipe)


def test_a_terminal_is_attached_to_and_resized(client: docker.DockerClient) -> None:
    one = client.containers.create(IMAGE, ["sh"], stdin_open=True, tty=True)
    pipe = one.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    one.start()
    one.resize(height=33, width=77)
    pipe._sock.sendall(b"stty size; exit 4\n")
    heard = b"".join(data for _, data in frames_iter(pipe, tty=True))
    assert b"33 77" in heard or b"not found" in heard
    assert one.wait()["StatusCode"] == 4
    hang_up(pipe)


def test_exec_tells_output_and_status(box: Box) -> None:
    one = box()
    say = ["sh", "-c", "echo o; echo e >&2; exit 4"]
    code, told = one.exec_run(say)
    assert (code, sorted(told.splitlines())) == (4, [b"e", b"o"])
    assert tuple(one.exec_run(say, demux=True)) == (4, (b"o\n", b"e\n"))
    assert tuple(one.exec_run(say, stderr=False)) == (4, b"o\n")
    assert one.exec_run(["sh", "-c", "echo $(stat -c %u /proc/self) 2>&1"], user="1000").exit_code == 0
    assert tuple(one.exec_run(["sh", "-c", "echo $A"], environment={"A": "b"})) == (0, b"b\n")
    assert tuple(one.exec_run(["sh", "-c", "pwd"], workdir="/tmp")) == (0, b"/tmp\n")
    assert tuple(one.exec_run(["sh", "-c", "echo x"], tty=True)) == (0, b"x\r\n")
    code, pieces = one.exec_run(["sh", "-c", "echo a; sleep 0.2; echo b"], stream=True)
    assert (code, b"".join(pieces)) == (None, b"a\nb\n")
    code, pieces = one.exec_run(say, stream=True, demux=True)
    assert sorted(pieces, key=str) == [(None, b"e\n"), (b"o\n", None)]
    code, told = one.exec_run(["nosuch"])
    assert (code, b'exec: "nosuch": executable file not found in $PATH' in told) == (127, True)


def test_an_exec_is_spoken_to_by_its_socket(client: docker.DockerClient, box: Box) -> None:
    one = box()
    made = client.api.exec_create(one.id, ["cat"], stdin=True)
    pipe = client.api.exec_start(made["Id"], socket=True)
    pipe._sock.sendall(b"hello\n")
    pipe._sock.shutdown(1)
    assert list(frames_iter(pipe, tty=False)) == [(1, b"hello\n")]
    hang_up(pipe)
    assert client.api.exec_inspect(made["Id"])["ExitCode"] == 0


def test_an_exec_is_shown_alike(both: Both) -> None:
    def told(client: docker.DockerClient) -> list[str]:
        one = running(client)
        made = client.api.exec_create(one.id, ["sleep", "100"], tty=True, environment=["A=b"], user="0")
        before = client.api.exec_inspect(made["Id"])
        client.api.exec_start(made["Id"], detach=True)
        client.api.exec_resize(made["Id"], height=10, width=20)
        after = client.api.exec_inspect(made["Id"])
        return [
            f"{when} {key}: {bool(value) if key in ('ID', 'ContainerID', 'Pid') else value}"
            for when, shown in (("before", before), ("after", after))
            for key, value in sorted(shown.items())
        ]

    assert both.difference(told) == ""


def archive(**files: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(content), 0o640, 1_600_000_000
            tar.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


@pytest.mark.parametrize("state", ["running", "created"])
def test_files_go_in_and_come_out(client: docker.DockerClient, state: str) -> None:
    one = client.containers.create(IMAGE, ["sleep", "10000"])
    if state == "running":
        one.start()
    assert one.put_archive("/tmp", archive(a=b"hello", b=b"x" * 100_000)) is True
    pieces, stat = one.get_archive("/tmp/a")
    assert {key: stat[key] for key in ("name", "size", "mode", "linkTarget")} == {
        "name": "a",
        "size": 5,
        "mode": 0o640,
        "linkTarget": "",
    }
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
        (entry,) = tar.getmembers()
        held = tar.extractfile(entry)
        assert held
        assert (entry.name, entry.mode, entry.mtime, held.read()) == ("a", 0o640, 1_600_000_000, b"hello")
    pieces, stat = one.get_archive("/tmp", chunk_size=1024)
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
        assert sorted(tar.getnames()) == ["tmp", "tmp/a", "tmp/b"]
    if state == "running":
        assert one.exec_run(["cat", "/tmp/a"]).output == b"hello"


def test_a_container_is_exported_whole(box: Box) -> None:
    one = box()
    one.put_archive("/tmp", archive(a=b"hello"))
    # All of it: what docker-py leaves unread is an open socket.
    whole = b"".join(one.export())
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        names = {name.removeprefix("./").strip("/") for name in tar.getnames()}
    assert {"bin/busybox", "tmp/a", "etc", "proc", "sys"} - names == set()
    assert [name for name in names if name.startswith(("proc/", "sys/"))] == []


def test_a_follower_of_logs_hears_the_end(box: Box) -> None:
    one = box("sh", "-c", "while true; do echo tick; sleep 0.1; done")
    heard: list[Any] = []
    listening = threading.Thread(target=lambda: heard.extend(one.logs(stream=True)))
    listening.start()
    with closing(one.logs(stream=True)) as lines:
        next(lines)
    one.kill()
    listening.join(20)
    assert not listening.is_alive()
    assert set(heard) == {b"tick\n"}
