"""Containers in Docker's words: what a create means, and what inspect and ps show."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bascule.api.shapes import container, container_list, container_spec, filters, frames, times, values
from bascule.api.shapes.archive import go_mode
from bascule.api.shapes.container_body import ContainerBody, ExecBody, ResourcesBody
from bascule.model.addresses import ip_address, ip_interface
from bascule.model.container import MUST_EXIST, Container, ContainerSpec, Mount, Resources, State
from bascule.model.endpoint import Endpoint, EndpointSpec, PortSpec, PublishedPort
from bascule.model.errors import BasculeError, Invalid

ID = "5586c554ec7f" + "4" * 52
NOW = 1_795_472_100_000_000_000


def asked(body: dict[str, Any], version: tuple[int, int] = (1, 50)) -> ContainerSpec:
    found, _ = container_spec.spec(values.decode(ContainerBody, json.dumps(body).encode()), version)
    return found


def refused(body: dict[str, Any], version: tuple[int, int] = (1, 50)) -> str:
    try:
        asked(body, version)
    except BasculeError as refusal:
        return f"{refusal.status} {refusal}"
    return "taken"


def test_the_default_network_is_spelled_out() -> None:
    body = {"Image": "i", "HostConfig": {"NetworkMode": "default"}}
    networking = {"NetworkingConfig": {"EndpointsConfig": {"default": {"Aliases": None}}}}
    for told in ({"Image": "i"}, body, {**body, **networking}):
        spec = asked(told)
        assert (spec.network_mode, dict(spec.networks)) == ("bridge", {"bridge": EndpointSpec()})


def test_the_network_of_the_mode_comes_first() -> None:
    spec = asked(
        {
            "Image": "i",
            "HostConfig": {"NetworkMode": "n2"},
            "NetworkingConfig": {"EndpointsConfig": {"n1": None, "n2": {"GwPriority": 7}}},
        }
    )
    assert list(spec.networks) == ["n2", "n1"]
    assert spec.networks["n2"].gw_priority == 7


@pytest.mark.parametrize("mode", ["host", "none", "container:x"])
def test_a_shared_namespace_has_no_networks_of_its_own(mode: str) -> None:
    assert dict(asked({"Image": "i", "HostConfig": {"NetworkMode": mode}}).networks) == {}


def test_ports_in_every_form() -> None:
    spec = asked(
        {
            "Image": "i",
            "ExposedPorts": {"80/tcp": {}, "90-91/udp": {}},
            "HostConfig": {
                "PortBindings": {
                    "80/tcp": [{"HostIp": "", "HostPort": "8080"}, {"HostIp": "::1", "HostPort": "7000-7005"}],
                    "91/udp": [{"HostIp": "127.0.0.1", "HostPort": ""}],
                    "92": None,
                }
            },
        }
    )
    assert spec.exposed == (("tcp", 80), ("udp", 90), ("udp", 91))
    assert spec.ports == (
        PortSpec(80, "tcp", None, (8080, 8080)),
        PortSpec(80, "tcp", ip_address("::1"), (7000, 7005)),
        PortSpec(91, "udp", ip_address("127.0.0.1"), None),
        PortSpec(92, "tcp", None, None),
    )


def test_mounts_in_every_form() -> None:
    spec = asked(
        {
            "Image": "i",
            "Volumes": {"/anonymous": {}, "/data": {}},
            "HostConfig": {
                "Binds": ["/host:/in:ro,rslave", "vol:/data", "/alone"],
                "Mounts": [
                    {"Type": "bind", "Source": "/src", "Target": "/dst", "ReadOnly": True},
                    {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1000, "Mode": 448}},
                ],
                "Tmpfs": {"/run": "rw,size=10m"},
            },
        }
    )
    assert spec.mounts == (
        Mount("bind", "/in", "/host", True, ("rslave",), "ro,rslave"),
        Mount("volume", "/data", "vol"),
        Mount("volume", "/alone"),
        Mount("bind", "/dst", "/src", True, (MUST_EXIST,)),
        Mount("tmpfs", "/t", "", False, ("size=1000", "mode=700")),
        Mount("tmpfs", "/run", "", False, ("size=10m",)),
        Mount("volume", "/anonymous"),
    )


def test_an_entrypoint_may_be_left_to_the_image_or_taken_away() -> None:
    entrypoints = [
        asked({"Image": "i", "Entrypoint": e}).entrypoint for e in (None, [], "", [""], "sh", ["a", "b"])
    ]
    assert entrypoints == [None, None, None, (), ("sh",), ("a", "b")]


CONFLICT = "400 conflicting options: "
MODE = {"NetworkMode": "container:x"}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"Hostname": "h", "HostConfig": MODE}, CONFLICT + "hostname and the network mode"),
        ({"HostConfig": {**MODE, "Dns": ["1.1.1.1"]}}, CONFLICT + "dns and the network mode"),
        (
            {"HostConfig": {**MODE, "ExtraHosts": ["a:1.1.1.1"]}},
            CONFLICT + "custom host-to-IP mapping and the network mode",
        ),
        (
            {"HostConfig": {**MODE, "PortBindings": {"80/tcp": [{"HostPort": "1"}]}}},
            CONFLICT + "port publishing and the container type network mode",
        ),
        (
            {"ExposedPorts": {"80/tcp": {}}, "HostConfig": MODE},
            CONFLICT + "port exposing and the container type network mode",
        ),
        (
            {"HostConfig": {"NetworkMode": "host", "Links": ["a:b"]}},
            CONFLICT + "host type networking can't be used with links. This would result in undefined behavior",
        ),
        (
            {"HostConfig": {"NetworkMode": "container:"}},
            "400 invalid network mode: invalid container format container:<name|id>",
        ),
        (
            {"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "99999"}]}}},
            '400 invalid port specification: "99999"',
        ),
        ({"ExposedPorts": {"80/zz": {}}}, '400 invalid port specification: "80/zz"'),
        ({"Hostname": "a\nb"}, "400 invalid hostname format: a\nb"),
        ({"Env": ["=x"]}, "400 invalid environment variable: =x"),
        ({"HostConfig": {"ExtraHosts": ["a\nb:1.1.1.1"]}}, '400 bad format for add-host: "a\nb:1.1.1.1"'),
        ({"HostConfig": {"ExtraHosts": ["a:zz"]}}, '400 invalid IP address in add-host: "zz"'),
        ({"HostConfig": {"Dns": ["zz"]}}, "400 bad nameserver address: zz"),
        ({"HostConfig": {"Binds": ["/a:/b", "/c:/b"]}}, "400 Duplicate mount point: /b"),
        ({"HostConfig": {"Binds": ["/a:/b:zz"]}}, "400 invalid mode: zz"),
        ({"HostConfig": {"Memory": 1000}}, "400 Minimum memory limit allowed is 6MB"),
        (
            {"HostConfig": {"AutoRemove": True, "RestartPolicy": {"Name": "always"}}},
            "400 can't create 'AutoRemove' container with restart policy",
        ),
        (
            {"HostConfig": {"RestartPolicy": {"Name": "x"}}},
            "400 invalid restart policy: unknown policy 'x'; use one of 'no', 'always', 'on-failure', or"
            " 'unless-stopped'",
        ),
        ({"MacAddress": "zz"}, "400 invalid MAC address zz"),
        ({"WorkingDir": "a"}, "400 the working directory 'a' is invalid, it needs to be an absolute path"),
    ],
)
def test_what_cannot_be_is_refused_in_dockers_words(body: dict[str, Any], told: str) -> None:
    assert refused({"Image": "i", **body}) == told


def test_several_endpoints_need_a_client_that_knows_of_them() -> None:
    body = {"Image": "i", "NetworkingConfig": {"EndpointsConfig": {"a": {}, "b": {}}}}
    assert refused(body, (1, 43)) == "400 Container cannot be connected to network endpoints: a, b"
    assert refused(body) == "taken"


def test_what_is_ignored_is_said() -> None:
    body = {"Image": "i", "MacAddress": "02:00:00:00:00:01", "HostConfig": {"OomScoreAdj": 5, "LogConfig": {}}}
    _, warnings = container_spec.spec(values.decode(ContainerBody, json.dumps(body).encode()), (1, 50))
    assert warnings == [
        "--oom-score-adj is not supported by Bascule and was ignored",
        "The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead.",
    ]


def test_an_update_leaves_what_it_does_not_name() -> None:
    now = Resources(memory=64 << 20, pids=10)
    assert container_spec.updated(now, ResourcesBody(NanoCpus=5)) == Resources(
        memory=64 << 20, pids=10, nano_cpus=5
    )


def test_an_exec_without_a_command_is_refused() -> None:
    with pytest.raises(Invalid, match="No exec command specified"):
        container_spec.exec_spec(ExecBody())


SPEC = ContainerSpec(image="host", network_mode="n1", exposed=(("tcp", 80), ("tcp", 81)))
ENDPOINT = Endpoint(
    id="e" * 64,
    network="b" * 64,
    sandbox="s" * 64,
    name="c2",
    created=1,
    addresses=(ip_interface("10.5.0.9/24"), ip_interface("fd00::9/64")),
    gateways=(ip_address("10.5.0.1"),),
    mac="6e:21:83:46:c3:0d",
    key="/run/bascule/netns/x",
    ports=(
        PublishedPort(80, "tcp", ip_address("0.0.0.0"), 8080),
        PublishedPort(80, "tcp", ip_address("::"), 8080),
    ),
    dns_names=("c2", "al", "5586c554ec7f"),
)
RUNNING = Container(
    ID,
    "c2",
    NOW - 10**11,
    SPEC,
    "sha256:1",
    path="sleep",
    args=("600",),
    sandbox="s" * 64,
    state=State("running", pid=7, started=NOW - 3 * 10**9),
)
ASKED = EndpointSpec(addresses=(ip_address("10.5.0.9"),), aliases=("al",), gw_priority=7)
PLACES = {"s1": (ASKED, ENDPOINT), "n2": (EndpointSpec(), None)}


def test_network_settings_are_those_of_28_2_2() -> None:
    shown = container.inspect(RUNNING, container.Around(places=PLACES), (1, 50))["NetworkSettings"]
    assert shown == {
        "Bridge": "",
        "SandboxID": "s" * 64,
        "SandboxKey": "/run/bascule/netns/x",
        "Ports": {
            "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],
            "81/tcp": None,
        },
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "EndpointID": "",
        "Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "IPAddress": "",
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "MacAddress": "",
        "Networks": {
            "s1": {
                "IPAMConfig": {"IPv4Address": "10.5.0.9"},
                "Links": None,
                "Aliases": ["al"],
                "MacAddress": "6e:21:83:46:c3:0d",
                "DriverOpts": None,
                "GwPriority": 7,
                "NetworkID": "b" * 64,
                "EndpointID": "e" * 64,
                "Gateway": "10.5.0.1",
                "IPAddress": "10.5.0.9",
                "IPPrefixLen": 24,
                "IPv6Gateway": "",
                "GlobalIPv6Address": "fd00::9",
                "GlobalIPv6PrefixLen": 64,
                "DNSNames": ["c2", "al", "5586c554ec7f"],
            },
            "n2": {
                "IPAMConfig": None,
                "Links": None,
                "Aliases": None,
                "MacAddress": "",
                "DriverOpts": None,
                "GwPriority": 0,
                "NetworkID": "",
                "EndpointID": "",
                "Gateway": "",
                "IPAddress": "",
                "IPPrefixLen": 0,
                "IPv6Gateway": "",
                "GlobalIPv6Address": "",
                "GlobalIPv6PrefixLen": 0,
                "DNSNames": None,
            },
        },
    }


def test_the_short_id_is_an_alias_for_clients_before_1_45() -> None:
    shown = container.network_settings(RUNNING, PLACES, (1, 44))["Networks"]
    assert (shown["s1"]["Aliases"], shown["n2"]["Aliases"]) == (["al", "5586c554ec7f"], ["5586c554ec7f"])


def test_the_top_of_network_settings_is_the_default_bridges() -> None:
    shown = container.network_settings(RUNNING, {"bridge": (EndpointSpec(), ENDPOINT)}, (1, 50))
    assert (shown["IPAddress"], shown["Gateway"], shown["IPPrefixLen"]) == ("10.5.0.9", "10.5.0.1", 24)


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (State("running", started=NOW - 3 * 10**9), "Up 3 seconds"),
        (State("running", started=NOW), "Up Less than a second"),
        (State("paused", started=NOW - 90 * 10**9), "Up About a minute (Paused)"),
        (State("exited", exit_code=7, finished=NOW - 7200 * 10**9), "Exited (7) 2 hours ago"),
        (State("restarting", exit_code=1, finished=NOW - 10**9), "Restarting (1) 1 second ago"),
        (State("created"), "Created"),
        (State("dead"), "Dead"),
    ],
)
def test_a_status_is_said_as_ps_does(state: State, told: str) -> None:
    assert container_list.status(Container(ID, "c", 1, SPEC, "", state=state), NOW) == told


def listed(text: str, *, everything: bool = False) -> str:
    old = Container(
        "f" * 64,
        "old",
        1,
        ContainerSpec(image="x", labels={"a": "b"}),
        "sha256:2",
        state=State("exited", exit_code=3),
        mounts=(Mount("volume", "/d", "vol"),),
    )
    lines = [container_list.Line(RUNNING, PLACES), container_list.Line(old, {"n9": (EndpointSpec(), None)})]
    asked = filters.parse(text, container_list.FILTERS)
    container_list.check(asked)
    found = container_list.matching(
        lines, asked, everything=everything, ancestors=frozenset({"sha256:2"}), before=None, since=None
    )
    return " ".join(line.container.name for line in found)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "c2"),
        ('{"status":["exited"]}', "old"),
        ('{"status":{"running":true,"exited":true}}', "c2 old"),
        ('{"exited":["3"]}', "old"),
        ('{"exited":["4"]}', ""),
        ('{"name":["^/c"]}', "c2"),
        ('{"network":["s1"]}', "c2"),
        ('{"network":["bbbb"]}', "c2"),
        ('{"publish":["80/tcp"]}', "c2"),
        ('{"publish":["8080"]}', "c2"),
        ('{"publish":["81"]}', ""),
        ('{"expose":["81"]}', "c2"),
        ('{"id":["5586"]}', "c2"),
        ('{"health":["none"]}', "c2"),
        ('{"is-task":["true"]}', ""),
    ],
)
def test_a_list_of_containers_is_filtered(text: str, told: str) -> None:
    assert listed(text) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [('{"label":["a=b"]}', "old"), ('{"volume":["vol"]}', "old"), ('{"ancestor":["x"]}', "old"), ("", "c2 old")],
)
def test_a_list_of_all_containers_is_filtered(text: str, told: str) -> None:
    assert listed(text, everything=True) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            '{"status":["x"]}',
            "invalid filter 'status=x': invalid value for state (x): must be one of created, running, paused,"
            " restarting, removing, exited, dead",
        ),
        ('{"foo":["x"]}', "invalid filter 'foo'"),
        ('{"exited":["x"]}', "invalid filter 'exited=x': strconv.Atoi: parsing \"x\": invalid syntax"),
        (
            '{"publish":["x"]}',
            'error while looking up for publish x: strconv.ParseUint: parsing "x": invalid syntax',
        ),
    ],
)
def test_a_filter_that_nothing_could_match_is_refused(text: str, told: str) -> None:
    with pytest.raises(Invalid) as refusal:
        listed(text)
    assert str(refusal.value) == told


def test_a_frame_says_which_stream_and_how_long() -> None:
    assert frames.frame(2, b"ab") == b"\x02\x00\x00\x00\x00\x00\x00\x02ab"


@given(st.lists(st.binary(max_size=5)))
def test_input_without_the_detach_keys_passes_unchanged(pieces: list[bytes]) -> None:
    escape = frames.Escape(b"\x10\x11")
    clean = [piece.replace(b"\x11", b"") for piece in pieces]
    passed = b"".join(escape.feed(piece)[0] for piece in clean)
    whole = b"".join(clean)
    assert whole.startswith(passed)
    assert whole[len(passed) :] in (b"", b"\x10")


@pytest.mark.parametrize("pieces", [[b"ab\x10\x11cd"], [b"ab\x10", b"\x11cd"], [b"a", b"b\x10", b"\x11"]])
def test_the_detach_keys_end_the_input_however_they_arrive(pieces: list[bytes]) -> None:
    escape = frames.Escape(frames.detach_keys(""))
    passed, left = b"", False
    for piece in pieces:
        data, left = escape.feed(piece)
        passed += data
        if left:
            break
    assert (passed, left) == (b"ab", True)


@given(st.integers(1, 4 * 10**18))
def test_a_time_survives_its_notation(time: int) -> None:
    assert times.parse(times.rfc3339(time), 0) == time
    assert times.parse(times.stamp(time), 0) == time


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10m", -600), ("1h30m", -5400), ("1.5s", -1.5), ("1136073600.000000001", None), ("2006-01-02", None)],
)
def test_a_moment_in_every_notation(text: str, seconds: float | None) -> None:
    known = {"1136073600.000000001": 1136073600000000001, "2006-01-02": 1136160000000000000}
    assert times.parse(text, NOW) == (known[text] if seconds is None else NOW + int(seconds * times.SECOND))


def test_modes_are_told_in_gos_bits() -> None:
    assert [oct(go_mode(m)) for m in (0o100644, 0o040755, 0o120777, 0o041777, 0o104755)] == [
        "0o644",
        oct(1 << 31 | 0o755),
        oct(1 << 27 | 0o777),
        oct(1 << 31 | 1 << 20 | 0o777),
        oct(1 << 23 | 0o755),
    ]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"Image": "\xff"}', "invalid JSON: it is not UTF-8"),
        (b'{"Volumes": {"/a": ' + b"[" * 100_000, "invalid JSON: exceeded max depth"),
        (
            b'{"StopTimeout": 9223372036854775808}',
            "invalid JSON: Expected `int` <= 9223372036854775807 - at `$.StopTimeout`",
        ),
    ],
    ids=["not UTF-8", "deep", "big"],
)
def test_a_body_that_is_no_json_of_ours(body: bytes, told: str) -> None:
    with pytest.raises(Invalid) as refusal:
        values.decode(ContainerBody, body)
    assert str(refusal.value) == told


@pytest.mark.parametrize("text", ["x", "1_0", "\u0663", "9" * 19, "9" * 10_000, "--1", ""])
def test_a_number_is_one_of_go(text: str) -> None:
    with pytest.raises(Invalid):
        values.integer(text)
    assert values.integer("+9223372036854775807") == 9223372036854775807
