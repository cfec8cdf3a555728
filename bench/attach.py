"""The row of the attach: the whole engine in process, beside a C program that asks for the links alone."""

import gc
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

from bascule import Engine, NetworkSpec, SandboxSpec
from bascule.kernel import namespaces
from bascule.kernel.linux import LinuxKernel
from bascule.model.network import PoolSpec
from bascule.model.settings import Settings
from bascule.store.sqlite import SqliteStore
from bench.attach_floor import BRIDGE, compiled, floor, workplace
from bench.measure import Row, Stage

EACH = 25
"""Endpoints of one sample, which is their median."""
SPEC = NetworkSpec(
    "floor", ipv6=True, pools=(PoolSpec(ip_network("10.9.0.0/16")), PoolSpec(ip_network("fd09::/64")))
)


def attach(stage: Stage, _level: int) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as directory, workplace() as place:
        program = compiled(directory)
        if program is None:
            raise RuntimeError("there is no C compiler for the floor")
        ours, peer = measure(stage.rounds, Path(directory), place, program)
    yield Row("attach", "attach to a namespace, in process", "ms", ours, peer, against="floor in C", budget=1.5)


def measure(rounds: int, directory: Path, place: Path, program: str) -> tuple[list[float], list[float]]:
    """Milliseconds of the engine's attach and of the floor's, a median a round."""
    paths = [str(place / "netns" / str(number)) for number in range(EACH)]
    kernel = namespaces.in_namespace(str(place / "host"), lambda: LinuxKernel(namespaces=str(place / "netns")))
    settings = Settings(exec_root=str(place))
    with Engine(kernel, SqliteStore(str(directory / "db")), settings) as engine:
        engine.create(SPEC)
        boxes = [engine.open(SandboxSpec(container=f"{n:064x}", name=f"box{n}")) for n in range(EACH)]
        for path in paths:
            namespaces.make(path, lambda: None)
        kernel.add(BRIDGE)
        words = ["nsenter", f"--net={place}/host", "ip", "-o", "link", "show", "br0"]
        bridge = int(subprocess.check_output(words, text=True).partition(":")[0])
        ours, peer = [], []
        gc.disable()
        try:
            for turn in range(rounds + 1):
                one = statistics.median([connected(engine, box.id) for box in boxes])
                for box in boxes:
                    engine.disconnect(SPEC.name, box.id)
                kernel.settle()
                other = statistics.median(floor(program, str(place / "host"), bridge, paths, 2)) / 1e6
                if turn:
                    ours.append(one)
                    peer.append(other)
        finally:
            gc.enable()
    return ours, peer


def connected(engine: Engine, box: str) -> float:
    began = time.perf_counter()
    engine.connect(SPEC.name, box)
    return (time.perf_counter() - began) * 1000
