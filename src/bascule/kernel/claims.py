"""Which networks this host has an address in or a route to, kept while they come and go.

A thousand networks of ours are six thousand messages of a dump, and `network create` asks each time.  So the dump
is made once, and from then on the kernel says what changes.  What it does not say is which IPv4 routes go silently
with a link that goes or goes down (net/ipv4/fib_frontend.c: fib_disable_ip).  Of our own links, known by their
index, we know that all of it goes with them.  What is lost of anybody else's, a lost message, or an answer that we
do not understand means a dump at the next question.
"""

import socket
import sys
import threading

from bascule.kernel.adding import OURS
from bascule.kernel.filters import ANY_BIT, EQUAL, LEAVE, LOAD_BYTE, TAKE, Instruction, attach
from bascule.kernel.route_socket import RECEIVE, SOL_NETLINK, RouteSocket
from bascule.model.spans import Span
from bascule.wire import rtclaims
from bascule.wire import rtnetlink as rt
from bascule.wire.netlink import Malformed, Message, messages
from bascule.wire.rtclaims import Claim, Key

_ADD_MEMBERSHIP = 1
# linux/rtnetlink.h: RTNLGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE.
_GROUPS = (1, 5, 7, 9, 11)
# struct rtmsg (linux/rtnetlink.h): family, dst_len, src_len, tos, table, protocol, scope, type, flags.
_PROTOCOL, _TYPE = 5, 7
_RTPROT_KERNEL = 2
# Where in a message: the low bytes of nlmsg_type and ifi_flags, the family that all bodies begin with, rtm_type.
_LITTLE = sys.byteorder == "little"
_KIND, _FAMILY, _ROUTE_TYPE, _FLAGS = (4 if _LITTLE else 5), 16, 16 + _TYPE, (24 if _LITTLE else 27)
# The kernel tells of each address four times, and of a link whatever happens to it.  Left are: an address, a route
# of a type that counts, a link that is not up, and a link that goes.  Jumps are counted from the next instruction.
_FILTER: tuple[Instruction, ...] = (
    (LOAD_BYTE, 0, 0, _KIND),
    (EQUAL, 4, 0, rt.RTM_NEWROUTE),
    (EQUAL, 3, 0, rt.RTM_DELROUTE),
    (EQUAL, 8, 0, rt.RTM_NEWLINK),
    (EQUAL, 9, 0, rt.RTM_DELLINK),
    TAKE,
    (LOAD_BYTE, 0, 0, _ROUTE_TYPE),
    *((EQUAL, 9 - place, 0, kind) for place, kind in enumerate(rt.RTN_CHOSEN)),
    LEAVE,
    (LOAD_BYTE, 0, 0, _FLAGS),
    (ANY_BIT, 2, 0, rt.IFF_UP),
    # What a bridge says of its ports is of another family.
    (LOAD_BYTE, 0, 0, _FAMILY),
    (EQUAL, 1, 0, rt.AF_UNSPEC),
    LEAVE,
    TAKE,
)


class Claims:
    """Of the namespace of the thread that makes this, where *routes* is as well."""

    def __init__(self, routes: RouteSocket) -> None:
        self._routes = routes
        self._lock = threading.Lock()
        self._hears = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
        )
        attach(self._hears, _FILTER)
        self._hears.bind((0, 0))
        self._hearing = False
        self._whole = False
        self._found: dict[int, dict[Key, Span]] = {}
        """By the index of the link; 0 for routes without one, or with several."""
        self._counts: dict[Span, int] = {}
        """How often each is in there."""

    def known(self) -> list[Span]:
        """What addresses and chosen routes claim, each block once."""
        with self._lock:
            if not self._hearing:
                # From before the first dump, so that nothing goes by between the two.
                for group in _GROUPS:
                    self._hears.setsockopt(SOL_NETLINK, _ADD_MEMBERSHIP, group)
                self._hearing = True
            self._hear()
            if not self._whole:
                self._list()
            return list(self._counts)

    def close(self) -> None:
        self._hears.close()

    def _list(self) -> None:
        self._found.clear()
        self._counts.clear()
        for request in (rt.addresses(), rt.routes()):
            for message in self._routes.dump(request):
                self._add(message)
        self._whole = True

    def _hear(self) -> None:
        while True:
            try:
                data = self._hears.recv(RECEIVE)
            except BlockingIOError:
                return
            except OSError:
                # ENOBUFS: more was said than the buffer holds.
                self._whole = False
                continue
            # When the next question is a dump, nobody needs to understand what came before it.
            if self._whole:
                try:
                    for message in messages(data):
                        self._whole = self._understood(message) and self._whole
                except Malformed:
                    self._whole = False

    def _understood(self, message: Message) -> bool:
        match message.type:
            case rt.RTM_NEWADDR | rt.RTM_NEWROUTE:
                self._add(message)
                return True
            case rt.RTM_DELADDR:
                claim = rtclaims.address(message)
                self._drop(claim.link, claim.key)
                return claim.link >= OURS
            case rt.RTM_DELROUTE:
                return self._delete_route(message)
            case rt.RTM_NEWLINK | rt.RTM_DELLINK:
                return self._link(message)
            case _:
                return False

    def _add(self, message: Message) -> None:
        if message.type == rt.RTM_NEWADDR:
            self._keep(rtclaims.address(message))
        # The kernel's own entries, for single addresses, broadcasts and multicast, are of other types.
        elif message.body[_TYPE] in rt.RTN_CHOSEN:
            route = rtclaims.route(message)
            if route:
                self._keep(route)

    def _keep(self, claim: Claim) -> None:
        found = self._found.setdefault(claim.link, {})
        if claim.key not in found:
            found[claim.key] = claim.span
            self._counts[claim.span] = self._counts.get(claim.span, 0) + 1

    def _drop(self, index: int, key: Key) -> None:
        gone = self._found.get(index, {}).pop(key, None)
        if gone is not None:
            self._counts[gone] -= 1
            if not self._counts[gone]:
                del self._counts[gone]

    def _delete_route(self, message: Message) -> bool:
        if message.body[_TYPE] not in rt.RTN_CHOSEN:
            return True
        route = rtclaims.route(message)
        if route is None:
            return True
        self._drop(route.link, route.key)
        # Two routes to one network may differ in what we do not look at; the kernel's own do not.
        return message.body[_PROTOCOL] == _RTPROT_KERNEL and route.link >= OURS

    def _link(self, message: Message) -> bool:
        index = rt.IFINFO.unpack_from(message.body)[2]
        for key in list(self._found.get(index, ())):
            self._drop(index, key)
        return bool(index >= OURS)
