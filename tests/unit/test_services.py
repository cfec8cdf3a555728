"""What is said of services, and how connections to them are divided, as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bascule.drivers import service
from bascule.drivers.service import wanted
from bascule.ipam.blocks import pick_last
from bascule.ipam.pools import decide_pool
from bascule.kernel import sharing
from bascule.model.addresses import IPAddress, ip_address, ip_network
from bascule.model.errors import Failed, Invalid
from bascule.model.network import Pool, PoolSpec
from bascule.model.service import ServicePort, Wanted

FRONT = ip_address("10.0.0.254")
A, B, C, D = (ip_address(f"10.0.0.{n}") for n in range(2, 6))


# ---- options


def test_an_endpoint_says_which_service_it_belongs_to() -> None:
    assert wanted({"com.docker.network.endpoint.ifname": "eth7"}) is None
    assert wanted({"bascule.service": "Web"}) == Wanted("web", "vip", None, None)
    assert wanted(
        {
            "bascule.service": "web",
            "bascule.service.mode": "dnsrr",
            "bascule.service.publish": "8080:80, 53:5353/udp",
            "bascule.service.source": "keep",
        }
    ) == Wanted("web", "dnsrr", (ServicePort(80, "tcp", 8080), ServicePort(5353, "udp", 53)), True)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"bascule.service": "a.b"}, "a name is letters"),
        ({"bascule.service": ""}, "a name is letters"),
        ({"bascule.service.mode": "vip"}, "bascule.service has to name it"),
        ({"bascule.service": "web", "bascule.service.mode": "ipvs"}, "there is vip, dnsrr"),
        ({"bascule.service": "web", "bascule.service.publish": "80"}, "a port is published as 8080:80"),
        ({"bascule.service": "web", "bascule.service.publish": "0:80"}, "ports are 1 to 65535"),
        ({"bascule.service": "web", "bascule.service.source": "lose"}, "there is any, keep"),
    ],
)
def test_what_cannot_be_read_is_refused(options: dict[str, str], why: str) -> None:
    with pytest.raises(Invalid, match=why):
        wanted(options)


def test_an_endpoint_has_its_services_names() -> None:
    assert service.names({}) == ()
    assert service.names({"bascule.service": "web"}) == ("tasks.web",)
    assert service.names({"bascule.service": "web", "bascule.service.mode": "dnsrr"}) == ("web", "tasks.web")


# ---- addresses


def pool(subnet: str, range_: str = "") -> Pool:
    return decide_pool(PoolSpec(ip_network(subnet), ip_network(range_) if range_ else None), [])


def test_a_service_has_the_last_address_that_nobody_gives() -> None:
    taken = [ip_network("10.0.0.0/29")]
    assert pick_last([pool("10.0.0.0/24")], taken) == ip_address("10.0.0.254")
    assert pick_last([pool("10.0.0.0/24", "10.0.0.0/28")], taken) == ip_address("10.0.0.15")
    full = [ip_network("10.0.0.248/29"), ip_network("10.0.0.247/32")]
    assert pick_last([pool("10.0.0.0/24")], full) == ip_address("10.0.0.246")
    assert pick_last([pool("fd00::/64")], []) == ip_address("fd00::ffff:ffff:ffff:ffff")
    with pytest.raises(Failed, match="no address is left for a service"):
        pick_last([pool("10.0.0.0/30")], [ip_network("10.0.0.2/32")])


# ---- dividing


def test_an_endpoint_more_is_two_elements_and_a_chain_where_there_never_were_as_many() -> None:
    known = sharing.chains({FRONT: (A, B)})
    assert (
        sharing.change({FRONT: (A, B)}, {FRONT: (A, B, C)}, known)
        == """\
add chain inet bascule-services among-3-ip
add rule inet bascule-services among-3-ip dnat ip to ip daddr . numgen random mod 3 map @members_ip \
comment "one of them"
delete element inet bascule-services among_ip { 10.0.0.254 }
add element inet bascule-services among_ip { 10.0.0.254 : goto among-3-ip }
add element inet bascule-services members_ip { 10.0.0.254 . 2 : 10.0.0.4 }
"""
    )
    assert sharing.change({FRONT: (A, B)}, {FRONT: (A, B)}, known) == ""


def test_an_endpoint_less_leaves_its_number_to_the_last() -> None:
    left = sharing.arranged((A, B, C, D), (A, C, D))
    assert left == (A, D, C)
    assert (
        sharing.change({FRONT: (A, B, C, D)}, {FRONT: left}, ["among-3-ip"])
        == """\
delete element inet bascule-services among_ip { 10.0.0.254 }
delete element inet bascule-services members_ip { 10.0.0.254 . 1 }
delete element inet bascule-services members_ip { 10.0.0.254 . 3 }
add element inet bascule-services among_ip { 10.0.0.254 : goto among-3-ip }
add element inet bascule-services members_ip { 10.0.0.254 . 1 : 10.0.0.5 }
"""
    )


ADDRESSES = st.lists(st.integers(1, 20).map(lambda n: ip_address(f"10.0.0.{n}")), unique=True, max_size=12)


@given(ADDRESSES, ADDRESSES)
def test_who_stays_keeps_his_number_unless_the_last_fills_a_gap(
    before: list[IPAddress], now: list[IPAddress]
) -> None:
    slots = sharing.arranged(before, now)
    assert sorted(slots, key=int) == sorted(now, key=int)
    stay = [at for at, one in enumerate(before) if one in now]
    moved = [at for at in stay if at >= len(slots) or slots[at] != before[at]]
    gone = len(before) - len(stay)
    assert len(moved) <= max(0, gone - (len(now) - len(stay)))


def test_what_is_listed_is_read_as_it_was_said() -> None:
    shares = {FRONT: (A, B), ip_address("fd00::9"): (ip_address("fd00::2"),)}
    elements = "\n".join(
        f"\tmap {name} {{\n\t\telements = {{ {key} : {value} }}\n\t}}"
        for (name, key), value in sharing.elements(shares).items()
    )
    assert sharing.read(f"{sharing.whole(shares)}\n{elements}") == sharing.elements(shares)
    # Elements without the rules that look them up divide nothing.
    assert sharing.read(elements) == {}
