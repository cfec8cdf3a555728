"""A watch of etcd's JSON gateway: a line of its answer for each batch of changes, without an end."""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import suppress

from bascule.store import etcdwire as wire
from bascule.store.etcdwire import Gone, Item

# A peer that vanished without a word is told by the kernel after about a dozen seconds.
_ALIVE = ((socket.TCP_KEEPIDLE, 6), (socket.TCP_KEEPINTVL, 2), (socket.TCP_KEEPCNT, 3))


class Lost(Exception):
    """A watch has ended, whyever: list again, compare, and watch from there."""


class Watch:
    """Changes, batch by batch as they were committed.  Closed by whoever is done with it, from any thread."""

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        self._connection = connection
        self._response = response
        self._socket = connection.sock
        if self._socket is not None:
            self._socket.settimeout(None)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _ALIVE:
                self._socket.setsockopt(socket.IPPROTO_TCP, option, value)

    def __iter__(self) -> Iterator[tuple[int, list[Item | Gone]]]:
        """Each batch with the revision up to which it tells.  Raises Lost at the end, however that came."""
        while True:
            try:
                line = self._response.readline()
                answer = json.loads(line)
            except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
                raise Lost(str(error)) from error
            result = answer.get("result")
            if result is None or result.get("canceled"):
                raise Lost(str((result or answer).get("cancel_reason") or answer.get("error") or "compacted"))
            if events := result.get("events"):
                yield wire.revision(result), [wire.event(event) for event in events]

    def close(self) -> None:
        """The iteration ends with Lost.  Again: nothing."""
        if self._socket is not None:
            with suppress(OSError):
                # Closing alone does not wake a thread that reads.
                self._socket.shutdown(socket.SHUT_RDWR)
        self._connection.close()
