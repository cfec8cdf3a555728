"""Tables, JSON, times and sizes as Docker prints them."""

import json

import pytest
from hypothesis import given as fuzz
from hypothesis import strategies as st

from bascule.cli import jsontext, units
from bascule.cli.fields import Fields
from bascule.cli.network import natural
from bascule.cli.ps import ports, shortened
from bascule.cli.table import columns, inspection, listing

FIELDS: Fields = {
    "ID": ("NETWORK ID", lambda n: n["Id"]),
    "Name": ("NAME", lambda n: n["Name"]),
    "Label": ("", lambda n: lambda key: n["Labels"].get(key, "")),
}
NETS = [
    {"Id": "aaaaaaaaaaaa", "Name": "a-network-with-a-name", "Labels": {"org.my-app": "<1>"}},
    {"Id": "b", "Name": "b", "Labels": {}},
]


def test_a_table_has_headers_and_columns_of_ten_at_least_and_three_apart() -> None:
    assert listing("", FIELDS, "ID Name ID", NETS) == (
        "NETWORK ID     NAME                    NETWORK ID\n"
        "aaaaaaaaaaaa   a-network-with-a-name   aaaaaaaaaaaa\n"
        "b              b                       b\n"
    )


def test_a_table_of_nothing_is_its_headers() -> None:
    assert listing("table", FIELDS, "ID Name", []) == "NETWORK ID   NAME\n"


def test_a_table_of_a_template_has_the_fields_headers() -> None:
    assert listing('table {{.Name}}\\t{{.Label "org.my-app"}}', FIELDS, "ID", NETS) == (
        "NAME                    my app\na-network-with-a-name   <1>\nb                       \n"
    )


def test_a_template_prints_a_line_each_and_json_an_object_each() -> None:
    assert listing("{{.Name}}\\t{{upper .ID}}", FIELDS, "ID", NETS[1:]) == "b\tB\n"
    assert listing("json", FIELDS, "ID", NETS[1:]) == '{"ID":"b","Name":"b"}\n'
    assert listing("{{json .}}", FIELDS, "ID", NETS[1:]) == '{"ID":"b","Name":"b"}\n'


def test_a_column_ends_where_a_line_does_not_have_it() -> None:
    assert columns(["a\tb\tc", "x", "long-long-cell\tb"]) == [
        "a         b         c",
        "x",
        "long-long-cell   b",
    ]


def test_an_inspection_is_laid_out_as_go_lays_it_out() -> None:
    text = """\
[
    {
        "A": {},
        "B": [],
        "C": [
            1,
            null
        ],
        "D": "é"
    }
]
"""
    assert inspection("", [{"A": {}, "B": [], "C": [1, None], "D": "é"}]) == text
    assert inspection("json", [{"A": 1}]) == '[{"A":1}]\n'
    assert inspection("{{.A}}", [{"A": 1}, {"A": "x"}]) == "1\nx\n"


def test_names_with_numbers_sort_as_people_count() -> None:
    names = ["net10", "net2", "bridge", "net2a", "10", "9", "net"]
    assert sorted(names, key=natural) == ["9", "10", "bridge", "net", "net2", "net2a", "net10"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@fuzz(JSON)
def test_json_is_what_the_library_says(value: object) -> None:
    assert json.loads(jsontext.dumps(value)) == value
    assert json.loads(jsontext.dumps(value, indent=4)) == value
    assert jsontext.loads(json.dumps(value)) == value
    assert jsontext.loads(f" {json.dumps(value, indent=2)}\n") == value


@pytest.mark.parametrize("text", ["", "{", "[1,", "1 2", "nope", '{"a" 1}'])
def test_what_is_no_json_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):
        jsontext.loads(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (125, "2 minutes"),
        (3600, "About an hour"),
        (5400, "2 hours"),
        (47 * 3600, "47 hours"),
        (72 * 3600, "3 days"),
        (20 * 86400, "2 weeks"),
        (90 * 86400, "3 months"),
        (800 * 86400, "2 years"),
    ],
)
def test_how_long_ago(seconds: int, text: str) -> None:
    assert units.duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (999, "999B"), (1000, "1kB"), (5580000, "5.58MB"), (187654321, "187.7MB"), (1.5e12, "1.5TB")],
)
def test_sizes_go_by_thousands(size: float, text: str) -> None:
    assert units.size(size) == text


def test_memory_goes_by_1024() -> None:
    assert [units.binary_size(n) for n in (0, 1024, 16357064704)] == ["0B", "1KiB", "15.23GiB"]


@pytest.mark.parametrize(
    ("text", "size"),
    [("5", 5), ("1k", 1024), ("512m", 512 << 20), ("1.5GB", 3 << 29), ("64KiB", 65536), ("2 g", 2 << 30)],
)
def test_typed_sizes(text: str, size: int) -> None:
    assert units.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "5x", "-1", "1.2.3m", "1mbb"])
def test_what_is_no_size_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):
        units.parse_size(text)


@pytest.mark.parametrize(
    ("text", "nanos"),
    [("0", 0), ("5s", 5 * 10**9), ("1h30m", 5400 * 10**9), ("1.5ms", 1500000), ("-2s", -2 * 10**9)],
)
def test_typed_durations(text: str, nanos: int) -> None:
    assert units.parse_duration(text) == nanos


@pytest.mark.parametrize("text", ["", "5", "s", "5x", "1..2s", "5s5"])
def test_what_is_no_duration_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="time: "):
        units.parse_duration(text)


@pytest.mark.parametrize(
    ("text", "nanos"), [("1", 10**9), ("0.5", 5 * 10**8), (".25", 25 * 10**7), ("2.", 2 * 10**9)]
)
def test_typed_processors(text: str, nanos: int) -> None:
    assert units.parse_cpus(text) == nanos


def test_a_time_is_a_duration_before_now_or_a_date_or_a_stamp() -> None:
    assert units.moment("10s", 100.0) == "90.000000000"
    assert units.moment("1700000000.5", 0) == "1700000000.5"
    assert units.moment("2026-01-01T00:00:00Z", 0) == "1767225600.000000000"
    assert units.moment("2026-01-01T00:00:00.25+01:00", 0) == "1767222000.250000000"
    with pytest.raises(ValueError, match='failed to parse value as time or duration: "soon"'):
        units.moment("soon", 0)


def test_a_containers_ports_are_grouped_by_address_and_neighbourhood() -> None:
    def port(private: int, kind: str = "tcp", ip: str = "", public: int = 0) -> dict[str, object]:
        return {"PrivatePort": private, "Type": kind} | ({"IP": ip, "PublicPort": public} if ip else {})

    found = [
        port(80, ip="0.0.0.0", public=8080),
        port(80, ip="::", public=8080),
        port(443),
        port(444),
        port(450),
        port(91, "udp", "127.0.0.1", 91),
        port(90, "udp", "127.0.0.1", 90),
    ]
    assert ports(found) == (
        "443-444/tcp, 127.0.0.1:90-91->90-91/udp, 450/tcp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"
    )


def test_what_is_too_long_ends_in_an_ellipsis() -> None:
    assert [shortened("abcdef", n) for n in (6, 5)] == ["abcdef", "abcd…"]
