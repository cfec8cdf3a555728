"""rtnetlink, the other way: what the kernel says there is."""

import struct
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_interface, ip_network

from bascule.model.addresses import IPAddress, IPInterface, IPNetwork
from bascule.wire import rtnetlink as rt
from bascule.wire.linkinfo import IFLA_LINKINFO, Details, read
from bascule.wire.netlink import Malformed, Message, attributes, each, number, string

RTM_F_CLONED = 0x200
_INT = struct.Struct("=i")


@dataclass(frozen=True, slots=True)
class LinkState:
    """A link.  *parent* is IFLA_LINK: a veth's peer, a macvlan's parent, by its index in its own namespace, which
    is *netnsid* if that is another one."""

    index: int
    name: str
    kind: str = ""
    up: bool = False
    carries: bool = False
    mtu: int = 0
    mac: str = ""
    group: int = 0
    master: int = 0
    parent: int = 0
    netnsid: int = -1
    details: Details = field(default_factory=dict)


LinkGlance = tuple[str, int, int]
"""A link's name, whether it is up and carries (as IFF_ bits), and its MTU."""


@dataclass(frozen=True, slots=True)
class AddressState:
    index: int
    address: IPInterface


@dataclass(frozen=True, slots=True)
class RouteState:
    """A route of any table.  *to* None is the default route; *index* 0: none, or several."""

    family: int
    to: IPNetwork | None
    via: IPAddress | None
    index: int
    table: int
    type: int
    protocol: int


@dataclass(frozen=True, slots=True)
class NeighState:
    """A neighbour, or a forwarding entry (*bridge*), in which case *address* is where frames for *mac* go."""

    index: int
    bridge: bool
    address: IPAddress | None
    mac: str
    state: int
    flags: int


def split(message: Message, head: struct.Struct) -> tuple[tuple[int, ...], dict[int, bytes]]:
    if len(message.body) < head.size:
        raise Malformed(f"a message of type {message.type} with {len(message.body)} bytes")
    return head.unpack_from(message.body), attributes(message.body[(head.size + 3) & ~3 :])


def _mac(value: bytes | None) -> str:
    return value.hex(":") if value else ""


def link(message: Message) -> LinkState:
    (_family, _type, index, flags, _change), given = split(message, rt.IFINFO)
    kind, details = read(given.get(IFLA_LINKINFO, b""))
    netnsid = given.get(rt.IFLA_LINK_NETNSID)
    return LinkState(
        index=index,
        name=string(given.get(rt.IFLA_IFNAME, b"")),
        kind=kind,
        up=bool(flags & rt.IFF_UP),
        carries=bool(flags & rt.IFF_LOWER_UP),
        mtu=number(given.get(rt.IFLA_MTU, b"")),
        mac=_mac(given.get(rt.IFLA_ADDRESS)),
        group=number(given.get(rt.IFLA_GROUP, b"")),
        master=number(given.get(rt.IFLA_MASTER, b"")),
        parent=number(given.get(rt.IFLA_LINK, b"")),
        netnsid=_INT.unpack(netnsid)[0] if netnsid and len(netnsid) == 4 else -1,
        details=details,
    )


def glance(message: Message) -> tuple[int, LinkGlance]:
    """A link's index, and what is seen of it without reading it all: the kernel tells of a link often."""
    if len(message.body) < rt.IFINFO.size:
        raise Malformed(f"a message of type {message.type} with {len(message.body)} bytes")
    _family, _type, index, flags, _change = rt.IFINFO.unpack_from(message.body)
    name = b""
    # The name comes first, and the MTU before the long ones (net/core/rtnetlink.c: rtnl_fill_ifinfo).
    for kind, value in each(message.body[rt.IFINFO.size :]):
        if kind == rt.IFLA_IFNAME:
            name = value
        elif kind == rt.IFLA_MTU:
            return index, (string(name), flags & (rt.IFF_UP | rt.IFF_LOWER_UP), number(value))
    return index, (string(name), flags & (rt.IFF_UP | rt.IFF_LOWER_UP), 0)


def waits(message: Message) -> bool:
    """Whether a link is up, and the kernel has not yet noticed that it carries."""
    if len(message.body) < rt.IFINFO.size:
        raise Malformed(f"a message of type {message.type} with {len(message.body)} bytes")
    _family, _type, _index, flags, _change = rt.IFINFO.unpack_from(message.body)
    if not flags & rt.IFF_UP:
        return False
    # One of the first (net/core/rtnetlink.c: rtnl_fill_ifinfo): the others are not read.
    operstate = next(
        (value for kind, value in each(message.body[rt.IFINFO.size :]) if kind == rt.IFLA_OPERSTATE), b""
    )
    return operstate != rt.IF_OPER_UP


def address(message: Message) -> AddressState:
    (_family, prefix, _flags, _scope, index), given = split(message, rt.IFADDR)
    # IPv4's own address is IFA_LOCAL; IPv6 has it only where there is a peer.
    packed = given.get(rt.IFA_LOCAL) or given.get(rt.IFA_ADDRESS, b"")
    own = _ip(packed)
    return AddressState(index, ip_interface((own, _prefix(own, prefix))))


def group(message: Message) -> tuple[int, bytes]:
    """The index of the link on which a multicast group is listened to, and the group's address."""
    (_family, _prefix, _flags, _scope, index), given = split(message, rt.IFADDR)
    return index, given.get(rt.IFA_MULTICAST, b"")


def _ip(packed: bytes) -> IPAddress:
    try:
        return ip_address(packed)
    except ValueError as wrong:
        raise Malformed(f"an address of {len(packed)} bytes") from wrong


def _prefix(address: IPAddress, length: int) -> int:
    if length > address.max_prefixlen:
        raise Malformed(f"a prefix of {length} bits for {address}")
    return length


def _network(packed: bytes, length: int) -> IPNetwork:
    address = _ip(packed)
    return ip_network((address, _prefix(address, length)), strict=False)


def route(message: Message) -> RouteState | None:
    """A route; None for a cached copy of one (RTM_F_CLONED) and for a family other than IP's two."""
    head, given = split(message, rt.RTMSG)
    family, length, _source, _tos, table, protocol, _scope, kind, flags = head
    if flags & RTM_F_CLONED or family not in (rt.AF_INET, rt.AF_INET6):
        return None
    to = given.get(rt.RTA_DST)
    via = given.get(rt.RTA_GATEWAY)
    return RouteState(
        family=4 if family == rt.AF_INET else 6,
        to=_network(to, length) if to and length else None,
        via=_ip(via) if via else None,
        index=number(given.get(rt.RTA_OIF, b"")),
        table=number(given[rt.RTA_TABLE]) if rt.RTA_TABLE in given else table,
        type=kind,
        protocol=protocol,
    )


def neigh(message: Message) -> NeighState:
    (family, index, state, flags, _type), given = split(message, rt.NDMSG)
    to = given.get(rt.NDA_DST)
    return NeighState(
        index=index,
        bridge=family == rt.AF_BRIDGE,
        address=_ip(to) if to else None,
        mac=_mac(given.get(rt.NDA_LLADDR)),
        state=state,
        flags=flags,
    )
