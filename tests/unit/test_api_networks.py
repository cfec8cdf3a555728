"""Networks over the API: what a real Docker 28.2.2 answered, asked of ours."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.unit.api_house import Client, Crowd, serving

C1, C2 = "1d0a3766da5d" + "e" * 52, "5586c554ec7f" + "4" * 52


@pytest.fixture
def house(tmp_path: Path) -> Iterator[tuple[Client, Crowd]]:
    with serving(tmp_path) as both:
        yield both


@pytest.fixture
def client(house: tuple[Client, Crowd]) -> Client:
    return house[0]


def subnet(**more: Any) -> dict[str, Any]:
    return {"Config": [{"Subnet": "10.5.0.0/24", **more}]}


BAD = "invalid network config:\n"
REFUSALS = [
    ({"Name": "bridge"}, "403 operation is not permitted on predefined bridge network "),
    ({"Name": "default"}, "403 operation is not permitted on predefined default network "),
    ({"Name": ""}, "400 invalid name: name is empty"),
    ({"Name": "  "}, "400 invalid name: name is empty"),
    ({}, "400 invalid name: name is empty"),
    ({"Name": "x", "Scope": "swarm"}, "403 cannot create a swarm scoped network when swarm is not active"),
    ({"Name": "x", "Ingress": True}, "403 Ingress network can only be global scope network"),
    ({"Name": "x", "Driver": "host"}, '403 only one instance of "host" network is allowed'),
    ({"Name": "x", "Driver": "nosuch"}, '404 plugin "nosuch" not found'),
    ({"Name": "x", "IPAM": {"Driver": "nosuch"}}, '404 plugin "nosuch" not found'),
    (
        {"Name": "x", "IPAM": {"Config": [{"Subnet": "10.0.0.1/24"}]}},
        f"400 {BAD}invalid subnet 10.0.0.1/24: it should be 10.0.0.0/24",
    ),
    (
        {"Name": "x", "IPAM": {"Config": [{"Subnet": "10.0.0.300/24"}]}},
        f"400 {BAD}invalid subnet 10.0.0.300/24: invalid CIDR block notation",
    ),
    (
        {"Name": "x", "IPAM": {"Config": [{"Gateway": "10.0.0.1"}]}},
        f"400 {BAD}invalid subnet : invalid CIDR block notation",
    ),
    (
        {"Name": "x", "IPAM": subnet(IPRange="10.1.0.0/25")},
        f"400 {BAD}invalid ip-range 10.1.0.0/25: parent subnet 10.5.0.0/24 doesn't contain ip-range",
    ),
    (
        {"Name": "x", "IPAM": subnet(IPRange="10.5.0.5/25")},
        f"400 {BAD}invalid ip-range 10.5.0.5/25: it should be 10.5.0.0/25",
    ),
    (
        {"Name": "x", "IPAM": subnet(Gateway="10.1.0.1")},
        f"400 {BAD}invalid gateway 10.1.0.1: parent subnet 10.5.0.0/24 doesn't contain this address",
    ),
    ({"Name": "x", "IPAM": subnet(Gateway="zz")}, f"400 {BAD}invalid gateway zz: invalid address"),
    (
        {"Name": "x", "IPAM": subnet(IPRange="10.9.0.0/16", Gateway="1.1.1.1")},
        f"400 {BAD}* invalid ip-range 10.9.0.0/16: CIDR block is bigger than its parent subnet 10.5.0.0/24\n"
        "* invalid ip-range 10.9.0.0/16: parent subnet 10.5.0.0/24 doesn't contain ip-range\n"
        "* invalid gateway 1.1.1.1: parent subnet 10.5.0.0/24 doesn't contain this address",
    ),
    (
        {"Name": "x", "IPAM": subnet(AuxiliaryAddresses={"a": "10.1.0.1"})},
        f"400 {BAD}invalid auxiliary address a: parent subnet 10.5.0.0/24 doesn't contain this address",
    ),
    (
        {"Name": "x", "IPAM": subnet(Gateway="10.5.0.0")},
        "500 failed to allocate gateway (10.5.0.0): Address already in use",
    ),
    ({"Name": "x", "EnableIPv4": False}, "400 IPv4 or IPv6 must be enabled"),
    (
        {"Name": "x", "Options": {"com.docker.network.enable_ipv6": "zz"}},
        '400 driver-opt "com.docker.network.enable_ipv6" is not a valid bool',
    ),
    ({"Name": "x", "Options": {"com.docker.network.driver.mtu": "-1"}}, "400 invalid MTU number: -1"),
    ({"Name": "x", "ConfigFrom": {"Network": "zz"}}, '404 configuration network "zz" does not exist'),
]


@pytest.mark.parametrize(("body", "told"), REFUSALS)
def test_a_create_is_refused_in_dockers_words_and_leaves_nothing(
    client: Client, body: dict[str, Any], told: str
) -> None:
    assert client.told("POST", "/v1.50/networks/create", body) == told
    assert len(client.ask("GET", "/networks")[1]) == 3


@pytest.mark.parametrize("name", ["a/b", "a:b", "a b", "container:x", "nat"])
def test_a_name_may_hold_nearly_anything_and_is_found_again(client: Client, name: str) -> None:
    status, made = client.ask("POST", "/networks/create", {"Name": name})
    assert (status, made["Warning"]) == (201, "")
    assert client.ask("GET", f"/networks/{quote(name, safe='/')}")[1]["Id"] == made["Id"]
    assert client.told("DELETE", f"/v1.50/networks/{quote(name, safe='')}") == "204"


def test_a_parent_that_drops_foreign_macs_is_warned_of_and_taken(client: Client) -> None:
    body = {"Name": "air", "Driver": "macvlan", "Options": {"parent": "wlan0"}}
    status, made = client.ask("POST", "/networks/create", body)
    assert (status, made["Warning"].partition(":")[0]) == (201, "wlan0 is wireless")
    body = {"Name": "too", "Driver": "ipvlan", "Options": {"parent": "wlan0"}}
    assert client.ask("POST", "/networks/create", body)[1]["Warning"] == ""


def test_the_nulls_of_docker_py_are_as_good_as_nothing(client: Client) -> None:
    body = {"Name": "n1", "Driver": None, "Options": None, "IPAM": None, "CheckDuplicate": None, "Labels": None}
    assert client.told("POST", "/v1.45/networks/create", body) == "201"
    assert client.told("POST", "/v1.45/networks/create", body) == "409 network with name n1 already exists"


def test_nulls_are_empty_values_wherever_they_are(client: Client) -> None:
    """As Go's decoder has it."""
    body = {"Name": "n1", "Driver": "macvlan", "Options": {"parent": None}, "Labels": {"a": None}}
    assert client.told("POST", "/networks/create", body) == "201"
    shown = client.ask("GET", "/networks/n1")[1]
    assert (shown["Options"], shown["Labels"]) == ({"parent": ""}, {"a": ""})
    ipam = {"Config": [{"Subnet": "10.7.0.0/24", "AuxiliaryAddresses": None}], "Options": {"x": None}}
    assert client.told("POST", "/networks/create", {"Name": "n2", "IPAM": ipam}) == "201"
    assert client.told("POST", "/networks/create", {"Name": "n3", "IPAM": {"Config": [None]}}) == (
        "400 invalid network config:\ninvalid subnet : invalid CIDR block notation"
    )
    # What is wrong otherwise is told as ever.
    assert client.told("POST", "/networks/create", {"Name": 3, "Labels": {"a": None}}).startswith(
        "400 invalid JSON: Expected `str | null`, got `int` - at `$.Name`"
    )


