"""What each network type says should be true, as the command lines that would make it so."""

import doctest
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from bascule.drivers import BUILT_IN, bridge, find, ipvlan, macvlan
from bascule.drivers.protocol import Chosen, Driver
from bascule.model.addresses import Family, ip_address, ip_interface, ip_network
from bascule.model.endpoint import Endpoint, EndpointSpec, PublishedPort
from bascule.model.errors import BasculeError, Invalid, NotFound
from bascule.model.network import Network, NetworkSpec, Pool
from bascule.model.thing import Thing

ROOT = Path(__file__).parents[2]

GATEWAY = "com.docker.network.bridge.gateway_mode_ipv4"


def pool(subnet: str, gateway: str | None) -> Pool:
    net = ip_network(subnet)
    return Pool(net, net, ip_address(gateway) if gateway else None)


WEB = Network(
    id="a" * 64,
    name="web",
    driver="bridge",
    created=1,
    pools=(pool("10.7.0.0/24", "10.7.0.1"),),
    link="br-web",
    mac="02:00:00:00:00:01",
)
DUAL = replace(WEB, ipv6=True, pools=(*WEB.pools, pool("fd07::/64", "fd07::1")))
BOX = Endpoint(
    id="b" * 64,
    network=WEB.id,
    sandbox="c" * 64,
    name="box",
    created=1,
    addresses=(ip_interface("10.7.0.2/24"),),
    gateways=(ip_address("10.7.0.1"),),
    default_for=(4,),
    mac="02:00:00:00:00:02",
    link="bv-box",
    ifname="eth0",
    key="/ns/box",
)
DUAL_BOX = replace(
    BOX,
    addresses=(*BOX.addresses, ip_interface("fd07::2/64")),
    gateways=(*BOX.gateways, ip_address("fd07::1")),
    default_for=(4, 6),
)


def opted(net: Network, options: Mapping[str, str], *, internal: bool = False) -> Network:
    return replace(net, options=dict(options), internal=internal)


def text(things: list[Thing]) -> str:
    return "\n".join(str(thing) for thing in things).replace("nft add element ", "+ ")


def published(*ports: str) -> tuple[PublishedPort, ...]:
    """`host-address host-port port`"""
    return tuple(
        PublishedPort(int(port), "tcp", ip_address(host), int(number))
        for host, number, port in (written.split() for written in ports)
    )


# ---- networks


def test_a_bridge_network() -> None:
    assert (
        text(bridge.network(WEB))
        == """\
+ inet bascule together '{ "br-web" . "br-web" }'
+ inet bascule hairpin_ip '{ "br-web" . "br-web" }'
+ inet bascule forward_to '{ ipv4 . "br-web" : goto to-nat }'
+ inet bascule masquerade_ip '{ "br-web" }'
ip link add br-web address 02:00:00:00:00:01 type bridge && ip link set br-web mtu 1500 addrgenmode none up
ip addr add 10.7.0.1/24 dev br-web
sysctl -qw net/ipv6/conf/br-web/accept_ra=0
sysctl -qw net/ipv6/conf/br-web/disable_ipv6=1
sysctl -qw net/ipv4/conf/br-web/route_localnet=1"""
    )


def test_a_bridge_network_of_both_families() -> None:
    assert (
        text(bridge.network(DUAL))
        == """\
+ inet bascule together '{ "br-web" . "br-web" }'
+ inet bascule hairpin_ip '{ "br-web" . "br-web" }'
+ inet bascule forward_to '{ ipv4 . "br-web" : goto to-nat }'
+ inet bascule masquerade_ip '{ "br-web" }'
+ inet bascule hairpin_ip6 '{ "br-web" . "br-web" }'
+ inet bascule forward_to '{ ipv6 . "br-web" : goto to-nat }'
+ inet bascule masquerade_ip6 '{ "br-web" }'
ip link add br-web address 02:00:00:00:00:01 type bridge && ip link set br-web mtu 1500 addrgenmode none up
sysctl -qw net/ipv6/conf/br-web/accept_ra=0
sysctl -qw net/ipv6/conf/br-web/disable_ipv6=0
sysctl -qw net/ipv4/conf/br-web/route_localnet=1
ip addr add 10.7.0.1/24 dev br-web
ip addr add fd07::1/64 dev br-web nodad
ip addr add fe80::1/64 dev br-web nodad"""
    )


