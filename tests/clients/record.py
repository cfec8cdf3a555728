"""Keeps what a real dockerd says to the script: `python -m tests.clients.record [FILE…]`, as root.

Writes recorded/docker-28/FILE.txt, a file for each of the script's.
"""

import sys
import time
from collections.abc import Mapping, Sequence

from bench.sides import Side
from tests.clients.conftest import Client
from tests.clients.peer import lacking, peer
from tests.clients.transcript import HERE, commands, play, script

RECORDED = HERE / "recorded" / "docker-28"


def transcript(client: Client, places: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    told = {}
    for name, played in script().items():
        if names and name not in names:
            continue
        begun = time.monotonic()
        told[name] = "".join(f"== {scene.title}\n{play(client, scene, places)}\n" for scene in played)
        count = sum(commands(scene) for scene in played)
        print(f"{name}: {count} commands in {time.monotonic() - begun:.1f} s", file=sys.stderr)
    return told


def peers_places(side: Side) -> dict[str, str]:
    """What is called otherwise with each dockerd, and its placeholder."""
    return {"docker0": "<default bridge>", f"{side.place}/data": "<data>", f"{side.place}/exec": "<exec>"}


def main(names: list[str]) -> str:
    if why := lacking():
        return why
    RECORDED.mkdir(parents=True, exist_ok=True)
    with peer() as (client, side):
        for name, text in transcript(client, peers_places(side), names).items():
            (RECORDED / f"{name}.txt").write_text(text)
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
