"""A terminal in which a script types: each command is shown, run, and what it said is shown and kept."""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bench.ground import Ground

BOLD, FAINT, GREEN, RED, PLAIN = (f"\033[{number}m" for number in (1, 2, 32, 31, 0))
# Longer than any step needs, short enough to say which one hangs.
PATIENCE = 60
_GLANCE = 0.2
NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Said:
    """What a command printed, both streams, and its exit status."""

    text: str
    code: int

    @property
    def well(self) -> bool:
        return self.code == 0

    @property
    def unanswered(self) -> bool:
        """A ping that was made and had no answer (1), or found no such name (2); not one that could not be made."""
        return self.code in (1, 2) and "rror response from daemon" not in self.text


class Terminal:
    """Commands typed on *ground*, and the claims checked so far."""

    def __init__(self, ground: Ground, env: Mapping[str, str]) -> None:
        self._ground = ground
        self._env = dict(env)
        self._colour = sys.stdout.isatty()
        self.claims: list[tuple[str, bool]] = []

    def title(self, text: str) -> None:
        self._print(f"\n{text}", BOLD)

    def note(self, text: str) -> None:
        self._print(f"# {text}", FAINT)

    def type(
        self,
        line: str,
        *,
        at: Ground | None = None,
        who: str = "",
        quiet: bool = False,
        env: Mapping[str, str] = NOTHING,
    ) -> Said:
        """Run *line* in a shell on the ground, or on another (whose name *who* then stands at the prompt), with
        *env* beside what is always there.  *quiet*: what it says is kept, not shown."""
        self._print(f"{who}$ {line}", BOLD)
        said = self._run(line, at, env)
        if said.text and not quiet:
            print(said.text, flush=True)
        return said

    def watch(
        self,
        line: str,
        holds: Callable[[Said], bool],
        *,
        at: Ground | None = None,
        who: str = "",
        env: Mapping[str, str] = NOTHING,
    ) -> Said:
        """Type *line* until *holds* of what it says, or for PATIENCE seconds; the last time is shown."""
        self._print(f"{who}$ {line}", BOLD)
        deadline = time.monotonic() + PATIENCE
        while not holds(said := self._run(line, at, env)) and time.monotonic() < deadline:
            time.sleep(_GLANCE)
        if said.text:
            print(said.text, flush=True)
        return said

    def _run(self, line: str, at: Ground | None, env: Mapping[str, str]) -> Said:
        argv = (at or self._ground).inside("bash", "-c", line)
        try:
            done = subprocess.run(
                argv,
                env={**self._env, **env},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=PATIENCE,
            )
            return Said(done.stdout.decode(errors="replace").rstrip(), done.returncode)
        except subprocess.TimeoutExpired:
            return Said(f"(no end after {PATIENCE} seconds)", 124)

    def claim(self, text: str, true: bool) -> None:
        """Keep for the end that *text* was shown, or was not."""
        self.claims.append((text, true))
        self._print(f"  {'✓' if true else '✗'} {text}", GREEN if true else RED)

    def show(self, text: str) -> None:
        print(text, flush=True)

    def sum_up(self) -> bool:
        """A line a claim.  Are all true?"""
        self.title("What was shown")
        for text, true in self.claims:
            self._print(f"{'✓' if true else '✗'} {text}", GREEN if true else RED)
        failed = sum(not true for _, true in self.claims)
        self._print(f"{len(self.claims)} claims, {failed} failed", BOLD)
        return not failed

    def _print(self, text: str, colour: str) -> None:
        print(f"{colour}{text}{PLAIN}" if self._colour else text, flush=True)