def test_inspect_shows_every_field(client: Client) -> None:
    ident = client.ask("POST", "/networks/create", {"Name": "n1", "Labels": {"a": "b"}})[1]["Id"]
    shown = client.ask("GET", "/networks/n1")[1]
    assert shown.pop("Created").endswith("Z")
    assert shown == {
        "Name": "n1",
        "Id": ident,
        "Scope": "local",
        "Driver": "bridge",
        "EnableIPv4": True,
        "EnableIPv6": False,
        "IPAM": {
            "Driver": "default",
            "Options": None,
            "Config": [{"Subnet": "172.18.0.0/16", "Gateway": "172.18.0.1"}],
        },
        "Internal": False,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {},
        "Options": {},
        "Labels": {"a": "b"},
    }


def test_inspect_echoes_the_addresses_that_were_asked_for(client: Client) -> None:
    config = {
        "Subnet": "10.5.0.0/24",
        "IPRange": "10.5.0.128/25",
        "Gateway": "10.5.0.254",
        "AuxiliaryAddresses": {"printer": "10.5.0.9"},
    }
    client.ask("POST", "/networks/create", {"Name": "s1", "IPAM": {"Config": [config], "Options": {"a": "b"}}})
    assert client.ask("GET", "/networks/s1")[1]["IPAM"] == {
        "Driver": "default",
        "Options": {"a": "b"},
        "Config": [config],
    }


