"""rtnetlink: a thing to the request that makes it true, or untrue.  Names are looked up by the caller: here are
interface indexes only.

Structures: include/uapi/linux/rtnetlink.h, if_link.h, if_addr.h, neighbour.h.  What the kernel says about itself
is read in `rtstate`.
"""

import struct
from typing import NamedTuple, assert_never

from bascule.model.links import (
    Address,
    Bridge,
    Dummy,
    Fdb,
    Ipvlan,
    Link,
    Macvlan,
    Neigh,
    Route,
    Veth,
    Vlan,
    Vxlan,
    WireGuard,
    Xfrm,
)
from bascule.wire.linkinfo import linkinfo
from bascule.wire.netlink import (
    NLM_F_APPEND,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Request,
    attribute,
    nest,
    text,
    u8,
    u32,
)

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_GETMULTICAST = 58
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30

AF_UNSPEC, AF_INET, AF_BRIDGE, AF_INET6 = 0, 2, 7, 10
FAMILY = {4: AF_INET, 6: AF_INET6}

IFF_UP = 1
IFF_LOWER_UP = 1 << 16
IF_OPER_UP = b"\x06"
BRIDGE_MTU = 1500
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER, IFLA_AF_SPEC = 1, 3, 4, 5, 10, 26
IFLA_OPERSTATE, IFLA_GROUP, IFLA_NET_NS_FD, IFLA_EXT_MASK = 16, 27, 28, 29
IFLA_NUM_TX_QUEUES, IFLA_NUM_RX_QUEUES, IFLA_LINK_NETNSID = 31, 32, 37
_INET6_ADDR_GEN_MODE, _ADDR_GEN_MODE_NONE = 8, 1
_RTEXT_FILTER_SKIP_STATS = 8

IFA_ADDRESS, IFA_LOCAL, IFA_MULTICAST, IFA_FLAGS = 1, 2, 7, 8
IFA_F_NODAD = 0x02
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_TABLE = 1, 4, 5, 15
RT_TABLE_MAIN, RTPROT_BOOT, RTN_UNICAST = 254, 3, 1
# Unicast, blackhole, unreachable, prohibit: what somebody has decided about addresses that are not this host's own.
RTN_CHOSEN = (RTN_UNICAST, 6, 7, 8)
_SCOPE_UNIVERSE, _SCOPE_LINK, _SCOPE_NOWHERE = 0, 253, 255
NDA_DST, NDA_LLADDR = 1, 2
NTF_SELF, NUD_PERMANENT = 0x02, 0x80

IFINFO = struct.Struct("=BxHiII")
IFADDR = struct.Struct("=BBBBi")
RTMSG = struct.Struct("=BBBBBBBBI")
NDMSG = struct.Struct("=BxxxiHBB")

# A name may be filled up to its sixteen bytes with NULs.
_NAME_MTU_MAC = struct.Struct("=HH16sHHIHH6sxx")
_ADDRESSES = {4: struct.Struct("=HH4sHH4s"), 6: struct.Struct("=HH16sHH16s")}
_EXCLUSIVE = NLM_F_CREATE | NLM_F_EXCL
_ONE_QUEUE = u32(IFLA_NUM_TX_QUEUES, 1) + u32(IFLA_NUM_RX_QUEUES, 1)
_NO_LINK_LOCAL = nest(IFLA_AF_SPEC, nest(AF_INET6, u8(_INET6_ADDR_GEN_MODE, _ADDR_GEN_MODE_NONE)))


class Numbers(NamedTuple):
    """What a link is made with that its name does not say."""

    number: int
    group: int
    parent: int = 0
    """The index of its macvlan, ipvlan or 802.1Q parent."""
    master: int = 0
    peer: int = 0
    """A veth's other end.  The kernel takes it only where *number* is given too."""
    netns: int = -1
    """A file descriptor of the namespace that the link, or a veth's peer, is born in; -1: where the request is."""


def mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def new_link(thing: Link, numbers: Numbers) -> list[Request]:
    """What makes *thing*, in order.

    Which IPv6 addresses a link makes itself cannot be said at its birth (the kernel answers EAFNOSUPPORT), and a
    link that comes up untold has one.  So links are made down, told, and raised; but a veth's end has no
    carrier before its peer is up, so it is up and in its bridge at once and told after.

    The first request makes the link.  The one that tells it is refused, and rightly, where the host has no IPv6.
    """
    index = numbers.number
    match thing:
        case Veth():
            made = _newlink(numbers, _named(thing.name, thing.mtu, ""), _veth(thing, numbers), up=True)
            return [made, set_link(index, no_link_local=True)]
        case Bridge():
            # A bridge keeps an MTU only that it was given after its birth; else it takes its ports' lowest
            # (net/bridge/br_if.c: br_mtu_auto_adjust), and 1500 when the last one leaves.
            made = _newlink(numbers, _named(thing.name, 0, thing.mac), linkinfo(thing))
            mtu = thing.mtu if thing.mtu != BRIDGE_MTU else 0
            return [made, set_link(index, no_link_local=True), set_link(index, up=True, mtu=mtu)]
        case Vxlan():
            made = _newlink(numbers, _named(thing.name, thing.mtu, thing.mac), linkinfo(thing))
        case Dummy() | WireGuard() | Xfrm():
            made = _newlink(numbers, _named(thing.name, thing.mtu, ""), linkinfo(thing))
        case Vlan():
            return [_newlink(numbers, text(IFLA_IFNAME, thing.name), linkinfo(thing), up=True)]
        case Macvlan():
            return [_newlink(numbers, _named(thing.name, thing.mtu, thing.mac) + _born(numbers), linkinfo(thing))]
        case Ipvlan():
            return [_newlink(numbers, _named(thing.name, thing.mtu, "") + _born(numbers), linkinfo(thing))]
        case _:
            assert_never(thing)
    return [made, set_link(index, no_link_local=True), set_link(index, up=True)]


def _named(name: str, mtu: int, mac: str) -> bytes:
    """Name, MTU and address, where given, in one piece for the common case: every attach writes two of them."""
    if name and mtu and mac:
        return _NAME_MTU_MAC.pack(
            20, IFLA_IFNAME, name.encode(), 8, IFLA_MTU, mtu, 10, IFLA_ADDRESS, mac_bytes(mac)
        )
    return (
        (text(IFLA_IFNAME, name) if name else b"")
        + (u32(IFLA_MTU, mtu) if mtu else b"")
        + (attribute(IFLA_ADDRESS, mac_bytes(mac)) if mac else b"")
    )


def _born(numbers: Numbers) -> bytes:
    return u32(IFLA_NET_NS_FD, numbers.netns) if numbers.netns >= 0 else b""


def _veth(thing: Veth, numbers: Numbers) -> bytes:
    peer = (
        IFINFO.pack(AF_UNSPEC, 0, numbers.peer, 0, 0)
        + _named(thing.peer, thing.mtu, thing.mac)
        + _ONE_QUEUE
        + _born(numbers)
    )
    return _ONE_QUEUE + linkinfo(thing, peer)


def _newlink(numbers: Numbers, named: bytes, rest: bytes, *, up: bool = False) -> Request:
    flags = IFF_UP if up else 0
    body = IFINFO.pack(AF_UNSPEC, 0, numbers.number, flags, flags) + named + u32(IFLA_GROUP, numbers.group)
    if numbers.parent:
        body += u32(IFLA_LINK, numbers.parent)
    if numbers.master:
        body += u32(IFLA_MASTER, numbers.master)
    return Request(RTM_NEWLINK, _EXCLUSIVE, body + rest)


def set_link(
    index: int,
    *,
    up: bool | None = None,
    name: str = "",
    group: int | None = None,
    master: int | None = None,
    mtu: int = 0,
    mac: str = "",
    no_link_local: bool = False,
) -> Request:
    """Change a link; what is not given is left.  *master* 0 takes it out of its bridge.

    Within one request the kernel renames before it takes the link down, and before 6.2 refuses to rename one
    that is up: send two.
    """
    change = 0 if up is None else IFF_UP
    body = IFINFO.pack(AF_UNSPEC, 0, index, IFF_UP if up else 0, change) + _named(name, mtu, mac)
    if group is not None:
        body += u32(IFLA_GROUP, group)
    if master is not None:
        body += u32(IFLA_MASTER, master)
    if no_link_local:
        body += _NO_LINK_LOCAL
    return Request(RTM_SETLINK, 0, body)


def delete_link(index: int) -> Request:
    return Request(RTM_DELLINK, 0, IFINFO.pack(AF_UNSPEC, 0, index, 0, 0))


def delete_group(group: int) -> Request:
    """Delete every link in *group*, in one pass of the kernel's slow unregistering."""
    return Request(RTM_DELLINK, 0, IFINFO.pack(AF_UNSPEC, 0, 0, 0, 0) + u32(IFLA_GROUP, group))


