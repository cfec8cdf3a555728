"""The daemon's side of the carrying process: it starts it, finds it again, and hands it listening sockets."""

import contextlib
import json
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from bascule.engine.proxy import Carried
from bascule.model.errors import Failed, Unavailable
from bascule.proxy.process import VERSION

# SCM_MAX_FD is 253 (include/net/scm.h).
SOCKETS_A_MESSAGE = 250
BACKLOG = 1024
ANSWER_TIMEOUT = 5.0
# A new process has Python to start first, on a machine that may have a dozen others to start.
START_TIMEOUT = 60.0

Port = tuple[str, str, int]
Target = tuple[str, int]


class ProxyClient:
    """Keeps engine.proxy.Proxy's promises.  The process is started when something is first carried, as *command*,
    and watched: if it dies it is started again and given everything anew."""

    def __init__(self, exec_root: str, command: Sequence[str] = ()) -> None:
        self._path = Path(exec_root) / "proxy.sock"
        self._command = list(command) or [sys.executable, "-m", "bascule.proxy.process"]
        self._lock = threading.RLock()
        self._conn: socket.socket | None = None
        self._carried: dict[str, dict[Port, Target]] = {}
        self._child = 0
        self._closed = False
        if self._path.exists():
            self._find()

    def keys(self) -> Iterable[str]:
        with self._lock:
            return list(self._carried)

    def carry(self, key: str, ports: Sequence[Carried]) -> None:
        wanted: dict[Port, Target] = {(p.proto, str(p.host), p.host_port): (str(p.to), p.port) for p in ports}
        with self._lock:
            have = self._carried.get(key, {})
            if wanted == have:
                return
            # What goes may be all that keeps a port from being listened on: `::` has ::1 as well.
            first = {
                port: target
                for port, target in have.items()
                if port in wanted or not any(_overlap(port, other) for other in wanted)
            }
            self._set(key, first)
            try:
                self._set(key, wanted)
            except Failed:
                self._set(key, have)
                raise

    def _set(self, key: str, wanted: dict[Port, Target]) -> None:
        have = self._carried.get(key, {})
        if wanted == have:
            return
        fresh = {port: target for port, target in wanted.items() if port not in have}
        with contextlib.ExitStack() as open_here:
            socks = [open_here.enter_context(_listening(port)) for port in fresh]
            self._push(key, wanted, fresh, socks)
        if wanted:
            self._carried[key] = wanted
        else:
            self._carried.pop(key, None)

    def pid(self) -> int:
        """The process's id; it is started if it was not."""
        with self._lock:
            return int(self._ask({"op": "hello"})["pid"])

    def close(self) -> None:
        """Let go of the process; it goes on carrying."""
        with self._lock:
            self._closed = True
            if self._conn:
                # The watcher wakes at once, and sees that this was wanted.
                self._conn.shutdown(socket.SHUT_RDWR)
                self._conn.close()
                self._conn = None

    def _push(
        self, key: str, wanted: dict[Port, Target], fresh: dict[Port, Target], socks: list[socket.socket]
    ) -> None:
        have = self._carried.get(key, {})
        drop = [list(port) for port in have if port not in wanted]
        turn = [[*port, *wanted[port]] for port in have if port in wanted and wanted[port] != have[port]]
        add = [[*port, *target] for port, target in fresh.items()]
        first = add[:SOCKETS_A_MESSAGE]
        self._ask({"op": "carry", "key": key, "drop": drop, "turn": turn, "add": first}, socks[: len(first)])
        for at in range(SOCKETS_A_MESSAGE, len(add), SOCKETS_A_MESSAGE):
            part = add[at : at + SOCKETS_A_MESSAGE]
            self._ask({"op": "carry", "key": key, "drop": [], "turn": [], "add": part}, socks[at : at + len(part)])

    def _ask(self, message: dict[str, Any], socks: Sequence[socket.socket] = ()) -> dict[str, Any]:
        try:
            return _exchange(self._conn or self._start(), message, socks)
        except OSError:
            # It died since we last spoke, and its watcher waits for this lock: begin it anew, and ask once more.
            self._begin_anew()
        try:
            return _exchange(self._conn or self._start(), message, socks)
        except OSError as why:
            # It may have the sockets all the same, and an answer that is late would be taken for the next one's.
            self._begin_anew()
            raise Unavailable(f"the proxy process does not answer: {why}") from why

    def _start(self) -> socket.socket:
        if self._closed:
            # The next daemon may have found it by now, and a second process would take its place.
            raise Unavailable("the proxy process is let go of: this daemon ends")
        self._path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as control:
            control.bind(str(self._path))
            self._path.chmod(0o600)
            control.listen(8)
            # A session of its own: it stays when the daemon's terminal or service goes.
            self._child = os.posix_spawn(
                self._command[0],
                [*self._command, "3"],
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, control.fileno(), 3),
                    (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
                ],
                setsid=True,
            )
        conn = self._connect()
        conn.settimeout(START_TIMEOUT)
        _exchange(conn, {"op": "hello"}, ())
        conn.settimeout(ANSWER_TIMEOUT)
        return conn

    def _connect(self) -> socket.socket:
        conn = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        conn.settimeout(ANSWER_TIMEOUT)
        conn.connect(str(self._path))
        self._conn = conn
        threading.Thread(target=self._watch, args=(conn,), name="proxy-watch", daemon=True).start()
        return conn

    def _find(self) -> None:
        """Take over a process an earlier daemon left; one of another version is ended, and begun anew."""
        try:
            self._connect()
            hello = self._ask({"op": "hello"})
        except (OSError, Unavailable):
            self._conn = None
            return
        if hello["version"] != VERSION:
            self._ask({"op": "end"})
            self._conn = None
            return
        self._carried = {
            key: {(proto, host, number): (to, port) for proto, host, number, to, port in ports}
            for key, ports in hello["carried"].items()
        }

    def _watch(self, conn: socket.socket) -> None:
        poll = select.poll()
        # Only the hang-up: answers are read by whoever asked.
        poll.register(conn, select.POLLRDHUP)
        poll.poll()
        with self._lock:
            if self._closed or self._conn is not conn:
                return
            self._begin_anew()

    def _begin_anew(self) -> None:
        if self._conn:
            self._conn.close()
            self._conn = None
        if self._child:
            os.kill(
                self._child, signal.SIGKILL
            )  # It may hang rather than be dead; unreaped, its id is still its own.
            os.waitpid(self._child, 0)
            self._child = 0
        lost, self._carried = self._carried, {}
        for key, ports in lost.items():
            with contextlib.suppress(Failed, Unavailable):
                # A port somebody took meanwhile is theirs; the rest is carried again.
                self.carry(key, [_carried(port, target) for port, target in ports.items()])