def test_members_are_shown_by_container(house: tuple[Client, Crowd]) -> None:
    client, crowd = house
    client.ask("POST", "/networks/create", {"Name": "s1", "IPAM": subnet()})
    crowd.add("c1", C1)
    body = {"Container": "c1", "EndpointConfig": {"IPAMConfig": {"IPv4Address": "10.5.0.9"}, "Aliases": ["al"]}}
    assert client.told("POST", "/networks/s1/connect", body) == "200"
    shown = client.ask("GET", "/networks/s1")[1]["Containers"]
    (member,) = [shown[C1]]
    assert (member["Name"], member["IPv4Address"], member["IPv6Address"]) == ("c1", "10.5.0.9/24", "")
    assert client.ask("GET", "/v1.50/networks?filters={}")[1][-1]["Containers"] == {}
    assert client.ask("GET", "/v1.27/networks?filters={}")[1][-1]["Containers"] == shown
    told = client.told("DELETE", "/networks/s1")
    assert told == (
        "403 error while removing network: network s1 has active endpoints"
        f' (name:"c1" id:"{member["EndpointID"][:12]}")'
    )
    assert client.told("POST", "/networks/s1/disconnect", {"Container": "c1", "Force": False}) == "200"
    assert client.told("DELETE", "/networks/s1") == "204"


CONNECTS = [
    ("n1", {"Container": "zz"}, "404 No such container: zz"),
    ("zz", {"Container": "c1"}, "404 network zz not found"),
    ("n1", {"Container": ""}, '400 invalid name or ID supplied: ""'),
    (
        "host",
        {"Container": "c1"},
        "400 cannot connect container to host network - container must be created in host network mode",
    ),
    (
        "none",
        {"Container": "c1"},
        "400 container cannot be connected to multiple networks with one of the networks in private (none) mode",
    ),
    (
        "bridge",
        {"Container": "c1", "EndpointConfig": {"Aliases": ["a"]}},
        "400 invalid endpoint settings:\n"
        "network-scoped alias is supported only for containers in user defined networks",
    ),
    (
        "n1",
        {"Container": "c1", "EndpointConfig": {"IPAMConfig": {"IPv4Address": "zz"}}},
        "400 invalid endpoint settings:\ninvalid IPv4 address: zz",
    ),
    (
        "s1",
        {"Container": "c1", "EndpointConfig": {"IPAMConfig": {"IPv4Address": "172.18.0.99"}}},
        "400 invalid endpoint settings:\nno configured subnet or ip-range contain the IP address 172.18.0.99",
    ),
    (
        "s1",
        {"Container": "c1", "EndpointConfig": {"IPAMConfig": {"IPv4Address": "10.5.0.1"}}},
        "403 Address already in use",
    ),
    (
        "s1",
        {"Container": "c1", "EndpointConfig": {"IPAMConfig": {"LinkLocalIPs": ["10.1.1.1"]}}},
        "400 invalid link local IP address: 10.1.1.1",
    ),
    (
        "n1",
        {"Container": "c1", "EndpointConfig": {"MacAddress": "zz"}},
        "400 invalid MAC address zz",
    ),
]


@pytest.mark.parametrize(("network", "body", "told"), CONNECTS)
def test_a_connect_is_refused_in_dockers_words(
    house: tuple[Client, Crowd], network: str, body: dict[str, Any], told: str
) -> None:
    client, crowd = house
    crowd.add("c1", C1)
    client.ask("POST", "/networks/create", {"Name": "n1"})
    client.ask("POST", "/networks/create", {"Name": "s1", "IPAM": subnet()})
    assert client.told("POST", f"/networks/{network}/connect", body) == told
    assert not crowd.engine.endpoints()


LISTS = [
    ('{"foo":["x"]}', "400 invalid filter 'foo'"),
    (
        '{"dangling":["zz"]}',
        '400 invalid value for filter \'dangling\', must be "true" (or "1"), or "false" (or "0")',
    ),
    ('{"dangling":["true","false"]}', '400 got more than one value for filter key "dangling"'),
    ('{"type":["x"]}', "500 invalid filter: 'type'='x'"),
    ("xx", "400 invalid filter"),
    ('{"scope":["zz"]}', ""),
    ('{"type":["builtin"]}', "bridge host none"),
    ('{"type":{"custom":true}}', "n1 nat"),
    ('{"name":["n"]}', "none n1 nat"),
    ('{"name":{"n1":true}}', "n1"),
    ('{"name":["n1","nat"]}', "n1 nat"),
    ('{"driver":["bridge"]}', "bridge n1 nat"),
    ('{"label":["a"]}', "n1"),
    ('{"label":["a=b","c"]}', ""),
    ('{"dangling":{"true":true}}', "nat"),
    ('{"dangling":["0"]}', "bridge host none n1"),
    ("", "bridge host none n1 nat"),
    ("{}", "bridge host none n1 nat"),
]


