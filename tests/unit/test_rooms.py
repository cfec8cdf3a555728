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
    "containers": {"model", "engine", "kernel", "store"},
    "api": {"model", "engine", "containers"},
    "cli": {"model.names", "model.errors", "api.shapes"},
}
PURE = ("model", "wire", "ipam", "drivers", "dns/zone.py", "api/shapes", "kernel/nft.py")
IMPURE = {"socket", "subprocess", "threading", "asyncio", "time", "random", "secrets", "select", "signal"}
# `os` is impure too, but for os.strerror: a table lookup.
MAY_USE_OS = {"model/errors.py"}
MAX_LINES = 400
MAX_FUNCTION = 40


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


def _reason_at_top(path: Path) -> bool:
    return "400 lines because" in "\n".join(path.read_text().splitlines()[:30])


def test_no_file_is_over_400_lines_without_a_reason() -> None:
    long = [
        f"{path.relative_to(SRC)}: {count}"
        for path in files()
        if (count := len(path.read_text().splitlines())) > MAX_LINES and not _reason_at_top(path)
    ]
    assert not long, "\n".join(long)


def test_no_function_is_over_40_lines_without_a_reason() -> None:
    long = []
    for path in files():
        lines = path.read_text().splitlines()
        for node in nodes(path):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
                count = node.end_lineno - node.lineno + 1
                first = "\n".join(lines[node.lineno - 1 : node.lineno + 12])
                if count > MAX_FUNCTION and "40 lines because" not in first:
                    long.append(f"{path.relative_to(SRC)}:{node.lineno} {node.name}: {count}")
    assert not long, "\n".join(long)


def test_there_is_no_utils() -> None:
    names = {"utils", "util", "helpers", "common", "misc"}
    assert not [str(p) for p in files() if p.stem in names]