def test_an_internal_network_has_its_gateway_and_no_way_out() -> None:
    assert (
        text(bridge.network(opted(WEB, {}, internal=True)))
        == """\
+ inet bascule together '{ "br-web" . "br-web" }'
+ inet bascule internal_from '{ "br-web" }'
+ inet bascule internal_to '{ "br-web" }'
ip link add br-web address 02:00:00:00:00:01 type bridge && ip link set br-web mtu 1500 addrgenmode none up
ip addr add 10.7.0.1/24 dev br-web
sysctl -qw net/ipv6/conf/br-web/accept_ra=0
sysctl -qw net/ipv6/conf/br-web/disable_ipv6=1"""
    )


def test_an_isolated_network_has_no_address_of_the_host() -> None:
    net = opted(WEB, {GATEWAY: "isolated"}, internal=True)
    assert "ip addr" not in text(bridge.network(net))
    assert bridge.check(NetworkSpec("web", internal=True, options=net.options)).has_gateway == (False, True)


def lines_that_differ(net: Network) -> str:
    """What *net*'s options change of WEB's or DUAL's things."""
    plain = text(bridge.network(DUAL if net.ipv6 else WEB)).splitlines()
    now = text(bridge.network(net)).splitlines()
    return "\n".join([f"- {line}" for line in plain if line not in now] + [n for n in now if n not in plain])


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ({}, ""),
        ({"colour": "red"}, ""),
        (
            {"com.docker.network.driver.mtu": "1400"},
            "- ip link add br-web address 02:00:00:00:00:01 type bridge"
            " && ip link set br-web mtu 1500 addrgenmode none up\n"
            "ip link add br-web address 02:00:00:00:00:01 type bridge"
            " && ip link set br-web mtu 1400 addrgenmode none up",
        ),
        ({"com.docker.network.driver.mtu": "0"}, ""),
        (
            {"com.docker.network.bridge.enable_icc": "false"},
            """- + inet bascule together '{ "br-web" . "br-web" }'""",
        ),
        (
            {"com.docker.network.bridge.enable_ip_masquerade": "0"},
            """- + inet bascule masquerade_ip '{ "br-web" }'""",
        ),
        (
            {"com.docker.network.host_ipv4": "192.0.2.9"},
            """- + inet bascule masquerade_ip '{ "br-web" }'\n+ inet bascule snat_ip '{ "br-web" : 192.0.2.9 }'""",
        ),
        (
            {GATEWAY: "routed"},
            """- + inet bascule forward_to '{ ipv4 . "br-web" : goto to-nat }'\n"""
            """- + inet bascule masquerade_ip '{ "br-web" }'\n"""
            "- sysctl -qw net/ipv4/conf/br-web/route_localnet=1\n"
            """+ inet bascule forward_to '{ ipv4 . "br-web" : goto to-routed }'""",
        ),
        (
            {GATEWAY: "nat-unprotected"},
            """- + inet bascule forward_to '{ ipv4 . "br-web" : goto to-nat }'\n"""
            """+ inet bascule forward_to '{ ipv4 . "br-web" : goto to-nat-unprotected }'""",
        ),
        ({"com.docker.network.bridge.inhibit_ipv4": "true"}, "- ip addr add 10.7.0.1/24 dev br-web"),
        (
            {"com.docker.network.bridge.trusted_host_interfaces": "vpn0:lan0"},
            """+ inet bascule trusted '{ "vpn0" . "br-web" }'\n+ inet bascule trusted '{ "lan0" . "br-web" }'""",
        ),
    ],
)
def test_an_option_changes_what_it_is_about_and_nothing_else(options: Mapping[str, str], difference: str) -> None:
    assert lines_that_differ(opted(WEB, options)) == difference


def test_the_families_have_modes_of_their_own() -> None:
    net = opted(DUAL, {"com.docker.network.bridge.gateway_mode_ipv6": "routed"})
    assert (
        lines_that_differ(net)
        == """\
- + inet bascule forward_to '{ ipv6 . "br-web" : goto to-nat }'
- + inet bascule masquerade_ip6 '{ "br-web" }'
+ inet bascule forward_to '{ ipv6 . "br-web" : goto to-routed }'"""
    )


