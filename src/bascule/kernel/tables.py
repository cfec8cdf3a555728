"""Our two tables as the kernel has them: loading them, changing elements, telling what differs.

The rule set is loaded as text (readable, rare: milliseconds); elements go as raw messages (hundredths of a
millisecond, the hot path of every attach).  That the rules are still ours is told by their handles, which the
kernel never gives twice; they are noted right behind each load and held against `nft.CHAINS`.
"""

import errno
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bascule.kernel import nft, nftsets
from bascule.kernel.libnftables import Libnftables
from bascule.kernel.netfilter import Netfilter
from bascule.model.errors import Failed, KernelError
from bascule.model.firewall import Element
from bascule.wire import nftelements as wire
from bascule.wire.nfnetlink import FAMILY, GETCHAIN, GETSET, GETTABLE, NLM_F_DUMP, attrs, message, string
from bascule.wire.nftelements import Encoded, Listed, ListedRule

Name = tuple[nftsets.TableFamily, str]
log = logging.getLogger(__name__)

# The kernel translates connections, also those that run, as long as there is any nat chain, and knows them as long
# as any rule asks about them (net/netfilter/nf_nat_core.c: nf_nat_register_fn; nf_conntrack_proto.c:
# nf_ct_netns_get).  Without that a packet of theirs is answered by a reset.
_KEPT = """\
table inet {table}-kept {{
	flags owner
	comment "translated connections outlive a flush"
	chain nat {{
		type nat hook postrouting priority srcnat
		ct status snat,dnat accept
	}}
}}
"""
_DROP = 0
_FORWARD_HOOK = 2
_WORD = {number: word for word, number in FAMILY.items()}
_OURS = {(FAMILY[family], name): declared.kind for (family, name), declared in nftsets.SETS.items()}
_OUR_CHAINS = {(FAMILY[chain.family], chain.name) for chain in nft.CHAINS}
_COMMENTS = {(FAMILY[c.family], c.name): [purpose for _, purpose in c.rules] for c in nft.CHAINS}


def encoded(element: Element) -> Encoded:
    """An element's key and value as the kernel writes them."""
    declared = nftsets.SETS[element.family, element.set]
    return wire.encode(declared.key, element.key), wire.encode(declared.value, element.value)


def is_users(name: str) -> bool:
    """Whether a chain or set of this name is the administrator's."""
    return name.startswith(nft.USER)


@dataclass(frozen=True, slots=True)
class Shape:
    """All of our tables but the elements and what is the administrator's."""

    tables: frozenset[tuple[int, bytes]]
    names: frozenset[Listed]
    rules: tuple[ListedRule, ...]

    def broken(self) -> str:
        """What is not as `nft.CHAINS` and `nftsets.SETS` say, in words; "" if nothing."""
        there = {(listed.family, listed.name) for listed in self.names if listed.kind == "chain"}
        for family, name in sorted(_OUR_CHAINS - there):
            return f"chain {name} of table {_WORD[family]} is gone"
        sets = {(listed.family, listed.name): listed.kind for listed in self.names}
        for (family, name), kind in _OURS.items():
            if sets.get((family, name)) != kind:
                return f"{kind} {name} of table {_WORD[family]} is gone"
        for (family, name), purposes in _COMMENTS.items():
            found = [rule.comment for rule in self.rules if (rule.family, rule.chain) == (family, name)]
            if found != purposes:
                return f"the rules of chain {name} of table {_WORD[family]} were changed"
        return ""


