"""Which of a sandbox's endpoints carries its default route, for each family."""

from collections.abc import Callable, Sequence

from bascule.model.addresses import FAMILIES, Family
from bascule.model.endpoint import Endpoint
from bascule.model.network import Network


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
