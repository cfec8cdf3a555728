"""The API's server: sockets, connections, threads.  What a request means is the routes' business."""

import asyncio
import functools
import os
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from bascule.api import listen as listening
from bascule.api import machine, openapi
from bascule.api.ask import House
from bascule.api.dispatch import Dispatch
from bascule.api.exchange import Limits
from bascule.api.http import Connection
from bascule.api.pool import Pool
from bascule.api.routes import ROUTES
from bascule.api.shapes.system import About
from bascule.api.table import Table
from bascule.api.tls import Tls
from bascule.containers.containers import Containers
from bascule.engine.engine import Engine

# Creates and reads are short and mostly wait for one lock; more threads would only queue there.
QUICK_THREADS = 32
# Stops, uploads, downloads: each may wait for seconds or minutes, costs nothing meanwhile, and there can be many.
SLOW_THREADS = 512


class Told(Protocol):
    """What the server wants to know of the daemon's configuration."""

    @property
    def labels(self) -> Sequence[str]: ...
    @property
    def runtime(self) -> str: ...


class Server:
    """Docker's API for one engine and its containers."""

    def __init__(
        self,
        engine: Engine,
        containers: Containers,
        told: Told | None = None,
        *,
        about: About | None = None,
        limits: Limits | None = None,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        labels, runtime = (told.labels, told.runtime) if told else ((), "")
        self._house = House(
            engine,
            containers,
            about or machine.about(engine.settings, labels=labels, runtime=runtime),
            now,
            functools.cache(lambda: openapi.encoded(ROUTES)),
            Pool(QUICK_THREADS, "quick"),
            Pool(SLOW_THREADS, "slow"),
            limits or Limits(),
        )
        self._dispatch = Dispatch(self._house, Table(ROUTES))
        self._connections: set[Connection] = set()
        self._servers: list[asyncio.Server] = []
        self._paths: list[str] = []

    async def listen(self, hosts: Sequence[str], *, group: str = "", tls: Mapping[str, str] | None = None) -> None:
        """Every host (unix://path, tcp://address:port, fd://) is served.  Raises Invalid, Failed or Conflict."""
        for host in hosts:
            for sock, context in listening.sockets(host, group, tls or {}):
                await self.serve(sock, context)
                if host.startswith("unix://"):
                    self._paths.append(host.removeprefix("unix://"))

    async def serve(self, sock: socket.socket, context: ssl.SSLContext | None = None) -> None:
        """*sock*, which listens already, is served; it belongs to the server now."""
        loop = asyncio.get_running_loop()
        sock.setblocking(False)

        def connection() -> asyncio.Protocol:
            plain = Connection(self._dispatch, self._house.limits, self._connections)
            return Tls(plain, context, self._house.limits.header_seconds) if context else plain

        if sock.family == socket.AF_UNIX:
            server = await loop.create_unix_server(connection, sock=sock, backlog=listening.BACKLOG)
        else:
            server = await loop.create_server(connection, sock=sock, backlog=listening.BACKLOG)
        self._servers.append(server)

    async def drain(self, seconds: float = 5) -> None:
        """Accept nothing more, let answers under way end for at most *seconds*, then close everything.  Streams and
        hijacked connections end at once: their clients come back to the next daemon."""
        for path in self._paths:
            # Before closing: afterwards the path may be the next daemon's.
            os.unlink(path)
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.retire()
        under_way = [c.task for c in self._connections if c.task]
        if under_way:
            await asyncio.wait(under_way, timeout=seconds)
        for connection in list(self._connections):
            connection.abort()
        self._house.quick.close()
        self._house.slow.close()
