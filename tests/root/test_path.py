"""How large packets may be on the way to another host, on the real kernel."""

from collections.abc import Iterator

import pytest
from tests.root.overlay_world import Wire

from bascule.model.addresses import ip_address


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire("one", "two") as made:
        yield made


@pytest.mark.parametrize("version", [4, 6])
def test_what_the_way_carries_is_found_whatever_the_links_at_its_ends_do(wire: Wire, version: int) -> None:
    reach, two = wire.kernel("one").reach, wire.address("two", version)
    assert reach(two, 1500) == 1500
    assert reach(two, 1400) == 1400
    # A bridge between them cuts nothing and says nothing.
    wire.ip("wire", "link set two mtu 1400")
    assert reach(two, 1500) == 1400
    wire.ip("wire", "link set two mtu 1500")
    # It does not fit the own link.
    wire.ip("one", "link set eth0 mtu 1390")
    assert reach(two, 1500) == 1390


def test_who_answers_no_pings_says_nothing(wire: Wire) -> None:
    wire.sh("two", "echo 1 > /proc/sys/net/ipv4/icmp_echo_ignore_all")
    assert wire.kernel("one").reach(wire.address("two"), 1500) == 0


@pytest.mark.parametrize(
    ("router", "gateway", "far", "bits"),
    [("192.0.2.2", "198.51.100.1", "198.51.100.2", 24), ("2001:db8::2", "2001:db8:1::1", "2001:db8:1::2", 64)],
)
def test_a_router_that_says_so_is_not_needed_and_does_no_harm(
    wire: Wire, router: str, gateway: str, far: str, bits: int
) -> None:
    family, nodad = ("-6", " nodad") if ":" in far else ("-4", "")
    wire.namespace("far")
    wire.ip("two", f"link add far mtu 1300 up type veth peer name eth0 mtu 1300 netns {wire.ns('far')}")
    wire.sh("two", "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
    # A router looks for IPv6 neighbours from a link-local address.
    wire.ip("two", f"addr add {gateway}/{bits} dev far{nodad}", "addr add fe80::1/64 dev far nodad")
    wire.ip(
        "far",
        "link set eth0 up",
        f"addr add {far}/{bits} dev eth0{nodad}",
        f"{family} route add default via {gateway}",
    )
    wire.ip("one", f"{family} route add default via {router}")
    assert wire.kernel("one").reach(ip_address(far), 1500) == 1300
    # What has been heard of the way meanwhile is not believed: it may be wide again.
    wire.ip("two", "link set far mtu 1500")
    wire.ip("far", "link set eth0 mtu 1500")
    assert wire.kernel("one").reach(ip_address(far), 1500) == 1500
