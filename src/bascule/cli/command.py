"""What a command of the command line is."""

from __future__ import annotations

from bascule.cli.options import Given, Option, Parser, UsageError, table

TYPE_CHECKING = False  # As in typing, whose import costs 5 ms: docs/decisions/010.
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from bascule.cli.client import Client

MANY = 1 << 30


class Command:
    """A command: its table of options, how many arguments it takes, and the function that does it."""

    __slots__ = (
        "checks",
        "code",
        "examples",
        "least",
        "long",
        "mixed",
        "most",
        "options",
        "raw",
        "run",
        "summary",
        "usage",
    )

    def __init__(
        self,
        run: Callable[[Client, Given], int],
        usage: str,
        summary: str,
        options: str = "",
        *,
        args: tuple[int, int] = (0, 0),
        examples: str = "",
        long: str = "",
        checks: dict[str, Any] | None = None,
        mixed: bool = True,
        code: int = 1,
        raw: bool = False,
    ) -> None:
        self.run = run
        self.usage = usage
        """What follows the command's name: `[OPTIONS] NETWORK`."""
        self.summary = summary
        self.options = options
        self.least, self.most = args
        self.examples = examples
        """Lines to type, each without its prompt; lines that begin with `#` say what the next one does."""
        self.long = long
        self.checks = checks
        self.mixed = mixed
        self.code = code
        """The exit status of a refusal: 125 for what runs containers, else 1."""
        self.raw = raw
        """Its words are read by somebody else."""

    def table(self) -> list[Option]:
        return table(self.options)

    def parse(self, words: list[str]) -> Given:
        if self.raw:
            words = ["--", *words]
        return Parser(self.table(), self.checks).parse(words, mixed=self.mixed)

    def check_count(self, name: str, count: int) -> None:
        """Raise UsageError unless it takes *count* arguments."""
        if self.least <= count <= self.most:
            return
        quoted = f"'bascule {name}'"
        if self.most == 0:
            raise UsageError(f"{quoted} accepts no arguments", code=1)
        if self.least == self.most:
            how = str(self.least)
        elif self.most == MANY:
            how = f"at least {self.least}"
        elif count > self.most and self.least == 0:
            how = f"at most {self.most}"
        else:
            how = f"at least {self.least} and at most {self.most}"
        plural = "argument" if how.endswith(" 1") or how == "1" else "arguments"
        raise UsageError(f"{quoted} requires {how} {plural}", code=1)


FORMAT = """
        --format string   Print with a Go template, 'table TEMPLATE', or 'json'
"""
FILTER = """
    -f, --filter filter   Only what matches, e.g. "%s"
"""