def test_an_adopted_bridge_is_not_made_and_its_ipv6_is_left_alone() -> None:
    assert (
        lines_that_differ(replace(WEB, adopted=True))
        == """\
- ip link add br-web address 02:00:00:00:00:01 type bridge && ip link set br-web mtu 1500 addrgenmode none up
- sysctl -qw net/ipv6/conf/br-web/accept_ra=0
- sysctl -qw net/ipv6/conf/br-web/disable_ipv6=1"""
    )


def test_a_network_may_have_several_subnets_of_a_family() -> None:
    net = replace(WEB, pools=(*WEB.pools, pool("10.8.0.0/24", "10.8.0.1")))
    assert lines_that_differ(net) == "ip addr add 10.8.0.1/24 dev br-web"


def test_a_network_without_ipv4_says_nothing_of_it() -> None:
    net = replace(DUAL, ipv4=False, pools=DUAL.pools[1:])
    assert (
        text(bridge.network(net))
        == """\
+ inet bascule together '{ "br-web" . "br-web" }'
+ inet bascule hairpin_ip6 '{ "br-web" . "br-web" }'
+ inet bascule forward_to '{ ipv6 . "br-web" : goto to-nat }'
+ inet bascule masquerade_ip6 '{ "br-web" }'
ip link add br-web address 02:00:00:00:00:01 type bridge && ip link set br-web mtu 1500 addrgenmode none up
sysctl -qw net/ipv6/conf/br-web/accept_ra=0
sysctl -qw net/ipv6/conf/br-web/disable_ipv6=0
ip addr add fd07::1/64 dev br-web nodad
ip addr add fe80::1/64 dev br-web nodad"""
    )


# ---- endpoints

VETH = (
    "ip link add bv-box master br-web mtu 1500 numtxqueues 1 numrxqueues 1 up type veth"
    " peer name eth0 address 02:00:00:00:00:02 mtu 1500 numtxqueues 1 numrxqueues 1 netns /ns/box"
    " && ip link set bv-box addrgenmode none"
)


def test_an_endpoint_is_guarded_before_its_link_is_there() -> None:
    assert (
        text(bridge.endpoint(WEB, BOX))
        == f"""\
+ bridge bascule ports '{{ "bv-box" }}'
+ bridge bascule lawful_ip '{{ "bv-box" . 10.7.0.2 }}'
+ bridge bascule lawful_mac '{{ "bv-box" . 02:00:00:00:00:02 }}'
+ bridge bascule guarded '{{ "bv-box" }}'
{VETH}
nsenter --net=/ns/box ip addr add 10.7.0.2/24 dev eth0
nsenter --net=/ns/box ip link set eth0 addrgenmode none && nsenter --net=/ns/box ip link set eth0 up
nsenter --net=/ns/box ip -4 route add default via 10.7.0.1 dev eth0"""
    )


def inside(net: Network, ep: Endpoint) -> str:
    """What holds in the container, as typed there."""
    lines = text(bridge.endpoint(net, ep)).splitlines()
    prefix = f"nsenter --net={ep.key} "
    return "\n".join(line.replace(prefix, "") for line in lines if line.startswith(prefix))


def at_the_firewall(net: Network, ep: Endpoint) -> str:
    lines = text(bridge.endpoint(net, ep)).splitlines()
    usual = ("ports", "lawful_ip", "lawful_ip6", "lawful_target", "lawful_mac", "guarded")
    return "\n".join(line for line in lines if line.startswith("+") and line.split()[3] not in usual)


def test_an_endpoint_of_both_families() -> None:
    assert (
        inside(DUAL, DUAL_BOX)
        == """\
ip addr add 10.7.0.2/24 dev eth0
ip addr add fd07::2/64 dev eth0 nodad
ip link set eth0 up
ip -4 route add default via 10.7.0.1 dev eth0
ip -6 route add default via fd07::1 dev eth0"""
    )


@pytest.mark.parametrize(("carried", "routes"), [((), 0), ((4,), 1), ((6,), 1), ((4, 6), 2)])
def test_default_routes_are_of_the_families_that_it_was_elected_for(
    carried: tuple[Family, ...], routes: int
) -> None:
    assert inside(DUAL, replace(DUAL_BOX, default_for=carried)).count("route add default") == routes


