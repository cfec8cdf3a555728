"""What an overlay network says should be true on one of its hosts; and the numbers that hosts share out."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bascule.drivers import overlay
from bascule.ipam.addresses import Exhausted
from bascule.ipam.blocks import block_bits, has_room, pick_block, pick_vni, reserved
from bascule.ipam.pools import decide_pool
from bascule.model.addresses import IPNetwork, ip_address, ip_interface, ip_network
from bascule.model.cluster import Node, Remote, Tunnel
from bascule.model.endpoint import Endpoint
from bascule.model.errors import BasculeError, Failed
from bascule.model.network import Network, NetworkSpec, Pool, PoolSpec
from bascule.model.thing import Route, Thing

LOCAL, FAR, FAR6 = ip_address("192.0.2.1"), ip_address("192.0.2.2"), ip_address("2001:db8::2")
NET = Network(
    id="a" * 64,
    name="web",
    driver="overlay",
    created=1,
    scope="global",
    ipv6=True,
    link="br-web",
    mac="02:00:00:00:00:01",
    tunnel=Tunnel(4096, 1450, local=LOCAL, mac="02:00:00:00:00:02", blocks=(ip_network("10.0.0.0/29"),)),
)
BOX = Endpoint(
    id="b" * 64,
    network=NET.id,
    sandbox="c" * 64,
    name="box",
    created=1,
    addresses=(ip_interface("10.0.0.2/24"), ip_interface("fd07::2/64")),
    mac="02:00:00:00:00:03",
    link="bv-box",
    ifname="eth0",
    key="/ns/box",
)
THERE = Remote(
    id="d" * 64,
    network=NET.id,
    node="n2",
    epoch=1,
    generation=1,
    name="far",
    via=FAR,
    addresses=(ip_address("10.0.0.9"), ip_address("fd07::9")),
    mac="02:00:00:00:00:09",
)


def text(things: list[Thing]) -> str:
    return "\n".join(str(thing) for thing in things).replace("nft add element ", "+ ")


def pool(subnet: str, range_: str = "", aux: str = "") -> Pool:
    wanted = PoolSpec(
        ip_network(subnet),
        ip_network(range_) if range_ else None,
        aux={"aux": ip_address(aux)} if aux else {},
    )
    return decide_pool(wanted, [])


# ---- things


def test_an_overlay_network_on_one_of_its_hosts() -> None:
    assert (
        text(overlay.network(NET))
        == """\
+ inet bascule together '{ "br-web" . "br-web" }'
+ inet bascule internal_from '{ "br-web" }'
+ inet bascule internal_to '{ "br-web" }'
+ bridge bascule ports '{ "vx-aaaaaaaaaaaa" }'
ip link add br-web address 02:00:00:00:00:01 type bridge && ip link set br-web mtu 1450 addrgenmode none up
sysctl -qw net/ipv6/conf/br-web/accept_ra=0
sysctl -qw net/ipv6/conf/br-web/disable_ipv6=1
sysctl -qw net/ipv4/conf/br-web/arp_ignore=8
ip link add vx-aaaaaaaaaaaa address 02:00:00:00:00:02 master br-web mtu 1450 type vxlan id 4096 dstport 4789 \
local 192.0.2.1 nolearning proxy && ip link set vx-aaaaaaaaaaaa addrgenmode none up
sysctl -qw net/ipv6/conf/vx-aaaaaaaaaaaa/accept_ra=0
sysctl -qw net/ipv6/conf/vx-aaaaaaaaaaaa/disable_ipv6=0"""
    )


def test_an_endpoint_of_it() -> None:
    assert (
        text(overlay.endpoint(NET, BOX))
        == """\
