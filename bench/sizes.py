"""Rows of what a daemon costs while it does nothing: its start, its memory; and the command line's own time."""

import os
import shutil
import subprocess
from collections.abc import Iterator

from bench.ground import memory, services
from bench.measure import Row, Stage, interleaved, timed
from bench.sides import Side


def restart(side: Side) -> float:
    """Milliseconds from the daemon's start until it has answered with all its networks."""
    side.stop()
    known = 0

    def until_listed() -> None:
        nonlocal known
        side.start()
        known = len(side.api.ask("GET", "/networks"))

    taken = timed(until_listed)
    if known < len(side.networks) + 3:
        raise RuntimeError(f"{side.name}: {known} networks after a restart, not {len(side.networks)} and the 3 own")
    return taken


def start(stage: Stage, level: int) -> Iterator[Row]:
    # One and a half minutes of Docker's: two rounds after the unrecorded one.  Docker 28 starts in half of the time
    # that 26 took; the half second of our budget is a twentieth of that.
    ours, peer = interleaved(stage.sides, min(2, stage.rounds), restart)
    yield Row(f"start@{level}", f"daemon start with {level} networks", "ms", ours, peer, budget=1 / 16)


def weigh(stage: Stage, level: int) -> Iterator[Row]:
    for side in stage.sides:
        for number in range(stage.containers):
            side.start_container(side.create_container(side.networks[number % level]))
    ours, peer = ([memory(services(side.ground))] for side in stage.sides)
    stage.notes["processes"] = {"bascule": ours[0].processes, "docker": peer[0].processes}
    what = f"memory of all processes, {level} networks and {stage.containers} containers"
    yield Row("memory", what, "MB (PSS)", [m.pss for m in ours], [m.pss for m in peer], budget=0.5)
    yield Row("memory:rss", f"{what}, resident", "MB (RSS)", [m.rss for m in ours], [m.rss for m in peer])
    for side in stage.sides:
        for ident in sorted(side.containers & running(side)):
            side.remove_container(ident)


def running(side: Side) -> set[str]:
    return {found["Id"] for found in side.api.ask("GET", "/containers/json")}


def cli(stage: Stage, _level: int) -> Iterator[Row]:
    docker = shutil.which("docker")
    if docker is None:
        raise RuntimeError("there is no docker CLI to compare with")
    version = subprocess.run([docker, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    stage.notes["docker CLI"] = version

    def one(side: Side) -> float:
        env = dict(os.environ, DOCKER_HOST=side.host, BASCULE_HOST=side.host)
        argv = [*side.cli, "network", "ls"]
        return timed(lambda: subprocess.run(argv, env=env, check=True, stdout=subprocess.DEVNULL))

    ours, peer = interleaved(stage.sides, stage.rounds * 2, one)
    yield Row("cli", "the command `network ls`", "ms", ours, peer, against="docker CLI", budget=1.5)
