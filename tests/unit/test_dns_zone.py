"""Names to records: who hears what."""

import random
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bascule.dns.answers import Scope
from bascule.dns.zone import Directory, Verdict, member
from bascule.wire.dns import (
    AAAA,
    ANY,
    AXFR,
    MX,
    PTR,
    SRV,
    A,
    query,
    read_message,
    read_query,
    to_text,
    to_wire,
)


def packed(*texts: str) -> list[bytes]:
    return [ip_address(text).packed for text in texts]


def directory() -> Directory:
    """Two networks: app has web and two of db, back has store and another web."""
    names = Directory()
    web = member("e1", ["Web", "www", "0123456789ab"], packed("10.0.0.2", "fd00::2"))
    one, two = (member(f"d{n}", [f"db{n}", "db"], packed(f"10.0.0.{n}")) for n in (11, 12))
    names.publish("n1", "app", [web, one, two])
    names.publish("n2", "Back", [member("e2", ["store", "web.1"], packed("10.0.1.2", "fd01::2"))])
    names.join("n2", "Back", member("e3", ["web"], packed("10.0.1.3")))
    return names


def heard(
    name: str, kind: int = A, on: tuple[str, ...] = ("n1",), links: dict[bytes, list[bytes]] | None = None
) -> str:
    """What one on these networks hears, as text."""
    found = directory().find(on, links or {}, to_wire(name).lower(), kind)
    if isinstance(found, Verdict):
        return found.name
    return " ".join(to_text(data) if kind == PTR else str(ip_address(data)) for _, data in found)


@pytest.mark.parametrize(
    ("name", "kind", "on", "answer"),
    [
        ("web", A, ("n1",), "10.0.0.2"),
        ("WEB", AAAA, ("n1",), "fd00::2"),
        ("www", A, ("n1",), "10.0.0.2"),
        ("0123456789ab", A, ("n1",), "10.0.0.2"),
        ("web.app", A, ("n1",), "10.0.0.2"),
        ("web.1.back", A, ("n2",), "10.0.1.2"),
        ("db", A, ("n1",), "10.0.0.11 10.0.0.12"),
        ("db", AAAA, ("n1",), ""),
        ("web", MX, ("n1",), ""),
        ("web", SRV, ("n1",), ""),
        ("web", ANY, ("n1",), "10.0.0.2 fd00::2"),
        ("2.0.0.10.in-addr.arpa", PTR, ("n1",), "Web.app."),
        ("2.1.0.10.in-addr.arpa", PTR, ("n2",), "store.Back."),
    ],
)
def test_names_of_the_askers_networks_are_answered(name: str, kind: int, on: tuple[str, ...], answer: str) -> None:
    assert heard(name, kind, on) == answer


def test_networks_are_asked_in_the_order_of_the_view() -> None:
    assert heard("web", A, ("n1", "n2")) == "10.0.0.2"
    assert heard("web", A, ("n2", "n1")) == "10.0.1.3"
    # The first network that has the family answers.
    assert heard("web", AAAA, ("n2", "n1")) == "fd00::2"


@pytest.mark.parametrize("name", ["store", "STORE", "store.back", "web.1.back"])
def test_our_names_that_the_asker_may_not_see_are_asked_nowhere(name: str) -> None:
    assert heard(name) == "NOWHERE"


def test_reverse_names_of_addresses_out_of_sight_are_asked_nowhere() -> None:
    assert heard("2.1.0.10.in-addr.arpa", PTR) == "NOWHERE"
    assert heard("9.9.9.9.in-addr.arpa", PTR) == "FORWARD"
    assert heard("2.0.0.10.in-addr.arpa", A) == "FORWARD"


@pytest.mark.parametrize("name", ["example.com", "ghost", "web.1", "www.ghost.app", "app", "web.example.com", "."])
def test_the_rest_is_for_others(name: str) -> None:
    assert heard(name) == "FORWARD"


@pytest.mark.parametrize(
    ("network", "asked", "verdict"),
    [
        ("dev", "go.dev", "FORWARD"),
        ("Dev", "GO.DEV", "FORWARD"),
        ("xn--p1ai", "go.xn--p1ai", "FORWARD"),
        ("example.com", "go.example.com", "FORWARD"),
        ("app_default", "go.app_default", "NOWHERE"),
        ("net-1", "go.net-1", "NOWHERE"),
        ("n1", "go.n1", "NOWHERE"),
        ("x", "go.x", "NOWHERE"),
        ("my.net-1", "go.my.net-1", "NOWHERE"),
        ("app_default", "www.go.app_default", "FORWARD"),
    ],
)
def test_a_network_hides_no_name_that_may_be_the_internets(network: str, asked: str, verdict: str) -> None:
    names = Directory()
    names.publish("n9", network, [member("e1", ["web"], packed("10.0.9.2"))])
    told = [names.find([on], {}, to_wire(asked).lower(), A) for on in ("n9", "n1")]
    assert told == [Verdict[verdict]] * 2
    assert names.find(["n9"], {}, to_wire(f"web.{network}").lower(), A) == [(A, packed("10.0.9.2")[0])]
    assert names.find(["n1"], {}, to_wire(f"web.{network}").lower(), A) is Verdict.NOWHERE


