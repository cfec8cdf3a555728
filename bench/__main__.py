"""`python -m bench`: every row, or some, of Bascule and its peer in one run."""

import argparse
import datetime
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench import attach, calls, names, overlay, paths, report, sizes, straight
from bench.ground import Found, clear, workplace
from bench.measure import Row, Stage
from bench.sides import PEER, Side, bascule, docker

HERE = Path(__file__).parent
Group = Callable[[Stage, int], Iterator[Row]]

# In the order they are run: the keys of its rows, at which of the levels (numbers of networks) it is run.
GROUPS: tuple[tuple[tuple[str, ...], tuple[int, ...], Group], ...] = (
    (("attach",), (0,), attach.attach),
    (("cli",), (0,), sizes.cli),
    (("create", "rm"), (0, 1, 2), calls.create),
    (("connect", "disconnect"), (0,), calls.connect),
    (("run",), (0,), calls.run),
    (("ping", "list"), (0, 1, 2), calls.ask),
    (("bridge", "port", "loopback"), (0,), paths.paths),
    (("macvlan",), (0,), straight.macvlan),
    (("overlay",), (0,), overlay.overlay),
    (("resolver",), (0,), names.names),
    (("start",), (1,), sizes.start),
    (("memory",), (1,), sizes.weigh),
)
KEYS = [key for keys, _, _ in GROUPS for key in keys]
NEEDED = (
    str(PEER / "dockerd"),
    "containerd",
    "docker",
    "runc",
    "iperf3",
    "dnsperf",
    "dnsmasq",
    "nc",
    "nsenter",
    "gcc",
)


@dataclass
class Outcome:
    rows: list[Row] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench", description=__doc__, allow_abbrev=False)
    parser.add_argument("--only", default="", metavar="KEYS", help=f"some rows, with commas: {','.join(KEYS)}")
    parser.add_argument(
        "--quick", action="store_true", help="few networks, containers, ports and rounds; no record"
    )
    parser.add_argument("--networks", default="", metavar="A,B,C", help="the three levels (1,200,1000)")
    parser.add_argument("--containers", type=int, default=0, help="standing containers of the memory row (50)")
    parser.add_argument("--ports", type=int, default=0, help="published ports of the crowded row (5000)")
    parser.add_argument("--rounds", type=int, default=0, help="samples a side of most rows (15)")
    parser.add_argument(
        "--record",
        action="store_true",
        help="write record, table and plot; rows that are left out stay as they are",
    )
    parser.add_argument("--strict", action="store_true", help="a missed budget is a failure")
    found = parser.parse_args(argv)
    found.keys = [key for key in found.only.split(",") if key] or KEYS
    if unknown := set(found.keys) - set(KEYS):
        parser.error(f"--only: no rows called {', '.join(sorted(unknown))}; there are {', '.join(KEYS)}")
    defaults = ("1,5,20", 5, 200, 3) if found.quick else ("1,200,1000", 50, 5000, 15)
    found.levels = [int(level) for level in (found.networks or defaults[0]).split(",")]
    if len(found.levels) != 3 or found.levels != sorted(found.levels) or found.levels[0] < 1:
        parser.error("--networks: three numbers, growing, from 1 on")
    found.containers = found.containers or defaults[1]
    found.ports = found.ports or defaults[2]
    found.rounds = found.rounds or defaults[3]
    return found


def missing() -> list[str]:
    return [name for name in NEEDED if shutil.which(name) is None]


def measure(asked: argparse.Namespace, stage: Stage, outcome: Outcome) -> None:
    """Run every group that has a row that was asked for, level after level."""
    for index, level in enumerate(asked.levels):
        groups = [(keys, group) for keys, at, group in GROUPS if index in at and set(keys) & set(asked.keys)]
        if not groups:
            continue
        for side in stage.sides:
            print(f"-- {side.name}: {level} networks", file=sys.stderr, flush=True)
            side.fill(level)
        for keys, group in groups:
            try:
                for row in group(stage, level):
                    if report.family(row.key) in asked.keys:
                        outcome.rows.append(row)
                        print(report.line(row), flush=True)
            except Exception:
                # The other groups are still worth having; the run as a whole fails.
                outcome.failures.append(f"{'/'.join(keys)} at {level} networks:\n{traceback.format_exc()}")
                print(f"!! {outcome.failures[-1]}", file=sys.stderr, flush=True)


def sides(place: Path, mark: str, keep: ExitStack) -> tuple[Side, Side]:
    opened = []
    for make in (bascule, docker):
        side = make(place / make.__name__[0], mark)
        keep.callback(side.close)
        opened.append(side)
    return opened[0], opened[1]


def run(asked: argparse.Namespace) -> tuple[Outcome, dict[str, object]]:
    """Measure, then prove that the machine is as it was found."""
    found, place, mark, outcome = Found(), workplace(), f"bench-{os.getpid()}", Outcome()
    marks = [mark, str(place)]
    notes: dict[str, object] = {}
    try:
        with ExitStack() as keep:
            ours, peer = sides(place, mark, keep)
            many = (200,) if asked.quick else (500, 5000)
            seconds = 0.5 if asked.quick else 1.0
            stage = Stage(
                ours, peer, place, asked.rounds, seconds, asked.containers, asked.ports, many, notes=notes
            )
            for side in stage.sides:
                side.start()
                side.load_image()
            try:
                measure(asked, stage, outcome)
            finally:
                marks += [ident for side in stage.sides for ident in side.known_containers()]
                marks += stage.others
    finally:
        found.take_cgroups(marks)
        clear(place)
        outcome.failures += [f"the machine is not as it was found: {line}" for line in found.differences(marks)]
    return outcome, notes


def write(asked: Sequence[str], rows: Sequence[Row], notes: dict[str, object]) -> None:
    """What was not asked for stays as the last record has it, and says of when it is."""
    today = datetime.date.today().isoformat()
    rows = sorted(
        [*rows, *report.earlier(HERE / "results", asked)], key=lambda row: KEYS.index(report.family(row.key))
    )
    facts = report.machine()
    kind = f"linux-{'.'.join(facts['kernel'].split('.')[:2])}-{facts['cpu'].partition(' ')[0]}cpu"
    results = HERE / "results" / f"{today}-{kind}.json"
    results.parent.mkdir(exist_ok=True)
    results.write_text(report.record(rows, notes, today))
    (HERE / "README.md").write_text(report.table(rows, notes, today, f"results/{results.name}"))
    (HERE / "ratios.svg").write_text(report.picture(rows))
    print(f"written: {results}, {HERE / 'README.md'}, {HERE / 'ratios.svg'}")


def main() -> int:
    asked = parse(sys.argv[1:])
    if os.geteuid() != 0:
        sys.exit("bench: it starts daemons and makes namespaces: run as root (sudo make bench)")
    if lacking := missing():
        sys.exit(f"bench: {', '.join(lacking)} not found: packaging/bench-setup installs what the bench needs")
    # A terminated bench cleans up as an interrupted one does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    outcome, notes = run(asked)
    if outcome.rows and (asked.record or not (asked.only or asked.quick)):
        write(asked.keys, outcome.rows, notes)
    missed = [row for row in outcome.rows if row.kept is False]
    kept = sum(row.kept is True for row in outcome.rows)
    print(f"{len(outcome.rows)} rows: {kept} budgets kept, {len(missed)} missed, {len(outcome.failures)} failures")
    for failure in outcome.failures:
        print(f"✗ {failure}")
    return 1 if outcome.failures or (asked.strict and missed) else 0


if __name__ == "__main__":
    sys.exit(main())
