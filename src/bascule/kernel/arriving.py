"""Waiting until a link has an IPv6 address, whoever gives it one: the kernel tells when it comes."""

import select
import socket
import time

from bascule.kernel.place import Place
from bascule.kernel.route_socket import RECEIVE, SOL_NETLINK
from bascule.wire import rtnetlink, rtstate
from bascule.wire.netlink import Message, messages

_ADD_MEMBERSHIP, _GROUP_IPV6_ADDRESS = 1, 9


def await_address(place: Place, link: str, seconds: float) -> bool:
    """Whether *link* in *place* has an IPv6 address beyond its link-local one, within *seconds*."""
    end = time.monotonic() + seconds
    index = place.index(link)
    with place.inside(_hears) as hears:
        # Listed when it is listened already, so that nothing goes by between the two.
        heard = place.routes.dump(rtnetlink.addresses())
        poll = select.poll()
        poll.register(hears, select.POLLIN)
        while not any(_leads_off(message, index) for message in heard):
            left = end - time.monotonic()
            if left <= 0:
                return False
            try:
                heard = list(messages(hears.recv(RECEIVE))) if poll.poll(left * 1000) else []
            except OSError:
                # ENOBUFS: more was said than the buffer holds.
                heard = place.routes.dump(rtnetlink.addresses())
    return True


def _hears() -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    hears = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
    hears.bind((0, 0))
    hears.setsockopt(SOL_NETLINK, _ADD_MEMBERSHIP, _GROUP_IPV6_ADDRESS)
    return hears


def _leads_off(message: Message, index: int) -> bool:
    if message.type != rtnetlink.RTM_NEWADDR:
        return False
    state = rtstate.address(message)
    return state.index == index and state.address.version == 6 and not state.address.is_link_local
