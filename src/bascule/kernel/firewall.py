"""The firewall as it should be, and kept so.

The store holds the intent; `guard` says what it is, and `add` and `remove` keep count of it here, element by
element.  Whoever flushes or edits our tables finds them put back, whole, in one transaction.  Two who disagree
about one table would do that to each other for ever, so each repair that follows soon upon another waits longer.
"""

import errno
import threading
import time
from collections.abc import Callable, Sequence

from bascule.kernel.protocol import Outcome
from bascule.kernel.tables import Tables, encoded
from bascule.kernel.watch import Change, Watch
from bascule.model.errors import KernelError
from bascule.model.firewall import Element, Rule, elements

Key = tuple[str, str, tuple[str, ...]]

# What the kernel says when the tables are not as we left them: no table or set, an element that came or went.
_NOT_AS_LEFT = (errno.ENOENT, errno.EEXIST, errno.EBUSY)
_PATIENT_AFTER = 8
_CALM = 10.0
_LONGEST_WAIT = 30.0


def _key(element: Element) -> Key:
    return (element.family, element.set, element.key)


class Firewall:
    """Our two tables, `inet` and `bridge` *table*, in the namespace of the thread that makes this."""

    def __init__(self, table: str) -> None:
        self._tables = Tables(table)
        self._lock = threading.RLock()
        self._want: dict[Key, Element] = {}
        self._generation = 0
        self._watch = Watch(table, self._tables.portid, self._look)
        self._loaded = False
        self._closing = threading.Event()
        self._tell: Callable[[str], None] = lambda _sentence: None
        self._repairs = 0
        self._repaired = 0.0

    def add(self, rules: Sequence[Rule]) -> list[Outcome]:
        """Make *rules* true in one transaction: all of them, or where one is refused none.

        What already holds is "held".  The first call sets up the rule set.
        """
        with self._lock:
            fresh: dict[Key, Element] = {}
            held = []
            taken = None
            for rule in rules:
                new = [e for e in elements(rule) if self._want.get(_key(e)) != e]
                held.append(not new)
                if any(_key(e) in self._want or fresh.get(_key(e), e) != e for e in new):
                    taken = taken or KernelError(errno.EEXIST, str(rule))
                fresh.update((_key(e), e) for e in new)
            refusal = taken or self._take(fresh)
            if refusal is None:
                return ["held" if was else "made" for was in held]
            return [
                "held" if was else KernelError(refusal.errno, str(rule), refusal.text)
                for rule, was in zip(rules, held, strict=True)
            ]

    def _take(self, fresh: dict[Key, Element]) -> KernelError | None:
        self._want.update(fresh)
        try:
            if self._loaded:
                self._change(add=fresh)
            else:
                self._load()
        except KernelError as refused:
            for key in fresh:
                del self._want[key]
            return refused
        return None

    def remove(self, rules: Sequence[Rule]) -> list[KernelError]:
        """Make *rules* untrue in one transaction.  What does not hold, or holds with another value, is left."""
        with self._lock:
            gone = {_key(e): e for rule in rules for e in elements(rule) if self._want.get(_key(e)) == e}
            for key in gone:
                del self._want[key]
            if not self._loaded:
                return []
            try:
                self._change(delete=gone)
            except KernelError as refused:
                return [refused]
            return []

    def missing(self, rules: Sequence[Rule]) -> list[Rule]:
        """Those of *rules* that do not hold in the kernel, in order."""
        with self._lock:
            wanted = [(rule, elements(rule)) for rule in rules]
            names = {(e.family, e.set) for _, them in wanted for e in them}
            there = {name: self._tables.present(*name) for name in names}

            def holds(element: Element) -> bool:
                key, value = encoded(element)
                return there[element.family, element.set].get(key) == value

            return [rule for rule, them in wanted if not all(map(holds, them))]

    def guard(self, rules: Sequence[Rule], former: Sequence[str] = ()) -> None:
        """Replace the whole rule set by ours with exactly *rules*, in one transaction, and keep it so.  Tables
        under *former* names go with it, unless a living process has them."""
        with self._lock:
            before = self._want
            self._want = {_key(e): e for rule in rules for e in elements(rule)}
            try:
                self._load([name for name in former if self._tables.inherit(name)])
            except KernelError:
                self._want = before
                raise

    def on_repair(self, tell: Callable[[str], None]) -> None:
        """Call *tell* with a sentence each time the rule set had to be put back."""
        self._tell = tell

    def lines(self) -> list[str]:
        """Our elements as `nft` lines, sorted."""
        with self._lock:
            table = self._tables.table
            wanted = list(self._want.values())
        return sorted(f"nft add element {e.family} {table} {e.set} '{{ {e.body} }}'" for e in wanted)

    def foreign_drops(self) -> list[str]:
        """The forward chains of others whose policy is drop, as "ip filter FORWARD": they overrule our accept.

        Chains of the legacy iptables are not among them: nftables does not see those.
        """
        with self._lock:
            return self._tables.foreign_drops()

    def close(self) -> None:
        """Give back the thread and the sockets.  The rule set stays as it is."""
        self._closing.set()
        self._watch.close()
        with self._lock:
            self._tables.close()

    def _load(self, former: Sequence[str] = ()) -> None:
        # Before the first load, so that nothing after it goes unheard.
        self._watch.start()
        if not self._loaded:
            self._tables.keep_translating()
        self._generation = self._tables.load(self._want.values(), former)
        self._loaded = True

    def _change(self, add: dict[Key, Element] | None = None, delete: dict[Key, Element] | None = None) -> None:
        try:
            self._tables.change((add or {}).values(), (delete or {}).values())
        except KernelError as refused:
            if refused.errno not in _NOT_AS_LEFT:
                raise
            self._load()

    def _look(self, change: Change) -> None:
        while not self._closing.wait(self._patience()):
            with self._lock:
                if change.generation and change.generation == self._generation:
                    return
                try:
                    wrong = self._tables.difference(self._want.values())
                    if wrong:
                        self._load()
                    else:
                        self._tables.remember_user()
                    failed = None
                except KernelError as refused:
                    failed = refused
                count = len(self._want)
            if failed is None and not wrong:
                return
            self._count_repair()
            who = f"{change.process or 'somebody'} (pid {change.pid})"
            table = f"the rule set of table {self._tables.table} was changed by {who}"
            if failed is None:
                self._tell(f"{table}: {wrong}; it is back, whole, with {count} elements")
                return
            self._tell(f"{table} and is not back yet: {failed}")

    def _count_repair(self) -> None:
        now = time.monotonic()
        self._repairs = self._repairs + 1 if now - self._repaired < _CALM + self._patience() else 1
        self._repaired = now

    def _patience(self) -> float:
        soon = self._repairs - _PATIENT_AFTER
        if soon < 0 or time.monotonic() - self._repaired > _CALM + _LONGEST_WAIT:
            return 0.0
        return float(min(_LONGEST_WAIT, 0.1 * 2 ** min(soon, 10)))
