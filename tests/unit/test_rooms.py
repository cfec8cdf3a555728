"""The arrows of docs/design.md: who may import whom, and how big a file may be."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

SRC = Path(__file__).parents[2] / "src" / "bascule"

MAY: dict[str, set[str]] = {
    "model": set(),
    "wire": {"model"},
    "ipam": {"model"},
    "drivers": {"model"},
    "kernel": {"model", "wire"},
    "store": {"model"},
    "dns": {"model", "wire", "kernel", "engine.names"},
    "proxy": {"model", "engine.proxy"},
    "dhcp": {"model", "kernel", "engine.leases"},
    "engine": {"model", "drivers", "ipam", "store", "kernel"},
    "cluster": {"model", "ipam", "drivers", "store", "engine.cluster", "engine.shared"},
    "containers": {"model", "engine", "kernel", "store"},
    "api": {"model", "engine", "containers"},
    "cli": {"model.names", "model.errors", "api.shapes"},
}
PURE = ("model", "wire", "ipam", "drivers", "dns/zone.py", "api/shapes", "kernel/nft.py", "kernel/nftsets.py")
IMPURE = {"socket", "subprocess", "threading", "asyncio", "time", "random", "secrets", "select", "signal"}
# `os` is impure too, but for os.strerror: a table lookup.
MAY_USE_OS = {"model/errors.py"}
MAX_LINES = 400
MAX_FUNCTION = 40
# What is longer, for a reason told at its top.  These numbers may only be lowered.
LONG_FILES: dict[str, int] = {}
LONG_FUNCTIONS = {"model/firewall.py elements": 54}


def files() -> Iterator[Path]:
    return (p for p in sorted(SRC.rglob("*.py")))


@functools.cache
def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


def imports(path: Path) -> Iterator[str]:
    for node in nodes(path):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield module
                yield from (f"{module}.{alias.name}" for alias in names)
            case _:
                pass


def allowed(room: str, target: str) -> bool:
    if target.split(".")[0] == room:
        return True
    return any(target == may or target.startswith(may + ".") or may.startswith(target + ".") for may in MAY[room])


def test_no_room_imports_a_room_it_may_not() -> None:
    wrong = [
        f"{path.relative_to(SRC)} imports {name}"
        for path in files()
        if (room := path.relative_to(SRC).parts[0]) in MAY
        for name in imports(path)
        if name.startswith("bascule.") and not allowed(room, name.removeprefix("bascule."))
    ]
    assert not wrong, "\n".join(wrong)


def test_pure_rooms_do_not_touch_the_world() -> None:
    wrong = []
    for path in files():
        place = str(path.relative_to(SRC))
        if not place.startswith(PURE):
            continue
        banned = IMPURE if place in MAY_USE_OS else IMPURE | {"os"}
        wrong += [f"{place} imports {name}" for name in imports(path) if name.split(".")[0] in banned]
    assert not wrong, "\n".join(wrong)


def budget(found: dict[str, int], allowed: dict[str, int]) -> list[str]:
    """What is longer than it may be, and what has become shorter than its budget says, which is then lowered."""
    return [
        f"{what}: {found.get(what, 0)} lines, {allowed.get(what, 0)} in the budget"
        for what in sorted({*found, *allowed})
        if found.get(what, 0) != allowed.get(what, 0)
    ]


def test_no_file_is_over_400_lines_but_by_its_budget_and_with_a_reason() -> None:
    counts = {str(path.relative_to(SRC)): len(path.read_text().splitlines()) for path in files()}
    long = {place: count for place, count in counts.items() if count > MAX_LINES}
    assert budget(long, LONG_FILES) == []
    assert [p for p in long if "400 lines because" not in "\n".join((SRC / p).read_text().splitlines()[:30])] == []


def test_no_function_is_over_40_lines_but_by_its_budget_and_with_a_reason() -> None:
    long, silent = {}, []
    for path in files():
        lines = path.read_text().splitlines()
        for node in nodes(path):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
                count = node.end_lineno - node.lineno + 1
                if count > MAX_FUNCTION:
                    name = f"{path.relative_to(SRC)} {node.name}"
                    long[name] = count
                    silent += [name] if "40 lines because" not in "\n".join(lines[node.lineno :][:12]) else []
    assert (budget(long, LONG_FUNCTIONS), silent) == ([], [])


def test_there_is_no_utils() -> None:
    names = {"utils", "util", "helpers", "common", "misc"}
    assert not [str(p) for p in files() if p.stem in names]
