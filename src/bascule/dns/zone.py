"""Who is that?  Names to records, as one resolver knows them.  Pure: no sockets, no clock, no chance.

A network is a table of bare names and addresses; `name.network` is looked up by taking the network's own name off
the end, so a name is stored once and a member comes and goes at the cost of its own names, however many there are.
Keys are lower-case wire names: what arrives in a query is looked up as it is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from bascule.wire.dns import AAAA, ANY, PTR, A, Malformed, reversed_address, to_wire

Records = list[tuple[int, bytes]]
"""(kind, record data) pairs."""


class Verdict(Enum):
    NOWHERE = "it is a name of ours that this asker may not see, or that nobody has: NXDOMAIN, asked nowhere else"
    FORWARD = "it is none of ours"


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """An endpoint: lower-case wire names, packed addresses, and the name that a PTR query gets, in its own case."""

    endpoint: str
    names: tuple[bytes, ...]
    addresses: tuple[bytes, ...]
    pointer: bytes


def member(endpoint: str, names: Sequence[str], addresses: Sequence[bytes]) -> Member:
    """A Member from text.  Names that DNS cannot carry are left out: nobody can ask for them."""
    wires = [wire for name in names if (wire := _wire(name))]
    return Member(
        endpoint, tuple(dict.fromkeys(w.lower() for w in wires)), tuple(addresses), wires[0] if wires else b""
    )


def _wire(name: str) -> bytes:
    try:
        wire = to_wire(name)
    except Malformed:
        return b""
    return wire if wire != b"\0" else b""


def _kind(address: bytes) -> int:
    return A if len(address) == 4 else AAAA


def _single(name: bytes) -> bool:
    """Whether a wire name is one label."""
    return len(name) == name[0] + 2


class Table:
    """One network's names."""

    __slots__ = ("addresses", "members", "name", "names", "suffix", "title")

    def __init__(self, name: str) -> None:
        self.name = name
        self.title = _wire(name)
        self.suffix = self.title.lower()
        self.members: dict[str, Member] = {}
        self.names: dict[bytes, tuple[Member, ...]] = {}
        self.addresses: dict[bytes, Member] = {}

    def at(self, name: bytes) -> tuple[Member, ...]:
        """Those who are called *name* or `name.network` here."""
        found = self.names.get(name)
        if found is None and self.suffix and name.endswith(self.suffix):
            # A cut that is not between two labels leaves no valid name, and so is in no table.
            found = self.names.get(name[: -len(self.suffix)] + b"\0")
        return found or ()

    def add(self, new: Member) -> None:
        self.members[new.endpoint] = new
        for name in new.names:
            self.names[name] = (*self.names.get(name, ()), new)
        for address in new.addresses:
            self.addresses[address] = new

    def remove(self, old: Member) -> None:
        del self.members[old.endpoint]
        for name in old.names:
            left = tuple(m for m in self.names[name] if m is not old)
            if left:
                self.names[name] = left
            else:
                del self.names[name]
        for address in old.addresses:
            # Somebody may have got the address already.
            if self.addresses.get(address) is old:
                del self.addresses[address]


class Directory:
    """All networks, and what is known of them together: so that names of ours are never asked elsewhere."""

    def __init__(self) -> None:
        self.tables: dict[str, Table] = {}
        self._suffixes: dict[bytes, list[Table]] = {}
        self._known: dict[bytes, int] = {}

    def publish(self, network: str, name: str, members: Iterable[Member]) -> None:
        """The network's names are exactly these, and perhaps none."""
        self.forget(network)
        self._table(network, name)
        for one in members:
            self.join(network, name, one)

    def forget(self, network: str) -> None:
        """Not an error if it is not known."""
        table = self.tables.pop(network, None)
        if table is None:
            return
        for one in table.members.values():
            self._count(one, -1)
        same = self._suffixes[table.suffix]
        same.remove(table)
        if not same:
            del self._suffixes[table.suffix]

    def join(self, network: str, name: str, new: Member) -> None:
        """Add a member, or replace it."""
        table = self._table(network, name)
        self.part(network, new.endpoint)
        self._add(table, new)

    def part(self, network: str, endpoint: str) -> None:
        """Take a member out.  Not an error if it is not there."""
        table = self.tables.get(network)
        old = table.members.get(endpoint) if table else None
        if table and old:
            table.remove(old)
            self._count(old, -1)

    def _table(self, network: str, name: str) -> Table:
        """The network's table under this name, with the members it had."""
        old = self.tables.get(network)
        if old and old.name == name:
            return old
        self.forget(network)
        table = self.tables[network] = Table(name)
        self._suffixes.setdefault(table.suffix, []).append(table)
        for one in old.members.values() if old else ():
            self._add(table, one)
        return table

    def _add(self, table: Table, new: Member) -> None:
        table.add(new)
        self._count(new, 1)

    def _count(self, one: Member, by: int) -> None:
        """Keep count of single labels and addresses, over all networks."""
        for key in (*filter(_single, one.names), *map(_address_key, one.addresses)):
            left = self._known.get(key, 0) + by
            if left:
                self._known[key] = left
            else:
                del self._known[key]

    def find(
        self, networks: Sequence[str], links: Mapping[bytes, Sequence[bytes]], name: bytes, kind: int
    ) -> Records | Verdict:
        """What an asker on *networks* with *links* of its own hears for the lower-case wire *name*.

        An empty list: the name is there and has nothing of that kind, which is an answer too.
        """
        tables = [table for network in networks if (table := self.tables.get(network))]
        address = reversed_address(name) if kind == PTR else None
        if address is not None:
            return self._pointer(tables, address)
        wanted = (A, AAAA) if kind == ANY else (kind,)
        known = False
        heard = [links[name]] if name in links else []
        heard += [[a for one in found for a in one.addresses] for table in tables if (found := table.at(name))]
        for addresses in heard:
            known = True
            records = [(_kind(a), a) for a in addresses if _kind(a) in wanted]
            if records:
                return records
        if known:
            return []
        return Verdict.NOWHERE if self._ours(name) else Verdict.FORWARD

    def _pointer(self, tables: Sequence[Table], address: bytes) -> Records | Verdict:
        for table in tables:
            one = table.addresses.get(address)
            if one and one.pointer:
                whole = one.pointer[:-1] + (table.title or b"\0")
                return [(PTR, whole if len(whole) <= 255 else one.pointer)]
        return Verdict.NOWHERE if _address_key(address) in self._known else Verdict.FORWARD

    def _ours(self, name: bytes) -> bool:
        """Whether *name* is known on some network, as a single label or as `name.network`, or is `x.network` of one
        whose names cannot be anybody else's, whatever x is."""
        if name == b"\0":
            return False
        if _single(name):
            return name in self._known
        at = 1 + name[0]
        if name[at:] in self._suffixes and not _public(name[at:]):
            return True
        while name[at]:
            if any(name[:at] + b"\0" in table.names for table in self._suffixes.get(name[at:], ())):
                return True
            at += 1 + name[at]
        return False


def _public(suffix: bytes) -> bool:
    """Whether lower-case wire names that end in *suffix* may be names of the Internet, as `go.dev` on a network
    called dev: a top-level domain is two letters or more and nothing else, or encoded (RFC 1123, 2.1; RFC 5890)."""
    last = suffix[:-1]
    while last[0] + 1 < len(last):
        last = last[last[0] + 1 :]
    label = last[1:]
    return label.startswith(b"xn--") or (len(label) > 1 and label.isalpha())


def _address_key(address: bytes) -> bytes:
    """A key beside wire names in one dictionary: no wire name starts with a length of 255."""
    return b"\xff" + address
