"""Questions for addresses and the claims in answers, as bytes."""

from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bascule.model.addresses import ip_address
from bascule.wire.netlink import Malformed
from bascule.wire.probes import announcement, claim, question

MAC, OTHER = "02:00:00:00:00:01", "02:00:00:00:00:02"


def raw(*parts: str) -> bytes:
    return bytes.fromhex("".join(parts).replace(":", ""))


def test_an_arp_probe_claims_nothing() -> None:
    # RFC 5227, 2.1.1: the sender's address is all zeros, the target's hardware address as well.
    assert question(MAC, ip_address("10.0.0.5")) == raw(
        *("ff" * 6, MAC, "0806"), *("0001", "0800", "06", "04", "0001"), *(MAC, "00000000", "00" * 6, "0a000005")
    )


def test_a_solicitation_is_that_of_duplicate_address_detection() -> None:
    # RFC 4862, 5.4.2: from the unspecified address to the target's solicited-node group, without an option.
    target = ip_address("fd13::12:3456")
    frame = question(MAC, target)
    assert frame[:14] == raw("3333ff123456", MAC, "86dd")
    assert frame[14:54] == raw("60000000", "0018", "3a", "ff", "00" * 16, "ff02" + "00" * 9 + "01ff123456")
    assert frame[54:56] == raw("8700")
    assert frame[58:] == raw("00000000") + target.packed


@given(st.ip_addresses())
def test_a_question_is_no_claim(address: object) -> None:
    assert claim(question(MAC, ip_address(str(address)))) is None


def test_an_arp_answer_and_an_announcement_are_claims() -> None:
    arp = raw("0001", "0800", "06", "04")
    for operation in ("0002", "0001"):
        frame = raw(MAC, OTHER, "0806") + arp + raw(operation, OTHER, "0a000005", MAC, "0a000005")
        assert claim(frame) == (ip_address("10.0.0.5"), OTHER)


def test_an_announcement_tells_everybody() -> None:
    # RFC 5227, 3: as a probe, with the address as the sender's as well.
    assert announcement(MAC, ip_address("10.0.0.5")) == raw(
        *("ff" * 6, MAC, "0806", "0001", "0800", "06", "04", "0001"), *(MAC, "0a000005", "00" * 6, "0a000005")
    )
    # RFC 4861, 7.2.6: to all nodes, unsolicited, and to override what was known; 4.4 has the flags.
    own = ip_address("fd13::5")
    frame = announcement(MAC, own)
    assert frame[:14] == raw("333300000001", MAC, "86dd")
    assert frame[14:54] == raw("60000000", "0020", "3a", "ff") + own.packed + ip_address("ff02::1").packed
    assert frame[54:56] + frame[58:] == raw("8800", "20000000") + own.packed + raw("0201", MAC)
    pseudo = frame[22:54] + raw("00000020", "0000003a")
    assert sum(int.from_bytes((pseudo + frame[54:])[i : i + 2]) for i in range(0, 72, 2)) % 0xFFFF == 0


@given(st.ip_addresses())
def test_an_announcement_is_a_claim(address: object) -> None:
    own = ip_address(str(address))
    assert claim(announcement(MAC, own)) == ((own, MAC) if int(own) or own.version == 6 else None)


def advertisement(target: str, *option: str, hops: str = "ff", kind: str = "88") -> bytes:
    packed = IPv6Address(target).packed.hex()
    head = raw("333300000001", OTHER, "86dd", "60000000", "0020", "3a", hops, packed, "ff02" + "00" * 13 + "01")
    return head + raw(kind, "00", "0000", "20000000", packed, *option)


def test_an_advertisement_is_a_claim_of_its_sender_or_of_whom_it_names() -> None:
    assert claim(advertisement("fd13::5")) == (ip_address("fd13::5"), OTHER)
    assert claim(advertisement("fd13::5", "0201", MAC)) == (ip_address("fd13::5"), MAC)


def test_what_comes_from_further_away_or_is_something_else_is_none() -> None:
    assert claim(advertisement("fd13::5", hops="fe")) is None
    assert claim(advertisement("fd13::5", kind="87")) is None
    assert claim(raw(MAC, OTHER, "0800") + bytes(60)) is None


@given(st.binary(max_size=80))
def test_any_frame_is_a_claim_or_none_or_malformed(rest: bytes) -> None:
    for kind in ("0806", "86dd"):
        try:
            said = claim(raw(MAC, OTHER, kind) + rest)
        except Malformed:
            continue
        assert said is None or len(said[1]) == 17


def test_a_short_frame_is_malformed() -> None:
    with pytest.raises(Malformed, match="a frame of 3 bytes"):
        claim(b"abc")