def _exchange(conn: socket.socket, message: dict[str, Any], socks: Sequence[socket.socket]) -> dict[str, Any]:
    socket.send_fds(conn, [json.dumps(message).encode()], [s.fileno() for s in socks])
    answer = conn.recv(4 << 20)
    if not answer:
        raise ConnectionResetError("the process went away")
    told: dict[str, Any] = json.loads(answer)
    return told


def _carried(port: Port, target: Target) -> Carried:
    proto, host, number = port
    return Carried("tcp" if proto == "tcp" else "udp", ip_address(host), number, ip_address(target[0]), target[1])


def _overlap(one: Port, other: Port) -> bool:
    """Whether only one of two that are not the same can be listened on at a time."""
    hosts = ip_address(one[1]), ip_address(other[1])
    same = one[0] == other[0] and one[2] == other[2] and hosts[0].version == hosts[1].version
    return same and any(int(host) == 0 for host in hosts)


def _listening(port: Port) -> socket.socket:
    proto, host, number = port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if proto == "tcp":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, number))
        if proto == "tcp":
            sock.listen(BACKLOG)
    except OSError as why:
        sock.close()
        raise Failed(
            f"failed to bind host port {host}:{number}/{proto}: {os.strerror(why.errno or 0).lower()}"
        ) from why
    return sock