def test_there_is_no_default_route_on_an_internal_network() -> None:
    assert "route" not in inside(opted(WEB, {}, internal=True), BOX)


def test_link_local_addresses_are_added_and_lawful() -> None:
    ep = replace(BOX, spec=EndpointSpec(link_local=(ip_address("169.254.9.9"), ip_address("fe80::9"))))
    assert (
        inside(WEB, ep)
        == """\
ip addr add 10.7.0.2/24 dev eth0
ip addr add 169.254.9.9/16 dev eth0
ip addr add fe80::9/64 dev eth0 nodad
ip link set eth0 addrgenmode none && ip link set eth0 up
ip -4 route add default via 10.7.0.1 dev eth0"""
    )
    assert """lawful_ip '{ "bv-box" . 169.254.9.9 }'""" in text(bridge.endpoint(WEB, ep))


def test_antispoof_can_be_turned_off() -> None:
    things = text(bridge.endpoint(opted(WEB, {"bascule.antispoof": "false"}), BOX))
    assert "lawful" not in things
    assert "guarded" not in things


def test_kept_apart_endpoints_reach_what_they_link_to() -> None:
    net = opted(WEB, {"com.docker.network.bridge.enable_icc": "false"})
    ep = replace(BOX, reaches=((ip_address("10.7.0.9"), "tcp", 5432), (ip_address("fd07::9"), "tcp", 5432)))
    assert (
        at_the_firewall(net, ep)
        == """\
+ bridge bascule apart '{ "bv-box" }'
+ inet bascule linked_ip '{ 10.7.0.2 . 10.7.0.9 . tcp . 5432 }'
+ bridge bascule linked_ip '{ 10.7.0.2 . 10.7.0.9 . tcp . 5432 }'
+ bridge bascule linked_back_ip '{ 10.7.0.9 . 10.7.0.2 . tcp . 5432 }'"""
    )
    assert at_the_firewall(WEB, ep) == ""


def test_published_ports_of_the_families_that_the_endpoint_has() -> None:
    ports = published("0.0.0.0 8080 80", ":: 8080 80", "127.0.0.1 8081 81")
    assert (
        at_the_firewall(WEB, replace(BOX, ports=ports))
        == """\
+ inet bascule publish_ip '{ tcp . 8080 : 10.7.0.2 . 80 }'
+ inet bascule publish_at_ip '{ 127.0.0.1 . tcp . 8081 : 10.7.0.2 . 81 }'"""
    )
    assert (
        at_the_firewall(DUAL, replace(DUAL_BOX, ports=ports))
        == """\
+ inet bascule publish_ip '{ tcp . 8080 : 10.7.0.2 . 80 }'
+ inet bascule publish_ip6 '{ tcp . 8080 : fd07::2 . 80 }'
+ inet bascule publish_at_ip '{ 127.0.0.1 . tcp . 8081 : 10.7.0.2 . 81 }'"""
    )


def test_a_routed_network_opens_a_published_port_once() -> None:
    ports = published("0.0.0.0 8080 80", "192.0.2.1 8081 80")
    assert (
        at_the_firewall(opted(WEB, {GATEWAY: "routed"}), replace(BOX, ports=ports))
        == "+ inet bascule open_ip '{ 10.7.0.2 . tcp . 80 }'"
    )


def test_an_internal_network_publishes_nothing() -> None:
    ports = published("0.0.0.0 8080 80")
    assert at_the_firewall(opted(WEB, {}, internal=True), replace(BOX, ports=ports)) == ""


def test_endpoint_sysctls_are_of_its_interface_and_come_before_it_is_up() -> None:
    settings = "net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.neigh.IFNAME.gc_stale_time=9"
    ep = replace(BOX, ifname="eth.7", spec=EndpointSpec(options={bridge.SYSCTLS: settings}))
    assert (
        inside(WEB, ep)
        == """\
sysctl -qw net/ipv4/conf/eth.7/log_martians=1
sysctl -qw net/ipv6/neigh/eth.7/gc_stale_time=9
ip addr add 10.7.0.2/24 dev eth.7
ip link set eth.7 addrgenmode none && ip link set eth.7 up
ip -4 route add default via 10.7.0.1 dev eth.7"""
    )