def test_links_are_asked_before_networks_and_are_the_askers_own() -> None:
    links = {to_wire("web"): packed("10.9.9.9"), to_wire("other"): packed("10.9.9.8")}
    assert heard("web", links=links) == "10.9.9.9"
    assert heard("other", links=links) == "10.9.9.8"
    assert heard("other") == "FORWARD"


def test_a_member_that_joins_again_is_replaced() -> None:
    names = directory()
    names.join("n1", "app", member("e1", ["new"], packed("10.0.0.3")))
    assert names.find(["n1"], {}, to_wire("web"), A) is Verdict.NOWHERE  # there is one on n2
    assert names.find(["n1"], {}, to_wire("www"), A) is Verdict.FORWARD
    assert names.find(["n1"], {}, to_wire("new"), A) == [(A, packed("10.0.0.3")[0])]


def test_an_address_that_went_to_another_member_stays_with_him() -> None:
    names = directory()
    names.join("n1", "app", member("e9", ["heir"], packed("10.0.0.2")))
    names.part("n1", "e1")
    assert names.find(["n1"], {}, to_wire("2.0.0.10.in-addr.arpa"), PTR) == [(PTR, to_wire("heir.app"))]


def test_a_forgotten_network_leaves_nothing_behind() -> None:
    names = directory()
    names.forget("n1")
    names.forget("n2")
    names.forget("never")
    names.part("never", "e1")
    assert (names.tables, names._suffixes, names._known) == ({}, {}, {})


def test_a_network_without_members_still_keeps_its_names_at_home() -> None:
    names = Directory()
    names.publish("n1", "app_default", [])
    assert names.find([], {}, to_wire("ghost.app_default"), A) is Verdict.NOWHERE


def test_names_that_dns_cannot_carry_are_left_out() -> None:
    names = Directory()
    names.publish(
        "n1", "a network, with / and " + "x" * 80, [member("e", ["ok", "x" * 64, ""], packed("10.0.0.2"))]
    )
    assert names.find(["n1"], {}, to_wire("ok"), A) == [(A, packed("10.0.0.2")[0])]
    assert names.find(["n1"], {}, to_wire("2.0.0.10.in-addr.arpa"), PTR) == [(PTR, to_wire("ok"))]


steps = st.lists(
    st.tuples(
        st.sampled_from("jp"), st.sampled_from("mn"), st.sampled_from("abc"), st.sets(st.sampled_from("xyz"))
    ),
    max_size=30,
)


@given(steps)
def test_members_come_and_go_in_any_order(walk: list[tuple[str, str, str, set[str]]]) -> None:
    names = Directory()
    kept: dict[tuple[str, str], tuple[set[str], bytes]] = {}
    for number, (step, network, endpoint, called) in enumerate(walk):
        address = bytes((10, 0, 0, number))
        if step == "j":
            kept[network, endpoint] = (called, address)
            names.join(network, network, member(endpoint, sorted(called), [address]))
        else:
            kept.pop((network, endpoint), None)
            names.part(network, endpoint)
    for name in "xyz":
        for network, other in ("mn", "nm"):
            here = sorted(a for (n, _), (called, a) in kept.items() if n == network and name in called)
            there = any(name in called for (n, _), (called, _) in kept.items() if n == other)
            found = names.find([network], {}, to_wire(name), A)
            expected = Verdict.NOWHERE if there else Verdict.FORWARD
            assert (sorted(a for _, a in found) if isinstance(found, list) else found) == (here or expected)


def scope(names: Directory) -> Scope:
    chance = random.Random(1)
    return Scope(names, chance.shuffle, ("n1",), {})


def test_an_answer_is_found_again_by_the_bytes_of_the_question() -> None:
    one = scope(directory())
    asked = query(to_wire("web"), A, ident=77)
    answer = one.answer(asked, read_query(asked), stream=False)
    assert answer is not None
    assert one.hot == {asked[2:]: answer[2:]}


def test_several_addresses_take_turns() -> None:
    one = scope(directory())
    asked = query(to_wire("db"), A)
    first = one.answer(asked, read_query(asked), stream=False)
    turns = one.hot[asked[2:]]
    assert first is not None
    assert not isinstance(turns, bytes)
    heads = [read_message(a).answers[0].data for a in (first, b"\0\0" + next(turns), b"\0\0" + next(turns))]
    assert heads[0] == heads[2]
    assert sorted(heads[:2]) == packed("10.0.0.11", "10.0.0.12")


def test_what_others_must_answer_and_what_nobody_has_is_not_remembered() -> None:
    one = scope(directory())
    for name, kind in (("example.com", A), ("ghost.app", A), ("web", AXFR)):
        asked = query(to_wire(name), kind)
        one.answer(asked, read_query(asked), stream=False)
    cookie = query(to_wire("web"), A, edns=1232)[:-2] + b"\0\4\0\x0a\0\0"
    assert one.answer(cookie, read_query(cookie), stream=False) is not None
    assert one.hot == {}
