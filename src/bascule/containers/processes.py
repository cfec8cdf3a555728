"""`top`: what runs in a container, as the host's ps shows it."""

import subprocess
from collections.abc import Collection

from bascule.model.errors import Failed, Invalid


def top(pids: Collection[int], ps_args: str) -> tuple[list[str], list[list[str]]]:
    """Titles and rows of `ps *ps_args*`, of *pids* alone.  Raises Invalid when it shows no process ids."""
    # Split at blanks alone, as Docker does: quotes mean nothing.
    words = ps_args.split() or ["-ef"]
    if any("\0" in word for word in words):
        raise Invalid(f"invalid words for ps: {ps_args!r}")
    done = subprocess.run(["ps", *words], capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise Failed(f"ps: {(done.stderr.strip() or 'failed').splitlines()[0]}")
    return select(done.stdout, pids)


def select(text: str, pids: Collection[int]) -> tuple[list[str], list[list[str]]]:
    """The table in *text*, of *pids* alone.  The last column is the one that may have blanks in it."""
    lines = text.splitlines()
    titles = lines[0].split() if lines else []
    if "PID" not in titles:
        raise Invalid("Couldn't find PID field in ps output")
    place = titles.index("PID")
    rows = [line.split(None, len(titles) - 1) for line in lines[1:]]
    return titles, [row for row in rows if len(row) > place and row[place].isdigit() and int(row[place]) in pids]
