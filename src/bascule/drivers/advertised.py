"""What routers on the segment advertise to an endpoint: taken where a server there gives the addresses, and as the
kernel makes them of the MAC."""

from collections.abc import Iterator

from bascule.model.endpoint import Endpoint
from bascule.model.network import Network
from bascule.model.thing import Sysctl


def things(net: Network, ep: Endpoint) -> Iterator[Sysctl]:
    """Where nobody decides about IPv6 here, whatever the kernel's defaults are.  An address of a prefix and the MAC
    is the one that a guarded port may have: no other is made up."""
    if net.ipv6 and not net.pools_of(6):
        for key, value in (("accept_ra", "1"), ("autoconf", "1"), ("use_tempaddr", "0")):
            yield Sysctl(f"net/ipv6/conf/{ep.ifname}/{key}", value, ep.key)
