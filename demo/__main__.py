"""`python -m demo`: a daemon on a ground of its own, the scenes, the claims; then the machine is as it was.

`--docker` tells the same story with a real dockerd and the docker CLI, to see that the claims are Docker's;
`--cluster` tells that of three hosts.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.ground import Found, Ground, clear, tie, workplace
from bench.sides import Side, bascule, docker, rootfs

from demo import cluster, story
from demo.hosts import Hosts
from demo.terminal import Terminal


def tell(side: Side, neighbour: Ground) -> Terminal:
    """All scenes but those that Docker has no words for."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "BASCULE_HOST": side.host, "DOCKER_HOST": side.host}
    terminal = Terminal(side.ground, env)
    terminal.note("The host of this demo is a network namespace; lan0 is its cable to a neighbour.")
    terminal.show(f"$ export {'DOCKER' if side.name == 'docker' else 'BASCULE'}_HOST={side.host}")
    scene = story.Scene(terminal, neighbour, side.name)
    for act in story.SCENES:
        if not (side.name == "docker" and act is story.dry_run):
            act(scene)
    return terminal


def setting(place: Path, mark: str, keep: ExitStack, *, real: bool) -> tuple[Side, Ground]:
    """The daemon and the neighbour, both gone when *keep* closes."""
    side = (docker if real else bascule)(place / "d", mark)
    keep.callback(side.close)
    neighbour = keep.enter_context(Ground())
    tie(side.ground, f"{story.HOST_OUTSIDE}/24", neighbour, f"{story.OUTSIDE}/24")
    try:
        side.start()
    except TimeoutError:
        # The workplace is cleared before the traceback is seen.
        print("".join((side.place / "log").read_text().splitlines(keepends=True)[-60:]), file=sys.stderr)
        raise
    if real:
        side.api.ask("POST", "/images/create?fromSrc=-&repo=host&tag=latest", rootfs())
    return side, neighbour


def alone(place: Path, mark: str, keep: ExitStack) -> tuple[list[Side], Callable[[], Terminal]]:
    """One host, and what tells its story."""
    side, neighbour = setting(place, mark, keep, real="--docker" in sys.argv[1:])
    return [side], lambda: tell(side, neighbour)


def together(place: Path, mark: str, keep: ExitStack) -> tuple[list[Side], Callable[[], Terminal]]:
    """Three hosts, and what tells theirs."""
    hosts = Hosts(place, mark, keep)

    def told() -> Terminal:
        cluster.tell(hosts)
        return hosts.terminal

    return list(hosts.sides.values()), told


def logs(terminal: Terminal, sides: Sequence[Side]) -> None:
    for side in sides:
        terminal.title(f"The end of the log of {side.place.name}'s daemon")
        terminal.show("\n".join((side.place / "log").read_text().splitlines()[-60:]))


def main() -> int:
    if os.geteuid() != 0:
        sys.exit("demo: it makes namespaces: run as root (sudo make demo)")
    # Terminated, it cleans up as when interrupted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    found, place, mark = Found(), workplace(), f"demo-{os.getpid()}"
    marks = [mark, str(place)]
    terminal = None
    try:
        with ExitStack() as keep:
            sides, told = (together if "--cluster" in sys.argv[1:] else alone)(place, mark, keep)
            try:
                terminal = told()
                if not all(true for _, true in terminal.claims):
                    logs(terminal, sides)
            finally:
                for side in sides:
                    marks += side.known_containers()
    except KeyboardInterrupt:
        print("\ninterrupted: everything is taken away again", flush=True)
    finally:
        found.take_cgroups(marks)
        clear(place)
    left = found.differences(marks)
    for line in left:
        print(line)
    if terminal is None:
        return 130
    terminal.claim(
        "the machine is as it was found: links, routes, rules, sysctls, mounts, control groups", not left
    )
    return 0 if terminal.sum_up() else 1


if __name__ == "__main__":
    sys.exit(main())
