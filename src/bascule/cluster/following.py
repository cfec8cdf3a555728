"""The endpoints of one network, as all hosts tell of them: hearing of those elsewhere, and telling of our own.

Both compare what should be with what is, so it does not matter what was missed, or how often it is done.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from threading import Lock

from bascule.cluster import told
from bascule.cluster.commons import Commons
from bascule.cluster.lawful import doubled, fault, holders
from bascule.drivers import service
from bascule.engine.shared import Shared
from bascule.model.cluster import Membership, Remote
from bascule.model.endpoint import Endpoint
from bascule.store.protocol import Storable

log = logging.getLogger("bascule.cluster")
# A transaction of etcd's has 128 operations.
_AT_ONCE = 100


def record(ep: Endpoint, me: Membership) -> Remote:
    """What others are told of an endpoint of ours."""
    return Remote(
        id=ep.id,
        network=ep.network,
        node=me.id,
        epoch=me.epoch,
        generation=ep.created,
        name=ep.name,
        via=me.address,
        addresses=tuple(address.ip for address in ep.addresses),
        mac=ep.mac,
        dns_names=ep.dns_names,
        service=service.name(ep.spec.options),
    )


class Following:
    """From its making until `close` the store's records of *network* are in memory.  Raises Unavailable."""

    def __init__(self, common: Commons, shared: Shared, network: str, changed: Callable[[], None]) -> None:
        self.network = network
        self.me = common.me.id
        self._common = common
        self._shared = shared
        self._lock = Lock()
        self._heard: set[str] = set()
        self._told: set[str] = set()
        self._wrong: set[str] = set()
        """Records that are left out: with another one's change they may be right."""
        self.records = told.store(common.etcd, network, common.me.id)

        def tell(put: Sequence[Storable], gone: Sequence[Storable]) -> None:
            with self._lock:
                self._heard.update(one.id for one in (*put, *gone))
            changed()

        self.records.on_change(tell)
        self.all_again()

    def close(self) -> None:
        self.records.close()

    def all_again(self) -> None:
        """The next `hear` looks at everything."""
        with self._lock:
            self._heard.update(one.id for one in self.records.all(Remote))
            self._heard.update(one.id for one in self._shared.remotes(self.network))

    # ---- others'

    def hear(self) -> bool:
        """The engine knows what has changed of endpoints elsewhere.  Whether records of our own were among it."""
        with self._lock:
            heard, self._heard = self._heard, set()
        if not heard:
            return False
        heard |= self._wrong
        me = self._common.me.id
        found = {ident: self.records.get(Remote, ident) for ident in heard}
        others = [one for one in found.values() if one is not None and one.node != me]
        wrong, out = self.faults(others), self._common.out()
        self._wrong = set(wrong)
        known = {one.id: one for one in self._shared.remotes(self.network) if one.id in heard}
        put = [one for one in others if one.id not in wrong and one.node not in out]
        there = {one.id for one in put}
        self._shared.learn(self.network, put, [one for ident, one in known.items() if ident not in there])
        self._warn(wrong)
        return any(one is None or one.node == me for one in found.values())

    def faults(self, others: Iterable[Remote]) -> dict[str, str]:
        """Those of *others* that cannot be, by id, and why."""
        net = self._shared.network(self.network)
        if net is None:
            return {}
        nodes = self._common.nodes()
        own, asked = self._shared.endpoints(net.id), list(others)
        here: dict[object, Endpoint] = {a.ip: ep for ep in own for a in ep.addresses}
        wrong = {one.id: why for one in asked if (why := fault(one, net, nodes, here))}
        out = self._common.out()
        right = [one for one in asked if one.id not in wrong and one.node not in out]
        macs = holders([*own, *self._alike(net.id, {one.mac for one in right}), *right])
        return wrong | {one.id: why for one in right if (why := doubled(one, macs))}

    def _alike(self, network: str, macs: Collection[str]) -> list[Remote]:
        """Those known here and still there that have one of *macs*: few of thousands, so looked up last."""
        found = [one for one in self._shared.remotes(network) if one.mac in macs]
        return [one for one in found if self.records.get(Remote, one.id) is not None]

    def _warn(self, wrong: dict[str, str]) -> None:
        for ident, why in wrong.items():
            if ident not in self._told:
                log.warning("what another host says of an endpoint is left out: %s: %s", ident[:12], why)
        self._told |= set(wrong)

    # ---- our own

    def speak(self) -> None:
        """The store says of our endpoints what is so.  Raises Unavailable."""
        while True:
            put, gone, there = self._difference()
            if not put and not gone:
                return
            some, some_gone = put[:_AT_ONCE], gone[: _AT_ONCE - len(put[:_AT_ONCE])]
            made = self.records.attempt(
                some,
                some_gone,
                unchanged=[there[one.id] for one in (*some, *some_gone) if one.id in there],
                absent=[one for one in some if one.id not in there],
            )
            if not made:
                self.records.refresh()

    def own(self) -> dict[str, Remote]:
        """What the store should say of our endpoints, by id."""
        ends = self._shared.endpoints(self.network)
        return {ep.id: record(ep, self._common.me) for ep in ends if ep.addresses}

    def _difference(self) -> tuple[list[Remote], list[Remote], dict[str, Remote]]:
        wanted = self.own()
        there = {one.id: one for one in self.records.where(Remote, "node", self._common.me.id)}
        put = [one for ident, one in wanted.items() if there.get(ident) != one]
        return put, [one for ident, one in there.items() if ident not in wanted], there
