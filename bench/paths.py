"""Rows of the packets' way: between two containers on a bridge, and through a published port, each beside
Docker's and beside a bare bridge of veths.  Both ends are pinned, the server on one core, the client on another."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.ground import Ground, tie
from bench.measure import Row, Stage, interleaved
from bench.sides import Side

PINGPONG = str(Path(__file__).with_name("pingpong.py"))
STREAM, ECHO = 5201, 5300
PORTS = {f"{port}/tcp": [{"HostPort": str(port)}] for port in (STREAM, ECHO)}


@dataclass(frozen=True, slots=True)
class Way:
    """From a client's namespace to an address where our two servers answer."""

    name: str
    client: str
    address: str
    promised: bool = True
    """Whether to be as good as this is a budget; else it is a figure to know."""

    def ask(self, *argv: str) -> str:
        pinned = ["nsenter", f"--net={self.client}", "taskset", "-c", str(_cores()[-1]), *argv]
        return subprocess.run(pinned, check=True, capture_output=True, text=True, timeout=60).stdout

    def throughput(self, seconds: float) -> float:
        """Gbit/s received, of one TCP stream."""
        whole = str(max(1, round(seconds)))
        answer = json.loads(self.ask("iperf3", "-c", self.address, "-p", str(STREAM), "-t", whole, "-J"))
        if "error" in answer:
            raise RuntimeError(f"iperf3 from {self.client} to {self.name}'s {self.address}: {answer['error']}")
        return float(answer["end"]["sum_received"]["bits_per_second"]) / 1e9

    def trip(self, seconds: float) -> float:
        """Microseconds of a byte's way there and back."""
        return float(self._pingpong("trips", seconds)[0])

    def connection(self, seconds: float) -> float:
        """New connections a second, a byte there and back on each."""
        return float(self._pingpong("connections", seconds)[1])

    def _pingpong(self, what: str, seconds: float) -> list[str]:
        argv = (sys.executable, "-I", PINGPONG, what, self.address, str(ECHO), str(seconds))
        return self.ask(*argv).split()


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))


def serve(ground: Ground, namespace: str, log: Path) -> None:
    """Both servers run in *namespace*, until the ground goes."""
    pinned = ("nsenter", f"--net={namespace}", "taskset", "-c", str(_cores()[0]))
    ground.start([*pinned, "iperf3", "-s", "-p", str(STREAM)], log)
    ground.start([*pinned, sys.executable, "-I", PINGPONG, "serve", str(ECHO)], log)


def ready(way: Way) -> None:
    """Return when both servers answer on *way*.  Raises RuntimeError with what it met last after ten seconds."""
    last = ""

    def answer() -> bool:
        nonlocal last
        try:
            way.trip(0.01)
            way.ask("nc", "-z", "-w", "1", way.address, str(STREAM))
        except subprocess.CalledProcessError as refusal:
            last = refusal.stderr
            return False
        return True

    until(answer, f"{way.name}: {way.address} does not answer", lambda: last)


def until(so: Callable[[], bool], otherwise: str, why: Callable[[], str] = lambda: "") -> None:
    """Return when *so* says yes.  Raises RuntimeError after ten seconds."""
    deadline = time.monotonic() + 10
    while not so():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{otherwise}: {why()}")
        time.sleep(0.05)


@contextmanager
def between(side: Side) -> Iterator[Way]:
    """Two containers on one bridge."""
    with side.box(side.networks[0]) as server, side.box(side.networks[0]) as client:
        serve(side.ground, side.namespace(server), side.place / "servers.log")
        way = Way(side.name, side.namespace(client), side.address(server))
        ready(way)
        yield way


@contextmanager
def bare(stage: Stage) -> Iterator[Way]:
    """A bridge with two veths, and nothing else: no daemon, no rules."""
    with Ground() as host, Ground() as server, Ground() as client:
        host.run("ip", "link", "add", "br0", "up", "type", "bridge")
        for number, ground in ((2, server), (3, client)):
            veth = f"veth{number}"
            host.run("ip", "link", "add", veth, "type", "veth", "peer", "name", "eth0", "netns", str(ground.pid))
            host.run("ip", "link", "set", veth, "master", "br0", "up")
            ground.run("ip", "addr", "add", f"10.0.0.{number}/24", "dev", "eth0")
            ground.run("ip", "link", "set", "eth0", "up")
        serve(server, server.net, stage.place / "servers.log")
        way = Way("bare bridge", client.net, "10.0.0.2")
        ready(way)
        yield way


@contextmanager
def published(side: Side, number: int) -> Iterator[tuple[Way, Way]]:
    """A container's ports, published: from a neighbour of the host, and from the host by 127.0.0.1."""
    with side.box(side.networks[0], {"PortBindings": PORTS}) as server, Ground() as neighbour:
        link, subnet = f"lan{number}", f"198.18.{number}"
        tie(side.ground, f"{subnet}.1/24", neighbour, f"{subnet}.2/24", link)
        serve(side.ground, side.namespace(server), side.place / "servers.log")
        ways = Way(side.name, neighbour.net, f"{subnet}.1"), Way(side.name, side.ground.net, "127.0.0.1")
        for way in ways:
            ready(way)
        yield ways
        side.ground.run("ip", "link", "del", link)


# What is measured on a way, in which unit, and whether more of it is better.
KINDS = (
    ("throughput", "Gbit/s", True, Way.throughput),
    ("trip", "µs", False, Way.trip),
    ("connections", "1/s", True, Way.connection),
)
# Medians of a shared machine differ by a few per cent from run to run with nothing changed.
NOISE = 0.05


def rows(stage: Stage, key: str, what: str, ours: Way, others: Sequence[Way]) -> Iterator[Row]:
    for kind, unit, more, act in KINDS:

        def one(way: Way, act: Callable[[Way, float], float] = act) -> float:
            return act(way, stage.seconds)

        samples = interleaved((ours, *others), stage.rounds, one)
        for other, theirs in zip(others, samples[1:], strict=True):
            budget = (1 - NOISE if more else 1 + NOISE) if other.promised else None
            suffix = ":bare" if other.name.startswith("bare") else ""
            yield Row(
                f"{key}:{kind}{suffix}", f"{what}: {kind}", unit, samples[0], theirs, other.name, budget, more=more
            )


def paths(stage: Stage, _level: int) -> Iterator[Row]:
    with between(stage.ours) as ours, between(stage.peer) as peer, bare(stage) as floor:
        yield from rows(stage, "bridge", "two containers on a bridge", ours, (peer, floor))
    with published(stage.ours, 1) as ours_ways, published(stage.peer, 2) as peer_ways:
        yield from rows(stage, "port", "published port, from a neighbour", ours_ways[0], peer_ways[:1])
        yield from rows(stage, "loopback", "published port, by 127.0.0.1", ours_ways[1], peer_ways[1:])
        with ExitStack() as many:
            yield from crowded(stage, many, ours_ways, peer_ways)


def crowded(stage: Stage, many: ExitStack, ours: tuple[Way, Way], peer: tuple[Way, Way]) -> Iterator[Row]:
    """The same with *ports* published on our side; Docker keeps its two, for its proxy is a process a port."""
    wanted = {f"{port}/tcp": [{"HostPort": str(port)}] for port in range(20000, 20000 + stage.ports)}
    many.enter_context(stage.ours.box(stage.ours.networks[0], {"PortBindings": wanted}))
    key, what = f"port@{stage.ports}", f"published port, among {stage.ports}, from a neighbour"
    yield from rows(stage, key, what, ours[0], peer[:1])
