"""Subnets, ranges, gateways and addresses: which one, and what is said where there is none."""

import doctest
import time
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bascule.ipam.addresses import Exhausted, pick_address
from bascule.ipam.pools import check_pools, decide_pool, pick_subnet, random_ula
from bascule.model.addresses import IPAddress, ip_address, ip_network
from bascule.model.errors import BasculeError, Invalid
from bascule.model.network import Pool, PoolSpec
from bascule.model.pools import PoolText, parse_pools
from bascule.model.settings import DEFAULT_POOLS, AddressPool
from bascule.model.spans import Span, block, clash, network, span

ROOT = Path(__file__).parents[2]


def pool(subnet: str, range_: str = "", gateway: str = "", aux: Mapping[str, str] | None = None) -> Pool:
    return decide_pool(spec(subnet, range_, gateway, aux), [])


def spec(subnet: str, range_: str = "", gateway: str = "", aux: Mapping[str, str] | None = None) -> PoolSpec:
    return PoolSpec(
        ip_network(subnet),
        ip_network(range_) if range_ else None,
        ip_address(gateway) if gateway else None,
        {name: ip_address(a) for name, a in (aux or {}).items()},
    )


def hand_out(pool: Pool, count: int) -> str:
    """That many addresses, one after the other, all kept."""
    taken: set[IPAddress] = set()
    last = None
    out = []
    for _ in range(count):
        last = pick_address(pool, taken, last)
        taken.add(last)
        out.append(str(last))
    return " ".join(out)


# ---- addresses


@pytest.mark.parametrize(
    ("subnet", "range_", "gateway", "given"),
    [
        ("10.0.0.0/29", "", "", "10.0.0.2 10.0.0.3 10.0.0.4 10.0.0.5 10.0.0.6"),
        ("10.0.0.0/29", "", "10.0.0.4", "10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.5 10.0.0.6"),
        ("10.0.0.0/29", "10.0.0.4/30", "10.0.0.1", "10.0.0.4 10.0.0.5 10.0.0.6"),
        ("10.0.0.0/31", "", "", "10.0.0.1"),
        ("10.0.0.0/31", "", "10.0.0.1", "10.0.0.0"),
        ("10.0.0.0/30", "", "", "10.0.0.2"),
        ("fd00::/126", "", "", "fd00::2 fd00::3"),
        ("fd00::/127", "", "", "fd00::1"),
    ],
)
def test_every_address_that_a_host_can_have_is_handed_out_and_no_other(
    subnet: str, range_: str, gateway: str, given: str
) -> None:
    ours = pool(subnet, range_, gateway)
    assert hand_out(ours, len(given.split())) == given
    with pytest.raises(Exhausted):
        pick_address(ours, {ip_address(a) for a in given.split()})


def test_auxiliary_addresses_are_never_handed_out() -> None:
    assert hand_out(pool("10.0.0.0/29", aux={"router": "10.0.0.3"}), 4) == "10.0.0.2 10.0.0.4 10.0.0.5 10.0.0.6"


def test_an_address_given_back_is_the_last_to_be_handed_out_again() -> None:
    ours = pool("10.0.0.0/29")
    assert str(pick_address(ours, set(), ip_address("10.0.0.2"))) == "10.0.0.3"
    assert str(pick_address(ours, set(), ip_address("10.0.0.6"))) == "10.0.0.2"
    assert str(pick_address(ours, set(), ip_address("10.0.0.7"))) == "10.0.0.2"


def test_the_search_starts_anew_when_the_last_address_is_outside_the_range() -> None:
    assert str(pick_address(pool("10.0.0.0/24"), set(), ip_address("192.0.2.1"))) == "10.0.0.2"