@pytest.mark.parametrize(("filters", "told"), LISTS)
def test_a_list_is_filtered(house: tuple[Client, Crowd], filters: str, told: str) -> None:
    client, crowd = house
    client.ask("POST", "/networks/create", {"Name": "n1", "Labels": {"a": "b"}})
    client.ask("POST", "/networks/create", {"Name": "nat"})
    crowd.add("c1", C1)
    client.ask("POST", "/networks/n1/connect", {"Container": "c1"})
    status, answer = client.ask("GET", f"/networks?filters={quote(filters)}")
    shown = " ".join(net["Name"] for net in answer) if status == 200 else f"{status} {answer['message']}"
    assert shown == told


def test_prune_takes_what_is_unused_and_wanted(house: tuple[Client, Crowd]) -> None:
    client, crowd = house
    for name, labels in (("keep", {"keep": "1"}), ("used", {}), ("idle", {})):
        client.ask("POST", "/networks/create", {"Name": name, "Labels": labels})
    crowd.add("c1", C1)
    client.ask("POST", "/networks/used/connect", {"Container": "c1"})
    assert client.told("POST", "/networks/prune?filters=" + quote('{"foo":["x"]}')) == "400 invalid filter 'foo'"
    assert client.ask("POST", "/networks/prune?filters=" + quote('{"until":["1h"]}'))[1] == {
        "NetworksDeleted": None
    }
    gone = client.ask("POST", "/networks/prune?filters=" + quote('{"label!":["keep"]}'))[1]
    assert gone == {"NetworksDeleted": ["idle"]}


def test_bad_requests_are_told_what_is_bad(client: Client) -> None:
    def told(body: bytes, kind: str) -> str:
        answer = client.raw("POST", "/networks/create", body, {"Content-Type": kind} if kind else {})
        return f"{answer.status} {json.loads(answer.read())['message']}"

    assert told(b'{"Name": ', "application/json") == "400 invalid JSON: unexpected EOF"
    assert told(b"{}", "text/plain") == (
        "400 unsupported Content-Type header (text/plain): must be 'application/json'"
    )
    assert told(b'{"Name": 3}', "application/json").startswith("400 invalid JSON: Expected `str | null`, got `int`")
    assert client.told("GET", "/networks/bridge?verbose=zz") == (
        '400 invalid value for verbose: zz: strconv.ParseBool: parsing "zz": invalid syntax'
    )
    assert client.told("GET", "/networks/zzz") == "404 network zzz not found"
    assert client.told("DELETE", "/networks/bridge") == "403 bridge is a pre-defined network and cannot be removed"
    assert client.told("GET", "/nosuch") == "404 page not found"
    assert client.told("PUT", "/networks/create", {}) == "404 page not found"


def test_a_dry_run_tells_the_commands_and_changes_nothing(house: tuple[Client, Crowd]) -> None:
    client, crowd = house
    crowd.add("c1", C1)
    before = crowd.engine.kernel.dump()
    status, text = client.ask("POST", "/networks/create?dryRun=1", {"Name": "n1"})
    assert status == 200
    assert "type bridge" in text
    assert "ip link" in client.ask("POST", "/networks/bridge/connect?dryRun=1", {"Container": "c1"})[1]
    assert crowd.engine.kernel.dump() == before
    assert len(client.ask("GET", "/networks")[1]) == 3
    client.ask("POST", "/networks/create", {"Name": "n1"})
    after = crowd.engine.kernel.dump()
    status, text = client.ask("DELETE", "/networks/n1?dryRun=1")
    link = crowd.engine.network("n1").link
    assert (status, text.splitlines()[:2]) == (
        200,
        [f"ip addr del 172.18.0.1/16 dev {link}", f"ip link del {link}"],
    )
    assert client.ask("POST", "/networks/prune?dryRun=1") == (200, text)
    assert crowd.engine.kernel.dump() == after


def test_a_list_says_what_is_whatever_was_listed_before(client: Client) -> None:
    def names() -> list[str]:
        # With a filter nothing that was written before is used.
        plain, filtered = (client.ask("GET", f"/networks{query}")[1] for query in ("", "?filters={}"))
        assert plain == filtered
        return [net["Name"] for net in plain]

    told = [names()]
    for method, path, body in (
        ("POST", "/networks/create", {"Name": "one"}),
        ("POST", "/networks/create", {"Name": "two", "Labels": {"a": "b"}}),
        ("DELETE", "/networks/one", None),
        ("POST", "/networks/create", {"Name": "one", "Internal": True}),
        ("POST", "/networks/prune", None),
    ):
        client.ask(method, path, body)
        told.append(names())
    default = ["bridge", "host", "none"]
    assert told == [
        default,
        [*default, "one"],
        [*default, "one", "two"],
        [*default, "two"],
        [*default, "two", "one"],
        default,
    ]
