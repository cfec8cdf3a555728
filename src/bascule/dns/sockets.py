"""A sandbox's sockets, opened inside its namespace by who may enter it, for the resolver who may not."""

import socket
from collections.abc import Sequence

from bascule.dns.forward import outgoing
from bascule.kernel.namespaces import identity, in_namespace
from bascule.model.errors import Failed

ADDRESS = ("127.0.0.11", 53)
BACKLOG = 128
# Some 2,700 queries wait here while another sandbox has its turn; the host's limit (rmem_max) is for 550.
RECEIVE_BUFFER = 1 << 20
# include/uapi/asm-generic/socket.h: SO_RCVBUF for who may administer the network.
SO_RCVBUFFORCE = 33
# A question finds an idle one, and with it a new random port, unless four others are under way.
DATAGRAM_SOCKETS = 4
STREAM_SOCKETS = 2


def namespace_of(path: str) -> str:
    """Which namespace *path* is, in a word that no other has as long as a socket of it is open.  Raises Failed."""
    found = identity(path)
    if found is None:
        raise Failed(f"{path}: no such namespace")
    return "{}:{}".format(*found)


def open_sockets(path: str, *, listeners: bool, families: Sequence[int]) -> list[socket.socket]:
    """The sockets that `serve` sends along (see `control`), opened in the namespace at *path*.  The caller owns
    them.  Raises OSError or KernelError; nothing is left open then."""

    def opened() -> list[socket.socket]:
        sockets: list[socket.socket] = []
        try:
            if listeners:
                for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                    sockets.append(socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK))
                    _listen(sockets[-1])
            for family in families:
                sockets += outgoing(family, DATAGRAM_SOCKETS, STREAM_SOCKETS)
        except OSError:
            for sock in sockets:
                sock.close()
            raise
        return sockets

    return in_namespace(path, opened)


def _listen(sock: socket.socket) -> None:
    # With route_localnet a packet for 127.0.0.11 could come in by a link; lo is the only one that may bring it.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
    if sock.type == socket.SOCK_STREAM:
        # Connections of a resolver that was replaced may linger in TIME_WAIT.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(ADDRESS)
        sock.listen(BACKLOG)
    else:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        sock.bind(ADDRESS)