@given(
    st.integers(20, 32).flatmap(
        lambda bits: st.tuples(
            st.builds(lambda n: IPv4Network((n << (32 - bits), bits)), st.integers(0, 2**bits - 1)),
            st.integers(0, 2 ** (32 - bits) - 1),
            st.sets(st.integers(0, 2 ** (32 - bits) - 1), max_size=40),
        )
    )
)
def test_what_is_handed_out_is_free_in_range_and_a_hosts(case: tuple[IPv4Network, int, set[int]]) -> None:
    subnet, after, offsets = case
    ours = decide_pool(PoolSpec(subnet), [])
    taken = {subnet[n] for n in offsets}
    hosts = {*subnet} if subnet.prefixlen >= 31 else {*subnet} - {subnet[0], subnet[-1]}
    free = hosts - taken - {ours.gateway}
    try:
        address = pick_address(ours, taken, subnet[after])
    except Exhausted:
        assert not free
    else:
        assert address in free
        assert not any(subnet[after] < a < address for a in free)


def test_a_nearly_full_sixteen_and_a_sixty_four_are_quick() -> None:
    sixteen = pool("172.20.0.0/16")
    taken: set[IPAddress] = {IPv4Address("172.20.0.2") + n for n in range(60_000)}
    long = pool("fd00::/64")
    start = time.process_time()
    found = pick_address(sixteen, taken)
    also = pick_address(long, {ip_address("fd00::2")})
    spent = time.process_time() - start
    assert (str(found), str(also)) == ("172.20.234.98", "fd00::3")
    assert spent < 0.25


# ---- subnets


def nets(text: str) -> list[Span]:
    return [span(ip_network(word)) for word in text.split()]


@pytest.mark.parametrize(
    ("taken", "picked"),
    [
        ("", "172.17.0.0/16"),
        ("172.17.0.0/16", "172.18.0.0/16"),
        ("172.17.0.128/25 172.18.0.0/15", "172.20.0.0/16"),
        ("172.16.0.0/12", "192.168.0.0/20"),
        ("172.16.0.0/12 192.168.1.0/24 192.168.16.0/20", "192.168.32.0/20"),
        ("fd00::/8", "172.17.0.0/16"),
    ],
)
def test_the_first_subnet_that_overlaps_nothing_is_picked(taken: str, picked: str) -> None:
    assert str(pick_subnet(DEFAULT_POOLS, nets(taken))) == picked


def test_docker_s_default_pools_are_thirty_one_networks() -> None:
    taken: list[Span] = []
    for _ in range(31):
        taken.append(span(pick_subnet(DEFAULT_POOLS, taken)))
    with pytest.raises(Invalid, match="all predefined address pools have been fully subnetted"):
        pick_subnet(DEFAULT_POOLS, taken)


def test_a_size_can_be_asked_for() -> None:
    assert str(pick_subnet(DEFAULT_POOLS, nets("172.17.0.0/24"), 24)) == "172.17.1.0/24"
    with pytest.raises(Invalid):
        pick_subnet(DEFAULT_POOLS, [], 8)


def test_a_unique_local_subnet_is_as_random_as_its_bytes() -> None:
    chance = bytes.fromhex("0123456789")
    assert str(random_ula(chance, [])) == "fd01:2345:6789::/64"
    assert str(random_ula(chance, nets("fd01:2345:6789::/64"))) == "fd01:2345:6789:1::/64"
    assert str(random_ula(chance, [], 56)) == "fd01:2345:6789::/56"
    assert str(random_ula(chance, [], 40)) == "fd01:2345:6700::/40"
    with pytest.raises(Invalid):
        random_ula(chance, nets("fc00::/7"))


_networks = st.builds(
    lambda n, bits: IPv4Network((n, bits), strict=False), st.integers(0, 2**32 - 1), st.integers(8, 30)
)


