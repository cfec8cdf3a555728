"""The same thing for several names: one failure does not keep the others from it."""

from __future__ import annotations

import sys

from bascule.cli.client import Refusal

TYPE_CHECKING = False  # As in typing, whose import costs 5 ms: docs/decisions/010.
if TYPE_CHECKING:
    from collections.abc import Callable


def each(names: list[str], do: Callable[[str], None]) -> int:
    """Do it for every name.  Refusals are told as they come; the exit status is 1 if there was one."""
    failed = False
    for name in names:
        try:
            do(name)
        except Refusal as no:
            sys.stdout.flush()
            print(no, file=sys.stderr)
            failed = True
    return 1 if failed else 0
