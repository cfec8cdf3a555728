"""The two sides of a comparison: a daemon each, on a ground of its own, spoken to by the same requests."""

import io
import os
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bench.client import Api, Refused, wait_until_answers
from bench.ground import Ground

IMAGE = "bench"
FOREVER = ("sleep", "1000000")
EMPTY: Mapping[str, object] = MappingProxyType({})
BUSYBOX = Path("/bin/busybox")
APPLETS = ("sh", "sleep", "true", "cat", "echo", "nc", "ping", "httpd", "ip", "hostname", "mkdir")
PEER = Path(__file__).parents[1] / ".peer/usr/sbin"
"""Where packaging/peer-setup unpacks dockerd and docker-proxy."""
# What dockerd writes outside its own directories: its key, plug-in sockets, containerd's extras and shims' sockets.
DOCKER_MASKS = ("/etc/docker", "/opt", "/run")


def rootfs() -> bytes:
    """A root file system with nothing but busybox, as a tar file."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name in ("bin", "etc", "proc", "sys", "dev", "tmp", "www"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        tar.add(BUSYBOX, "bin/busybox")
        for name in APPLETS:
            entry = tarfile.TarInfo(f"bin/{name}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
    return stream.getvalue()


@dataclass
class Side:
    """A daemon on its ground.  *argv* is its command line for a place; *mark* is in the paths of all it makes."""

    name: str
    place: Path
    argv: Callable[[Path], list[str]]
    masks: Sequence[str] = ()
    cli: tuple[str, ...] = ()
    mark: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    networks: list[str] = field(default_factory=list)
    containers: set[str] = field(default_factory=set)
    """Every container ever made here, for the search for what it may have left."""

    def __post_init__(self) -> None:
        self.place.mkdir(parents=True, exist_ok=True)
        self.ground = Ground(self.masks)
        self.pid = 0
        self.api = Api(str(self.place / "s"))
        self._count = 0

    @property
    def host(self) -> str:
        return f"unix://{self.place / 's'}"

    def start(self) -> float:
        """The daemon answers; how many milliseconds that took."""
        begin = time.perf_counter()
        self.pid = self.ground.start(self.argv(self.place), self.place / "log", {**os.environ, **self.env})
        wait_until_answers(str(self.place / "s"))
        return (time.perf_counter() - begin) * 1000

    def stop(self) -> None:
        self.api.close()
        if self.pid:
            self.ground.stop(self.pid)
        self.pid = 0

    def close(self) -> None:
        self.api.close()
        self.ground.close()

    def known_containers(self) -> list[str]:
        """The ids of every container made here, by us or by others."""
        with suppress(OSError, Refused, HTTPException):
            # A daemon that is gone can't tell; ours are known all the same.
            self.containers |= {found["Id"] for found in self.api.ask("GET", "/containers/json?all=1")}
        return sorted(self.containers)

    def load_image(self) -> None:
        self.api.ask("POST", f"/images/create?fromSrc=-&repo={IMAGE}&tag=latest", rootfs())

    def next_network(self) -> dict[str, Any]:
        """The request for one more network, with a subnet nobody else has (Docker's own pools end at 31)."""
        self._count += 1
        subnet = f"10.{64 + self._count // 256 % 128}.{self._count % 256}.0/24"
        return {"Name": f"n{self._count}", "Driver": "bridge", "IPAM": {"Config": [{"Subnet": subnet}]}}

    def create_network(self) -> str:
        ident: str = self.api.ask("POST", "/networks/create", self.next_network())["Id"]
        self.networks.append(ident)
        return ident

    def remove_network(self, ident: str) -> None:
        self.api.ask("DELETE", f"/networks/{ident}")
        self.networks.remove(ident)

    def fill(self, count: int) -> None:
        """There are *count* networks made by `create_network`, no more and no less."""
        while len(self.networks) < count:
            self.create_network()
        while len(self.networks) > count:
            self.remove_network(self.networks[-1])

    def create_container(
        self, network: str, command: Sequence[str] = FOREVER, host_config: Mapping[str, object] = EMPTY
    ) -> str:
        ports = host_config.get("PortBindings")
        body: dict[str, Any] = {
            "Image": IMAGE,
            "Cmd": list(command),
            "HostConfig": {"NetworkMode": network, **host_config},
        }
        if isinstance(ports, dict):
            body["ExposedPorts"] = {port: {} for port in ports}
        ident: str = self.api.ask("POST", "/containers/create", body)["Id"]
        self.containers.add(ident)
        return ident

    def start_container(self, ident: str) -> None:
        self.api.ask("POST", f"/containers/{ident}/start")

    def remove_container(self, ident: str) -> None:
        self.api.ask("DELETE", f"/containers/{ident}?force=1")

    def namespace(self, ident: str) -> str:
        """The network namespace of a running container, as a path."""
        return f"/proc/{self.api.ask('GET', f'/containers/{ident}/json')['State']['Pid']}/ns/net"

    def address(self, ident: str) -> str:
        networks = self.api.ask("GET", f"/containers/{ident}/json")["NetworkSettings"]["Networks"]
        found: str = next(iter(networks.values()))["IPAddress"]
        return found

    @contextmanager
    def box(self, network: str, host_config: Mapping[str, object] = EMPTY) -> Iterator[str]:
        """A running container, gone afterwards."""
        ident = self.create_container(network, FOREVER, host_config)
        try:
            self.start_container(ident)
            yield ident
        finally:
            self.remove_container(ident)


def docker(place: Path, mark: str) -> Side:
    """Debian's dockerd with the containerd it starts itself."""

    def argv(place: Path) -> list[str]:
        own = ("--data-root", f"{place}/data", "--exec-root", f"{place}/exec", "--pidfile", f"{place}/pid")
        return [str(PEER / "dockerd"), *own, "--host", f"unix://{place}/s", "--cgroup-parent", mark]

    # It finds its docker-proxy by the path.
    env = {"PATH": f"{PEER}:{os.environ['PATH']}"}
    return Side("docker", place, argv, DOCKER_MASKS, ("docker",), mark, env)


def bascule(place: Path, mark: str, bridge: str = "bascule0") -> Side:
    """The daemon of this checkout, from the environment that runs us."""
    program = str(Path(sys.executable).with_name("bascule"))

    def argv(place: Path) -> list[str]:
        own = ("--data-root", f"{place}/data", "--exec-root", f"{place}/exec", "--pidfile", f"{place}/pid")
        return [program, "daemon", *own, "--host", f"unix://{place}/s", "--bridge", bridge]

    return Side("bascule", place, argv, (), (program,), mark)