def test_addresses_are_announced_where_it_is_asked_for() -> None:
    net = opted(DUAL, {"com.docker.network.advertise_addr_nmsgs": "3"})
    assert inside(net, DUAL_BOX).splitlines()[:2] == [
        "sysctl -qw net/ipv4/conf/eth0/arp_notify=1",
        "sysctl -qw net/ipv6/conf/eth0/ndisc_notify=1",
    ]


# ---- options


@pytest.mark.parametrize(
    ("option", "status", "message"),
    [
        (
            "com.docker.network.bridge.enable_icc=zz",
            400,
            "failed to parse com.docker.network.bridge.enable_icc value: zz"
            ' (strconv.ParseBool: parsing "zz": invalid syntax)',
        ),
        ("com.docker.network.driver.mtu=-1", 400, "invalid MTU number: -1"),
        (
            "com.docker.network.driver.mtu=x",
            400,
            'failed to parse com.docker.network.driver.mtu value: x (strconv.Atoi: parsing "x": invalid syntax)',
        ),
        ("com.docker.network.driver.mtu=99999", 500, "invalid argument"),
        (
            f"{GATEWAY}=zz",
            400,
            f"failed to parse {GATEWAY} value: zz (unknown gateway mode zz)",
        ),
        (f"{GATEWAY}=isolated", 500, "gateway mode 'isolated' can only be used for an internal network"),
        (
            "com.docker.network.bridge.host_binding_ipv4=zz",
            400,
            "failed to parse com.docker.network.bridge.host_binding_ipv4 value: zz (nil ip)",
        ),
        (
            "com.docker.network.host_ipv4=fd00::1",
            400,
            "failed to parse com.docker.network.host_ipv4 value: fd00::1 (not an IPv4 address)",
        ),
        (
            "com.docker.network.advertise_addr_nmsgs=9",
            500,
            "com.docker.network.advertise_addr_nmsgs must be in the range 0 to 3",
        ),
        (
            "com.docker.network.advertise_addr_ms=9",
            500,
            "com.docker.network.advertise_addr_ms must be in the range 100 to 2000",
        ),
        (
            'com.docker.network.bridge.trusted_host_interfaces=lan0:"x',
            400,
            'failed to parse com.docker.network.bridge.trusted_host_interfaces value: "x'
            " (invalid interface name '\"x')",
        ),
        (
            "com.docker.network.container_iface_prefix=much-too-long-a-name",
            400,
            "failed to parse com.docker.network.container_iface_prefix value: much-too-long-a-name"
            " (invalid interface name 'much-too-long-a-name0': 1 to 15 characters)",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and "=" in value else "",
)
def test_an_option_that_cannot_be_read_is_refused_in_docker_s_words(option: str, status: int, message: str) -> None:
    key, _, value = option.partition("=")
    with pytest.raises(BasculeError) as refusal:
        bridge.check(NetworkSpec("web", options={key: value}))
    assert (refusal.value.status, str(refusal.value)) == (status, message)


def test_an_option_of_bascules_that_there_is_not_is_refused_by_name() -> None:
    with pytest.raises(Invalid, match=r"^unknown option bascule\.antispof: there is bascule\.allow_overlap, "):
        bridge.check(NetworkSpec("web", options={"bascule.antispof": "false"}))
    bridge.check(NetworkSpec("web", options={"bascule.antispoof": "false", "bascule.allow_overlap": "true"}))
    bridge.check(NetworkSpec("web", options={"com.docker.network.nosuch": "1"}))


def test_what_the_engine_decides_with_is_read_from_the_options() -> None:
    options = {
        "com.docker.network.bridge.name": "br7",
        "com.docker.network.container_iface_prefix": "net",
        "com.docker.network.bridge.host_binding_ipv4": "127.0.0.1",
        "com.docker.network.bridge.gateway_mode_ipv6": "isolated",
    }
    assert bridge.check(NetworkSpec("web", internal=True, options=options)) == Chosen(
        link="br7", iface_prefix="net", has_gateway=(True, False), publish_host=ip_address("127.0.0.1")
    )


@pytest.mark.parametrize(
    "setting",
    [
        "net.ipv4.conf.eth0.log_martians=1",
        "net.ipv4.conf.IFNAME.log_martians",
        "net.core.IFNAME.somaxconn=1",
        "net.ipv4.conf/../../kernel.IFNAME.core_pattern=x",
        "kernel.core_pattern=x",
    ],
)
def test_a_sysctl_that_is_not_an_interfaces_is_refused_in_docker_s_words(setting: str) -> None:
    with pytest.raises(BasculeError) as refusal:
        bridge.check_endpoint(WEB, {bridge.SYSCTLS: setting})
    assert (refusal.value.status, str(refusal.value)) == (
        400,
        f"invalid endpoint settings:\nunrecognised network interface sysctl '{setting}'; represent"
        " 'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'",
    )


def test_an_interface_name_is_checked_and_handed_on() -> None:
    assert bridge.check_endpoint(WEB, {}) == ""
    assert bridge.check_endpoint(WEB, {bridge.IFNAME: "lan0"}) == "lan0"
    with pytest.raises(BasculeError, match=r"invalid interface name 'a/b'"):
        bridge.check_endpoint(WEB, {bridge.IFNAME: "a/b"})


# ---- every driver


@pytest.mark.parametrize("driver", BUILT_IN.values(), ids=BUILT_IN.keys())
def test_a_driver_says_the_same_each_time_and_nothing_twice(driver: Driver) -> None:
    things = [*driver.network(DUAL), *driver.endpoint(DUAL, DUAL_BOX)]
    assert things == [*driver.network(DUAL), *driver.endpoint(DUAL, DUAL_BOX)]
    assert len(things) == len(set(things))


@pytest.mark.parametrize("name", ["host", "null"])
def test_host_and_null_make_nothing_and_are_single(name: str) -> None:
    driver = find(name)
    assert (driver.network(WEB), driver.endpoint(WEB, BOX)) == ([], [])
    assert (driver.TRAITS.name, driver.TRAITS.single, driver.TRAITS.connects) == (name, True, False)
    assert driver.check(NetworkSpec("x", options={"a": "b"})).link == ""


def test_an_unknown_driver_is_refused_in_docker_s_words() -> None:
    with pytest.raises(NotFound, match='plugin "nosuch" not found'):
        find("nosuch")


def outside(site: Path, code: str) -> str:
    """The last line that *code* prints in an interpreter that also sees the packages in *site*."""
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys; from bascule.drivers import find; {code}"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(site), *sys.path])},
        capture_output=True,
        text=True,
    )
    return (ran.stdout + ran.stderr).splitlines()[-1]


def test_a_package_may_offer_a_driver_and_it_is_imported_when_asked_for(tmp_path: Path) -> None:
    offer = tmp_path / "acme-1.0.dist-info"
    offer.mkdir()
    (offer / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (offer / "entry_points.txt").write_text("[bascule.drivers]\nacme = acme\nbroken = nowhere\n")
    (tmp_path / "acme.py").write_text("from bascule.drivers.protocol import Traits\nTRAITS = Traits('acme')\n")
    assert outside(tmp_path, "print(find('acme').TRAITS.name, 'acme' in sys.modules)") == "acme True"
    assert outside(tmp_path, "find('bridge'); print('acme' in sys.modules)") == "False"
    assert outside(tmp_path, "find('broken')") == (
        "bascule.model.errors.Failed: plugin \"broken\" cannot be loaded from nowhere: No module named 'nowhere'"
    )


def test_the_examples_of_the_page_are_true() -> None:
    page = str(ROOT / "docs" / "drivers.md")
    assert doctest.testfile(page, module_relative=False, optionflags=doctest.ELLIPSIS).failed == 0


def test_every_option_is_on_the_page() -> None:
    page = (ROOT / "docs" / "drivers.md").read_text()
    known = [value for value in vars(bridge).values() if isinstance(value, str | dict)]
    keys = [key for value in known for key in (value.values() if isinstance(value, dict) else [value])]
    options = [key for key in keys if isinstance(key, str) and key.startswith(("com.docker.", "bascule."))]
    assert "bascule.antispoof" in options
    assert [key for key in options if f"`{key}`" not in page and not key.startswith("bascule.drivers")] == []


# ---- on a parent

LAN = replace(WEB, driver="macvlan", link="eth0.50", options={"parent": "eth0.50", "bascule.host_access": "true"})


def test_a_macvlan_network_on_a_vlan_with_the_hosts_own_link() -> None:
    assert (
        text(macvlan.network(LAN))
        == """\
ip link add link eth0 name eth0.50 up type vlan id 50
ip link add link eth0.50 name bh-aaaaaaaaaaaa address 02:00:00:00:00:01 type macvlan mode bridge
sysctl -qw net/ipv4/conf/bh-aaaaaaaaaaaa/arp_ignore=1
sysctl -qw net/ipv6/conf/bh-aaaaaaaaaaaa/accept_ra=0
sysctl -qw net/ipv6/conf/bh-aaaaaaaaaaaa/disable_ipv6=1
ip link set bh-aaaaaaaaaaaa addrgenmode none && ip link set bh-aaaaaaaaaaaa up"""
    )


def test_a_macvlan_endpoint() -> None:
    lines = text(macvlan.endpoint(LAN, BOX)).replace("nsenter --net=/ns/box ", "> ")
    assert (
        lines
        == """\
ip link add link eth0.50 name eth0 address 02:00:00:00:00:02 netns /ns/box type macvlan mode bridge
> sysctl -qw net/ipv4/conf/eth0/arp_notify=1
> sysctl -qw net/ipv6/conf/eth0/disable_ipv6=1
> ip addr add 10.7.0.2/24 dev eth0
> ip link set eth0 addrgenmode none && > ip link set eth0 up
> ip -4 route add default via 10.7.0.1 dev eth0
ip -4 route add 10.7.0.2/32 dev bh-aaaaaaaaaaaa"""
    )


def test_a_passthru_endpoint_gets_its_mac_when_it_is_raised() -> None:
    lines = text(macvlan.endpoint(replace(LAN, options={"parent": "eth0.50", "macvlan_mode": "passthru"}), BOX))
    lines = lines.replace("nsenter --net=/ns/box ", "> ")
    assert "ip link add link eth0.50 name eth0 netns /ns/box type macvlan mode passthru\n" in lines
    assert "> ip link set eth0 address 02:00:00:00:00:02 up\n" in lines


def test_an_ipvlan_endpoint_in_l3_has_its_default_route_on_the_link() -> None:
    net = replace(WEB, driver="ipvlan", link="eth0", options={"parent": "eth0", "ipvlan_mode": "l3"}, adopted=True)
    ep = replace(BOX, gateways=(ip_address("0.0.0.0"),), mac="")
    assert ipvlan.network(net) == []
    lines = text(ipvlan.endpoint(net, ep)).replace("nsenter --net=/ns/box ", "> ").splitlines()
    assert lines[0] == "ip link add link eth0 name eth0 netns /ns/box type ipvlan mode l3 bridge"
    assert lines[-1] == "> ip -4 route add default dev eth0"


@pytest.mark.parametrize(
    ("driver", "options", "why"),
    [
        (
            macvlan,
            {"macvlan_mode": "zz"},
            "requested macvlan mode 'zz' is not valid, 'bridge' mode is the macvlan driver default",
        ),
        (
            ipvlan,
            {"ipvlan_mode": "zz"},
            "requested ipvlan mode 'zz' is not valid, 'l2' mode is the ipvlan driver default",
        ),
        (
            ipvlan,
            {"ipvlan_flag": "zz"},
            "requested ipvlan flag 'zz' is not valid, 'bridge' is the ipvlan driver default",
        ),
        (ipvlan, {"parent": "lo"}, "loopback interface is not a valid ipvlan parent link"),
        *(
            (
                macvlan,
                {"bascule.host_access": "true", "macvlan_mode": mode},
                f"there is no host access in macvlan mode {mode}, which keeps the host from the endpoints",
            )
            for mode in ("private", "vepa", "passthru")
        ),
        *(
            (
                ipvlan,
                {"bascule.host_access": "true", "ipvlan_flag": flag},
                f"there is no host access with ipvlan flag {flag}, which keeps the host from the endpoints",
            )
            for flag in ("private", "vepa")
        ),
    ],
)
def test_words_that_a_parents_driver_does_not_know(driver: Driver, options: dict[str, str], why: str) -> None:
    with pytest.raises(BasculeError) as refusal:
        driver.check(NetworkSpec("lan", options=options))
    assert str(refusal.value) == why
