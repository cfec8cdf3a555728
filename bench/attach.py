"""The row of the attach: the whole engine in process, beside a C program that asks for the links alone."""

import gc
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path

from bascule import Engine, NetworkSpec, SandboxSpec
from bascule.kernel import namespaces
from bascule.kernel.linux import LinuxKernel
from bascule.model.network import PoolSpec
from bascule.model.settings import Settings
from bascule.store.sqlite import SqliteStore
from bench.attach_floor import compiled, floor, workplace
from bench.measure import Row, Stage

EACH = 25
"""Endpoints of one sample, which is their median."""
POOLS = (PoolSpec(ip_network("10.9.0.0/16")), PoolSpec(ip_network("fd09::/64")))
BRIDGED = NetworkSpec("floor", ipv6=True, pools=POOLS)
# Without the question whether somebody has the address, which follows an attach: nobody is behind the parent.
STRAIGHT = NetworkSpec(
    "floor",
    "macvlan",
    ipv6=True,
    pools=POOLS,
    options={"parent": "ours0", "bascule.duplicate_detection": "off"},
)

Floor = Callable[[Path, list[str]], list[int]]
"""Nanoseconds of the C program's attach to each of the namespaces, which have no links of it afterwards."""


def attach(stage: Stage, _level: int) -> Iterator[Row]:
    yield from _row(stage, "attach", "attach to a namespace, in process", BRIDGED, _pairs)


def macvlan(stage: Stage) -> Iterator[Row]:
    """The same for an endpoint straight on a parent."""
    yield from _row(stage, "macvlan:attach", "attach to a namespace, macvlan, in process", STRAIGHT, _straight)


def _row(stage: Stage, key: str, what: str, spec: NetworkSpec, made: Callable[[str], Floor]) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as directory, workplace() as place:
        program = compiled(directory)
        if program is None:
            raise RuntimeError("there is no C compiler for the floor")
        run(["ip", "link", "add", "ours0", "type", "ifb"], place / "host")
        run(["ip", "link", "set", "ours0", "up"], place / "host")
        ours, peer = measure(stage.rounds, Path(directory), place, spec, made(program))
    yield Row(key, what, "ms", ours, peer, against="floor in C", budget=1.5)


def _pairs(program: str) -> Floor:
    def times(host: Path, paths: list[str]) -> list[int]:
        run(["ip", "link", "add", "br0", "up", "type", "bridge"], host)
        run(["ip", "addr", "add", "10.7.0.1/16", "dev", "br0"], host)
        run(["ip", "addr", "add", "fd07::1/64", "dev", "br0", "nodad"], host)
        found = floor(program, str(host), str(_index("br0", host)), paths, 2)
        run(["ip", "link", "del", "group", "77"], host)
        run(["ip", "link", "del", "br0"], host)
        return found

    return times


def _straight(program: str) -> Floor:
    def times(host: Path, paths: list[str]) -> list[int]:
        run(["ip", "link", "add", "below0", "type", "ifb"], host)
        run(["ip", "link", "set", "below0", "up"], host)
        found = floor(program, str(host), f"p{_index('below0', host)}", paths, 2)
        # With what is on it.
        run(["ip", "link", "del", "below0"], host)
        return found

    return times


def run(words: list[str], host: Path) -> str:
    return subprocess.check_output(["nsenter", f"--net={host}", *words], text=True)


def _index(link: str, host: Path) -> int:
    return int(run(["ip", "-o", "link", "show", link], host).partition(":")[0])


def measure(
    rounds: int, directory: Path, place: Path, spec: NetworkSpec, other: Floor
) -> tuple[list[float], list[float]]:
    """Milliseconds of the engine's attach and of the floor's, a median a round."""
    paths = [str(place / "netns" / str(number)) for number in range(EACH)]
    kernel = namespaces.in_namespace(str(place / "host"), lambda: LinuxKernel(namespaces=str(place / "netns")))
    settings = Settings(exec_root=str(place))
    with Engine(kernel, SqliteStore(str(directory / "db")), settings) as engine:
        engine.create(spec)
        boxes = [engine.open(SandboxSpec(container=f"{n:064x}", name=f"box{n}")) for n in range(EACH)]
        for path in paths:
            namespaces.make(path, lambda: None)
        ours, peer = [], []
        gc.disable()
        try:
            for turn in range(rounds + 1):
                one = statistics.median([connected(engine, spec.name, box.id) for box in boxes])
                for box in boxes:
                    engine.disconnect(spec.name, box.id)
                kernel.settle()
                floors = statistics.median(other(place / "host", paths)) / 1e6
                if turn:
                    ours.append(one)
                    peer.append(floors)
        finally:
            gc.enable()
    return ours, peer


def connected(engine: Engine, network: str, box: str) -> float:
    began = time.perf_counter()
    engine.connect(network, box)
    return (time.perf_counter() - began) * 1000
