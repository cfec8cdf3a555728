"""The sockets the API is served on.  The API is root on this machine: a Unix socket belongs to a group, and TCP
asks for a client certificate."""

import grp
import os
import socket
import ssl
import stat
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from bascule.model.errors import Conflict, Failed, Invalid

# sd_listen_fds(3): systemd passes sockets from this descriptor on.
FIRST_PASSED = 3
BACKLOG = 512
# A peer whose machine is gone is noticed within three minutes; connections inherit it.  The numbers are Go's.
KEEP_ALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 9),
)


def unix(path: str, group: str = "") -> socket.socket:
    """A socket at *path* with mode 0660 for root and *group* ("": docker if there is one, else root).  Raises
    Conflict if a living daemon listens there; what a dead one left is replaced."""
    owner = group_id(group)
    _clear(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Nobody else may connect in the moment between bind and chmod.
    before = os.umask(0o177)
    try:
        sock.bind(path)
    except OSError as why:
        sock.close()
        raise Failed(f"cannot listen on unix://{path}: {why.strerror or why}") from why
    finally:
        os.umask(before)
    os.chown(path, 0 if os.geteuid() == 0 else -1, owner if os.geteuid() == 0 else -1)
    os.chmod(path, 0o660)
    sock.listen(BACKLOG)
    return sock


def group_id(name: str) -> int:
    """The group that a Unix socket is for ("": docker if there is one, else root).  Raises Invalid."""
    try:
        return grp.getgrnam(name or "docker").gr_gid
    except KeyError:
        if name:
            raise Invalid(f"there is no group {name!r} to own the socket") from None
        return 0


def _clear(path: str) -> None:
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise Conflict(f"cannot listen on unix://{path}: a file that is no socket is there")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            os.unlink(path)
        else:
            raise Conflict(f"cannot listen on unix://{path}: another daemon does")


def tcp(host: str, port: int) -> socket.socket:
    """A listening TCP socket; [::] and 0.0.0.0 mean their own family only."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for level, option, value in KEEP_ALIVE:
            sock.setsockopt(level, option, value)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError as why:
        sock.close()
        raise Failed(f"cannot listen on tcp://{host}:{port}: {why.strerror or why}") from why
    return sock


def certified(tls: Mapping[str, str]) -> ssl.SSLContext:
    """A context that lets in only clients with a certificate of the given authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    # A client that asks for new keys in the middle of TLS 1.2 would make writes wait for its answers.
    context.options |= ssl.OP_NO_RENEGOTIATION
    for path in tls.values():
        try:
            Path(path).read_bytes()
        except OSError as why:
            raise Failed(f"TLS: cannot read {path}: {why.strerror}") from why
    try:
        context.load_cert_chain(tls["cert"], tls["key"])
        context.load_verify_locations(tls["cacert"])
    except (OSError, ssl.SSLError) as why:
        raise Failed(f"TLS: cannot use {tls['cert']}, {tls['key']} or {tls['cacert']}: {why}") from why
    return context


def passed() -> list[socket.socket]:
    """The sockets that systemd opened for this process.  Raises Invalid if there are none."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        raise Invalid("fd://: no sockets were passed by systemd (LISTEN_PID is not this process)")
    count = int(os.environ.get("LISTEN_FDS", "0"))
    return [socket.socket(fileno=FIRST_PASSED + n) for n in range(count)]


def sockets(host: str, group: str, tls: Mapping[str, str]) -> list[tuple[socket.socket, ssl.SSLContext | None]]:
    """What *host* (unix://, tcp://, fd://) stands for, listening.  Raises Invalid, Failed or Conflict."""
    parts = urlsplit(host)
    match parts.scheme:
        case "unix":
            return [(unix(parts.netloc + parts.path, group), None)]
        case "fd":
            return [(sock, _for_passed(sock, tls)) for sock in passed()]
        case "tcp":
            _insist(host, tls)
            return [(tcp(parts.hostname or "127.0.0.1", parts.port or 2376), certified(tls))]
        case _:
            raise Invalid(f"invalid host {host!r}: unix://, fd:// or tcp:// is expected")


def _for_passed(sock: socket.socket, tls: Mapping[str, str]) -> ssl.SSLContext | None:
    if sock.family == socket.AF_UNIX:
        return None
    _insist("fd:// (a TCP socket)", tls)
    return certified(tls)


def _insist(host: str, tls: Mapping[str, str]) -> None:
    if not tls:
        raise Invalid(
            f"{host}: the API is root on this machine: TCP is served with client certificates only (--tlscacert,"
            " --tlscert, --tlskey)"
        )
