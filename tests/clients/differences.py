"""The differences from Docker that are meant: `differences.toml`, and what they make of a recorded transcript."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).with_name("differences.toml")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a difference shows: in what *command* of a *scene* says, *bascule* stands instead of *docker* (nothing:
    after all the rest)."""

    file: str
    scene: str
    command: str
    docker: str
    bascule: str


@dataclass(frozen=True, slots=True)
class Difference:
    """*says* is the sentence in docs/api.md; *why* the reason, for whoever would take it away."""

    name: str
    says: str
    why: str
    places: tuple[Place, ...]


def differences() -> list[Difference]:
    """The whole table."""
    found = tomllib.loads(TABLE.read_text())
    return [
        Difference(name, one["says"], one["why"], tuple(Place(**place) for place in one.get("places", ())))
        for name, one in found.items()
    ]


def said(transcript: str) -> Iterator[tuple[str, str, str]]:
    """Scene, command and what it said, for each command."""
    scene = ""
    for part in transcript.split("\n== "):
        scene, _, rest = part.removeprefix("== ").partition("\n")
        for told in ("\n" + rest).split("\n$ ")[1:]:
            command, _, output = told.partition("\n")
            yield scene, command, output.rstrip("\n")


def changed(file: str, scene: str, command: str, output: str, places: list[Place]) -> tuple[str, list[Place]]:
    """What is expected of ours instead of *output*, and the places that it comes from."""
    used = []
    for place in places:
        if (place.file, place.scene, place.command) != (file, scene, command):
            continue
        before = output
        output = (
            output.replace(place.docker, place.bascule)
            if place.docker
            else f"{output}\n{place.bascule}".removeprefix("\n")
        )
        if output != before:
            used.append(place)
    return output, used