def get_link(name: str) -> Request:
    """Ask for one link by its name."""
    skip = u32(IFLA_EXT_MASK, _RTEXT_FILTER_SKIP_STATS)
    return Request(RTM_GETLINK, 0, IFINFO.pack(AF_UNSPEC, 0, 0, 0, 0) + skip + text(IFLA_IFNAME, name))


def links() -> Request:
    skip = u32(IFLA_EXT_MASK, _RTEXT_FILTER_SKIP_STATS)
    return Request(RTM_GETLINK, NLM_F_DUMP, IFINFO.pack(AF_UNSPEC, 0, 0, 0, 0) + skip)


def address(thing: Address, index: int, *, delete: bool = False) -> Request:
    own = thing.address
    flags = 0 if own.version == 4 else IFA_F_NODAD
    body = IFADDR.pack(FAMILY[own.version], own.network.prefixlen, flags, 0, index)
    # An IPv4 address without IFA_LOCAL is taken for the other end of a point-to-point link.
    packed = own.packed
    size = len(packed) + 4
    body += _ADDRESSES[own.version].pack(size, IFA_LOCAL, packed, size, IFA_ADDRESS, packed)
    return Request(RTM_DELADDR, 0, body) if delete else Request(RTM_NEWADDR, _EXCLUSIVE, body)


def addresses() -> Request:
    return Request(RTM_GETADDR, NLM_F_DUMP, IFADDR.pack(AF_UNSPEC, 0, 0, 0, 0))


def groups() -> Request:
    """The multicast groups of IPv6 that are listened to."""
    return Request(RTM_GETMULTICAST, NLM_F_DUMP, IFADDR.pack(AF_INET6, 0, 0, 0, 0))


def route(thing: Route, index: int, *, delete: bool = False) -> Request:
    if delete:
        scope, proto = _SCOPE_NOWHERE, 0
    else:
        scope = _SCOPE_UNIVERSE if thing.via or thing.family == 6 else _SCOPE_LINK
        proto = RTPROT_BOOT
    length = thing.to.prefixlen if thing.to else 0
    body = RTMSG.pack(FAMILY[thing.family], length, 0, 0, RT_TABLE_MAIN, proto, scope, RTN_UNICAST, 0)
    if thing.to:
        body += attribute(RTA_DST, thing.to.network_address.packed)
    if thing.via:
        body += attribute(RTA_GATEWAY, thing.via.packed)
    body += u32(RTA_OIF, index)
    return Request(RTM_DELROUTE, 0, body) if delete else Request(RTM_NEWROUTE, _EXCLUSIVE, body)


def routes() -> Request:
    return Request(RTM_GETROUTE, NLM_F_DUMP, RTMSG.pack(AF_UNSPEC, 0, 0, 0, 0, 0, 0, 0, 0))


def neigh(thing: Neigh, index: int, *, delete: bool = False, replace: bool = False) -> Request:
    body = NDMSG.pack(FAMILY[thing.address.version], index, NUD_PERMANENT, 0, 0)
    body += attribute(NDA_DST, thing.address.packed)
    if delete:
        return Request(RTM_DELNEIGH, 0, body)
    flags = NLM_F_CREATE | NLM_F_REPLACE if replace else _EXCLUSIVE
    return Request(RTM_NEWNEIGH, flags, body + attribute(NDA_LLADDR, mac_bytes(thing.mac)))


def neighbours() -> Request:
    return Request(RTM_GETNEIGH, NLM_F_DUMP, NDMSG.pack(AF_UNSPEC, 0, 0, 0, 0))


def fdb(thing: Fdb, index: int, *, delete: bool = False, append: bool = False) -> Request:
    body = NDMSG.pack(AF_BRIDGE, index, NUD_PERMANENT, NTF_SELF, 0)
    body += attribute(NDA_LLADDR, mac_bytes(thing.mac)) + attribute(NDA_DST, thing.dst.packed)
    if delete:
        return Request(RTM_DELNEIGH, 0, body)
    return Request(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_APPEND if append else _EXCLUSIVE, body)


def forwarding() -> Request:
    """Ask for every forwarding entry of every bridge and VXLAN link."""
    return Request(RTM_GETNEIGH, NLM_F_DUMP, NDMSG.pack(AF_BRIDGE, 0, 0, 0, 0))
