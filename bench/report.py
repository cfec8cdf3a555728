"""What a run leaves behind: its record, the table and the picture, each with the machine it came from."""

import json
import math
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from bench.measure import Row
from bench.sides import PEER


def machine() -> dict[str, str]:
    """What the figures depend on, and nothing that names the machine."""
    cpu = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    memory = Path("/proc/meminfo").read_text().split()[1]
    return {
        "kernel": platform.release(),
        "cpu": f"{len(os.sched_getaffinity(0))} × {cpu[0].partition(': ')[2] if cpu else platform.machine()}",
        "memory": f"{int(memory) // 1024 // 1024} GB",
        "python": platform.python_version(),
        "peer": _version(str(PEER / "dockerd"), "--version"),
        "runtime": _version("runc", "--version"),
        "nft": _version("nft", "--version"),
        "dnsmasq": _version("dnsmasq", "--version"),
    }


def _version(*argv: str) -> str:
    try:
        return subprocess.run(argv, capture_output=True, text=True).stdout.splitlines()[0]
    except (OSError, IndexError):
        return "not there"


def number(value: float) -> str:
    """Three figures, no exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def bound(row: Row) -> str:
    """A budget in words: `≤ 1/25`, `≥ 2.5`."""
    if row.budget is None:
        return ""
    words = f"1/{1 / row.budget:.0f}" if row.budget <= 0.5 and not row.more else f"{row.budget:.3g}"
    return f"{'≥' if row.more else '≤'} {words}"


def verdict(row: Row) -> str:
    return {True: "✓", False: "✗", None: ""}[row.kept]


def line(row: Row) -> str:
    """A row for a terminal."""
    ours, peer = (number(statistics.median(samples)) for samples in (row.ours, row.peer))
    figures = f"{ours:>9} {peer:>9} {row.unit:<9} {row.ratio:8.3f}  {bound(row):<7} {verdict(row)}"
    return f"{row.what:<66} {figures}  {row.against}"


def record(rows: Sequence[Row], notes: Mapping[str, Any], when: str) -> str:
    """The run as JSON, every sample in it."""
    document = {
        "format": 1,
        "date": when,
        "machine": machine(),
        "notes": dict(notes),
        "rows": [
            {
                "key": row.key,
                "what": row.what,
                "unit": row.unit,
                "against": row.against,
                "ratio": round(row.ratio, 4),
                "budget": row.budget,
                "more is better": row.more,
                "kept": row.kept,
                "when": row.when or when,
                "ours": [round(sample, 4) for sample in row.ours],
                "peer": [round(sample, 4) for sample in row.peer],
            }
            for row in rows
        ],
    }
    return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def earlier(directory: Path, asked: Sequence[str]) -> list[Row]:
    """The rows of the newest record in *directory* that are none of the keys *asked*."""
    records = sorted(directory.glob("*.json"))
    document: dict[str, Any] = json.loads(records[-1].read_text()) if records else {"date": "", "rows": []}
    return [
        Row(
            told["key"],
            told["what"],
            told["unit"],
            told["ours"],
            told["peer"],
            told["against"],
            told["budget"],
            told["more is better"],
            told.get("when") or document["date"],
        )
        for told in document["rows"]
        if family(told["key"]) not in asked
    ]


def family(key: str) -> str:
    """What a row's key is asked for by: `port` of `port@5000:trip`."""
    return key.partition("@")[0].partition(":")[0]


def table(rows: Sequence[Row], notes: Mapping[str, Any], when: str, results: str) -> str:
    """The page bench/README.md."""
    body = "\n".join(
        f"| {row.what} | {row.against} | {number(statistics.median(row.ours))} "
        f"| {number(statistics.median(row.peer))} | {row.unit} | {row.ratio:.3f} | {bound(row)} | {verdict(row)} |"
        for row in rows
    )
    days = {row.when for row in rows if row.when}
    old = {
        day: ", ".join(dict.fromkeys(family(row.key) for row in rows if row.when == day)) for day in sorted(days)
    }
    kept = "".join(f"\nOf a run of {day}, not measured again since: {keys}.\n" for day, keys in old.items())
    about = "\n".join(f"- {key}: {value}" for key, value in {**machine(), **notes}.items())
    return f"""\
# Bascule beside its peers

Medians of interleaved rounds, both sides in one run on one machine, {when}. A time alone says little on a shared
machine; the ratio ours / theirs is the result. How each row is measured: [docs/bench.md](../docs/bench.md). Every
sample: [{results}]({results}). Written by `make bench`.

![ratios](ratios.svg)

| what | beside | ours | theirs | unit | ratio | budget | |
| --- | --- | ---: | ---: | --- | ---: | --- | --- |
{body}
{kept}
The machine:

{about}
"""


# The picture: a bar a row from ratio 1 (the peer's) to the left or right, logarithmic, a tick where the budget is.
LABEL, WIDTH, STEP = 520, 420, 20


def picture(rows: Sequence[Row]) -> str:
    """The ratios as an SVG bar chart; to the left of the line is faster, smaller, better."""
    # What is better when there is more of it is turned round, so that left is better for all.
    turned = [(row, 1 / row.ratio if row.more else row.ratio) for row in rows]
    reach = max([2.0, *(max(value, 1 / value) for _, value in turned)])

    def at(ratio: float) -> float:
        return LABEL + WIDTH / 2 + WIDTH / 2 * math.log(ratio) / math.log(reach)

    parts = []
    for index, (row, value) in enumerate(turned):
        top = 40 + index * STEP
        left, right = sorted((at(value), at(1.0)))
        colour = {True: "#2a7", False: "#c43", None: "#89a"}[row.kept]
        label = escape(f"{row.what} ({row.against})")
        parts.append(f'<text x="{LABEL - 8}" y="{top + 12}" text-anchor="end">{label}</text>')
        size = f'width="{max(1.0, right - left):.1f}" height="{STEP - 6}"'
        parts.append(f'<rect x="{left:.1f}" y="{top}" {size} fill="{colour}"/>')
        parts.append(f'<text x="{LABEL + WIDTH + 8}" y="{top + 12}">{row.ratio:.3f}</text>')
        if row.budget is not None:
            x = at(min(reach, max(1 / reach, 1 / row.budget if row.more else row.budget)))
            parts.append(f'<path d="M{x:.1f} {top - 2}v{STEP - 2}" stroke="#000"/>')
    height = 50 + len(rows) * STEP
    title = "ours / theirs, logarithmic; left of the line is better; black tick: the budget"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LABEL + WIDTH + 70}" height="{height}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>\n'
        f'<text x="{LABEL + WIDTH / 2}" y="20" text-anchor="middle">{title}</text>\n'
        f'<path d="M{at(1.0):.1f} 30V{height - 10}" stroke="#999"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )
