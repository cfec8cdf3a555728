"""A kernel for dry runs: it answers questions as the one behind it does, and writes down what it is asked to do."""

from collections.abc import Callable, Collection, Iterable, Sequence

from bascule.kernel.protocol import Kernel, Outcome
from bascule.model.addresses import IPAddress, IPInterface
from bascule.model.cluster import Seal
from bascule.model.endpoint import Proto
from bascule.model.errors import KernelError
from bascule.model.hostlink import HostLink
from bascule.model.spans import Span
from bascule.model.thing import Rule, Thing
from bascule.model.typed import made, unmade


class Rehearsal:
    """*lines* are what one would type for all that this was asked to make and unmake; *kernel* is only read."""

    def __init__(self, kernel: Kernel, table: str, ours: Collection[tuple[Proto, int]] = ()) -> None:
        """Firewall elements are those of *table*.  No port in *ours* is held by anybody: who may have it of us, the
        engine knows, and the proxy that listens on it would let go."""
        self.lines: list[str] = []
        self._kernel = kernel
        self._table = table
        self._ours = ours

    def add(self, things: Sequence[Thing]) -> list[Outcome]:
        self.lines += made(self.as_made(things), self._table)
        return ["made"] * len(things)

    def remove(self, things: Sequence[Thing]) -> list[KernelError]:
        self.lines += unmade(things[::-1], self._table)
        return []

    def missing(self, things: Sequence[Thing]) -> list[Thing]:
        return self._kernel.missing(things)

    def strays(self, things: Sequence[Thing]) -> list[Thing]:
        return self._kernel.strays(things)

    def as_made(self, things: Sequence[Thing]) -> list[Thing]:
        return self._kernel.as_made(things)

    def seals(self) -> tuple[Seal, ...]:
        return self._kernel.seals()

    def underlay(self, address: IPAddress) -> int:
        return self._kernel.underlay(address)

    def answers(self, address: IPAddress, port: int) -> bool:
        return self._kernel.answers(address, port)

    def reach(self, address: IPAddress, most: int) -> int:
        return self._kernel.reach(address, most)

    def guard(self, rules: Sequence[Rule], former: Sequence[str] = ()) -> None:
        """The rule set is whole already."""

    def sweep(self, keep: Iterable[Thing]) -> list[str]:  # noqa: ARG002 -- the protocol's word
        """Nothing: what a crash left is the next start's."""
        return []

    def routes(self) -> list[Span]:
        return self._kernel.routes()

    def links(self) -> dict[str, str]:
        return self._kernel.links()

    def host_links(self) -> dict[str, HostLink]:
        return self._kernel.host_links()

    def below(self, ns: str, link: str) -> int:
        return self._kernel.below(ns, link)

    def on_links(self, tell: Callable[[Collection[str]], None]) -> None:
        """It is over before anything changes."""

    def addresses(self, ns: str, link: str) -> list[IPInterface]:
        return self._kernel.addresses(ns, link)

    def await_address(self, ns: str, link: str, seconds: float) -> bool:  # noqa: ARG002
        """Whatever comes, comes."""
        return True

    def nature(self, link: str) -> str:
        return self._kernel.nature(link)

    def who_has(self, link: str, addresses: Sequence[IPAddress], but: Collection[str]) -> dict[IPAddress, str]:  # noqa: ARG002
        """Nobody is asked."""
        return {}

    def announce(self, ns: str, link: str, addresses: Sequence[IPAddress]) -> None:
        """Nobody is told."""

    def port_holder(self, proto: Proto, host: IPAddress, port: int) -> str | None:
        return None if (proto, port) in self._ours else self._kernel.port_holder(proto, host, port)

    def forget_flows(self, addresses: Sequence[IPAddress]) -> None:
        """No line: conntrack's entries go with the endpoint, and there may be none."""

    def settle(self) -> None:
        """Nothing was removed."""

    def on_repair(self, tell: Callable[[str], None]) -> None:
        """Nothing is put back."""

    def dump(self) -> str:
        return "\n".join(self.lines)

    def close(self) -> None:
        """The kernel behind this one stays open."""
