"""Things as one would type them, and their undoing."""

from ipaddress import ip_address, ip_interface, ip_network

from bascule.model.firewall import Forward, Publish
from bascule.model.links import Address, Bridge, Fdb, Namespace, Neigh, Route, Sysctl, Up, Veth
from bascule.model.thing import Thing
from bascule.model.typed import made, unmade

BOX = "/run/net ns/c1"
THINGS: list[Thing] = [
    Forward("br-1", 4),
    Bridge("br-1", mac="02:00:00:00:00:01"),
    Sysctl("net/ipv4/conf/br-1/route_localnet", "1"),
    Address("br-1", ip_interface("10.7.0.1/24")),
    Namespace(BOX),
    Veth("bv-1", "eth0", BOX, master="br-1"),
    Address("eth0", ip_interface("fd07::2/64"), BOX),
    Up("eth0", BOX),
    Route("eth0", via=ip_address("10.7.0.1"), ns=BOX),
    Route("br-1", ip_network("10.9.0.0/16")),
    Neigh("eth0", ip_address("10.7.0.9"), "02:00:00:00:00:09", BOX),
    Fdb("vx0", "02:00:00:00:00:0a", ip_address("192.0.2.9")),
    Publish("tcp", ip_address("0.0.0.0"), 8080, ip_address("10.7.0.2"), 80),
]


def test_what_is_made_is_unmade_backwards() -> None:
    assert (
        "\n".join(unmade(THINGS, "bascule"))
        == """\
nft delete element inet bascule publish_ip '{ tcp . 8080 }'
bridge fdb del 02:00:00:00:00:0a dev vx0 dst 192.0.2.9 self
nsenter --net='/run/net ns/c1' ip neigh del 10.7.0.9 dev eth0
ip -4 route del 10.9.0.0/16 dev br-1
nsenter --net='/run/net ns/c1' ip -4 route del default via 10.7.0.1 dev eth0
nsenter --net='/run/net ns/c1' ip addr del fd07::2/64 dev eth0
ip link del bv-1
umount '/run/net ns/c1' && rm '/run/net ns/c1'
ip addr del 10.7.0.1/24 dev br-1
ip link del br-1
nft delete element inet bascule forward_to '{ ipv4 . "br-1" }'
nft delete element inet bascule hairpin_ip '{ "br-1" . "br-1" }'"""
    )


def test_a_link_that_stays_is_only_taken_down() -> None:
    assert unmade([Up("eth0", BOX)], "bascule") == ["nsenter --net='/run/net ns/c1' ip link set eth0 down"]


def test_elements_are_those_of_the_engines_own_table() -> None:
    lines = made(THINGS[:1], "bascule-lab0") + unmade(THINGS[:1], "bascule-lab0")
    assert [line.split()[4:6] for line in lines] == [
        ["bascule-lab0", "hairpin_ip"],
        ["bascule-lab0", "forward_to"],
        ["bascule-lab0", "forward_to"],
        ["bascule-lab0", "hairpin_ip"],
    ]


def test_making_is_what_the_things_say() -> None:
    assert made(THINGS, "bascule") == [line for thing in THINGS for line in str(thing).splitlines()]
