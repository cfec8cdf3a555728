"""Both stores keep the cases of tests/store_cases.py; the SQLite file survives what a file meets."""

import doctest
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue

import pytest
from tests.store_cases import CASES, Case, names, network

from bascule.model.errors import Failed
from bascule.model.network import Network
from bascule.store.memory import MemoryStore
from bascule.store.protocol import Store
from bascule.store.sqlite import LAYOUT, SqliteStore
from bascule.store.timer import Timer

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else SqliteStore(str(tmp_path / "state.db"))
    yield made
    made.close()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "state.db")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_every_store(case: Case, store: Store) -> None:
    case(store)


def reopened(store: SqliteStore, path: str) -> SqliteStore:
    store.close()
    return SqliteStore(path)


def test_what_was_committed_is_there_after_a_restart_in_the_same_order(path: str) -> None:
    store = SqliteStore(path)
    store.commit(put=[network("c"), network("a"), network("b")])
    store.commit(put=[network("c", "again")], delete=[network("a")])
    store = reopened(store, path)
    assert names(store) == "c:again b:b"
    store.close()


OPENER = "import sys; from bascule.store.sqlite import SqliteStore; SqliteStore(sys.argv[1])"


def test_a_second_process_is_told_who_has_the_file(path: str) -> None:
    store = SqliteStore(path)
    other = subprocess.run(
        [sys.executable, "-c", OPENER, path],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert other.stderr.splitlines()[-1] == (
        f"bascule.model.errors.Failed: cannot open {path}: another process has it open (pid {os.getpid()})"
    )
    store.close()


def test_closing_lets_the_next_one_in_and_closing_twice_is_fine(path: str) -> None:
    store = SqliteStore(path)
    store.close()
    store.close()
    SqliteStore(path).close()


def test_a_person_can_read_it_while_it_is_open(path: str) -> None:
    store = SqliteStore(path)
    store.commit(put=[network("a", "web")])
    shell = sqlite3.connect(path)
    rows = shell.execute("SELECT kind, id, json_extract(body, '$.name') FROM object").fetchall()
    layout = shell.execute("SELECT key, value FROM meta").fetchall()
    shell.close()
    store.close()
    assert (rows, layout) == ([("network", "a", "web")], [("layout", "1")])


def test_only_its_owner_can_read_the_file(path: str) -> None:
    store = SqliteStore(path)
    store.commit(put=[network("a")])
    modes = {p.name: oct(p.stat().st_mode & 0o777) for p in Path(path).parent.iterdir()}
    store.close()
    assert {mode for name, mode in modes.items() if not name.endswith("-shm")} == {"0o600"}


def test_commits_are_whole_and_on_disk_when_the_process_is_killed(path: str) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, path],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert writer.stdout
    last = [writer.stdout.readline() for _ in range(30)][-1]
    writer.kill()
    last = (writer.stdout.read().splitlines() or [last])[-1]
    writer.wait()
    writer.stdout.close()
    store = SqliteStore(path)
    kept = store.all(Network)
    store.close()
    assert len(kept) % 2 == 0
    assert len(kept) >= 2 * int(last)


WRITER = """
import itertools, sys
from bascule.model.network import Network
from bascule.store.sqlite import SqliteStore
store = SqliteStore(sys.argv[1])
for n in itertools.count(1):
    store.commit(put=[Network(f"a{n}", "a", "bridge", 1), Network(f"b{n}", "b", "bridge", 1)])
    print(n, flush=True)
"""


def test_each_commit_is_on_the_disk_soon(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: SimpleQueue[str] = SimpleQueue()
    sync = os.fdatasync

    def watched(fd: int) -> None:
        sync(fd)
        synced.put(os.readlink(f"/proc/self/fd/{fd}"))

    monkeypatch.setattr(os, "fdatasync", watched)
    with closing(SqliteStore(path)) as store:
        for name in ("one", "two"):
            store.commit([network(name)])
            assert synced.get(timeout=20) == f"{path}-wal"
        store.commit([network("three")])
    # What is closed before its time has come does not wait for it, and leaves nothing that it would have been for.
    assert not Path(f"{path}-wal").exists()


def test_a_timer_that_is_started_again_runs_out_when_it_was_told_last() -> None:
    with closing(Timer()) as timer:
        timer.start(3600)
        timer.start(0)
        timer.wait()


def test_a_refused_write_changes_nothing(path: str) -> None:
    store = SqliteStore(path)
    store.commit(put=[network("a")])
    shell = sqlite3.connect(path)
    shell.execute("CREATE TRIGGER no BEFORE INSERT ON object WHEN NEW.id = 'c' BEGIN SELECT RAISE(FAIL, 'no'); END")
    shell.close()
    with pytest.raises(Failed, match=r"cannot write .*state\.db: no"):
        store.commit(put=[network("b"), network("c")], delete=[network("a")])
    assert names(store) == "a:a"
    store = reopened(store, path)
    assert names(store) == "a:a"
    store.close()


def test_a_file_that_is_no_database_is_refused(path: str) -> None:
    Path(path).write_text("hello, this is a text and not a database at all\n" * 100)
    with pytest.raises(Failed, match=r"cannot open .*state\.db: file is not a database"):
        SqliteStore(path)


def test_somebody_elses_database_is_refused_and_left_alone(path: str) -> None:
    shell = sqlite3.connect(path)
    shell.execute("CREATE TABLE songs (name)")
    shell.close()
    with pytest.raises(Failed, match="it is a database, and not one of Bascule's"):
        SqliteStore(path)


def test_a_newer_layout_is_refused(path: str) -> None:
    SqliteStore(path, layout=[*LAYOUT, ["CREATE TABLE later (x)"]]).close()
    with pytest.raises(Failed, match=r"a newer Bascule wrote it \(layout 2, known is 1\)"):
        SqliteStore(path)


def test_an_older_layout_is_brought_up_and_keeps_its_objects(path: str) -> None:
    store = SqliteStore(path)
    store.commit(put=[network("a")])
    store.close()
    store = SqliteStore(path, layout=[*LAYOUT, ["CREATE TABLE later (x)"]])
    kept = names(store)
    store.close()
    assert kept == "a:a"


def test_a_migration_that_fails_leaves_the_older_layout(path: str) -> None:
    SqliteStore(path).close()
    with pytest.raises(Failed, match="syntax error"):
        SqliteStore(path, layout=[*LAYOUT, ["CREATE TABLE later (x)", "NONSENSE"]])
    SqliteStore(path).close()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("UPDATE object SET kind = 'song'", "it has objects of an unknown kind, 'song'"),
        ("UPDATE object SET body = '{'", "cannot read a stored network"),
        ("UPDATE object SET body = json_set(body, '$.version', 9)", "network a: format version 9"),
    ],
)
def test_an_object_that_cannot_be_read_is_refused_by_name(path: str, change: str, why: str) -> None:
    store = SqliteStore(path)
    store.commit(put=[network("a")])
    store.close()
    shell = sqlite3.connect(path, isolation_level=None)
    shell.execute(change)
    shell.close()
    with pytest.raises(Failed, match=why):
        SqliteStore(path)


def test_the_examples_of_the_page_are_true() -> None:
    page = str(ROOT / "docs" / "store.md")
    assert doctest.testfile(page, module_relative=False, optionflags=doctest.ELLIPSIS).failed == 0
