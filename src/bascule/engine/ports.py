"""Host ports: which ones a sandbox's published ports get.  A conflict is found here, before anything changes."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from bascule.model.addresses import IPAddress
from bascule.model.endpoint import PortSpec, Proto, PublishedPort
from bascule.model.errors import Failed

ANY: tuple[IPAddress, IPAddress] = (IPv4Address(0), IPv6Address(0))
Holder = Callable[[Proto, IPAddress, int], str | None]


@dataclass(frozen=True, slots=True)
class Taken:
    """A host port one of our own endpoints has, and whose it is."""

    port: PublishedPort
    owner: str


class Ports:
    """Decides host ports.  It remembers only where its last search for an ephemeral port ended, so that a port
    just given back is not the next one handed out (S13)."""

    def __init__(self, ephemeral: tuple[int, int], holder: Holder) -> None:
        self._first, self._last = ephemeral
        self._next = self._first
        self._holder = holder

    def decide(
        self, asked: Iterable[PortSpec], default: IPAddress | None, taken: Iterable[Taken]
    ) -> tuple[PublishedPort, ...]:
        """A host port for each of *asked*; those without an address get *default*, or every address of both
        families under one number.  Raises Failed, naming who holds the port."""
        book = {(t.port.proto, t.port.host_port): [] for t in taken}  # type: dict[tuple[Proto, int], list[Taken]]
        for t in taken:
            book[t.port.proto, t.port.host_port].append(t)
        decided: list[PublishedPort] = []
        for spec in asked:
            chosen = hosts(spec.host, default)
            number = self._pick(spec, chosen, book)
            for host in chosen:
                port = PublishedPort(spec.port, spec.proto, host, number)
                decided.append(port)
                book.setdefault((spec.proto, number), []).append(Taken(port, "this container"))
        return tuple(decided)

    def _pick(
        self,
        spec: PortSpec,
        at: tuple[IPAddress, ...],
        book: dict[tuple[Proto, int], list[Taken]],
    ) -> int:
        first, last = spec.host_ports or (0, 0)
        if spec.host_ports and first == last:
            if why := self._conflict(spec.proto, at, first, book):
                raise Failed(why)
            return first
        for number in self._candidates(spec.host_ports):
            if self._conflict(spec.proto, at, number, book) is None:
                if not spec.host_ports:
                    self._next = number + 1
                return number
        raise Failed("all ports are allocated")

    def _candidates(self, wanted: tuple[int, int] | None) -> Iterator[int]:
        if wanted:
            yield from range(wanted[0], wanted[1] + 1)
            return
        start = self._next if self._first <= self._next <= self._last else self._first
        yield from range(start, self._last + 1)
        yield from range(self._first, start)

    def _conflict(
        self,
        proto: Proto,
        at: tuple[IPAddress, ...],
        number: int,
        book: dict[tuple[Proto, int], list[Taken]],
    ) -> str | None:
        for host in at:
            shown = f"[{host}]" if host.version == 6 else str(host)
            for other in book.get((proto, number), ()):
                if _collide(host, other.port.host):
                    return f"Bind for {shown}:{number} failed: port is already allocated (by {other.owner})"
            bind = f"failed to bind host port {shown}:{number}/{proto}"
            try:
                holder = self._holder(proto, host, number)
            except Failed as refusal:
                raise Failed(f"{bind}: {refusal}") from refusal
            if holder:
                return f"{bind}: address already in use by {holder}"
        return None


def hosts(host: IPAddress | None, default: IPAddress | None) -> tuple[IPAddress, ...]:
    """The host's addresses that a port asked for at *host* is published at."""
    host = host or default
    # 0.0.0.0 written out means IPv4 only; only "no address" and an unset default mean both.
    return (host,) if host is not None else ANY


def _collide(one: IPAddress, other: IPAddress) -> bool:
    return one.version == other.version and (one == other or int(one) == 0 or int(other) == 0)
