"""The rtnetlink codec beside pyroute2's: what we write it reads, what it writes we read."""

from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from bascule.model.addresses import IPAddress
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
)
from bascule.wire import linkinfo, netlink, rtnetlink, rtstate
from bascule.wire.netlink import Message, Request
from bascule.wire.rtnetlink import Numbers
from bascule.wire.rtstate import AddressState, LinkState, NeighState, RouteState

MAC = "02:00:00:00:00:02"
NUMBERS = Numbers(1000, 77, parent=11, master=12, peer=2000, netns=5)

names = st.text("abcdefghijklmnopqrstuvwxyz0123456789-.", min_size=1, max_size=15)
macs = st.binary(min_size=6, max_size=6).map(lambda b: b.hex(":"))
mtus = st.integers(68, 65535)
addresses = st.ip_addresses()
LINKS: list[Link] = [
    Bridge("br0", mtu=9000, mac=MAC),
    Veth("v0", "eth0", "/ns", mac=MAC, master="br0"),
    Macvlan("m0", "eth0", "vepa", 1400, MAC, "/ns"),
    Ipvlan("i0", "eth0", "l3s", "private", 1400, "/ns"),
    Vlan("eth0.50", "eth0", 50),
    Vxlan("vx0", 4711, 4790, ip_address("192.0.2.1"), 1450, MAC, "br0"),
    Vxlan("vx6", 4711, local=ip_address("2001:db8::1")),
    Dummy("d0"),
    Dummy("d1", "ifb", 1400),
]


def by_pyroute2(kind: Any, request: Request) -> Any:
    """What pyroute2 reads in *request*."""
    message = kind(netlink.frame([request], 1))
    message.decode()
    return message


def by_us(request: Request) -> Message:
    (message,) = netlink.messages(netlink.frame([request], 1))
    return message


def from_pyroute2(message: Any) -> Message:
    message["header"]["sequence_number"] = 1
    message.encode()
    (read,) = netlink.messages(bytes(message.data))
    return read


def told(message: Any) -> dict[str, Any]:
    """pyroute2's attributes as a dictionary."""
    return {name: value for name, value in message["attrs"] if isinstance(name, str)}


# ---- what we write


@pytest.mark.parametrize("thing", LINKS, ids=str)
def test_a_link_is_what_pyroute2_says_it_is(thing: Link) -> None:
    message = by_pyroute2(ifinfmsg, rtnetlink.new_link(thing, NUMBERS)[0])
    read = told(message)
    info = read["IFLA_LINKINFO"]
    assert (message["index"], read["IFLA_IFNAME"], read["IFLA_GROUP"]) == (1000, thing.name, 77)
    assert info.get_attr("IFLA_INFO_KIND") == linkinfo.kind(thing)


def test_a_veths_peer_is_born_in_its_namespace_with_name_and_address() -> None:
    made, told_later = rtnetlink.new_link(LINKS[1], NUMBERS)
    read = by_pyroute2(ifinfmsg, made)
    assert (read["flags"], read["change"]) == (1, 1)
    assert [read.get_attr(f"IFLA_{name}") for name in ("MTU", "MASTER", "NUM_TX_QUEUES", "NUM_RX_QUEUES")] == [
        1500,
        12,
        1,
        1,
    ]
    peer = read.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_DATA").get_attr("VETH_INFO_PEER")
    wanted = {
        "IFLA_IFNAME": "eth0",
        "IFLA_MTU": 1500,
        "IFLA_ADDRESS": MAC,
        "IFLA_NUM_TX_QUEUES": 1,
        "IFLA_NUM_RX_QUEUES": 1,
        "IFLA_NET_NS_FD": 5,
    }
    assert (peer["index"], peer["flags"]) == (2000, 0)
    assert {name: peer.get_attr(name) for name in wanted} == wanted
    assert told_later == rtnetlink.set_link(1000, no_link_local=True)