+ bridge bascule ports '{ "bv-box" }'
+ bridge bascule lawful_ip '{ "bv-box" . 10.0.0.2 }'
+ bridge bascule lawful_ip6 '{ "bv-box" . fd07::2 }'
+ bridge bascule lawful_target '{ "bv-box" . 0xfd070000000000000000000000000002 }'
+ bridge bascule lawful_mac '{ "bv-box" . 02:00:00:00:00:03 }'
+ bridge bascule guarded '{ "bv-box" }'
ip link add bv-box master br-web mtu 1450 numtxqueues 1 numrxqueues 1 up type veth peer name eth0 \
address 02:00:00:00:00:03 mtu 1450 numtxqueues 1 numrxqueues 1 netns /ns/box && \
ip link set bv-box addrgenmode none
nsenter --net=/ns/box sysctl -qw net/ipv4/conf/eth0/arp_notify=1
nsenter --net=/ns/box sysctl -qw net/ipv6/conf/eth0/ndisc_notify=1
nsenter --net=/ns/box ip addr add 10.0.0.2/24 dev eth0
nsenter --net=/ns/box ip addr add fd07::2/64 dev eth0 nodad
nsenter --net=/ns/box ip link set eth0 up"""
    )


def test_an_endpoint_reaches_the_subnets_that_it_has_no_address_in_on_its_link() -> None:
    net = replace(NET, pools=tuple(map(pool, ("10.0.0.0/24", "10.1.0.0/24", "fd07::/64", "fd08::/64"))))
    routes = [str(thing) for thing in overlay.endpoint(net, BOX) if isinstance(thing, Route)]
    assert routes == [
        "nsenter --net=/ns/box ip -4 route add 10.1.0.0/24 dev eth0",
        "nsenter --net=/ns/box ip -6 route add fd08::/64 dev eth0",
    ]


def test_an_endpoint_on_another_host() -> None:
    assert (
        text(overlay.remote(NET, THERE))
        == """\
bridge fdb append 02:00:00:00:00:09 dev vx-aaaaaaaaaaaa dst 192.0.2.2 self permanent
ip neigh replace 10.0.0.9 lladdr 02:00:00:00:00:09 dev vx-aaaaaaaaaaaa nud permanent
ip neigh replace fd07::9 lladdr 02:00:00:00:00:09 dev vx-aaaaaaaaaaaa nud permanent"""
    )


def test_a_member_hears_tunnels_of_the_clusters_hosts_only() -> None:
    nodes = [Node("n1", "one", FAR, 1500, 1, 1), Node("n2", "two", FAR6, 1500, 1, 1)]
    assert (
        text(overlay.host(4789, nodes))
        == """\
