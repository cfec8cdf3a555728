"""Which of a sandbox's endpoints carries its default route, for each family; and a way out where none would.

Networks of several hosts lead to these and nowhere else.  A sandbox that is on such networks alone gets an endpoint
on a bridge network for everything else, and for its published ports, as Docker does it (docker_gwbridge).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bascule.engine.decide import Decisions
from bascule.engine.intent import GATEWAY, Intent
from bascule.model.addresses import FAMILIES, Family
from bascule.model.endpoint import Endpoint, EndpointSpec
from bascule.model.network import Network, NetworkSpec
from bascule.model.sandbox import Sandbox

WAY_OUT = EndpointSpec(options={"bascule.way_out": "true"})
"""How an endpoint that nobody asked for is told from one on the same network that somebody did."""


def elect(endpoints: Sequence[Endpoint], network: Callable[[str], Network]) -> dict[str, tuple[Family, ...]]:
    """Endpoint id -> the families it is the gateway for.

    Docker's order (libnetwork sandbox.go, Less): the highest priority, then networks that lead outside, then
    dual-stack ones, then by the network's name.  The families are elected apart.
    """

    def rank(ep: Endpoint) -> tuple[int, bool, bool, str]:
        net = network(ep.network)
        return (-ep.spec.gw_priority, net.internal, len(ep.gateways) < 2, net.name)

    elected: dict[str, tuple[Family, ...]] = {ep.id: () for ep in endpoints}
    ranked = sorted(endpoints, key=rank)
    for version in FAMILIES:
        winner = next((ep for ep in ranked if ep.gateway(version)), None)
        if winner:
            elected[winner.id] += (version,)
    return elected


@dataclass(frozen=True, slots=True)
class WayOut:
    """The bridge network of that name is one like any other, and may have been made by the user."""

    intent: Intent
    decide: Decisions

    def network(self) -> Network | None:
        """None: it has to be made, out of `spec`.  A network of the cluster may have the name, too."""
        found = self.intent.store.where(Network, "name", GATEWAY)
        return next((net for net in found if net.driver == "bridge"), None)

    @staticmethod
    def spec() -> NetworkSpec:
        # Containers of different networks meet on it, and have nothing to say to each other there.
        return NetworkSpec(GATEWAY, options={"com.docker.network.bridge.enable_icc": "false"})

    def settled(self, sandbox: Sandbox, ends: Sequence[Endpoint]) -> list[Endpoint]:
        """*ends*, with an endpoint on the way out if they need one, and without it if they do not.  Changes
        nothing."""
        out = self.network()
        if out is None:
            return list(ends)
        rest = [ep for ep in ends if ep.network != out.id or ep.spec != WAY_OUT]
        nets = [self.intent.by_id(ep.network) for ep in rest]
        if any(ep.gateways for ep in rest) or not any(net.tunnel and not net.internal for net in nets):
            return rest
        there = next((ep for ep in ends if ep.spec == WAY_OUT), None)
        return [*rest, there or self.decide.endpoint(out, sandbox, WAY_OUT, beside=rest)]
