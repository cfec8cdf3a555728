"""The carrying process, over loopback: between families, across the daemon's end, and after its own."""

import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from tests.patience import patient

from bascule.engine.proxy import Carried
from bascule.model.errors import Failed, Unavailable
from bascule.proxy.client import ProxyClient
from bascule.proxy.process import VERSION

DEADLINE = patient(5.0)


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[ProxyClient]:
    tmp_path.chmod(0o755)
    client = ProxyClient(str(tmp_path))
    yield client
    end(client)


def end(client: ProxyClient) -> None:
    """Leave no process behind."""
    pid = client.pid()
    for key in list(client.keys()):
        client.carry(key, ())
    client.close()
    os.waitpid(pid, 0)


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """A TCP server on 127.0.0.1 that sends back what it got once the client has said all."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                conn, _ = server.accept()
            except OSError:
                return
            with conn:
                got = b""
                while data := conn.recv(65536):
                    got += data
                conn.sendall(got)

    thread = threading.Thread(target=serve)
    thread.start()
    yield server.getsockname()
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET6, kind) as sock:
        sock.bind(("::1", 0))
        return int(sock.getsockname()[1])


def tcp(host_port: int, target: tuple[str, int]) -> Carried:
    return Carried("tcp", ip_address("::1"), host_port, ip_address(target[0]), target[1])


def ask(port: int, said: bytes) -> bytes:
    with socket.create_connection(("::1", port), DEADLINE) as conn:
        conn.sendall(said)
        conn.shutdown(socket.SHUT_WR)
        got = b""
        while data := conn.recv(65536):
            got += data
        return got


def eventually(true: Callable[[], bool]) -> None:
    """Wait until *true*, looking again each time a short poll of nothing ends; fail after the deadline."""
    nothing = select.poll()
    for _ in range(int(DEADLINE * 100)):
        if true():
            return
        nothing.poll(10)
    pytest.fail("the deadline passed")


def test_an_ipv6_client_reaches_an_ipv4_server(proxy: ProxyClient, echo: tuple[str, int]) -> None:
    port = free_port()
    proxy.carry("box", [tcp(port, echo)])
    said = os.urandom(1 << 20)
    assert ask(port, said) == said


def test_datagrams_are_carried_both_ways(proxy: ProxyClient) -> None:
    port = free_port(socket.SOCK_DGRAM)
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(DEADLINE)
        proxy.carry(
            "box", [Carried("udp", ip_address("::1"), port, ip_address("127.0.0.1"), server.getsockname()[1])]
        )
        with closing(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)) as client:
            client.settimeout(DEADLINE)
            client.sendto(b"ping", ("::1", port))
            data, sender = server.recvfrom(100)
            server.sendto(data + b" pong", sender)
            assert client.recv(100) == b"ping pong"


def test_what_is_no_longer_carried_refuses(proxy: ProxyClient, echo: tuple[str, int]) -> None:
    port = free_port()
    proxy.carry("box", [tcp(port, echo)])
    proxy.carry("box", [])
    with pytest.raises(ConnectionRefusedError):
        ask(port, b"x")
    assert list(proxy.keys()) == []


def test_a_taken_port_is_refused_and_nothing_changes(proxy: ProxyClient, echo: tuple[str, int]) -> None:
    port = free_port()
    proxy.carry("one", [tcp(port, echo)])
    with pytest.raises(Failed, match=f"failed to bind host port ::1:{port}/tcp: address already in use"):
        proxy.carry("two", [tcp(port, echo)])
    assert list(proxy.keys()) == ["one"]
    assert ask(port, b"still") == b"still"


def test_a_port_goes_from_every_address_to_one_and_back(proxy: ProxyClient, echo: tuple[str, int]) -> None:
    port = free_port()
    one = tcp(port, echo)
    every = replace(one, host=ip_address("::"))
    for carried in (every, one, every):
        proxy.carry("box", [carried])
        assert ask(port, b"still") == b"still"


def test_a_port_that_does_not_go_stays_on_every_address(proxy: ProxyClient, echo: tuple[str, int]) -> None:
    port, other = free_port(), free_port()
    one = tcp(port, echo)
    proxy.carry("box", [replace(one, host=ip_address("::"))])
    proxy.carry("other", [tcp(other, echo)])
    with pytest.raises(Failed, match=f"failed to bind host port ::1:{other}/tcp: address already in use"):
        proxy.carry("box", [one, tcp(other, echo)])
    assert ask(port, b"still") == b"still"
    with pytest.raises(Failed, match=f"failed to bind host port ::1:{port}/tcp: address already in use"):
        proxy.carry("other", [tcp(other, echo), one])


def test_a_connection_lives_through_a_change_of_daemons(tmp_path: Path, echo: tuple[str, int]) -> None:
    tmp_path.chmod(0o755)
    first = ProxyClient(str(tmp_path))
    port = free_port()
    first.carry("box", [tcp(port, echo)])
    with socket.create_connection(("::1", port), DEADLINE) as conn:
        conn.sendall(b"before ")
        first.close()  # The process is this test's child still: end() waits for it.
        second = ProxyClient(str(tmp_path))
        assert list(second.keys()) == ["box"]
        conn.sendall(b"after")
        conn.shutdown(socket.SHUT_WR)
        got = b""
        while data := conn.recv(100):
            got += data
        assert got == b"before after"
    end(second)


def test_who_has_let_go_of_it_begins_no_other(tmp_path: Path, echo: tuple[str, int]) -> None:
    tmp_path.chmod(0o755)
    first = ProxyClient(str(tmp_path))
    port, more = free_port(), free_port()
    first.carry("box", [tcp(port, echo)])
    pid = first.pid()
    first.close()
    with pytest.raises(Unavailable, match="this daemon ends"):
        first.carry("more", [tcp(more, echo)])
    second = ProxyClient(str(tmp_path))
    assert (second.pid(), list(second.keys())) == (pid, ["box"])
    end(second)


def test_a_killed_process_is_started_again_with_all_it_carried(proxy: ProxyClient, echo: tuple[str, int]) -> None:
    port = free_port()
    proxy.carry("box", [tcp(port, echo)])
    pid = proxy.pid()
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: list(proxy.keys()) == ["box"] and proxy.pid() != pid)
    assert ask(port, b"again") == b"again"


def test_a_process_that_does_not_answer_keeps_no_port(tmp_path: Path, echo: tuple[str, int]) -> None:
    # It starts, says who it is, and hears whatever else without a word.
    deaf = f"""if True:
        import json, os, socket
        with socket.socket(fileno=3) as door:
            conn, _ = door.accept()
        heard = socket.recv_fds(conn, 4096, 250)
        conn.send(json.dumps({{"pid": os.getpid(), "version": {VERSION}, "carried": {{}}}}).encode())
        while heard[0]:
            heard = socket.recv_fds(conn, 4096, 250)
    """
    client = ProxyClient(str(tmp_path), [sys.executable, "-c", deaf])
    port = free_port()
    with pytest.raises(Unavailable, match="the proxy process does not answer"):
        client.carry("box", [tcp(port, echo)])
    assert list(client.keys()) == []
    # Nobody has it.
    with socket.create_server(("::1", port), family=socket.AF_INET6):
        client.close()


def test_the_process_has_no_privileges(proxy: ProxyClient, echo: tuple[str, int]) -> None:
    proxy.carry("box", [tcp(free_port(), echo)])
    status = Path(f"/proc/{proxy.pid()}/status").read_text()
    assert "CapEff:\t0000000000000000" in status
    assert "\nUid:\t65534\t65534\t65534\t65534" in status
