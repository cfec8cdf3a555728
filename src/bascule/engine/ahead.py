"""Before a network is made: which of the addresses that it would give first, or have itself, somebody has already.

Whoever makes a network waits for the answers, so that nobody who is put on it does.
"""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol, Self

from bascule.drivers.parent import HOST, base, detection, host_access, links
from bascule.engine.decide import Decisions
from bascule.engine.intent import Intent
from bascule.kernel.apply import bring_up, take_down
from bascule.kernel.protocol import Kernel
from bascule.model.addresses import IPAddress
from bascule.model.errors import Forbidden
from bascule.model.network import Network
from bascule.model.thing import Thing

COUNT = 16
"""So many addresses of a family are asked for before they are needed."""

WhoHas = Callable[[Network, Sequence[IPAddress]], Mapping[IPAddress, str]]


class Learns(Protocol):
    def __call__(
        self, net: Network, asked: Collection[IPAddress], found: Mapping[IPAddress, str], /
    ) -> Network: ...


class Ahead:
    """What was found out for one network that is about to be, while this is open.  A VLAN that it needs is there
    meanwhile, and goes again where no network came to have it."""

    def __init__(
        self,
        intent: Intent,
        kernel: Kernel,
        decide: Decisions,
        lock: threading.RLock,
        who_has: WhoHas | None,
        learns: Learns,
    ) -> None:
        """Without *who_has* nobody is asked.  *learns* is told what is known of the network that was made."""
        self._intent = intent
        self._kernel = kernel
        self._decide = decide
        self._lock = lock
        self._who_has = who_has
        self._learns = learns
        self._asked: set[IPAddress] = set()
        self._raised: dict[str, list[Thing]] = {}
        self.held: dict[IPAddress, str] = {}
        """The addresses that somebody has, and whose MAC that is."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            for link, things in self._raised.items():
                self._decide.raised.discard(link)
                if all(other.link != link for other in self._intent.networks()):
                    take_down(self._kernel, things)

    def unasked(self, net: Network) -> list[IPAddress]:
        """What is still to be asked for: at first the host's own addresses and the next of the endpoints', then
        what was chosen for the host instead of one that is held."""
        if self._who_has is None or detection(net) == "off":
            return []
        wanted = [pool.aux[HOST] for pool in net.pools] if host_access(net.options) else []
        if not self._asked and detection(net) == "report":
            wanted += self._decide.addressing.ahead(net, COUNT)
        return [address for address in wanted if address not in self._asked]

    def ask(self, net: Network, addresses: Sequence[IPAddress]) -> None:
        """Find out who has *addresses*.  Raises Forbidden where the user chose one for the host that is held."""
        if self._who_has is None:
            return
        self._raise(net)
        self.held.update(self._who_has(net, addresses))
        self._asked.update(addresses)
        for asked in net.asked:
            mine = asked.aux.get(HOST)
            if mine in self.held and mine in addresses:
                raise Forbidden(f"address {mine} ({HOST}) is in use on {net.link} by {self.held[mine]}")

    def made(self, net: Network) -> Network:
        """*net* is the one that was made."""
        return self._learns(net, self._asked, self.held) if self._asked else net

    def _raise(self, net: Network) -> None:
        """The VLAN that is to be the parent is there."""
        if base(net) == net.link or net.link in self._raised:
            return
        with self._lock:
            things = list(links(net, net.driver))
            bring_up(self._kernel, self._kernel.missing(things))
            self._raised[net.link] = things
            self._decide.raised.add(net.link)
