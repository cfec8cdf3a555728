"""Netlink framing."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bascule.wire import netlink, rtstate
from bascule.wire.netlink import HEADER, Answer, Listing, Malformed, Message, Request

requests = st.lists(st.builds(Request, st.integers(16, 200), st.just(0x600), st.binary(max_size=64)), min_size=1)


@given(requests, st.integers(1, 2**31))
def test_what_is_framed_is_read_back_padding_and_all(sent: list[Request], first: int) -> None:
    datagram = netlink.frame(sent, first)
    assert len(datagram) % 4 == 0
    read = list(netlink.messages(datagram))
    assert [(m.type, m.seq, m.body) for m in read] == [(r.type, first + i, r.body) for i, r in enumerate(sent)]


def test_only_the_last_of_a_datagram_asks_for_an_acknowledgement() -> None:
    flags = [m.flags for m in netlink.messages(netlink.frame([Request(16, 0, b""), Request(16, 0, b"")], 1))]
    assert flags == [netlink.NLM_F_REQUEST, netlink.NLM_F_REQUEST | netlink.NLM_F_ACK]


@given(st.lists(st.tuples(st.integers(1, 0x3FFF), st.binary(max_size=40))))
def test_attributes_are_read_back_in_order(sent: list[tuple[int, bytes]]) -> None:
    assert list(netlink.each(b"".join(netlink.attribute(kind, value) for kind, value in sent))) == sent


def test_a_nest_is_an_attribute_of_attributes() -> None:
    nest = netlink.nest(7, netlink.u8(1, 2), netlink.u16(2, 3), netlink.u32(3, 4), netlink.text(4, "eth0"))
    inner = netlink.attributes(netlink.attributes(nest)[7])
    assert [netlink.number(inner[kind]) for kind in (1, 2, 3)] == [2, 3, 4]
    assert netlink.string(inner[4]) == "eth0"


def error(errno: int, *, flags: int = 0, rest: bytes = b"") -> Message:
    body = struct.pack("=i", -errno) + HEADER.pack(20, 16, 5, 9, 0) + rest
    (message,) = netlink.messages(HEADER.pack(16 + len(body), netlink.NLMSG_ERROR, flags, 9, 0) + body)
    return message


def test_an_error_of_zero_is_an_acknowledgement() -> None:
    assert netlink.answer(error(0)) == Answer(9, 0, "")


def test_the_kernels_own_words_are_found_behind_a_request_that_comes_back_or_does_not() -> None:
    words = netlink.text(1, "Attribute failed policy validation")
    tlvs, capped = netlink.NLM_F_ACK_TLVS, netlink.NLM_F_CAPPED
    told = Answer(9, 22, "Attribute failed policy validation")
    assert netlink.answer(error(22, flags=tlvs | capped, rest=words)) == told
    assert netlink.answer(error(22, flags=tlvs, rest=b"\1\2\3\4" + words)) == told
    assert netlink.answer(error(22, rest=b"\1\2\3\4")) == Answer(9, 22, "")


def test_the_end_of_a_list_may_carry_an_error() -> None:
    assert netlink.answer(Message(netlink.NLMSG_DONE, 0, 9, struct.pack("=i", -4))) == Answer(9, 4)
    assert netlink.answer(Message(netlink.NLMSG_DONE, 0, 9, b"")) == Answer(9, 0)


def part(seq: int, *, kind: int = 16, flags: int = netlink.NLM_F_MULTI, body: bytes = b"") -> bytes:
    return HEADER.pack(16 + len(body), kind, flags, seq, 0) + body


DONE = part(7, kind=netlink.NLMSG_DONE, body=b"\0\0\0\0")


def test_a_list_goes_on_until_its_end() -> None:
    listing, ends = Listing(7), []
    for datagram in (part(7, body=b"one.") + part(7, body=b"two."), part(7, body=b"last") + DONE):
        listing.take(datagram)
        ends.append(listing.end)
    assert ([m.body for m in listing.found], listing.whole) == ([b"one.", b"two.", b"last"], True)
    assert ends == [None, Answer(7, 0)]


@pytest.mark.parametrize("where", [0, 1, 2])
def test_a_list_that_something_changed_under_is_not_whole(where: int) -> None:
    flags = [netlink.NLM_F_MULTI | (netlink.NLM_F_DUMP_INTR if i == where else 0) for i in range(3)]
    listing = Listing(7)
    for kind, flag in zip((16, 16, netlink.NLMSG_DONE), flags, strict=True):
        listing.take(part(7, kind=kind, flags=flag, body=b"\0\0\0\0"))
    assert (listing.whole, listing.end) == (False, Answer(7, 0))


def test_answers_to_others_are_no_part_of_a_list() -> None:
    listing = Listing(7)
    listing.take(part(6, body=b"old.") + part(6, kind=netlink.NLMSG_DONE, flags=netlink.NLM_F_DUMP_INTR) + DONE)
    assert (listing.found, listing.whole, listing.end) == ([], True, Answer(7, 0))


@pytest.mark.parametrize(
    "bytes_",
    [b"\0" * 15, HEADER.pack(15, 2, 0, 1, 0), HEADER.pack(17, 2, 0, 1, 0), HEADER.pack(2**31, 2, 0, 1, 0)],
    ids=["short", "length below a header", "length past the end", "huge length"],
)
def test_a_message_that_does_not_fit_is_refused(bytes_: bytes) -> None:
    with pytest.raises(Malformed):
        list(netlink.messages(bytes_))


@given(st.binary(max_size=200), st.sampled_from([2, 3, 16, 20, 24, 28]), st.sampled_from([0, 0x100, 0x200, 0x300]))
def test_bytes_of_anybody_are_read_or_malformed(body: bytes, kind: int, flags: int) -> None:
    readers = {2: netlink.answer, 3: netlink.answer, 16: rtstate.link, 20: rtstate.address, 24: rtstate.route}
    try:
        readers.get(kind, rtstate.neigh)(Message(kind, flags, 1, body))
    except Malformed:
        pass
    try:
        list(netlink.messages(body))
    except Malformed:
        pass


@given(st.binary(max_size=64), st.sampled_from([1, 2, 4, 5, 8, 15, 18, 37]), st.integers(0, 255))
def test_an_attribute_of_the_wrong_size_is_read_or_malformed(value: bytes, kind: int, length: int) -> None:
    for head, reader in ((16, rtstate.link), (8, rtstate.address), (12, rtstate.route), (12, rtstate.neigh)):
        body = bytes((2, length)) + bytes(head - 2) + netlink.attribute(kind, value)
        try:
            reader(Message(0, 0, 1, body))
        except Malformed:
            pass