def test_a_vxlan_learns_nothing_and_answers_for_its_neighbours() -> None:
    data = by_pyroute2(ifinfmsg, rtnetlink.new_link(LINKS[5], NUMBERS)[0]).get_attr("IFLA_LINKINFO")
    data = data.get_attr("IFLA_INFO_DATA")
    asked = ("ID", "PORT", "LOCAL", "LEARNING", "PROXY")
    assert [data.get_attr(f"IFLA_VXLAN_{name}") for name in asked] == [4711, 4790, "192.0.2.1", 0, 1]


def test_a_bridge_is_made_down_then_told_then_raised() -> None:
    made, told_, raised = (by_pyroute2(ifinfmsg, r) for r in rtnetlink.new_link(LINKS[0], NUMBERS))
    assert (made["flags"], made.get_attr("IFLA_ADDRESS"), made.get_attr("IFLA_MTU")) == (0, MAC, None)
    spec = told_.get_attr("IFLA_AF_SPEC").get_attr("AF_INET6")
    assert spec.get_attr("IFLA_INET6_ADDR_GEN_MODE") == 1
    assert (raised["flags"], raised.get_attr("IFLA_MTU")) == (1, 9000)


@given(names, macs, mtus)
def test_any_link_of_ours_is_read_back(name: str, mac: str, mtu: int) -> None:
    thing = Macvlan(name, "eth0", "bridge", mtu, mac)
    state = rtstate.link(by_us(rtnetlink.new_link(thing, Numbers(5, 77, parent=2))[0]))
    assert state == LinkState(5, name, "macvlan", False, False, mtu, mac, 77, 0, 2, -1, linkinfo.details(thing))


@given(names, macs, mtus)
def test_a_glance_sees_what_a_whole_look_does(name: str, mac: str, mtu: int) -> None:
    message = by_us(rtnetlink.new_link(Macvlan(name, "eth0", "bridge", mtu, mac), Numbers(5, 77, parent=2))[0])
    assert rtstate.glance(message) == (5, (name, 0, mtu))


@pytest.mark.parametrize(
    ("flags", "operstate", "waits"),
    [(0, "DOWN", False), (1, "DOWN", True), (1, "LOWERLAYERDOWN", True), (1, "UP", False), (1, None, True)],
)
def test_a_link_waits_that_is_up_and_not_yet_known_to_carry(flags: int, operstate: str | None, waits: bool) -> None:
    message = ifinfmsg()
    message["index"], message["flags"] = 5, flags
    told = [("IFLA_OPERSTATE", operstate)] if operstate else []
    message["attrs"] = [["IFLA_IFNAME", "eth0"], ["IFLA_TXQLEN", 1000], *told, ["IFLA_MTU", 1500]]
    assert rtstate.waits(from_pyroute2(message)) is waits


@pytest.mark.parametrize("thing", LINKS, ids=str)
def test_a_links_details_are_read_back(thing: Link) -> None:
    state = rtstate.link(by_us(rtnetlink.new_link(thing, NUMBERS)[0]))
    assert (state.kind, state.details) == (linkinfo.kind(thing), linkinfo.details(thing))


@given(addresses, st.data())
def test_an_address_is_what_pyroute2_says_it_is(address: IPAddress, data: st.DataObject) -> None:
    thing = Address("eth0", ip_interface((address, data.draw(st.integers(0, address.max_prefixlen)))))
    request = rtnetlink.address(thing, 7)
    read = by_pyroute2(ifaddrmsg, request)
    assert ip_interface(f"{read.get_attr('IFA_LOCAL')}/{read['prefixlen']}") == thing.address
    assert (read["index"], read["flags"]) == (7, 0 if address.version == 4 else rtnetlink.IFA_F_NODAD)
    assert rtstate.address(by_us(request)) == AddressState(7, thing.address)


@given(addresses, addresses, st.data())
def test_a_route_is_what_pyroute2_says_it_is(to: IPAddress, via: IPAddress, data: st.DataObject) -> None:
    length = data.draw(st.integers(1, to.max_prefixlen))
    network = ip_network((to, length), strict=False)
    thing = Route("eth0", network, via if via.version == to.version else None)
    request = rtnetlink.route(thing, 7)
    read = by_pyroute2(rtmsg, request)
    gateway = read.get_attr("RTA_GATEWAY")
    assert (ip_network(f"{read.get_attr('RTA_DST')}/{read['dst_len']}"), read.get_attr("RTA_OIF")) == (network, 7)
    assert (ip_address(gateway) if gateway else None) == thing.via
    assert rtstate.route(by_us(request)) == RouteState(to.version, network, thing.via, 7, 254, 1, 3)


