"""Rows of the table, and how their samples are taken."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from bench.sides import Side


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement of both sides.  *budget* bounds ours/peer: from above, or from below where *more* is better;
    None is a figure without a promise."""

    key: str
    what: str
    unit: str
    ours: Sequence[float]
    peer: Sequence[float]
    against: str = "docker"
    budget: float | None = None
    more: bool = False
    when: str = ""
    """The day of an earlier run that it is from."""

    @property
    def ratio(self) -> float:
        return statistics.median(self.ours) / statistics.median(self.peer)

    @property
    def kept(self) -> bool | None:
        """Is the budget kept?  None where there is none."""
        if self.budget is None:
            return None
        return self.ratio >= self.budget if self.more else self.ratio <= self.budget


@dataclass
class Stage:
    """What a group of rows finds: both sides, running and filled to its level, and how much to measure."""

    ours: Side
    peer: Side
    place: Path
    rounds: int
    seconds: float
    """How long one sample of traffic lasts."""
    containers: int
    ports: int
    names: tuple[int, ...]
    others: set[str] = field(default_factory=set)
    """Containers of daemons that a group of rows had beside the two sides."""
    notes: dict[str, Any] = field(default_factory=dict)
    """Figures that are no rows, for the record."""

    @property
    def sides(self) -> tuple[Side, Side]:
        return (self.ours, self.peer)


def timed(act: Callable[[], object]) -> float:
    """What *act* took, in milliseconds."""
    begin = time.perf_counter()
    act()
    return (time.perf_counter() - begin) * 1000


T = TypeVar("T")
S = TypeVar("S")


def interleaved(things: Sequence[T], rounds: int, one: Callable[[T], S]) -> list[list[S]]:
    """*rounds* samples of each thing, taken in turns and in changing order: what the machine does meanwhile
    befalls all alike.  One unrecorded sample each comes first."""
    samples: list[list[S]] = [[] for _ in things]
    for number in range(rounds + 1):
        order = range(len(things)) if number % 2 else reversed(range(len(things)))
        for index in order:
            sample = one(things[index])
            if number:
                samples[index].append(sample)
    return samples


def column(samples: Sequence[tuple[float, ...]], index: int) -> list[float]:
    return [sample[index] for sample in samples]


def percentile(samples: Sequence[float], part: float) -> float:
    return sorted(samples)[min(len(samples) - 1, int(len(samples) * part))]
