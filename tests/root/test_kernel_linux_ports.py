"""Who holds a port."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.root.conftest import Host

from bascule.kernel.linux import LinuxKernel
from bascule.model.addresses import ip_address
from bascule.model.endpoint import Proto
from bascule.model.errors import Failed

KINDS: dict[Proto, int] = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
PORT = 8080


@contextmanager
def held(host: Host, proto: Proto, address: str, *, shared: bool = False) -> Iterator[None]:
    """This process has the port of *host*, as a server would."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with host.inside(lambda: socket.socket(family, KINDS[proto])) as server:
        if shared:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((address, PORT))
        if proto == "tcp":
            server.listen()
        yield


def asked(kernel: LinuxKernel, proto: Proto, address: str) -> str | None:
    return kernel.port_holder(proto, ip_address(address), PORT)


def me() -> str:
    with open("/proc/self/comm") as comm:
        return f"{comm.read().strip()} (pid {os.getpid()})"


@pytest.mark.parametrize("proto", ["tcp", "udp"])
@pytest.mark.parametrize("shared", [False, True], ids=["alone", "with SO_REUSEADDR"])
@pytest.mark.parametrize(
    ("holder", "wanted", "in_the_way"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "0.0.0.0", True),
        ("0.0.0.0", "127.0.0.1", True),
        ("127.0.0.2", "127.0.0.1", False),
        ("::", "0.0.0.0", True),  # Both families, unless it says otherwise.
        ("::1", "::", True),
        ("::1", "0.0.0.0", False),
        ("127.0.0.1", "::", False),
    ],
)
def test_a_port_is_held_where_a_server_would_get_its_packets(
    host: Host, kernel: LinuxKernel, proto: Proto, shared: bool, holder: str, wanted: str, in_the_way: bool
) -> None:
    with held(host, proto, holder, shared=shared):
        assert asked(kernel, proto, wanted) == (me() if in_the_way else None)
    assert asked(kernel, proto, wanted) is None


def test_the_other_protocols_port_is_free(host: Host, kernel: LinuxKernel) -> None:
    with held(host, "tcp", "0.0.0.0"):
        assert asked(kernel, "udp", "0.0.0.0") is None


def test_a_port_of_another_namespace_is_free(host: Host, kernel: LinuxKernel) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert kernel.port_holder("tcp", ip_address("127.0.0.1"), port) is None
        here = LinuxKernel(namespaces=str(host.containers))
        assert here.port_holder("tcp", ip_address("127.0.0.1"), port) == me()
        here.close()


def test_a_connection_in_time_wait_is_no_obstacle(host: Host, kernel: LinuxKernel) -> None:
    server = host.inside(lambda: socket.create_server(("127.0.0.1", PORT)))
    client = host.inside(lambda: socket.create_connection(("127.0.0.1", PORT)))
    accepted, _ = server.accept()
    # Who closes first waits.
    for one in (accepted, client, server):
        one.close()
    assert "TIME-WAIT" in host.sh(f"ss -Htan sport = {PORT}")
    assert asked(kernel, "tcp", "0.0.0.0") is None


def test_the_holder_is_named(host: Host, kernel: LinuxKernel) -> None:
    program = "import socket,sys; s=socket.create_server(('',8080)); print('up', flush=True); sys.stdin.read()"
    server = subprocess.Popen(
        ["nsenter", f"--net={host.path}", "python3", "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with server:
        assert server.stdout is not None
        assert server.stdout.readline() == "up\n"
        assert asked(kernel, "tcp", "0.0.0.0") == f"python3 (pid {server.pid})"
        server.communicate("")


def test_an_address_that_is_not_the_hosts_is_refused(kernel: LinuxKernel) -> None:
    for address in ("203.0.113.1", "2001:db8::1"):
        with pytest.raises(Failed, match="cannot assign requested address"):
            asked(kernel, "tcp", address)


def test_sctp_is_free_or_unknown_to_the_kernel(kernel: LinuxKernel) -> None:
    assert kernel.port_holder("sctp", ip_address("0.0.0.0"), PORT) is None
