"""The carrying process: listening sockets come from the daemon, connections go to containers.

It is unprivileged, knows nothing but (socket, target) pairs, outlives the daemon, and ends when nobody is carried
for and no daemon is connected.  One SEQPACKET message is one request; its sockets ride along (SCM_RIGHTS).
"""

import asyncio
import contextlib
import json
import os
import resource
import socket
import sys
from collections.abc import Callable
from typing import Any

VERSION = 1
CHUNK = 64 << 10
# Docker's proxy keeps a UDP client's socket for 90 seconds of silence (UDPConnTrackTimeout).
UDP_IDLE = 90.0
# As many clients as one published UDP port may have at a time; the oldest goes first.
UDP_CLIENTS = 4096
CONNECT_TIMEOUT = 10.0
NOBODY = 65534

Port = tuple[str, str, int]
Target = tuple[str, int]


class Stream:
    """A listening TCP socket; each connection is copied both ways, half-closes included."""

    def __init__(self, sock: socket.socket, target: Target) -> None:
        self.target = target
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        sock.setblocking(False)
        self._loop.add_reader(sock, self._accept)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError, InterruptedError, ConnectionAbortedError):
            client, _ = self._sock.accept()
            task = self._loop.create_task(self._carry(client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, client: socket.socket) -> None:
        client.setblocking(False)
        with client, socket.socket(_family(self.target[0]), socket.SOCK_STREAM) as server:
            server.setblocking(False)
            for sock in (client, server):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                await asyncio.wait_for(self._loop.sock_connect(server, self.target), CONNECT_TIMEOUT)
                await asyncio.gather(self._copy(client, server), self._copy(server, client))
            except OSError:
                return  # Either side went; closing both tells the other.

    async def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        while data := await self._loop.sock_recv(source, CHUNK):
            await self._loop.sock_sendall(sink, data)
        sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """No new connections; those under way go on to their end."""
        self._loop.remove_reader(self._sock)
        self._sock.close()


class Datagrams:
    """A bound UDP socket; each client has a socket of its own towards the target while it talks."""

    def __init__(self, sock: socket.socket, target: Target) -> None:
        self.target = target
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._clients: dict[Any, tuple[socket.socket, asyncio.TimerHandle]] = {}
        sock.setblocking(False)
        self._loop.add_reader(sock, self._from_client)

    def _from_client(self) -> None:
        with contextlib.suppress(OSError):  # Nothing to read, or the target refused: the next datagram may pass.
            data, client = self._sock.recvfrom(CHUNK)
            self._towards(client).send(data)

    def _towards(self, client: Any) -> socket.socket:
        known = self._clients.pop(client, None)
        if known:
            sock, timer = known
            timer.cancel()
        else:
            if len(self._clients) >= UDP_CLIENTS:
                self._drop(next(iter(self._clients)))
            sock = socket.socket(_family(self.target[0]), socket.SOCK_DGRAM)
            sock.setblocking(False)
            sock.connect(self.target)
            self._loop.add_reader(sock, self._from_target, sock, client)
        self._clients[client] = (sock, self._loop.call_later(UDP_IDLE, self._drop, client))
        return sock

    def _from_target(self, sock: socket.socket, client: Any) -> None:
        with contextlib.suppress(OSError):  # Port unreachable comes as an error of the socket.
            self._sock.sendto(sock.recv(CHUNK), client)

    def _drop(self, client: Any) -> None:
        sock, timer = self._clients.pop(client)
        timer.cancel()
        self._loop.remove_reader(sock)
        sock.close()

    def close(self) -> None:
        for client in list(self._clients):
            self._drop(client)
        self._loop.remove_reader(self._sock)
        self._sock.close()


class Process:
    """What is carried, by key, and the daemon's connection."""

    def __init__(self, control: socket.socket, done: Callable[[], None]) -> None:
        self._carried: dict[str, dict[Port, Stream | Datagrams]] = {}
        self._control = control
        self._done = done
        self._daemons = 0
        self._loop = asyncio.get_running_loop()
        control.setblocking(False)
        self._loop.add_reader(control, self._accept)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            conn, _ = self._control.accept()
            conn.setblocking(False)
            self._daemons += 1
            self._loop.add_reader(conn, self._request, conn)

    def _request(self, conn: socket.socket) -> None:
        try:
            data, fds, _, _ = socket.recv_fds(conn, 1 << 20, 253)
        except BlockingIOError:
            return
        except OSError:
            data, fds = b"", []
        if not data:
            self._leave(conn)
            return
        socks = [socket.socket(fileno=fd) for fd in fds]
        answer = self._answer(json.loads(data), socks)
        try:
            conn.send(json.dumps(answer).encode())
        except OSError:
            self._leave(conn)

    def _leave(self, conn: socket.socket) -> None:
        self._loop.remove_reader(conn)
        conn.close()
        self._daemons -= 1
        if not self._daemons and not self._carried:
            self._done()

    def _answer(self, asked: dict[str, Any], socks: list[socket.socket]) -> dict[str, Any]:
        if asked["op"] == "hello":
            carried = {
                key: [[*port, *p.target] for port, p in ports.items()] for key, ports in self._carried.items()
            }
            return {"version": VERSION, "pid": os.getpid(), "carried": carried}
        if asked["op"] == "end":
            self._loop.call_soon(self._done)
            return {}
        mine = self._carried.setdefault(asked["key"], {})
        for proto, host, number in asked["drop"]:
            mine.pop((proto, host, number)).close()
        for (proto, host, number, to, port), sock in zip(asked["add"], socks, strict=True):
            kind = Stream if proto == "tcp" else Datagrams
            mine[proto, host, number] = kind(sock, (to, port))
        for proto, host, number, to, port in asked["turn"]:
            mine[proto, host, number].target = (to, port)
        if not mine:
            del self._carried[asked["key"]]
        return {}


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


async def _serve(control: socket.socket) -> None:
    done = asyncio.Event()
    process = Process(control, done.set)
    await done.wait()
    del process


def main() -> None:
    """Serve on the control socket given as file descriptor argv[1], as nobody."""
    control = socket.socket(fileno=int(sys.argv[1]))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    asyncio.run(_serve(control))


if __name__ == "__main__":
    main()
