"""Where the API listens, and for whom: Unix sockets, TCP with client certificates, sockets that systemd passed."""

import asyncio
import contextlib
import grp
import os
import shutil
import socket
import ssl
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bascule.api import listen
from bascule.api.exchange import Exchange, Limits
from bascule.api.http import Connection
from bascule.api.tls import Tls
from bascule.model.errors import Conflict, Invalid

DEADLINE = 10


def test_a_unix_socket_belongs_to_its_group_and_to_nobody_else(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    group = grp.getgrgid(os.getgid()).gr_name
    with listen.unix(path, group):
        found = os.stat(path)
    assert (stat.filemode(found.st_mode), found.st_gid) == ("srw-rw----", os.getgid())


def test_an_unknown_group_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="there is no group 'nosuchgroup' to own the socket"):
        listen.unix(str(tmp_path / "s"), "nosuchgroup")


def test_what_a_dead_daemon_left_is_replaced_and_a_living_one_is_not(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    listen.unix(path).close()
    with listen.unix(path), pytest.raises(Conflict, match="another daemon does"):
        listen.unix(path)
    (tmp_path / "file").write_text("precious")
    with pytest.raises(Conflict, match="a file that is no socket is there"):
        listen.unix(str(tmp_path / "file"))


def test_plain_tcp_is_refused_with_the_way_out() -> None:
    with pytest.raises(Invalid) as refusal:
        listen.sockets("tcp://127.0.0.1:0", "", {})
    assert str(refusal.value) == (
        "tcp://127.0.0.1:0: the API is root on this machine: TCP is served with client certificates only"
        " (--tlscacert, --tlscert, --tlskey)"
    )


def test_sockets_are_only_taken_from_systemd_when_they_are_for_us() -> None:
    with pytest.raises(Invalid, match="no sockets were passed by systemd"):
        listen.sockets("fd://", "", {})


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, a server's and a client's certificate, and a client's of another authority."""
    if not shutil.which("openssl"):
        pytest.skip("there is no openssl to make certificates with")
    home = tmp_path_factory.mktemp("tls")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=home, check=True, capture_output=True)

    for authority in ("ca", "other"):
        openssl(
            *(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]),
            *("-keyout", f"{authority}.key", "-out", f"{authority}.pem", "-subj", f"/CN={authority}"),
        )
    (home / "names").write_text("subjectAltName=IP:127.0.0.1")
    for name, authority in (("server", "ca"), ("client", "ca"), ("stranger", "other")):
        openssl(
            *(["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]),
            *("-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"),
        )
        openssl(
            *("x509", "-req", "-days", "2", "-in", f"{name}.csr", "-out", f"{name}.pem", "-extfile", "names"),
            *("-CA", f"{authority}.pem", "-CAkey", f"{authority}.key", "-CAcreateserial"),
        )
    return home


async def echo_upper(exchange: Exchange) -> None:
    """A pipe that answers in capitals, and once more when its client has said all."""
    if exchange.request.method == "GET":
        exchange.send(200, b"hello")
        return
    pipe = exchange.hijack(101, "UPGRADED", [("Connection", "Upgrade"), ("Upgrade", "tcp")])
    while data := await pipe.read():
        await pipe.write(data.upper())
    await pipe.write(b"<after eof>")
    pipe.close()


class ByHand:
    """A TLS client that can end its side and go on reading, as Go's does; Python's SSLSocket cannot."""

    def __init__(self, raw: socket.socket, context: ssl.SSLContext) -> None:
        self._raw = raw
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="127.0.0.1")
        self._do(self._tls.do_handshake)

    def _do(self, step: Callable[[], Any]) -> Any:
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                self._raw.sendall(self._outgoing.read())
                data = self._raw.recv(65536)
                if not data:
                    raise ConnectionResetError("the server closed the connection") from None
                self._incoming.write(data)
            else:
                self._raw.sendall(self._outgoing.read())
                return done

    def send(self, data: bytes) -> None:
        self._do(lambda: self._tls.write(data))

    def read(self) -> bytes:
        try:
            return bytes(self._do(lambda: self._tls.read(1000)))
        except ssl.SSLZeroReturnError:
            return b""

    def read_all(self) -> bytes:
        return b"".join(iter(self.read, b""))

    def end(self) -> None:
        with contextlib.suppress(ssl.SSLWantReadError):
            # The server's own end is still to come, and is not waited for.
            self._tls.unwrap()
        self._raw.sendall(self._outgoing.read())


def over_tls(home: Path, client: str, version: ssl.TLSVersion, talk: Callable[[ByHand], bytes]) -> bytes:
    """What *talk* returns, on a thread with a connection to a server of its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(home / "ca.pem")
    context.minimum_version = context.maximum_version = version
    if client:
        context.load_cert_chain(home / f"{client}.pem", home / f"{client}.key")

    def ask(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), DEADLINE) as raw:
            return talk(ByHand(raw, context))

    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        tls = {"cacert": str(home / "ca.pem"), "cert": str(home / "server.pem"), "key": str(home / "server.key")}
        ((sock, accepted),) = listen.sockets("tcp://127.0.0.1:0", "", tls)
        assert accepted
        crowd: set[Connection] = set()
        server = await loop.create_server(
            lambda: Tls(Connection(echo_upper, Limits(), crowd), accepted, DEADLINE), sock=sock
        )
        try:
            async with asyncio.timeout(DEADLINE):
                return await asyncio.to_thread(ask, sock.getsockname()[1])
        finally:
            server.close()
            for connection in list(crowd):
                connection.abort()

    return asyncio.run(main())


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def get(client: ByHand) -> bytes:
    client.send(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
    return client.read_all()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_with_a_certificate_is_served(certificates: Path, version: ssl.TLSVersion) -> None:
    assert over_tls(certificates, "client", version, get).endswith(b"\r\n\r\nhello")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("client", ["", "stranger"])
def test_a_client_without_one_of_ours_is_not(certificates: Path, client: str, version: ssl.TLSVersion) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        over_tls(certificates, client, version, get)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_end_of_a_clients_input_is_not_the_end_of_its_output(
    certificates: Path, version: ssl.TLSVersion
) -> None:
    def talk(client: ByHand) -> bytes:
        client.send(b"POST / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
        said = client.read()
        client.send(b"typed ")
        said += client.read()
        client.end()
        return said + client.read_all()

    assert over_tls(certificates, "client", version, talk).endswith(b"\r\n\r\nTYPED <after eof>")