@given(_networks, st.integers(0, 6), st.lists(_networks, max_size=12), st.data())
def test_a_picked_subnet_is_the_first_of_its_size_that_is_free(
    base: IPv4Network, more: int, far: list[IPv4Network], data: st.DataObject
) -> None:
    size = min(base.prefixlen + more, 32)
    inside = data.draw(st.lists(st.sampled_from([*base.subnets(new_prefix=size)]), max_size=12))
    free = [s for s in base.subnets(new_prefix=size) if not any(s.overlaps(t) for t in [*far, *inside])]
    try:
        assert pick_subnet([AddressPool(base, size)], map(span, [*far, *inside])) == free[0]
    except Invalid:
        assert not free


@given(_networks, st.lists(_networks, max_size=8))
def test_overlap_is_what_the_standard_library_says(subnet: IPv4Network, routes: list[IPv4Network]) -> None:
    found = clash(span(subnet), map(span, routes))
    assert (network(found) if found else None) == next((r for r in routes if r.overlaps(subnet)), None)


def test_families_do_not_overlap() -> None:
    assert clash(span(IPv4Network("0.0.0.0/0")), [span(IPv6Network("::/0"))]) is None


@given(st.ip_addresses(v=6), st.integers(0, 128))
def test_a_block_is_the_network_that_the_address_is_in(address: IPv6Address, length: int) -> None:
    found = block(6, int(address), length)
    assert network(found) == IPv6Network((address, length), strict=False)
    assert span(network(found)) == found


# ---- pools


@pytest.mark.parametrize(
    ("subnet", "range_", "gateway"),
    [
        ("10.0.0.0/24", "", "10.0.0.1"),
        ("10.0.0.0/24", "10.0.0.128/25", "10.0.0.128"),
        ("10.0.0.0/16", "10.0.5.0/24", "10.0.5.0"),
        ("10.0.0.0/24", "10.0.0.0/25", "10.0.0.1"),
        ("10.0.0.0/31", "", "10.0.0.0"),
        ("fd00::/64", "", "fd00::1"),
    ],
)
def test_the_gateway_is_the_first_host_of_the_range(subnet: str, range_: str, gateway: str) -> None:
    assert str(pool(subnet, range_).gateway) == gateway


def test_where_nobody_holds_the_gateway_none_is_made_up() -> None:
    assert decide_pool(spec("10.0.0.0/24"), [], False).gateway is None
    assert str(decide_pool(spec("10.0.0.0/24", gateway="10.0.0.9"), [], False).gateway) == "10.0.0.9"


