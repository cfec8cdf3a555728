# ruff: noqa: ARG002
"""The use cases behind `docker run`: what can be asked of containers."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import IO, Any

from bascule.containers.attach import Attachment
from bascule.containers.images import Images
from bascule.containers.logs import LogLine
from bascule.containers.volumes import Volumes
from bascule.engine.engine import Engine
from bascule.model.container import Container, ContainerSpec, Exec, ExecSpec, Resources, RestartPolicy
from bascule.model.endpoint import Endpoint, EndpointSpec
from bascule.model.errors import NotImplementedHere
from bascule.model.settings import Settings

Waiter = Future[int]


class Containers:
    """Every container of one engine."""

    images: Images
    volumes: Volumes
    engine: Engine

    def __init__(self, engine: Engine, settings: Settings, *, runtime: str = "", conmon: str = "conmon") -> None:
        """*runtime* "": crun where it accepts this host, else runc."""
        raise NotImplementedHere("containers")

    def start_up(self) -> None:
        """Containers that live are found again, exits that were missed recorded, the half-made cleaned away."""
        raise NotImplementedHere("start_up")

    def close(self) -> None:
        """Stop watching and finish cleaning.  Containers live on."""
        raise NotImplementedHere("close")

    def create(self, name: str, spec: ContainerSpec) -> tuple[Container, list[str]]:
        raise NotImplementedHere("create")

    def containers(self) -> list[Container]:
        raise NotImplementedHere("containers")

    def container(self, ref: str) -> Container:
        raise NotImplementedHere("container")

    def start(self, ref: str) -> None:
        raise NotImplementedHere("start")

    def stop(self, ref: str, timeout: int | None = None, signal: str = "") -> None:
        raise NotImplementedHere("stop")

    def restart(self, ref: str, timeout: int | None = None, signal: str = "") -> None:
        raise NotImplementedHere("restart")

    def kill(self, ref: str, signal: str = "KILL") -> None:
        raise NotImplementedHere("kill")

    def pause(self, ref: str) -> None:
        raise NotImplementedHere("pause")

    def unpause(self, ref: str) -> None:
        raise NotImplementedHere("unpause")

    def rename(self, ref: str, name: str) -> None:
        raise NotImplementedHere("rename")

    def remove(self, ref: str, *, force: bool = False, volumes: bool = False) -> None:
        raise NotImplementedHere("remove")

    def update(
        self, ref: str, *, resources: Resources | None = None, restart: RestartPolicy | None = None
    ) -> list[str]:
        raise NotImplementedHere("update")

    def prune(self, wanted: Callable[[Container], bool]) -> list[Container]:
        raise NotImplementedHere("prune")

    def wait(self, ref: str, condition: str = "not-running") -> Waiter:
        raise NotImplementedHere("wait")

    def connect(self, network: str, ref: str, spec: EndpointSpec) -> None:
        raise NotImplementedHere("connect")

    def disconnect(self, network: str, ref: str, *, force: bool = False) -> None:
        raise NotImplementedHere("disconnect")

    def endpoints(self, container: Container) -> dict[str, tuple[EndpointSpec, Endpoint | None]]:
        raise NotImplementedHere("endpoints")

    def attach(self, ref: str, *, stdin: bool, logs: bool = False, stream: bool = True) -> Attachment:
        raise NotImplementedHere("attach")

    def logs(
        self, ref: str, *, follow: bool = False, tail: int | None = None, since: int = 0, until: int = 0
    ) -> Iterator[LogLine]:
        raise NotImplementedHere("logs")

    def exec_create(self, ref: str, spec: ExecSpec) -> str:
        raise NotImplementedHere("exec_create")

    def exec_start(self, ident: str, *, detach: bool, tty: bool) -> Attachment | None:
        raise NotImplementedHere("exec_start")

    def exec_inspect(self, ident: str) -> Exec:
        raise NotImplementedHere("exec_inspect")

    def exec_resize(self, ident: str, height: int, width: int) -> None:
        raise NotImplementedHere("exec_resize")

    def resize(self, ref: str, height: int, width: int) -> None:
        raise NotImplementedHere("resize")

    def top(self, ref: str, ps_args: str = "") -> tuple[list[str], list[list[str]]]:
        raise NotImplementedHere("top")

    def changes(self, ref: str) -> list[tuple[int, str]]:
        """(0 modified, 1 added, 2 deleted; path)."""
        raise NotImplementedHere("changes")

    def stats(self, ref: str) -> dict[str, Any]:
        raise NotImplementedHere("stats")

    def read_archive(self, ref: str, path: str) -> tuple[IO[bytes], dict[str, Any]]:
        raise NotImplementedHere("read_archive")

    def write_archive(self, ref: str, path: str, stream: IO[bytes]) -> None:
        raise NotImplementedHere("write_archive")
