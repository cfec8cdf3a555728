"""Who holds a port: asked of the kernel by binding it, and of /proc for a name.  Whether another host has one."""

import errno
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

from bascule.model.addresses import IPAddress
from bascule.model.endpoint import Proto
from bascule.model.errors import Failed

# socket(2) types.  SCTP is not in every kernel; without it nobody can hold its ports.
_TYPES: dict[Proto, tuple[int, int]] = {
    "tcp": (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    "udp": (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    "sctp": (socket.SOCK_STREAM, socket.IPPROTO_SCTP),
}
_TCP_LISTEN = "0A"
# Seconds for which another host is waited for.
_ANSWERED_WITHIN = 0.5
_SOCKET = re.compile(r"socket:\[(\d+)\]")


def holder(proto: Proto, host: IPAddress, port: int) -> str | None:
    """Who keeps *port* of *host*, in this thread's namespace, from being published; None when it is free.

    Raises Failed when *host* is not an address here.
    """
    family = socket.AF_INET if host.version == 4 else socket.AF_INET6
    kind, number = _TYPES[proto]
    try:
        probe = socket.socket(family, kind, number)
    except OSError as why:
        if why.errno in (errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, errno.ESOCKTNOSUPPORT):
            return None
        raise Failed(f"cannot look at {proto} port {port}: {os.strerror(why.errno or 0).lower()}") from None
    with probe:
        if proto == "tcp":
            # Connections in TIME_WAIT keep a port from those only who do not say this; listeners keep it from all.
            # For UDP it would mean sharing with a holder who says it too.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if host.version == 6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            probe.bind((str(host), port))
        except OSError as why:
            if why.errno == errno.EADDRINUSE:
                return _name(proto, port) or "another process"
            raise Failed(os.strerror(why.errno or 0).lower()) from None
    return None


def _name(proto: Proto, port: int) -> str | None:
    inodes = set(_inodes(proto, port))
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and inodes & set(_sockets(process)):
            try:
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
            except OSError:
                continue  # It ended just now.
    return None


def _inodes(proto: Proto, port: int) -> Iterator[str]:
    """Of the sockets at *port*, whatever their address: a wildcard holds them all.  proc(5), /proc/net/tcp."""
    for family in ("", "6"):
        try:
            lines = Path(f"/proc/thread-self/net/{proto}{family}").read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            listens = proto != "tcp" or fields[3] == _TCP_LISTEN
            if listens and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _sockets(process: Path) -> Iterator[str]:
    try:
        names = os.listdir(process / "fd")
    except OSError:
        return
    for name in names:
        try:
            match = _SOCKET.fullmatch(os.readlink(process / "fd" / name))
        except OSError:
            continue  # Closed meanwhile.
        if match:
            yield match[1]


def answers(address: IPAddress, port: int) -> bool:
    """Whether a host at *address* says anything to a TCP connection, in the namespace of the calling thread."""
    try:
        with socket.create_connection((str(address), port), timeout=_ANSWERED_WITHIN):
            return True
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