@pytest.mark.parametrize(
    ("asked", "status", "message"),
    [
        (
            spec("10.0.0.0/24", gateway="10.0.0.0"),
            500,
            "failed to allocate gateway (10.0.0.0): Address already in use",
        ),
        (
            spec("10.0.0.0/24", gateway="10.0.0.255"),
            500,
            "failed to allocate gateway (10.0.0.255): Address already in use",
        ),
        (
            spec("10.0.0.0/24", aux={"a": "10.0.0.1"}),
            500,
            "failed to allocate secondary ip address (a:10.0.0.1): Address already in use",
        ),
        (
            spec("10.0.0.0/24", aux={"a": "10.0.0.9", "b": "10.0.0.9"}),
            500,
            "failed to allocate secondary ip address (b:10.0.0.9): Address already in use",
        ),
        (
            spec("10.9.0.0/16"),
            403,
            "invalid pool request: Pool overlaps with other one on this address space",
        ),
        (
            spec("10.0.0.0/24", "10.1.0.0/25"),
            400,
            "invalid network config:\n"
            "invalid ip-range 10.1.0.0/25: parent subnet 10.0.0.0/24 doesn't contain ip-range",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_pool_that_cannot_be_is_refused_in_docker_s_words(asked: PoolSpec, status: int, message: str) -> None:
    with pytest.raises(BasculeError) as refusal:
        decide_pool(asked, nets("10.9.4.0/24"))
    assert (refusal.value.status, str(refusal.value)) == (status, message)


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (PoolText("10.0.0.1/24"), "invalid subnet 10.0.0.1/24: it should be 10.0.0.0/24"),
        (PoolText("10.0.0.300/24"), "invalid subnet 10.0.0.300/24: invalid CIDR block notation"),
        (PoolText("10.0.0.0"), "invalid subnet 10.0.0.0: invalid CIDR block notation"),
        (PoolText("10.0.0.0/255.0.0.0"), "invalid subnet 10.0.0.0/255.0.0.0: invalid CIDR block notation"),
        (PoolText(gateway="10.0.0.1"), "invalid subnet : invalid CIDR block notation"),
        (
            PoolText("10.0.0.0/24", "10.1.0.0/25"),
            "invalid ip-range 10.1.0.0/25: parent subnet 10.0.0.0/24 doesn't contain ip-range",
        ),
        (
            PoolText("10.0.0.0/24", "10.0.0.0/16"),
            "invalid ip-range 10.0.0.0/16: CIDR block is bigger than its parent subnet 10.0.0.0/24",
        ),
        (PoolText("10.0.0.0/24", "10.0.0.5/25"), "invalid ip-range 10.0.0.5/25: it should be 10.0.0.0/25"),
        (PoolText("10.0.0.0/24", "fd00::/64"), "invalid ip-range fd00::/64: parent subnet is an IPv4 block"),
        (
            PoolText("10.0.0.0/24", gateway="10.1.0.1"),
            "invalid gateway 10.1.0.1: parent subnet 10.0.0.0/24 doesn't contain this address",
        ),
        (PoolText("10.0.0.0/24", gateway="zz"), "invalid gateway zz: invalid address"),
        (PoolText("fd00::/64", gateway="10.0.0.1"), "invalid gateway 10.0.0.1: parent subnet is an IPv6 block"),
        (
            PoolText("10.0.0.0/24", aux={"a": "10.1.0.1"}),
            "invalid auxiliary address a: parent subnet 10.0.0.0/24 doesn't contain this address",
        ),
        (
            PoolText("10.0.0.0/24", "10.9.0.0/16", "1.1.1.1"),
            "* invalid ip-range 10.9.0.0/16: CIDR block is bigger than its parent subnet 10.0.0.0/24\n"
            "* invalid ip-range 10.9.0.0/16: parent subnet 10.0.0.0/24 doesn't contain ip-range\n"
            "* invalid gateway 1.1.1.1: parent subnet 10.0.0.0/24 doesn't contain this address",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_was_written_is_refused_with_all_its_faults(text: PoolText, faults: str) -> None:
    with pytest.raises(Invalid) as refusal:
        parse_pools([text])
    assert str(refusal.value) == f"invalid network config:\n{faults}"


def test_faults_of_several_entries_are_told_together() -> None:
    with pytest.raises(Invalid) as refusal:
        parse_pools([PoolText("x"), PoolText("10.0.0.0/24"), PoolText("fd00::1/64")])
    assert str(refusal.value) == (
        "invalid network config:\n* invalid subnet x: invalid CIDR block notation\n"
        "* invalid subnet fd00::1/64: it should be fd00::/64"
    )


def test_what_was_written_well_is_read() -> None:
    written = PoolText("10.0.0.0/24", "10.0.0.128/25", "10.0.0.9", {"r": "10.0.0.8"})
    assert parse_pools([written]) == (spec("10.0.0.0/24", "10.0.0.128/25", "10.0.0.9", {"r": "10.0.0.8"}),)


def test_values_are_held_to_the_same_sentences() -> None:
    with pytest.raises(Invalid, match=r"invalid gateway 10\.9\.0\.1: parent subnet"):
        check_pools([PoolSpec(), spec("10.0.0.0/24", gateway="10.9.0.1")])
    with pytest.raises(Invalid, match="invalid subnet : invalid CIDR"):
        check_pools([PoolSpec(gateway=ip_address("10.0.0.1"))])


def test_the_examples_of_the_page_are_true() -> None:
    page = str(ROOT / "docs" / "ipam.md")
    assert doctest.testfile(page, module_relative=False, optionflags=doctest.ELLIPSIS).failed == 0
