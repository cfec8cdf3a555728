"""Which networks this host has an address in or a route to, told quickly.

A thousand networks are six thousand messages of a dump, asked for at every `network create`.  Those that cannot
count are passed over by a look at their head; the others nearly never change, so that what was understood once is
remembered by its bytes.
"""

from functools import lru_cache

from bascule.kernel.route_socket import RouteSocket
from bascule.model.addresses import IPNetwork
from bascule.wire import rtnetlink, rtstate
from bascule.wire.netlink import Message

# struct rtmsg (linux/rtnetlink.h): family, dst_len, src_len, tos, table, protocol, scope, type, flags.
_TYPE = 7


def claimed(routes: RouteSocket) -> list[IPNetwork]:
    """Networks of addresses and of chosen routes, each once."""
    found: dict[IPNetwork | None, None] = {}
    for message in routes.dump(rtnetlink.addresses()):
        found[_address(message.type, message.body)] = None
    for message in routes.dump(rtnetlink.routes()):
        # The kernel's own entries, for single addresses, broadcasts and multicast, are of other types.
        if message.body[_TYPE] in rtnetlink.RTN_CHOSEN:
            found[_route(message.type, message.body)] = None
    return [network for network in found if network is not None]


@lru_cache(maxsize=1 << 14)
def _address(kind: int, body: bytes) -> IPNetwork:
    return rtstate.address(Message(kind, 0, 0, body)).address.network


@lru_cache(maxsize=1 << 14)
def _route(kind: int, body: bytes) -> IPNetwork | None:
    route = rtstate.route(Message(kind, 0, 0, body))
    # A half of everything is a VPN's way to say default.
    if route is None or route.to is None or route.to.is_multicast or route.to.prefixlen <= 1:
        return None
    return route.to