class Tables:
    """`inet` and `bridge` *table*, in the namespace of the thread that makes this.  The caller holds a lock."""

    def __init__(self, table: str) -> None:
        self.table = table
        self._nft = Libnftables()
        self._raw = Netfilter()
        self._shape: Shape | None = None
        self._user = ""
        self.portid = self._raw.portid

    def load(self, elements: Iterable[Element], former: Iterable[str] = ()) -> int:
        """Exactly our rule set with exactly *elements*, in one transaction.

        The administrator's chain keeps its rules, and has its last seen ones again where it was lost.  The
        generation that this made, or 0 where others changed something meanwhile.  Tables under *former* names go.
        """
        elements = tuple(elements)
        gone = "".join(nft.without_table(name) for name in former)
        listed = self._listed()
        lost = not any(x.kind == "chain" and x.name == nft.USER for x in self._listed(user=True))
        strangers = tuple(_leftover(x) for x in listed if not _is_ours(x))
        everything = tuple(_leftover(x) for x in listed)
        user = self._user if lost else ""
        # An earlier version may have given a name of ours another type or hook: then all goes and comes anew.
        # An administrator's rule may need what only he can bring back: then ours come without it.
        tries = [(strangers, user), (everything, user), *([(everything, "")] if user else [])]
        what = f"load the rule set of table {self.table}"
        before = self._raw.generation()
        for leftovers, text in tries:
            try:
                self._nft.run(nft.ruleset(self.table, elements, leftovers, text) + gone, what)
                break
            except KernelError as refused:
                refusal = refused
        else:
            raise refusal
        shape = self._seen()
        if not lost:
            self.remember_user()
        generation = self._raw.generation()
        alone = generation == before + 1
        self._shape = shape if alone else None
        return generation if alone else 0

    def inherit(self, former: str) -> bool:
        """Remember the administrator's chains in the tables *former* as if they had been in ours, where nothing is
        known of ours.  False where another process has those tables."""
        other = Tables(former)
        try:
            other.keep_translating()
            other.remember_user()
        except Failed:
            return False
        finally:
            other.close()
        self._user = self._user or nft.renamed(other._user, former, self.table)
        return True

    def keep_translating(self) -> None:
        """Whoever flushes the rule set, connections that are translated run on: one empty chain stays, in a table
        that only this process can take away, and that goes with it.  Raises Failed where another process has that
        table: it is another engine's."""
        try:
            self._nft.run(_KEPT.format(table=self.table), "keep a chain that nobody flushes")
        except KernelError as refused:
            if refused.errno == errno.EPERM:
                raise Failed(
                    f"the firewall's table {self.table} is another daemon's in this network namespace: each needs a"
                    " --bridge of its own"
                ) from refused
            # Linux before 5.12 knows no owners of tables.
            log.warning("a flush of the rule set will cost the connections that are translated: %s", refused)

    def change(self, add: Iterable[Element] = (), delete: Iterable[Element] = ()) -> None:
        """Elements come and go in one transaction.  KernelError: nothing did."""
        requests: list[bytes] = []
        for (family, name), keys in _by_set(delete).items():
            requests += wire.delete(family, self.table, name, (key for key, _ in keys))
        for (family, name), new in _by_set(add).items():
            verdict = nftsets.SETS[family, name].value == ("verdict",)
            requests += wire.add(family, self.table, name, new, verdict=verdict)
        if requests:
            self._raw.transact(requests, f"change elements of table {self.table}")

    def difference(self, want: Iterable[Element]) -> str:
        """What is not as it should be, in words; "" if nothing is."""
        seen = self._seen()
        broken = seen.broken()
        if broken:
            return broken
        if self._shape is None:
            self._shape = seen
        if seen != self._shape:
            return "rules, chains or sets were changed"
        wanted: dict[Name, dict[bytes, bytes]] = {name: {} for name in nftsets.SETS}
        wanted.update((name, dict(elements)) for name, elements in _by_set(want).items())
        for name, there in wanted.items():
            if self.present(*name) != there:
                return f"elements of {nftsets.SETS[name].kind} {name[1]} of table {name[0]} were changed"
        return ""

    def present(self, family: nftsets.TableFamily, name: str) -> Mapping[bytes, bytes]:
        """The elements of one set as they are."""
        request = wire.list_elements(family, self.table, name)
        return dict(
            element
            for answer in self._raw.dump(request, f"list set {name} of table {self.table}")
            for element in wire.elements(answer)
        )

    def remember_user(self) -> None:
        """Note the administrator's chains and sets as they are now, to bring them back if they are lost."""
        theirs = [x for x in self._listed(user=True) if x.kind]
        if not any(x.kind == "chain" and x.name == nft.USER for x in theirs):
            return
        rules = [rule for rule in self._rules() if is_users(rule.chain)]
        if not rules and len(theirs) == 1:
            self._user = ""
            return
        chains = [x for x in theirs if x.kind == "chain"]
        # Chains first and empty, because rules and verdict maps may name any of them.
        lines = [f"add chain {_WORD[x.family]} {self.table} {x.name}" for x in chains]
        for x in sorted(theirs, key=lambda x: x.kind == "chain"):
            what = f"list {x.kind} {_WORD[x.family]} {self.table} {x.name}"
            lines.append(self._nft.run(what, what))
        self._user = "\n".join(lines)

    def foreign_drops(self) -> list[str]:
        """The chains of other tables that drop what nobody accepts on its way through this host."""
        chains = map(wire.chain, self._raw.dump(message(GETCHAIN, 0, flags=NLM_F_DUMP), "list chains"))
        return [
            f"{_WORD.get(chain.family, chain.family)} {chain.table} {chain.name}"
            for chain in chains
            if chain.hook == _FORWARD_HOOK
            and chain.policy == _DROP
            and chain.chain_type == "filter"
            and chain.table != self.table
            and chain.family in (FAMILY["ip"], FAMILY["ip6"], FAMILY["inet"])
        ]

    def close(self) -> None:
        """Give back both sockets."""
        self._nft.close()
        self._raw.close()

    def _listed(self, *, user: bool = False) -> list[Listed]:
        found = []
        for family in nftsets.TABLES:
            for kind, read in ((GETCHAIN, wire.chain), (GETSET, wire.set_)):
                request = message(kind, FAMILY[family], flags=NLM_F_DUMP)
                found += [read(answer) for answer in self._raw.dump(request, "list chains and sets")]
        return [x for x in found if x.table == self.table and x.kind and is_users(x.name) == user]

    def _rules(self) -> list[ListedRule]:
        return [
            wire.rule(answer)
            for family in nftsets.TABLES
            for answer in self._raw.dump(wire.list_rules(family, self.table), f"list rules of table {self.table}")
        ]

    def _seen(self) -> Shape:
        tables = set()
        for family in nftsets.TABLES:
            for answer in self._raw.dump(message(GETTABLE, FAMILY[family], flags=NLM_F_DUMP), "list tables"):
                found = dict(attrs(answer.body))
                if string(found.get(1, b"")) == self.table:
                    # Flags: a dormant table judges nothing.
                    tables.add((answer.family, found.get(2, b"")))
        rules = tuple(rule for rule in self._rules() if not is_users(rule.chain))
        return Shape(frozenset(tables), frozenset(self._listed()), rules)


def _leftover(listed: Listed) -> nft.Leftover:
    family: nftsets.TableFamily = "inet" if listed.family == FAMILY["inet"] else "bridge"
    kind: nftsets.Kind = "chain" if listed.kind == "chain" else "map" if listed.kind == "map" else "set"
    return nft.Leftover(family, kind, listed.name)


def _is_ours(listed: Listed) -> bool:
    at = (listed.family, listed.name)
    return at in _OUR_CHAINS if listed.kind == "chain" else _OURS.get(at) == listed.kind


def _by_set(elements: Iterable[Element]) -> dict[Name, list[Encoded]]:
    found: dict[Name, list[Encoded]] = {}
    for element in elements:
        found.setdefault((element.family, element.set), []).append(encoded(element))
    return found
