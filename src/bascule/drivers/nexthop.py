"""The ways out of a sandbox through an endpoint."""

from collections.abc import Iterator

from bascule.model.addresses import family, ip_network
from bascule.model.endpoint import Endpoint
from bascule.model.network import Network
from bascule.model.thing import Route


def default_routes(net: Network, ep: Endpoint) -> Iterator[Route]:
    """One for each family that *ep* carries.  A router that a DHCP server named may be outside of the address's
    subnet (as it is where the mask is /32, at many hosters): the way to it is on the link."""
    for version in ep.default_for:
        gateway = ep.gateway(version)
        if gateway is None or net.internal:
            continue
        if ep.lease(version) and not any(gateway in a.network for a in ep.addresses):
            yield Route(ep.ifname, ip_network(gateway), None, version, ep.key)
        # An unspecified gateway: everything is on the link (ipvlan l3).
        yield Route(ep.ifname, None, gateway if int(gateway) else None, family(gateway), ep.key)