+ inet bascule vtep_ip '{ 192.0.2.2 }'
+ inet bascule vtep_ip6 '{ 2001:db8::2 }'
+ inet bascule underlay '{ 4789 }'"""
    )


def test_a_host_that_is_no_member_any_more_states_nothing() -> None:
    assert overlay.network(replace(NET, tunnel=Tunnel(4096, 1450))) == []
    assert overlay.network(replace(NET, tunnel=None)) == []


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        ({"encrypted": ""}, ""),
        ({"encrypted": "maybe"}, "Invalid: failed to parse encrypted value: maybe"),
        ({overlay.ENCRYPTION: "rot13"}, "Invalid: invalid bascule.encryption rot13: there is wireguard, esp"),
        (
            {"encrypted": "false", overlay.ENCRYPTION: "esp"},
            "Invalid: bascule.encryption=esp and encrypted=false contradict each other",
        ),
        ({overlay.VNIS: "4097,4098"}, ""),
        ({overlay.VNIS: "4097,abc"}, f"Invalid: failed to parse {overlay.VNIS} value: abc"),
        ({overlay.VNIS: "4097,0"}, "Invalid: invalid vxlan id value 0 passed: 1 to 16777215 are there"),
        ({overlay.VNIS: "16777216"}, "Invalid: invalid vxlan id value 16777216 passed: 1 to 16777215 are there"),
        ({overlay.MTU: "1279"}, "Failed: invalid MTU 1279 of an overlay network: 1280 to 65535"),
        ({"bascule.antispof": "1"}, "Invalid: unknown option bascule.antispof: there is"),
    ],
)
def test_options(options: dict[str, str], refusal: str) -> None:
    try:
        overlay.check(NetworkSpec("web", driver="overlay", options=options))
        said = ""
    except BasculeError as why:
        said = f"{type(why).__name__}: {why}"
    assert said.startswith(refusal)
    assert bool(said) == bool(refusal)


def test_what_fits_through_the_tunnel() -> None:
    assert (overlay.mtu({}, 1500, FAR), overlay.mtu({}, 1500, FAR6)) == (1450, 1430)
    assert overlay.mtu({overlay.MTU: "1400"}, 1500, FAR) == 1400
    with pytest.raises(Failed, match="MTU 1451 does not fit the path between the cluster's hosts, 1450 does"):
        overlay.mtu({overlay.MTU: "1451"}, 1500, FAR)
    assert overlay.mtu({}, 1330, FAR, ipv6=True) == 1280
    assert overlay.mtu({}, 1329, FAR) == 1279
    with pytest.raises(Failed, match="hosts have MTU 1329, and IPv6 inside of them needs 1330"):
        overlay.mtu({}, 1329, FAR, ipv6=True)


# ---- blocks


@pytest.mark.parametrize(
    ("subnet", "range_", "aux", "given"),
    [
        ("10.0.0.0/24", "", "", "10.0.0.0/29 10.0.0.8/29 10.0.0.16/29"),
        ("10.0.0.0/16", "", "", "10.0.0.0/28 10.0.0.16/28 10.0.0.32/28"),
        ("10.0.0.0/24", "10.0.0.128/25", "", "10.0.0.128/29 10.0.0.136/29 10.0.0.144/29"),
        # One address each: that of the network, the gateway, an auxiliary one and the last are nobody's.
        ("10.0.0.0/29", "", "10.0.0.3", "10.0.0.2/32 10.0.0.4/32 10.0.0.5/32 10.0.0.6/32 full"),
        ("fd07::/64", "", "", "fd07::/124 fd07::10/124 fd07::20/124"),
    ],
)
def test_blocks_are_given_out_in_order(subnet: str, range_: str, aux: str, given: str) -> None:
    taken: list[IPNetwork] = []
    said = []
    for _ in given.split():
        try:
            taken.append(pick_block(pool(subnet, range_, aux), taken))
            said.append(str(taken[-1]))
        except Exhausted:
            said.append("full")
    assert " ".join(said) == given


@given(st.integers(16, 29), st.integers(1, 40))
def test_no_two_blocks_have_an_address_in_common_and_each_has_one_for_an_endpoint(bits: int, count: int) -> None:
    one = pool(f"10.0.0.0/{bits}")
    taken: list[IPNetwork] = []
    try:
        for _ in range(count):
            taken.append(pick_block(one, taken))
    except Exhausted:
        assert count > 4
    assert not any(a.overlaps(b) for n, a in enumerate(taken) for b in taken[:n])
    assert all(has_room(one, [block], ()) for block in taken)
    assert all(block.prefixlen == block_bits(one.subnet) for block in taken)


def test_a_block_is_full_when_its_addresses_are_taken() -> None:
    one = pool("10.0.0.0/24")
    block = [pick_block(one, ())]
    free = list(range(int(block[0].network_address), int(block[0].broadcast_address) + 1))
    taken = [ip_address(n) for n in free if n not in reserved(one)]
    assert has_room(one, block, taken[:-1])
    assert not has_room(one, block, taken)


def test_vnis_are_given_out_in_order() -> None:
    assert (pick_vni(()), pick_vni({4096, 4098}), pick_vni({7}, 7, 9)) == (4096, 4097, 8)
    with pytest.raises(Failed, match="no VXLAN network identifier is left from 7 to 7"):
        pick_vni({7}, 7, 7)
