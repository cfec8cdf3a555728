"""What routers on the segment advertise to an endpoint: addresses are taken where a server there gives them, and as
the kernel makes them of the MAC; ways out are not where the network is internal."""

from collections.abc import Iterator

from bascule.model.endpoint import Endpoint
from bascule.model.network import Network
from bascule.model.thing import Sysctl


def things(net: Network, ep: Endpoint) -> Iterator[Sysctl]:
    """Whatever the kernel's defaults are."""
    for key, value in _settings(net) if net.ipv6 else ():
        yield Sysctl(f"net/ipv6/conf/{ep.ifname}/{key}", value, ep.key)


def _settings(net: Network) -> Iterator[tuple[str, str]]:
    if net.pools_of(6):
        # We decide; but like Docker we let routers be ways out beside ours, where there may be any.
        if net.internal:
            yield "accept_ra", "0"
        return
    # An address of a prefix and the MAC is the one that a guarded port may have: no other is made up.
    yield from (("accept_ra", "1"), ("autoconf", "1"), ("use_tempaddr", "0"))
    if net.internal:
        # Neither a default route nor others (RFC 4191).
        yield from (("accept_ra_defrtr", "0"), ("accept_ra_rt_info_max_plen", "0"))
