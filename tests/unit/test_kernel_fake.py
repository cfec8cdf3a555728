"""The kernel in memory keeps the cases of tests/kernel_cases.py, and has some uses of its own."""

import pytest
from tests.kernel_cases import BRIDGE, CASES, GATEWAY, NETWORK, PUBLISH, Case, pair, told, whole

from bascule.kernel.apply import bring_up
from bascule.kernel.fake import FakeKernel
from bascule.model.addresses import ip_address, ip_interface, ip_network
from bascule.model.errors import Failed
from bascule.model.spans import span
from bascule.model.thing import Address, Bridge, Macvlan, Route, Up, Veth, Vlan

BOX = "/x/netns/box"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_the_fake_kernel(case: Case) -> None:
    case(FakeKernel(), BOX)


def test_a_dump_is_what_one_would_type_namespace_by_namespace() -> None:
    kernel = FakeKernel()
    kernel.add(whole(BOX))
    assert (
        kernel.dump()
        == """\
ip addr add 10.99.0.1/24 dev br-case
ip addr add fd99::1/64 dev br-case nodad
ip link add br-case address 02:00:00:00:00:01 type bridge && ip link set br-case mtu 1500 addrgenmode none up
ip link add bv-case2 master br-case mtu 1500 numtxqueues 1 numrxqueues 1 up type veth \
peer name eth2 address 02:00:00:00:01:02 mtu 1500 numtxqueues 1 numrxqueues 1 netns /x/netns/box \
&& ip link set bv-case2 addrgenmode none
nft add element bridge bascule guarded '{ "bv-case2" }'
nft add element bridge bascule lawful_ip '{ "bv-case2" . 10.99.0.2 }'
nft add element bridge bascule lawful_ip6 '{ "bv-case2" . fd99::2 }'
nft add element bridge bascule lawful_mac '{ "bv-case2" . 02:00:00:00:01:02 }'
nft add element bridge bascule lawful_target '{ "bv-case2" . 0xfd990000000000000000000000000002 }'
nft add element bridge bascule ports '{ "bv-case2" }'
nft add element inet bascule forward_to '{ ipv4 . "br-case" : goto to-nat }'
nft add element inet bascule hairpin_ip '{ "br-case" . "br-case" }'
nft add element inet bascule masquerade_ip '{ "br-case" }'
nft add element inet bascule together '{ "br-case" . "br-case" }'
mkdir -p /x/netns && touch /x/netns/box && unshare --net=/x/netns/box ip link set lo up
nsenter --net=/x/netns/box ip -4 route add default via 10.99.0.1 dev eth2
nsenter --net=/x/netns/box ip -6 route add default via fd99::1 dev eth2
nsenter --net=/x/netns/box ip addr add 10.99.0.2/24 dev eth2
nsenter --net=/x/netns/box ip addr add fd99::2/64 dev eth2 nodad
nsenter --net=/x/netns/box ip link set eth2 up"""
    )


def test_the_host_has_what_it_is_said_to_have() -> None:
    kernel = FakeKernel(
        routes=[ip_network("192.0.2.0/24")],
        links={"br9": "bridge", "eth0": ""},
        addresses=[ip_address("192.0.2.7")],
        held={("tcp", 80): "nginx (pid 812)"},
    )
    assert kernel.routes() == [span(ip_network("192.0.2.0/24"))]
    assert kernel.links() == {"lo": "", "br9": "bridge", "eth0": ""}
    assert kernel.port_holder("tcp", ip_address("192.0.2.7"), 80) == "nginx (pid 812)"
    assert kernel.port_holder("udp", ip_address("192.0.2.7"), 80) is None
    with pytest.raises(Failed):
        kernel.port_holder("tcp", ip_address("192.0.2.8"), 80)


def test_somebody_elses_bridge_can_be_used_and_is_never_swept() -> None:
    kernel = FakeKernel(links={"br-case": "bridge"})
    bring_up(kernel, [GATEWAY, *whole(BOX)[:1], pair(BOX)])
    assert told(kernel.add([BRIDGE])) == "EEXIST"
    kernel.sweep([])
    kernel.remove([BRIDGE])
    assert kernel.links() == {"lo": "", "br-case": "bridge"}
    assert kernel.missing([GATEWAY]) == []


def test_what_is_to_be_refused_is_refused_and_what_is_to_stick_sticks() -> None:
    kernel = FakeKernel(refuse={GATEWAY, PUBLISH}.__contains__, stick={BRIDGE}.__contains__)
    assert told(kernel.add([*NETWORK, PUBLISH])) == "made EPERM made EPERM"
    assert told(kernel.remove([BRIDGE])) == "EPERM"
    assert kernel.missing([BRIDGE]) == []


def test_a_bridge_has_a_thousand_and_twenty_three_ports() -> None:
    kernel = FakeKernel()
    ports = [Veth(f"bv-{n}", f"p{n}", "", master="br-case") for n in range(1024)]
    assert told(kernel.add([BRIDGE, *ports])) == " ".join(["made"] * 1024 + ["EXFULL"])


def test_links_made_of_another_go_with_it() -> None:
    kernel = FakeKernel(links={"eth0": ""})
    vlan, macvlan = Vlan("eth0.50", "eth0", 50), Macvlan("mv0", "eth0.50")
    assert told(kernel.add([Macvlan("mv1", "nosuch"), vlan, macvlan])) == "ENODEV made made"
    kernel.remove([vlan])
    assert kernel.missing([vlan, macvlan]) == [vlan, macvlan]


def test_a_link_that_goes_down_loses_its_routes_and_ipv6_addresses() -> None:
    kernel = FakeKernel()
    four, six = Address("br-case", ip_interface("10.0.0.1/24")), Address("br-case", ip_interface("fd00::1/64"))
    route = Route("br-case", ip_network("10.1.0.0/24"))
    bring_up(kernel, [Bridge("br-case"), four, six, route])
    kernel.remove([Up("br-case")])
    assert kernel.missing([four, six, route, Up("br-case")]) == [six, route, Up("br-case")]
