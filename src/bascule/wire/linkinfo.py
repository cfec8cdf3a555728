"""What a link of each kind has beyond name and address: IFLA_LINKINFO, written and read.

Numbers are those of include/uapi/linux/if_link.h; words are iproute2's.
"""

import struct
from collections.abc import Mapping
from ipaddress import ip_address
from typing import assert_never

from bascule.model.addresses import IPAddress
from bascule.model.links import Bridge, Dummy, Ipvlan, Link, Macvlan, Veth, Vlan, Vxlan, WireGuard, Xfrm
from bascule.wire.netlink import Malformed, attribute, attributes, nest, number, string, text, u8, u16, u32

IFLA_LINKINFO = 18
_KIND, _DATA = 1, 2
_VETH_INFO_PEER = 1
_VETH = text(_KIND, "veth")
_MACVLAN_MODE = 1
_IPVLAN_MODE, _IPVLAN_FLAGS = 1, 2
_VLAN_ID = 1
_XFRM_IF_ID = 2
_VXLAN_ID, _VXLAN_LOCAL, _VXLAN_LEARNING, _VXLAN_PROXY, _VXLAN_PORT, _VXLAN_LOCAL6 = 1, 4, 7, 11, 15, 17

MACVLAN_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
IPVLAN_MODES = {"l2": 0, "l3": 1, "l3s": 2}
IPVLAN_FLAGS = {"bridge": 0, "private": 1, "vepa": 2}

Details = Mapping[str, str]
"""A link's settings by iproute2's words: {"mode": "bridge"}, {"id": "7", "port": "4789"}."""


def kind(thing: Link) -> str:
    """The kernel's word for the kind of *thing*."""
    match thing:
        case Dummy():
            return thing.kind
        case Bridge() | Veth() | Macvlan() | Ipvlan() | Vlan() | Vxlan() | WireGuard() | Xfrm():
            return type(thing).__name__.lower()
        case _:
            assert_never(thing)


def linkinfo(thing: Link, peer: bytes = b"") -> bytes:
    """The attribute for *thing*; *peer* is the whole description of a veth's other end."""
    if isinstance(thing, Veth):
        return nest(IFLA_LINKINFO, _VETH, nest(_DATA, attribute(_VETH_INFO_PEER, peer)))
    data = _data(thing)
    return nest(IFLA_LINKINFO, text(_KIND, kind(thing)), nest(_DATA, data) if data else b"")


def _data(thing: Bridge | Macvlan | Ipvlan | Vlan | Vxlan | WireGuard | Xfrm | Dummy) -> bytes:
    match thing:
        case Macvlan():
            return u32(_MACVLAN_MODE, MACVLAN_MODES[thing.mode])
        case Ipvlan():
            return u16(_IPVLAN_MODE, IPVLAN_MODES[thing.mode]) + u16(_IPVLAN_FLAGS, IPVLAN_FLAGS[thing.flag])
        case Vlan():
            return u16(_VLAN_ID, thing.vid)
        case Vxlan():
            return _vxlan(thing)
        case Xfrm():
            return u32(_XFRM_IF_ID, thing.number)
        case Bridge() | WireGuard() | Dummy():
            return b""
        case _:
            assert_never(thing)


def _vxlan(thing: Vxlan) -> bytes:
    local = b""
    if thing.local is not None:
        local = attribute(_VXLAN_LOCAL if thing.local.version == 4 else _VXLAN_LOCAL6, thing.local.packed)
    # The port alone is in network order.
    port = attribute(_VXLAN_PORT, struct.pack("!H", thing.port))
    return u32(_VXLAN_ID, thing.vni) + port + local + u8(_VXLAN_LEARNING, 0) + u8(_VXLAN_PROXY, 1)


def details(thing: Link) -> Details:
    """What `read` gives for a link made from *thing*."""
    match thing:
        case Macvlan():
            return {"mode": thing.mode}
        case Ipvlan():
            return {"mode": thing.mode, "flag": thing.flag}
        case Vlan():
            return {"id": str(thing.vid)}
        case Vxlan():
            return {
                "id": str(thing.vni),
                "port": str(thing.port),
                "local": str(thing.local or ""),
                "learning": "0",
                "proxy": "1",
            }
        case Xfrm():
            return {"if_id": hex(thing.number)}
        case Bridge() | WireGuard() | Dummy() | Veth():
            return {}
        case _:
            assert_never(thing)


def read(value: bytes) -> tuple[str, Details]:
    """Kind and details of an IFLA_LINKINFO.  A kind that is none of ours has no details."""
    info = attributes(value)
    name = string(info.get(_KIND, b""))
    data = attributes(info.get(_DATA, b""))
    match name:
        case "macvlan":
            return name, {"mode": _word(MACVLAN_MODES, data.get(_MACVLAN_MODE, b""))}
        case "ipvlan":
            mode = _word(IPVLAN_MODES, data.get(_IPVLAN_MODE, b""))
            return name, {"mode": mode, "flag": _word(IPVLAN_FLAGS, data.get(_IPVLAN_FLAGS, b""))}
        case "vlan":
            return name, {"id": str(number(data.get(_VLAN_ID, b"")))}
        case "vxlan":
            return name, {
                "id": str(number(data.get(_VXLAN_ID, b""))),
                "port": str(int.from_bytes(data.get(_VXLAN_PORT, b""), "big")),
                "local": _local(data.get(_VXLAN_LOCAL) or data.get(_VXLAN_LOCAL6)),
                "learning": str(number(data.get(_VXLAN_LEARNING, b""))),
                "proxy": str(number(data.get(_VXLAN_PROXY, b""))),
            }
        case "xfrm":
            return name, {"if_id": hex(number(data.get(_XFRM_IF_ID, b"")))}
        case _:
            return name, {}


def _word(words: Mapping[str, int], value: bytes) -> str:
    return next((word for word, n in words.items() if n == number(value)), str(number(value)))


def _local(value: bytes | None) -> str:
    if not value:
        return ""
    try:
        address: IPAddress = ip_address(value)
    except ValueError as wrong:
        raise Malformed(f"an address of {len(value)} bytes") from wrong
    return str(address) if int(address) else ""
