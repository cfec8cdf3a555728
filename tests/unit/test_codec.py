"""Stored objects as text: what is written can be read, and what cannot be read is refused in words."""

import dataclasses
import json
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bascule.model.codec import MIGRATIONS, VERSION, decode, encode
from bascule.model.container import Container, Image, Volume
from bascule.model.endpoint import Endpoint
from bascule.model.errors import Failed
from bascule.model.network import Network, Pool
from bascule.model.sandbox import Sandbox

KINDS = (Network, Endpoint, Sandbox, Container, Image, Volume)

st.register_type_strategy(IPv4Address, st.ip_addresses(v=4))
st.register_type_strategy(IPv6Address, st.ip_addresses(v=6))
st.register_type_strategy(
    IPv4Interface, st.builds(IPv4Interface, st.tuples(st.ip_addresses(v=4), st.integers(0, 32)))
)
st.register_type_strategy(
    IPv6Interface, st.builds(IPv6Interface, st.tuples(st.ip_addresses(v=6), st.integers(0, 128)))
)
st.register_type_strategy(
    IPv4Network, st.builds(IPv4Network, st.tuples(st.ip_addresses(v=4), st.integers(0, 32)), strict=st.just(False))
)
st.register_type_strategy(
    IPv6Network, st.builds(IPv6Network, st.tuples(st.ip_addresses(v=6), st.integers(0, 128)), strict=st.just(False))
)
# A lone surrogate may come from somebody's JSON.
st.register_type_strategy(str, st.text(st.characters(exclude_categories=()), max_size=8))


@given(st.one_of(*(st.from_type(kind) for kind in KINDS)))
def test_what_is_written_is_read_back_equal(
    value: Network | Endpoint | Sandbox | Container | Image | Volume,
) -> None:
    assert decode(type(value), encode(value)) == value


def test_a_network_is_written_as_a_person_would_write_it() -> None:
    pool = Pool(IPv4Network("10.7.0.0/24"), IPv4Network("10.7.0.0/25"), IPv4Address("10.7.0.1"))
    written = json.loads(encode(Network("a1", "web", "bridge", 5, pools=(pool,))))
    assert written["version"] == 1
    assert written["pools"] == [
        {"aux": {}, "gateway": "10.7.0.1", "range": "10.7.0.0/25", "subnet": "10.7.0.0/24"},
    ]


def test_keys_are_sorted() -> None:
    text = encode(Volume("v", 1, "/v"))
    assert text == json.dumps(json.loads(text), sort_keys=True)


def test_no_kind_has_a_field_that_the_version_would_hide() -> None:
    assert not [kind for kind in KINDS if "version" in {field.name for field in dataclasses.fields(kind)}]


def test_a_key_of_a_newer_minor_version_is_left_out() -> None:
    text = '{"version": 1, "id": "v", "created": 1, "mountpoint": "/v", "colour": "red"}'
    assert decode(Volume, text) == Volume("v", 1, "/v")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"version": 7, "id": "v1"}', "cannot read stored volume v1: format version 7, known are 1 to 1"),
        ('{"id": "v1"}', "cannot read stored volume v1: format version None, known are 1 to 1"),
        ('{"version": true, "id": "v1"}', "cannot read stored volume v1: format version True, known are 1 to 1"),
        ("[1]", "cannot read a stored volume: not a JSON object"),
        ("{", "cannot read a stored volume: Expecting property name enclosed in double quotes: line 1 column 2"),
        (
            '{"version": 1, "id": "v1", "created": 1}',
            "cannot read stored volume v1: required field missing @ volume v1.mountpoint",
        ),
        (
            '{"version": 1, "id": "v1", "created": "x", "mountpoint": null}',
            "cannot read stored volume v1: invalid value for type, expected int @ "
            "volume v1.created; invalid value for type, expected str @ volume v1.mountpoint",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(Failed) as refusal:
        decode(Volume, text)
    assert str(refusal.value).startswith(why)


def test_an_integer_is_no_address() -> None:
    text = encode(Endpoint("e", "n", "s", "c", 1)).replace('"gateways": []', '"gateways": [1]')
    with pytest.raises(Failed, match=r"endpoint e\.gateways"):
        decode(Endpoint, text)


def test_an_older_version_is_lifted_step_by_step() -> None:
    def lift(kind: type, body: dict[str, object]) -> dict[str, object]:
        return {**body, "driver": f"{body['driver']}+{kind.__name__}"}

    text = encode(Volume("v", 1, "/v"))
    assert decode(Volume, text, version=3, migrations={1: lift, 2: lift}).driver == "local+Volume+Volume"


def test_there_is_a_migration_from_every_older_version() -> None:
    assert sorted(MIGRATIONS) == list(range(1, VERSION))
