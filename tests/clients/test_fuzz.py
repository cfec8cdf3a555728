"""Bytes that are no request, or half of one, or two at once; clients that are slow, and clients that vanish: the
daemon answers the others all the while, and keeps nothing of them: no descriptor, no thread, no error in its log.

`BASCULE_FUZZ=20` tries twenty times as many as everyday.
"""

import contextlib
import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.clients.conftest import DEADLINE, Ground

TIMES = float(os.environ.get("BASCULE_FUZZ", "1"))
CROWD = 200
VANISH = 30
JSON = b"Content-Type: application/json\r\n"
UPGRADE = b"Connection: Upgrade\r\nUpgrade: tcp\r\n"


def request(line: bytes, headers: bytes = b"", body: bytes = b"", *, length: bool = True) -> bytes:
    told = b"Content-Length: %d\r\n" % len(body) if body and length else b""
    return line + b" HTTP/1.1\r\nHost: x\r\n" + headers + told + b"\r\n" + body


CHUNKED = b"Transfer-Encoding: chunked\r\n"
SEEDS = (
    request(b"GET /_ping"),
    request(b"HEAD /_ping") + request(b"GET /v1.50/networks"),
    request(b"GET /containers/json?all=1&filters=%7B%22name%22%3A%5B%22x%22%5D%7D"),
    request(b"POST /networks/create", JSON, b'{"Name": "bridge", "Labels": {"a": "b"}}'),
    request(
        b"POST /networks/create",
        JSON + CHUNKED,
        b'5\r\n{"Nam\r\n8\r\ne": ""}  \r\n0\r\nTrailer: x\r\n\r\n',
        length=False,
    ),
    request(b"POST /images/load", CHUNKED, b"4\r\nabcd\r\n0\r\n\r\n", length=False) + request(b"GET /_ping"),
    request(b"POST /images/load", b"Expect: 100-continue\r\n", b"abcd"),
    request(b"POST /exec/none/start", JSON + UPGRADE, b'{"Detach": false}') + b"typed ahead",
    request(b"POST /containers/run/attach?logs=1&stdout=1", UPGRADE) + b"typed ahead",
    request(b"GET /containers/run/logs?stdout=1&tail=1"),
    request(b"GET /events?until=1"),
    request(b"DELETE /networks/none"),
    request(b"PUT /containers/none/archive?path=/", b"Content-Type: application/x-tar\r\n", b"x" * 100),
)
BITS = (
    b"\0",
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b" ",
    b"\t",
    b"\xff",
    b":",
    b"%00",
    b"%",
    b"/../",
    b"0\r\n\r\n",
    b"-1\r\n",
    b"ffffffffffffffff\r\n",
    b"1;" + b"e" * 5000 + b"\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 18446744073709551616\r\n",
    b"Content-Length: 1000000\r\n",
    CHUNKED,
    b"Transfer-Encoding: identity\r\n",
    b"Expect: 100-continue\r\n",
    UPGRADE,
    b"Connection: close\r\n",
    b"Content-Type: text/plain\r\n",
    b"X: " + b"x" * 70_000 + b"\r\n",
    b"GET /_ping HTTP/1.1\r\n\r\n",
    b"GET http://x/_ping HTTP/1.1\r\n\r\n",
    b"CONNECT x:80 HTTP/1.1\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"HTTP/1.0",
    b"HTTP/9.9",
)


@dataclass(frozen=True, slots=True)
class Change:
    """*bit* takes the place of *cut* bytes at *at*."""

    at: int
    cut: int
    bit: bytes

    def __call__(self, data: bytes) -> bytes:
        at = self.at % (len(data) + 1)
        return data[:at] + self.bit + data[at + self.cut :]


CHANGES = st.builds(
    Change,
    at=st.integers(0, 400),
    cut=st.sampled_from([0, 0, 1, 2, 10, 200]),
    bit=st.one_of(st.sampled_from(BITS), st.binary(max_size=8)),
)


