"""Which addresses of a network an endpoint gets: those that it asked for, or the next ones (S13)."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from bascule.engine.intent import Intent
from bascule.ipam.addresses import Exhausted, pick_address, unusable
from bascule.model.addresses import FAMILIES, Family, IPAddress, IPInterface, interface
from bascule.model.errors import Failed, Forbidden, Invalid
from bascule.model.network import Network, Pool

# Only who rehearses has not asked.
_YET = ": the cluster gives it some when an endpoint comes, and is not asked by a dry run"


class NoAddress(Failed):
    """Every address that could be given out is taken."""


@dataclass(slots=True)
class Addressing:
    """Looks at the store; changes nothing but where the search for the next address begins."""

    intent: Intent
    passed_over: Callable[[str], Collection[IPAddress]] = lambda _network: ()
    """The addresses of a network, by its id, that nobody gets without asking for them."""
    _last: dict[tuple[str, Family], IPAddress] = field(default_factory=dict)
    """The address given out last, by network: the next one is looked for behind it."""

    def choose(self, net: Network, wanted: Collection[IPAddress]) -> tuple[IPInterface, ...]:
        """An address of each family of the network: of *wanted*, or the next that is free.  Raises NoAddress, and
        what Docker would say of one that cannot be had."""
        taken = {a.ip for ep in self.intent.endpoints(network=net.id) for a in ep.addresses}
        decided: list[IPInterface] = []
        for version in FAMILIES:
            pools = net.pools_of(version)
            asked = next((a for a in wanted if a.version == version), None)
            if asked is not None:
                decided.append(_static(asked, pools, taken))
                if net.tunnel and not any(asked in block for block in net.tunnel.blocks):
                    raise NoAddress(f"{asked} of network {net.name} is not this host's to give{_YET}")
            elif pools:
                decided.append(self._dynamic(net, version, pools, taken))
        return tuple(decided)

    def _dynamic(self, net: Network, version: Family, pools: Sequence[Pool], taken: set[IPAddress]) -> IPInterface:
        over = self.passed_over(net.id)
        after = self._last.get((net.id, version))
        found = _pick(_own(net, pools), taken.union(over) if over else taken, after)
        if found is None and net.tunnel:
            raise NoAddress(f"no IPv{version} address of network {net.name} is this host's to give{_YET}")
        if found is None:
            raise NoAddress(
                f"no available IPv{version} addresses on this network's address pools: {net.name} ({net.id})"
            )
        self._last[net.id, version] = found.ip
        return found

    def ahead(self, net: Network, count: int) -> list[IPAddress]:
        """The next *count* addresses of each family that endpoints of the network would get.  Changes nothing."""
        taken = {a.ip for ep in self.intent.endpoints(network=net.id) for a in ep.addresses}
        taken.update(self.passed_over(net.id))
        found: list[IPAddress] = []
        for version in FAMILIES:
            after = self._last.get((net.id, version))
            for _ in range(count):
                one = _pick(net.pools_of(version), taken, after)
                if one is None:
                    break
                after = one.ip
                taken.add(after)
                found.append(after)
        return found


def _own(net: Network, pools: Sequence[Pool]) -> list[Pool]:
    """Where this host may give out addresses without asking: of a network of several hosts, its own blocks."""
    if net.tunnel is None:
        return list(pools)
    return [replace(p, range=block) for p in pools for block in net.tunnel.blocks if block.overlaps(p.subnet)]


def _static(asked: IPAddress, pools: Sequence[Pool], taken: set[IPAddress]) -> IPInterface:
    pool = next((p for p in pools if asked in p.subnet), None)
    if pool is None:
        raise Invalid(
            f"invalid endpoint settings:\nno configured subnet or ip-range contain the IP address {asked}"
        )
    if asked in taken or asked == pool.gateway or asked in pool.aux.values() or int(asked) in unusable(pool.subnet):
        raise Forbidden("Address already in use")
    return interface(asked, pool.subnet.prefixlen)


def _pick(pools: Sequence[Pool], taken: set[IPAddress], after: IPAddress | None) -> IPInterface | None:
    """The first address behind *after* that is to be had in one of *pools*."""
    for pool in pools:
        try:
            return interface(pick_address(pool, taken, after), pool.subnet.prefixlen)
        except Exhausted:
            continue
    return None
