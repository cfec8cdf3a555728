"""The firewall as it should be, kept so: elements in memory, the rule set in the kernel.

The store holds the intent; `guard` says what it is, `add` and `remove` keep count of it here.
"""

import errno
import threading
from collections.abc import Callable, Iterable, Sequence

from bascule.kernel import nft
from bascule.kernel.libnftables import Libnftables
from bascule.kernel.protocol import Outcome
from bascule.model.errors import KernelError
from bascule.model.firewall import Element, Rule, elements

Key = tuple[str, str, tuple[str, ...]]


def _key(element: Element) -> Key:
    return (element.family, element.set, element.key)


class Firewall:
    """Our two tables, `inet` and `bridge` *table*, in the namespace of the thread that makes this."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._lock = threading.RLock()
        self._want: dict[Key, Element] = {}
        self._loaded = False
        self._nft = Libnftables()
        self._tell: Callable[[str], None] = lambda _sentence: None

    def add(self, rules: Sequence[Rule]) -> list[Outcome]:
        """Make *rules* true in one transaction: all of them, or where one is refused none, each with the refusal.

        What already holds is "held".  The first call sets up the rule set.
        """
        with self._lock:
            self._load_once()
            fresh: dict[Key, Element] = {}
            held = []
            for rule in rules:
                new = [e for e in elements(rule) if self._want.get(_key(e)) != e]
                held.append(not new)
                taken = next((e for e in new if _key(e) in self._want or fresh.get(_key(e), e) != e), None)
                if taken is not None:
                    return self._outcomes(held, rules, KernelError(errno.EEXIST, str(rule)))
                fresh.update((_key(e), e) for e in new)
            try:
                self._send("add", fresh.values())
            except KernelError as refusal:
                return self._outcomes(held, rules, refusal)
            self._want.update(fresh)
            return self._outcomes(held, rules, "made")

    @staticmethod
    def _outcomes(held: list[bool], rules: Sequence[Rule], other: Outcome) -> list[Outcome]:
        known = [*held, *(False for _ in rules[len(held) :])]
        return ["held" if was else other for was in known]

    def remove(self, rules: Sequence[Rule]) -> list[KernelError]:
        """Make *rules* untrue in one transaction.  What does not hold, or holds with another value, is left."""
        with self._lock:
            gone = {_key(e): e for rule in rules for e in elements(rule) if self._want.get(_key(e)) == e}
            for key in gone:
                del self._want[key]
            if not self._loaded:
                return []
            try:
                self._send("delete", gone.values())
            except KernelError as refusal:
                return [refusal]
            return []

    def missing(self, rules: Sequence[Rule]) -> list[Rule]:
        """Those of *rules* that do not hold, in order."""
        with self._lock:
            return [rule for rule in rules if any(self._want.get(_key(e)) != e for e in elements(rule))]

    def guard(self, rules: Sequence[Rule]) -> None:
        """Replace the whole rule set by ours with exactly *rules*, in one transaction."""
        with self._lock:
            self._want = {_key(e): e for rule in rules for e in elements(rule)}
            self._load()

    def on_repair(self, tell: Callable[[str], None]) -> None:
        """Call *tell* with a sentence each time the rule set had to be put back."""
        self._tell = tell

    def lines(self) -> list[str]:
        """Our elements as `nft` lines, sorted."""
        with self._lock:
            return sorted(f"nft {nft.element_line(self._table, e)}" for e in self._want.values())

    def close(self) -> None:
        """Give back what this holds of the process.  The rule set stays."""
        with self._lock:
            self._nft.close()

    def _load_once(self) -> None:
        if not self._loaded:
            self._load()

    def _load(self) -> None:
        text = nft.ruleset(self._table, self._want.values())
        self._nft.run(text, f"load the rule set of table {self._table}")
        self._loaded = True

    def _send(self, verb: str, batch: Iterable[Element]) -> None:
        text = "".join(nft.element_line(self._table, e).replace("add", verb, 1) + "\n" for e in batch)
        if text:
            self._nft.run(text, f"nft {verb} elements of table {self._table}")