@pytest.mark.parametrize("version", [4, 6])
def test_a_default_route_has_no_destination(version: int) -> None:
    read = by_pyroute2(rtmsg, rtnetlink.route(Route("eth0", version=version), 7))
    assert (read["dst_len"], read.get_attr("RTA_DST"), read.get_attr("RTA_OIF")) == (0, None, 7)


@given(addresses, macs)
def test_a_neighbour_is_what_pyroute2_says_it_is(address: IPAddress, mac: str) -> None:
    request = rtnetlink.neigh(Neigh("eth0", address, mac), 7)
    read = by_pyroute2(ndmsg, request)
    assert (ip_address(read.get_attr("NDA_DST")), read.get_attr("NDA_LLADDR"), read["state"]) == (address, mac, 128)
    assert rtstate.neigh(by_us(request)) == NeighState(7, False, address, mac, 128, 0)


@given(addresses, macs)
def test_a_forwarding_entry_is_read_back(address: IPAddress, mac: str) -> None:
    state = rtstate.neigh(by_us(rtnetlink.fdb(Fdb("vx0", mac, address), 7)))
    assert state == NeighState(7, True, address, mac, 128, rtnetlink.NTF_SELF)


# ---- what pyroute2 writes


def test_a_link_of_pyroute2s_is_read() -> None:
    message = ifinfmsg()
    message["index"], message["flags"] = 9, 1
    message["header"]["type"] = rtnetlink.RTM_NEWLINK
    info = {"attrs": [["IFLA_INFO_KIND", "macvlan"]]}
    attrs = [["IFLA_IFNAME", "m0"], ["IFLA_MTU", 1400], ["IFLA_ADDRESS", MAC], ["IFLA_GROUP", 3]]
    message["attrs"] = [*attrs, ["IFLA_LINK", 4], ["IFLA_MASTER", 5], ["IFLA_LINKINFO", info]]
    state = rtstate.link(from_pyroute2(message))
    assert (state.index, state.name, state.kind, state.up) == (9, "m0", "macvlan", True)
    assert (state.mtu, state.mac, state.group, state.parent, state.master) == (1400, MAC, 3, 4, 5)


@given(addresses, st.data())
def test_an_address_of_pyroute2s_is_read(address: IPAddress, data: st.DataObject) -> None:
    length = data.draw(st.integers(0, address.max_prefixlen))
    message = ifaddrmsg()
    message["index"], message["prefixlen"], message["family"] = 9, length, rtnetlink.FAMILY[address.version]
    message["attrs"] = [["IFA_ADDRESS", str(address)]]
    assert rtstate.address(from_pyroute2(message)) == AddressState(9, ip_interface((address, length)))


def test_a_route_of_pyroute2s_in_a_high_table_is_read() -> None:
    message = rtmsg()
    message["family"], message["dst_len"], message["type"], message["proto"] = 2, 24, 1, 4
    attrs: list[list[Any]] = [["RTA_DST", "192.0.2.0"], ["RTA_TABLE", 1000], ["RTA_OIF", 3]]
    message["attrs"] = [*attrs, ["RTA_GATEWAY", "198.51.100.1"]]
    wanted = RouteState(4, ip_network("192.0.2.0/24"), ip_address("198.51.100.1"), 3, 1000, 1, 4)
    assert rtstate.route(from_pyroute2(message)) == wanted


def test_a_cached_copy_of_a_route_and_a_route_of_mpls_are_none() -> None:
    message = rtmsg()
    message["family"], message["flags"] = 10, rtstate.RTM_F_CLONED
    assert rtstate.route(from_pyroute2(message)) is None
    message = rtmsg()
    message["family"] = 28
    assert rtstate.route(from_pyroute2(message)) is None
