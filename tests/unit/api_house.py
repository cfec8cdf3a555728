"""A server of the API with an engine in memory and nobody in it, for tests."""

import asyncio
import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.unix_http import UnixConnection

from bascule.api.server import Server
from bascule.api.shapes.system import About
from bascule.containers.containers import Containers
from bascule.containers.images import Images
from bascule.containers.logs import LogLine
from bascule.containers.volumes import Volumes
from bascule.containers.waiting import Waiter
from bascule.engine.engine import Engine
from bascule.kernel.fake import FakeKernel
from bascule.model.container import Container, ContainerSpec, Image, State, Volume
from bascule.model.endpoint import EndpointSpec
from bascule.model.errors import NotFound
from bascule.model.sandbox import SandboxSpec
from bascule.store.memory import MemoryStore

ABOUT = About(version="0.1.0", id="test", hostname="test", kernel="6.1", system="Debian", memory=1 << 30)


class NoImages(Images):
    def __init__(self) -> None:
        pass

    def images(self) -> list[Image]:
        return []


class NoVolumes(Volumes):
    def __init__(self) -> None:
        pass

    def volumes(self) -> list[Volume]:
        return []


class _Endless(Iterator[LogLine]):
    """One line, and then a wait for more until it is closed."""

    def __init__(self, let_go: threading.Event) -> None:
        self._first = True
        self._let_go = let_go

    def __next__(self) -> LogLine:
        if self._first:
            self._first = False
            return LogLine(1, 1, b"hello\n")
        self._let_go.wait(10)
        raise StopIteration

    def close(self) -> None:
        self._let_go.set()


class Crowd(Containers):
    """Containers that only have a place on networks: no images, no processes."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._all: list[Container] = []
        self.images = NoImages()
        self.volumes = NoVolumes()
        self.gate = threading.Event()
        """Closed, it holds up whoever stops a container."""
        self.gate.set()
        self.stopping = threading.Semaphore(0)
        self.waiters: list[Waiter] = []
        self.let_go = threading.Event()
        self.failing: Exception | None = None

    def add(self, name: str, ident: str) -> Container:
        box = self.engine.open(SandboxSpec(container=ident, name=name, hostname=ident[:12]))
        found = Container(
            ident, name, 1, ContainerSpec(image="host"), "sha256:0", sandbox=box.id, state=State("running", pid=1)
        )
        self._all.append(found)
        return found

    def containers(self) -> list[Container]:
        if self.failing:
            raise self.failing
        return self._all

    def container(self, ref: str) -> Container:
        for found in self._all:
            if ref in (found.name, found.id) or found.id.startswith(ref):
                return found
        raise NotFound(f"No such container: {ref}")

    def stop(self, ref: str, timeout: int | None = None, signal: str = "") -> None:  # noqa: ARG002
        self.stopping.release()
        self.gate.wait(10)

    def wait(self, ref: str, condition: str = "not-running") -> Waiter:  # noqa: ARG002
        self.waiters.append(Waiter())
        return self.waiters[-1]

    def logs(
        self,
        ref: str,  # noqa: ARG002
        *,
        follow: bool = False,  # noqa: ARG002
        tail: int | None = None,  # noqa: ARG002
        since: int = 0,  # noqa: ARG002
        until: int = 0,  # noqa: ARG002
    ) -> Iterator[LogLine]:
        return _Endless(self.let_go)

    def connect(self, network: str, ref: str, spec: EndpointSpec) -> None:
        self.engine.connect(network, self.container(ref).sandbox, spec)

    def disconnect(self, network: str, ref: str, *, force: bool = False) -> None:  # noqa: ARG002
        self.engine.disconnect(network, self.container(ref).sandbox)


class Client:
    """One connection to the server, kept."""

    def __init__(self, path: str) -> None:
        self._connection = UnixConnection(path, 10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._connection.close()

    def raw(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> http.client.HTTPResponse:
        self._connection.request(method, path, body, headers or {})
        return self._connection.getresponse()

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status, and the body: JSON where it is, else text."""
        data = None if body is None else json.dumps(body).encode()
        answer = self.raw(method, path, data, {"Content-Type": "application/json"} if data else None)
        text = answer.read()
        is_json = (answer.getheader("Content-Type") or "").startswith("application/json")
        return answer.status, json.loads(text) if is_json else text.decode()

    def told(self, method: str, path: str, body: Any = None) -> str:
        """Status and message of a refusal, or just the status, on one line."""
        status, answer = self.ask(method, path, body)
        return f"{status} {answer['message']}" if isinstance(answer, dict) and "message" in answer else f"{status}"


@contextmanager
def serving(tmp_path: Path) -> Iterator[tuple[Client, Crowd]]:
    """A client of a server of its own, on a thread, and the containers behind it."""
    engine = Engine(FakeKernel(links={"wlan0": "wireless"}), MemoryStore())
    engine.start()
    crowd = Crowd(engine)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    path = str(tmp_path / "api.sock")

    async def begin() -> Server:
        server = Server(engine, crowd, about=ABOUT)
        await server.listen([f"unix://{path}"])
        return server

    server = asyncio.run_coroutine_threadsafe(begin(), loop).result(10)
    try:
        with Client(path) as client:
            yield client, crowd
    finally:
        asyncio.run_coroutine_threadsafe(server.drain(1), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        engine.close()
