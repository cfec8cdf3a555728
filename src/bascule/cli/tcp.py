"""The daemon over TCP: with client certificates, or loudly not at all."""

import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from bascule.cli.client import Unreachable

if TYPE_CHECKING:
    from bascule.cli.client import Stream


def connect(where: str, tls: dict[str, str] | None) -> "Stream":
    """A verified TLS connection to *where* (`host:port`).  *tls* has the paths `ca`, `cert` and `key`.  Raises
    Unreachable; also without TLS: the API is root, and is never spoken in the clear."""
    if tls is None:
        raise Unreachable(
            f"tcp://{where}: refused without TLS; give --tlsverify, --tlscacert, --tlscert and --tlskey"
        )
    host, _, port = where.rpartition(":")
    host = host.strip("[]")
    for path in tls.values():
        try:
            Path(path).read_bytes()
        except OSError as why:
            raise Unreachable(f"tcp://{where}: cannot read {path}: {why.strerror}") from None
    try:
        context = ssl.create_default_context(cafile=tls["ca"])
        context.load_cert_chain(tls["cert"], tls["key"])
        plain = socket.create_connection((host, int(port or 2376)))
        return context.wrap_socket(plain, server_hostname=host)
    except (OSError, ValueError) as why:
        raise Unreachable(f"Cannot connect to the bascule daemon at tcp://{where}: {why}") from None
