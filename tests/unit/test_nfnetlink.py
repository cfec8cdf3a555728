"""nfnetlink's messages: what is written can be read, and bytes of any kind harm nobody."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from bascule.wire import conntrack, nftelements
from bascule.wire.nfnetlink import (
    NEWSETELEM,
    NLMSG_ERROR,
    Message,
    Refusal,
    attr,
    attrs,
    batch,
    message,
    messages,
    nest,
    refusal,
    string,
    text,
)
from bascule.wire.nftelements import AT_ONCE, Encoded

PAYLOAD = st.binary(max_size=60)


@given(st.lists(st.tuples(st.integers(1, 0x3FFF), PAYLOAD), max_size=8))
def test_attributes_read_as_they_were_written(pairs: list[tuple[int, bytes]]) -> None:
    assert list(attrs(b"".join(attr(kind, payload) for kind, payload in pairs))) == pairs


@given(st.lists(st.tuples(st.integers(3, 0xFFFF), st.integers(0, 255), PAYLOAD), max_size=8))
def test_messages_read_as_they_were_written(them: list[tuple[int, int, bytes]]) -> None:
    padded = [(kind, family, body + bytes(-len(body) % 4)) for kind, family, body in them if kind != 3]
    written = b"".join(message(kind, family, body) for kind, family, body in padded)
    assert [(m.type, m.family, m.body) for m in messages(written)] == padded


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_read_without_harm(data: bytes) -> None:
    for heard in messages(data):
        refusal(heard)
        list(nftelements.elements(heard))
        nftelements.chain(heard)
        nftelements.set_(heard)
        nftelements.rule(heard)
        nftelements.touched(heard)
        nftelements.generation(heard)


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=24), PAYLOAD), max_size=2 * AT_ONCE + 3), st.booleans())
def test_elements_read_as_they_were_written(elements: list[Encoded], verdict: bool) -> None:
    written = b"".join(nftelements.add("inet", "t", "s", elements, verdict=verdict))
    heard = list(messages(written))
    assert [element for answer in heard for element in nftelements.elements(answer)] == elements
    assert {nftelements.touched(answer) for answer in heard} <= {("t", "s")}
    assert all(answer.type == NEWSETELEM for answer in heard)


def test_a_key_is_its_parts_each_padded_to_a_register() -> None:
    kinds = ("ipv4_addr", "inet_proto", "inet_service")
    assert nftelements.encode(kinds, ("10.0.0.2", "udp", "53")).hex(" ", 4) == "0a000002 11000000 00350000"
    assert nftelements.encode(("nf_proto", "ifname"), ("ipv6", '"eth0"')).hex(" ", 4) == (
        "0a000000 65746830 00000000 00000000 00000000"
    )
    assert nftelements.encode(("ether_addr",), ("02:42:ac:12:00:02",)).hex(" ", 4) == "0242 ac120002"
    assert nftelements.encode(("verdict",), ("goto to-nat",)) == (
        attr(1, struct.pack(">i", -4)) + text(2, "to-nat")
    )


def test_a_batch_is_the_requests_between_its_begin_and_its_end() -> None:
    kinds = [heard.type for heard in messages(batch([message(NEWSETELEM, 1)]))]
    assert kinds == [0x10, NEWSETELEM, 0x11]


def test_a_refusal_has_the_kernels_number_and_words() -> None:
    head = struct.pack("=iIHHII", -2, 16, NEWSETELEM, 0, 0, 0)
    said = Message(NLMSG_ERROR, 0x300, 0, 0, head + text(1, "no such set"))
    assert refusal(said) == Refusal(2, "no such set")
    assert refusal(Message(NLMSG_ERROR, 0, 0, 0, head[:4] + bytes(16))) == Refusal(2)
    assert refusal(Message(NLMSG_ERROR, 0, 0, 0, bytes(20))) is None
    assert refusal(Message(NEWSETELEM, 0, 0, 1, head)) is None


def test_a_string_ends_at_its_nul() -> None:
    assert string(b"filter\0rest") == "filter"


def test_a_flow_is_known_by_the_addresses_of_both_directions() -> None:
    def end(kind: int, source: str, target: str) -> bytes:
        return nest(kind, nest(1, attr(1, bytes.fromhex(source)), attr(2, bytes.fromhex(target))))

    body = end(1, "0a000002", "01010101") + end(2, "01010101", "c0000201") + attr(12, b"\0\0\0\7")
    flow = conntrack.flow(Message(0, 0, 0, 2, body))
    assert sorted(map(str, flow.addresses)) == ["1.1.1.1", "10.0.0.2", "192.0.2.1"]
    assert dict(attrs(flow.name)) == {1: dict(attrs(body))[1], 12: b"\0\0\0\7"}