@dataclass(frozen=True, slots=True)
class Told:
    """What a client sends, in how many pieces, and how it leaves: "end" closes its side and reads, "gone" does not
    read."""

    data: bytes
    pieces: int
    leaves: str


@st.composite
def talks(draw: st.DrawFn) -> Told:
    data = b"".join(draw(st.lists(st.sampled_from(SEEDS), min_size=1, max_size=3)))
    for change in draw(st.lists(CHANGES, max_size=4)):
        data = change(data)
    return Told(data, draw(st.sampled_from([1, 1, 2, 7])), draw(st.sampled_from(["end", "end", "end", "gone"])))


class Stage:
    """A daemon with a container that runs, and clients of bytes."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.path = ground.host.removeprefix("unix://")
        self.idle = ""

    def connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        try:
            # Before it has a time-out: then a queue that is full would be an error.
            sock.connect(self.path)
            sock.settimeout(DEADLINE)
        except BaseException:
            sock.close()
            raise
        return sock

    def ask(self, data: bytes) -> bytes:
        """Everything that is answered to *data*, from a client that then closes its side."""
        with closing(self.connect()) as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            return read_all(sock)

    def talk(self, told: Told) -> bytes:
        with closing(self.connect()) as sock:
            size = -(-len(told.data) // told.pieces) or 1
            try:
                for at in range(0, len(told.data), size):
                    sock.sendall(told.data[at : at + size])
                if told.leaves == "gone":
                    return b""
                sock.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError, OSError):
                # Refused before it had said everything: the answer is still there to read.
                pass
            return read_all(sock)

    def held(self) -> str:
        """The daemon's descriptors, and its threads but for those of its pools: a line each."""
        found = []
        for one in Path(f"/proc/{self.ground.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                found.append(re.sub(r"\d+", "N", os.readlink(one)))
        for one in Path(f"/proc/{self.ground.pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                comm = (one / "comm").read_text().strip()
                found += [] if comm.startswith(("quick-", "slow-")) else ["thread"]
        return "\n".join(sorted(found))

    @contextmanager
    def kept(self) -> Iterator[None]:
        """What happens meanwhile leaves no descriptor and no thread behind, and no error in the log."""
        yield
        never, ended = threading.Event(), time.monotonic() + DEADLINE
        while (held := self.held()) != self.idle:
            assert time.monotonic() < ended, f"was:\n{self.idle}\nis:\n{held}"
            never.wait(0.01)
        assert self.errors() == ""

    def errors(self) -> str:
        """From the first error on, what the daemon's log says."""
        found = [at for at, line in enumerate(self.ground.log) if "Traceback" in line]
        return "".join(self.ground.log[max(0, found[0] - 1) : found[0] + 60]) if found else ""


def read_all(sock: socket.socket) -> bytes:
    found = bytearray()
    try:
        while data := sock.recv(1 << 16):
            found += data
    except ConnectionResetError:
        # What it had still to say is thrown away by the kernel with the rest of ours.
        pass
    return bytes(found)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    if os.geteuid() != 0:
        pytest.skip("needs root: sudo make test-clients")
    if not shutil.which("docker"):
        pytest.skip("there is no docker CLI (apt-get install docker.io)")
    ground = Ground(Path(f"/dev/shm/bfuzz-{os.getpid()}"))
    try:
        ground.start()
        assert ground.docker("run", "-d", "--name", "run", "host", "sleep", "6000").status == 0
        made = Stage(ground)
        for seed in SEEDS:
            made.ask(seed)
        made.idle = made.held()
        yield made
        assert made.errors() == ""
    finally:
        ground.close()


PING = request(b"GET /_ping", b"Connection: close\r\n")


def test_whatever_bytes_come_the_daemon_answers_the_next_client(stage: Stage) -> None:

    @given(talks())
    @settings(
        max_examples=round(3000 * TIMES),
        deadline=None,
        database=None,
        derandomize=TIMES == 1,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    def try_one(told: Told) -> None:
        answer = stage.talk(told)
        assert re.match(rb"HTTP/1\.1 [1-4]\d\d |\Z", answer), answer[:200]
        assert b"HTTP/1.1 500" not in answer
        assert stage.ask(PING).endswith(b"\r\n\r\nOK")

    with stage.kept():
        try_one()


ONCE: dict[str, bytes] = {
    "follows a log": request(b"GET /containers/run/logs?stdout=1&follow=1"),
    "listens to events": request(b"GET /events"),
    "asks for samples": request(b"GET /containers/run/stats"),
    "waits": request(b"POST /containers/run/wait"),
    "attaches": request(b"POST /containers/run/attach?stream=1&stdin=1&stdout=1&stderr=1", UPGRADE),
    "reads an archive": request(b"GET /containers/run/export"),
    "loads": request(b"POST /images/load", CHUNKED, b"4\r\nabcd\r\n", length=False),
    "imports": request(b"POST /images/create?fromSrc=-&repo=x", b"Content-Length: 100000\r\n") + b"x" * 1000,
    "copies": request(b"PUT /containers/run/archive?path=/tmp", b"Content-Length: 100000\r\n") + b"x" * 1000,
    "begins a head": b"GET /_ping HTT",
    "begins a body": request(b"POST /networks/create", JSON + b"Content-Length: 100\r\n") + b'{"Name',
}


def begun(sock: socket.socket, what: str) -> None:
    """The answer has begun, where one begins before everything is said."""
    if what not in ("loads", "imports", "copies", "begins a head", "begins a body"):
        assert sock.recv(12).startswith(b"HTTP/1.1 ")


@pytest.mark.parametrize("what", ONCE)
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "later"])
def test_a_client_that_vanishes_leaves_nothing(stage: Stage, what: str, at_once: bool) -> None:
    with stage.kept():
        for _ in range(round(VANISH * max(TIMES, 1))):
            with closing(stage.connect()) as sock:
                sock.sendall(ONCE[what])
                if not at_once:
                    begun(sock, what)


@pytest.mark.parametrize("what", ONCE)
def test_many_slow_clients_hold_nobody_up(stage: Stage, what: str) -> None:
    """Each sends its beginning and then nothing, or reads nothing."""
    count = CROWD if what != "reads an archive" else 20
    with stage.kept(), ExitStack() as crowd:
        for _ in range(count):
            sock = crowd.enter_context(closing(stage.connect()))
            sock.sendall(ONCE[what])
        for asked in (PING, request(b"GET /networks", b"Connection: close\r\n")):
            began = time.monotonic()
            assert stage.ask(asked).startswith(b"HTTP/1.1 200 ")
            assert time.monotonic() - began < 5
        made = stage.ground.docker("network", "create", "meanwhile")
        assert made.status == 0, made.err
        assert stage.ground.docker("network", "rm", "meanwhile").status == 0


def dribble(sock: socket.socket, data: bytes, stop: threading.Event, told: list[bytes]) -> None:
    for at in range(len(data)):
        try:
            sock.sendall(data[at : at + 1])
        except BrokenPipeError:
            # Refused already: the answer can be read.
            break
        if stop.wait(0.001):
            break
    told.append(sock.recv(12) or data)


def test_requests_that_come_byte_by_byte_are_answered(stage: Stage) -> None:
    stop = threading.Event()
    told: list[bytes] = []
    with stage.kept(), ExitStack() as crowd:
        threads = []
        for seed in SEEDS[:6] * 3:
            sock = crowd.enter_context(closing(stage.connect()))
            threads.append(threading.Thread(target=dribble, args=(sock, seed, stop, told)))
        for thread in threads:
            thread.start()
        crowd.callback(stop.set)
        for thread in threads:
            thread.join(DEADLINE)
    assert [line[:9] for line in told] == [b"HTTP/1.1 "] * len(threads)
