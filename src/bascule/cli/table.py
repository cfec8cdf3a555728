"""Tables, lists and inspections: how answers are printed (`--format`)."""

from __future__ import annotations

import posix
import sys

TYPE_CHECKING = False  # As in typing, whose import costs 5 ms: docs/decisions/010.
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from bascule.cli.fields import Fields

# What Docker asks of text/tabwriter (cli/command/formatter).
MIN_WIDTH = 10
PADDING = 3


def columns(lines: list[str], *, min_width: int = MIN_WIDTH, padding: int = PADDING) -> list[str]:
    """Lines whose cells are parted by tabs, laid out: a column is as wide as its widest cell in the run of
    consecutive lines that have it, and what follows a line's last tab is not a cell of a column."""
    rows = [line.split("\t") for line in lines]
    widths: list[list[int]] = [[0] * (len(row) - 1) for row in rows]
    for column in range(max((len(w) for w in widths), default=0)):
        run: list[int] = []
        for at in range(len(rows) + 1):
            if at < len(rows) and column < len(widths[at]):
                run.append(at)
                continue
            width = max((max(min_width, len(rows[n][column]) + padding) for n in run), default=0)
            for n in run:
                widths[n][column] = width
            run = []
    return [
        "".join(cell.ljust(width) for cell, width in zip(row, sizes, strict=False)) + row[-1]
        for row, sizes in zip(rows, widths, strict=True)
    ]


def listing(form: str, fields: Fields, names: str, items: Iterable[Any]) -> str:
    """*items* as the user wants them: the default table of *names* (blank-separated placeholders), `json`, a
    template, or `table TEMPLATE`."""
    if form in ("", "table"):
        wanted = [fields[name] for name in names.split()]
        lines = ["\t".join(header for header, _ in wanted)]
        lines += ["\t".join(str(value(item)) for _, value in wanted) for item in items]
        return "".join(line + "\n" for line in columns(lines))
    from bascule.cli import template
    from bascule.cli.gofuncs import Row, json_row

    if form == "json":
        return "".join(json_row(Row(fields, item)) + "\n" for item in items)
    tabled = form.startswith("table")
    text = form.removeprefix("table").strip() if tabled else form
    nodes = template.parse(text.replace("\\t", "\t").replace("\\n", "\n"))
    lines = [template.render(nodes, Row(fields, item)) for item in items]
    if tabled:
        return "".join(line + "\n" for line in columns("\n".join([_headers(nodes, fields), *lines]).split("\n")))
    return "".join(line + "\n" for line in lines)


def show(text: str, *, form: str) -> None:
    """Print a listing; on a terminal its headers stand out (unless NO_COLOR is set: https://no-color.org)."""
    if sys.stdout.isatty() and (form == "" or form.startswith("table")) and b"NO_COLOR" not in posix.environ:
        first, newline, rest = text.partition("\n")
        text = f"\033[1m{first}\033[0m{newline}{rest}"
    sys.stdout.write(text)


def _headers(nodes: list[Any], fields: Fields) -> str:
    """The template's own heading: every field stands for its column's header."""
    from bascule.cli import template

    same = dict.fromkeys(("json", "title", "lower", "upper"), lambda v: v)
    apart = {"split": lambda v, _: v, "join": lambda v, _: v, "truncate": lambda v, _: v}
    header: dict[str, Any] = {name: h for name, (h, _) in fields.items()}
    header["Label"] = lambda key: key.rpartition(".")[2].replace("-", " ").replace("_", " ")
    return template.render(nodes, header, {**same, **apart})


def inspection(form: str, found: list[Any]) -> str:
    """What `inspect` prints: the objects as JSON, or the template for each, a line each."""
    from bascule.cli import jsontext

    if form == "":
        return jsontext.dumps(found, indent=4) + "\n"
    if form == "json":
        return jsontext.dumps(found) + "\n"
    from bascule.cli import template
    from bascule.cli.gofuncs import strict

    nodes = template.parse(form.replace("\\t", "\t").replace("\\n", "\n"))
    return "".join(template.render(nodes, strict(item)) + "\n" for item in found)
