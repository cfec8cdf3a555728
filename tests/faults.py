"""Crashing between every two steps: a kernel and a store that stand before real ones and count.

A step is a thing made or unmade, and a transaction, each with the moment before and the moment after it.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from bascule.kernel.protocol import Kernel, Outcome
from bascule.model.addresses import IPAddress, IPInterface
from bascule.model.cluster import Seal
from bascule.model.endpoint import Proto
from bascule.model.errors import KernelError
from bascule.model.hostlink import HostLink
from bascule.model.spans import Span
from bascule.model.thing import Rule, Thing
from bascule.store.protocol import Storable, Store, T


class Crash(BaseException):
    """The process ended here.  No code of ours catches it, as none could catch a kill."""


def crash() -> None:
    raise Crash


@dataclass
class Countdown:
    """Calls *end* when the *left*-th step comes; None counts on for ever."""

    left: int | None = None
    end: Callable[[], None] = crash
    passed: int = 0

    def step(self) -> None:
        if self.left is not None and self.passed >= self.left:
            self.end()
        self.passed += 1


class FaultyKernel:
    """*inner*, one thing at a time, with a step before each and one after the last."""

    def __init__(self, inner: Kernel, countdown: Countdown) -> None:
        self.inner = inner
        self._countdown = countdown

    def add(self, things: Sequence[Thing]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for thing in things:
            self._countdown.step()
            outcomes += self.inner.add([thing])
        self._countdown.step()
        return outcomes

    def remove(self, things: Sequence[Thing]) -> list[KernelError]:
        refusals: list[KernelError] = []
        for thing in things:
            self._countdown.step()
            refusals += self.inner.remove([thing])
        self._countdown.step()
        return refusals

    def missing(self, things: Sequence[Thing]) -> list[Thing]:
        return self.inner.missing(things)

    def strays(self, things: Sequence[Thing]) -> list[Thing]:
        return self.inner.strays(things)

    def as_made(self, things: Sequence[Thing]) -> list[Thing]:
        return self.inner.as_made(things)

    def seals(self) -> tuple[Seal, ...]:
        return self.inner.seals()

    def underlay(self, address: IPAddress) -> int:
        return self.inner.underlay(address)

    def answers(self, address: IPAddress, port: int) -> bool:
        return self.inner.answers(address, port)

    def reach(self, address: IPAddress, most: int) -> int:
        return self.inner.reach(address, most)

    def guard(self, rules: Sequence[Rule], former: Sequence[str] = ()) -> None:
        self._countdown.step()
        self.inner.guard(rules, former)
        self._countdown.step()

    def sweep(self, keep: Iterable[Thing]) -> list[str]:
        self._countdown.step()
        return self.inner.sweep(keep)

    def routes(self) -> list[Span]:
        return self.inner.routes()

    def links(self) -> dict[str, str]:
        return self.inner.links()

    def host_links(self) -> dict[str, HostLink]:
        return self.inner.host_links()

    def below(self, ns: str, link: str) -> int:
        return self.inner.below(ns, link)

    def on_links(self, tell: Callable[[Collection[str]], None]) -> None:
        self.inner.on_links(tell)

    def addresses(self, ns: str, link: str) -> list[IPInterface]:
        return self.inner.addresses(ns, link)

    def await_address(self, ns: str, link: str, seconds: float) -> bool:
        return self.inner.await_address(ns, link, seconds)

    def nature(self, link: str) -> str:
        return self.inner.nature(link)

    def who_has(self, link: str, addresses: Sequence[IPAddress], but: Collection[str]) -> dict[IPAddress, str]:
        return self.inner.who_has(link, addresses, but)

    def announce(self, ns: str, link: str, addresses: Sequence[IPAddress]) -> None:
        self.inner.announce(ns, link, addresses)

    def port_holder(self, proto: Proto, host: IPAddress, port: int) -> str | None:
        return self.inner.port_holder(proto, host, port)

    def forget_flows(self, addresses: Sequence[IPAddress]) -> None:
        self._countdown.step()
        self.inner.forget_flows(addresses)

    def settle(self) -> None:
        self.inner.settle()

    def on_repair(self, tell: Callable[[str], None]) -> None:
        self.inner.on_repair(tell)

    def dump(self) -> str:
        return self.inner.dump()

    def close(self) -> None:
        self.inner.close()


class FaultyStore:
    """*inner*, with a step before and after each transaction."""

    def __init__(self, inner: Store, countdown: Countdown) -> None:
        self._inner = inner
        self._countdown = countdown

    def all(self, kind: type[T]) -> list[T]:
        return self._inner.all(kind)

    def get(self, kind: type[T], ident: str) -> T | None:
        return self._inner.get(kind, ident)

    def where(self, kind: type[T], field: str, value: str) -> list[T]:
        return self._inner.where(kind, field, value)

    def commit(self, put: Sequence[Storable] = (), delete: Sequence[Storable] = ()) -> None:
        self._countdown.step()
        self._inner.commit(put, delete)
        self._countdown.step()

    def close(self) -> None:
        self._inner.close()
