"""A store in one SQLite file that a person can read: `sqlite3 FILE 'select kind, id, body from object'`.

WAL and synchronous=NORMAL: a commit has outlived this process when it returns, and power cuts leave the file whole.
What is written is synced to the disk soon, by a thread of its own that nobody waits for: the last moments are lost
with the power, as are the kernel's networks that they tell of.  See docs/decisions/022.

One process owns the file.  It says so by a lock on FILE.lock and not by SQLite's own locking_mode=EXCLUSIVE, which
would also shut out the person with the sqlite3 shell.  The lock goes with the process, however it ends.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Lock, Thread

from bascule.model.codec import decode, encode
from bascule.model.errors import Failed
from bascule.store.memory import MemoryStore
from bascule.store.protocol import KINDS, Storable, T
from bascule.store.timer import Timer

# The n-th step leads from layout n to layout n + 1, the first from an empty file.  A released step never changes;
# the layout of the tables and the format of the bodies (model/codec.py) have versions of their own.
LAYOUT: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE object (seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL,"
        " UNIQUE (kind, id))",
    ),
)
_PUT = (
    "INSERT INTO object (kind, id, body) VALUES (?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body"
)
_DELETE = "DELETE FROM object WHERE kind = ? AND id = ?"


class SqliteStore:
    """Store in the file *path*, made (mode 0600) if it is not there; any thread may call it.

    Raises Failed when another process has it open, when it is damaged, or when a newer Bascule wrote it.
    """

    def __init__(self, path: str, *, layout: Sequence[Sequence[str]] = LAYOUT) -> None:
        self._path = path
        self._lock = Lock()
        self._kept = MemoryStore()
        # 0710 as Docker's data directory: what is below has modes of its own.
        os.makedirs(os.path.dirname(os.path.abspath(path)), mode=0o710, exist_ok=True)
        self._held = _hold(path)
        try:
            with self._telling("open"):
                self._db = _connect(path)
                try:
                    _migrate(self._db, path, layout)
                    self._read()
                except BaseException:
                    self._db.close()
                    raise
        except BaseException:
            os.close(self._held)
            raise
        self._sync = _Sync(f"{path}-wal")

    def all(self, kind: type[T]) -> list[T]:
        return self._kept.all(kind)

    def get(self, kind: type[T], ident: str) -> T | None:
        return self._kept.get(kind, ident)

    def where(self, kind: type[T], field: str, value: str) -> list[T]:
        return self._kept.where(kind, field, value)

    def commit(self, put: Sequence[Storable] = (), delete: Sequence[Storable] = ()) -> None:
        """Deletions come first; deleting what is not there is no error.  Raises Failed, and nothing changed."""
        rows = [(_kind(value), value.id, encode(value)) for value in put]
        with self._lock, self._telling("write"):
            with _transaction(self._db):
                self._db.executemany(_DELETE, [(_kind(gone), gone.id) for gone in delete])
                self._db.executemany(_PUT, rows)
            self._kept.commit(put, delete)
        self._sync.soon()

    def close(self) -> None:
        """Fold the log into the file and let go of it.  Closing again does nothing."""
        with self._lock:
            if self._held >= 0:
                self._sync.close()
                self._db.close()
                os.close(self._held)
                self._held = -1

    def _read(self) -> None:
        damage = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if damage != "ok":
            raise Failed(f"cannot open {self._path}: it is damaged: {damage}")
        found = []
        for kind, body in self._db.execute("SELECT kind, body FROM object ORDER BY seq"):
            if kind not in KINDS:
                raise Failed(f"cannot open {self._path}: it has objects of an unknown kind, {kind!r}")
            found.append(decode(KINDS[kind], body))
        self._kept.commit(found)

    @contextmanager
    def _telling(self, action: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise Failed(f"cannot {action} {self._path}: {error}") from error


# Seconds from a commit to the disk.
SYNCED_WITHIN = 0.05


class _Sync:
    """A thread that has the log written to the disk, soon after somebody asked for it.

    A timer of the kernel's wakes it when it is time.  A thread that is woken at once, to wait then, takes the
    interpreter from the one that has just committed: 0.15 ms of a connect of 3.
    """

    def __init__(self, log: str) -> None:
        self._log = log
        self._timer = Timer()
        self._wanted = False
        self._closing = False
        self._thread = Thread(target=self._work, name="store-sync", daemon=True)
        self._thread.start()

    def soon(self) -> None:
        if not self._wanted:
            self._wanted = True
            self._timer.start(SYNCED_WITHIN)

    def close(self) -> None:
        self._closing = True
        self._timer.start(0)
        self._thread.join()
        self._timer.close()

    def _work(self) -> None:
        while not self._closing:
            self._timer.wait()
            # Before the sync, so that no commit is taken for one that is on its way already.
            self._wanted = False
            # Somebody may have taken the log away with a shell; then there is nothing to sync.
            with suppress(OSError):
                log = os.open(self._log, os.O_RDWR | os.O_CLOEXEC)
                try:
                    os.fdatasync(log)
                finally:
                    os.close(log)


def _kind(value: Storable) -> str:
    return type(value).__name__.lower()


def _hold(path: str) -> int:
    """The lock's descriptor; the kernel drops the lock when the last copy of it is closed."""
    held = os.open(path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.pread(held, 20, 0).decode(errors="replace").strip() or "?"
        os.close(held)
        raise Failed(f"cannot open {path}: another process has it open (pid {holder})") from None
    os.truncate(held, 0)
    os.pwrite(held, f"{os.getpid()}\n".encode(), 0)
    return held


def _connect(path: str) -> sqlite3.Connection:
    # SQLite would make the file with the umask's mode, and gives its log the mode of the file.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    # Transactions are begun by hand; five seconds are for a shell that writes at this moment.
    db = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        db.close()
        raise
    return db


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # A full disk may have rolled it back already.
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _migrate(db: sqlite3.Connection, path: str, layout: Sequence[Sequence[str]]) -> None:
    """Bring the tables to the newest layout, in one transaction."""
    with _transaction(db):
        found = _layout_of(db, path)
        if found > len(layout):
            raise Failed(f"cannot open {path}: a newer Bascule wrote it (layout {found}, known is {len(layout)})")
        for step in layout[found:]:
            for statement in step:
                db.execute(statement)
        if found < len(layout):
            db.execute("INSERT OR REPLACE INTO meta VALUES ('layout', ?)", (str(len(layout)),))


def _layout_of(db: sqlite3.Connection, path: str) -> int:
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if not tables:
        return 0
    row = db.execute("SELECT value FROM meta WHERE key = 'layout'").fetchone() if "meta" in tables else None
    if row is None or not row[0].isdecimal():
        raise Failed(f"cannot open {path}: it is a database, and not one of Bascule's")
    return int(row[0])
