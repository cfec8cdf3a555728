"""DNS messages: what is written can be read, and no bytes do harm."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bascule.wire.dns import (
    AAAA,
    BADVERS,
    FORMERR,
    NOTIMP,
    NXDOMAIN,
    PTR,
    A,
    Edns,
    Malformed,
    cut,
    query,
    read_message,
    read_query,
    refusal,
    reply,
    reverse_name,
    reversed_address,
    to_text,
    to_wire,
)

labels = st.text(
    st.characters(codec="ascii", categories=["L", "N"], include_characters="-_"), min_size=1, max_size=63
)
names = st.lists(labels, min_size=1, max_size=3).map(".".join)
addresses = st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16)


def shown(data: bytes) -> str:
    """A message as lines, for comparing."""
    message = read_message(data)
    lines = [f"{message.ident:#06x} {message.flags:#06x}"]
    lines += [f"? {to_text(name)} {kind} {klass}" for name, kind, klass in message.questions]
    lines += [f"= {to_text(r.name)} {r.kind} {r.ttl} {r.data.hex()}" for r in message.answers]
    lines += [f"+ {to_text(r.name)} {r.kind} {r.klass} {r.ttl:#x}" for r in message.additional]
    return "\n".join(lines)


def answered(asked: bytes, *records: tuple[int, bytes], rcode: int = 0, limit: int = 512) -> bytes:
    return reply(asked, read_query(asked), records, ttl=600, rcode=rcode, limit=limit)


def test_an_answer_repeats_the_question_as_it_was_written() -> None:
    asked = query(to_wire("Web.App"), A, ident=0xBEEF)
    assert shown(answered(asked, (A, b"\x0a\x07\x00\x02"))) == (
        "0xbeef 0x8180\n? Web.App. 1 1\n= Web.App. 1 600 0a070002"  #
    )


def test_a_query_is_read_in_lower_case() -> None:
    asked = read_query(query(to_wire("Web.App"), AAAA, edns=1232))
    assert (asked.name, asked.kind, asked.klass, asked.edns) == (to_wire("web.app"), AAAA, 1, Edns(1232))


def test_edns_is_answered_with_edns() -> None:
    asked = query(to_wire("nobody"), A, ident=1, edns=1232)
    assert shown(answered(asked, rcode=NXDOMAIN)) == "0x0001 0x8183\n? nobody. 1 1\n+ . 41 4096 0x0"
    assert shown(answered(asked, rcode=BADVERS)) == "0x0001 0x8180\n? nobody. 1 1\n+ . 41 4096 0x1000000"


@pytest.mark.parametrize(("edns", "limit"), [(None, 512), (0, 512), (1232, 1232), (65535, 4096)])
def test_the_asker_says_how_long_an_answer_may_be(edns: int | None, limit: int) -> None:
    assert read_query(query(to_wire("web"), A, edns=edns)).limit == limit


def test_what_does_not_fit_is_left_out_and_said_to_be() -> None:
    asked = query(to_wire("many"), A)
    message = read_message(answered(asked, *((A, bytes((10, 0, 0, n))) for n in range(100))))
    # 512 less 22 for header and question, 16 a record.
    assert (len(message.answers), message.truncated) == (30, True)
    message = read_message(answered(asked, *((A, bytes((10, 0, 0, n))) for n in range(30))))
    assert (len(message.answers), message.truncated) == (30, False)


def test_a_long_answer_of_somebody_else_is_cut_to_its_question() -> None:
    asked = query(to_wire("many"), A, ident=7)
    whole = answered(asked, *((A, bytes(4)) for _ in range(9)))
    assert shown(cut(whole, read_query(asked))) == "0x0007 0x8380\n? many. 1 1"


@pytest.mark.parametrize(
    ("data", "rcode"),
    [
        (b"", None),
        (bytes(11), None),
        (b"\0\0\x80\0\0\1" + bytes(6) + b"\0\0\1\0\1", None),
        (b"\0\0\x28\0\0\1" + bytes(6) + b"\0\0\1\0\1", NOTIMP),
        (bytes(12), FORMERR),
        (b"\0\0\0\0\0\2" + bytes(6) + b"\0\0\1\0\1" * 2, FORMERR),
        (b"\0\0\0\0\0\1" + bytes(6) + b"\xc0\x0c\0\1\0\1", FORMERR),
        (b"\0\0\0\0\0\1" + bytes(6) + b"\x3fshort\0\0\1\0\1", FORMERR),
        (b"\0\0\0\0\0\1" + bytes(6) + b"\x3fx" * 200, FORMERR),
        (b"\0\0\0\0\0\1" + bytes(6) + (b"\x3f" + b"x" * 63) * 4 + b"\0\0\1\0\1", FORMERR),
        (b"\0\0\0\0\0\1\0\0\0\0\0\1" + b"\0\0\1\0\1", FORMERR),
        (b"\0\0\0\0\0\1\xff\xff\xff\xff\xff\xff" + b"\0\0\1\0\1", FORMERR),
        (query(b"\0", A, edns=512) + b"\0", 0),
    ],
)
def test_malformed_queries_are_told_so_or_dropped(data: bytes, rcode: int | None) -> None:
    if rcode == 0:
        # Trailing bytes harm nobody.
        assert read_query(data).kind == A
        return
    with pytest.raises(Malformed) as wrong:
        read_query(data)
    assert wrong.value.rcode == rcode
    if rcode is not None:
        assert read_message(refusal(data, rcode)).rcode == rcode


def test_a_name_that_points_at_itself_is_malformed() -> None:
    with pytest.raises(Malformed):
        read_message(b"\0\0\0\0\0\1" + bytes(6) + b"\xc0\x0c\0\1\0\1")


@given(names)
def test_a_name_survives_the_wire(name: str) -> None:
    assert to_text(to_wire(name)) == name + "."


@pytest.mark.parametrize("name", ["a..b", ".a", "x" * 64, ".".join(["x" * 60] * 5)])
def test_what_dns_cannot_carry_is_no_name(name: str) -> None:
    with pytest.raises(Malformed):
        to_wire(name)


@given(addresses)
def test_an_address_survives_its_reverse_name(address: bytes) -> None:
    assert reversed_address(reverse_name(address)) == address


@given(st.lists(labels, max_size=34), st.sampled_from(["in-addr.arpa", "ip6.arpa"]))
def test_other_reverse_names_are_no_addresses(parts: list[str], under: str) -> None:
    try:
        name = to_wire(".".join([*parts, under])).lower()
    except Malformed:
        return
    address = reversed_address(name)
    assert address is None or reverse_name(address) == name


@given(st.binary(max_size=600))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for read in (read_query, read_message):
        try:
            read(data)
        except Malformed:
            pass


@given(names, st.integers(0, 65535), st.none() | st.integers(0, 65535), st.data())
def test_a_damaged_query_is_read_or_refused(name: str, kind: int, edns: int | None, data: st.DataObject) -> None:
    damaged = bytearray(query(to_wire(name), kind, edns=edns))
    for at in data.draw(st.lists(st.integers(0, len(damaged) - 1), max_size=4)):
        damaged[at] = data.draw(st.integers(0, 255))
    packet = bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    try:
        asked = read_query(packet)
    except Malformed:
        return
    read_message(reply(packet, asked, [(PTR, b"\0")], ttl=1, limit=asked.limit))


@given(names, st.lists(addresses, max_size=40), st.none() | st.integers(0, 65535))
def test_an_answer_is_never_longer_than_it_may_be(name: str, found: list[bytes], edns: int | None) -> None:
    packet = query(to_wire(name), A, edns=edns)
    asked = read_query(packet)
    records = [(A if len(a) == 4 else AAAA, a) for a in found]
    answer = reply(packet, asked, records, ttl=600, limit=asked.limit)
    message = read_message(answer)
    assert len(answer) <= asked.limit
    assert [(r.kind, r.data) for r in message.answers] == records[: len(message.answers)]
    assert message.truncated == (len(message.answers) < len(records))
