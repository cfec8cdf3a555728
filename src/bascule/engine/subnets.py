"""Choosing subnets: those that were asked for, or the first that nobody has."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bascule.drivers.options import ALLOW_OVERLAP
from bascule.drivers.protocol import Chosen
from bascule.engine.intent import Intent
from bascule.engine.leases import DRIVER
from bascule.ipam.pools import decide_pool, pick_subnet, random_ula
from bascule.kernel.protocol import Kernel
from bascule.model.addresses import FAMILIES, Family, IPNetwork, family
from bascule.model.errors import Forbidden
from bascule.model.network import Network, NetworkSpec, Pool, PoolSpec
from bascule.model.settings import AddressPool, Settings
from bascule.model.spans import Span, clash, network, span

# What helps where the host routes a subnet elsewhere: the default bridge's is the daemon's to choose.
OVERLAP = f"--opt {ALLOW_OVERLAP}=true to use it all the same"
BIP = "start the daemon with another --bip"


@dataclass(slots=True)
class Subnets:
    """Compares with what networks in the store have and what the host has or routes.  *chance(n)*: random bytes."""

    intent: Intent
    kernel: Kernel
    settings: Settings
    chance: Callable[[int], bytes]

    def pools(
        self,
        spec: NetworkSpec,
        chosen: Chosen,
        scope: str,
        adopted: bool,
        *,
        predefined: bool = False,
        but: Network | None = None,
        stays: bool = False,
    ) -> tuple[Pool, ...]:
        """Those of a network; where it is *but* so far, and its link does not stay, that is in nobody's way."""
        if spec.ipam_driver == DRIVER:
            # The server on the segment knows.
            return ()
        gone = but.id if but else ""
        known = [pool.span for net in self.intent.networks() if net.id != gone for pool in net.pools]
        routes = self.kernel.routes()
        if but and not stays:
            own = {pool.span for pool in but.pools}
            routes = [one for one in routes if one not in own]
        pools: list[Pool] = []
        for version, wanted, held in zip(FAMILIES, (spec.ipv4, spec.ipv6), chosen.has_gateway, strict=True):
            if not wanted:
                continue
            asked = [p for p in spec.pools if p.subnet is not None and family(p.subnet) == version]
            for one in asked or [PoolSpec()]:
                exact = one.subnet is not None and int(one.subnet.network_address) != 0
                if not exact:
                    like = one.subnet.prefixlen if one.subnet else None
                    source = self.settings.global_pools if scope == "global" else self.settings.pools
                    one = replace(one, subnet=self._free(version, like, source, [*known, *routes]))
                # An overlap with a network of ours is told in Docker's words, and before the routes: those of our
                # own bridges are among them.
                pool = decide_pool(one, known, held)
                if exact and not adopted and spec.options.get(ALLOW_OVERLAP) != "true":
                    self._check_routes(pool.subnet, routes, BIP if predefined else OVERLAP)
                pools.append(pool)
                known.append(pool.span)
        return tuple(pools)

    def _free(
        self, version: Family, size: int | None, source: Sequence[AddressPool], taken: Sequence[Span]
    ) -> IPNetwork:
        if version == 4:
            return pick_subnet(source, taken, size)
        return random_ula(self.chance(5), taken, size or 64)

    @staticmethod
    def _check_routes(subnet: IPNetwork, routes: Sequence[Span], way_out: str) -> None:
        route = clash(span(subnet), routes)
        if route:
            raise Forbidden(
                f"invalid pool request: {subnet} overlaps with {network(route)}, which this host has an address in"
                f" or a route to ({way_out})"
            )
