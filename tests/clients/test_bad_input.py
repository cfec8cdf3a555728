"""What cannot be is refused as Docker 28 refuses it, and nothing has changed: the API's state, the host's links,
addresses, routes and rules are those of before.  The answers without a comment are a real engine's."""

# ruff: noqa: E501 -- tables, whose answers can be searched for

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from tests.clients.conftest import DEADLINE, Ground
from tests.unix_http import UnixConnection

DAEMON = "Error response from daemon: "
BAD = "invalid network config:\n"
END = "invalid endpoint settings:\n"
SETUP = "failed to set up container networking: "
# Not told are a link's carrier and what counts by itself.
TOLD = {
    "link": ("ifname", "master", "address", "mtu"),
    "addr": ("ifname", "addr_info"),
    "route": ("dst", "gateway", "dev", "prefsrc"),
    "-6 route": ("dst", "gateway", "dev"),
}


class Stage:
    """A daemon with a few networks and containers, asked by bytes."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.ids: dict[str, str] = {}

    def ask(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> tuple[int, Any]:
        connection = UnixConnection(self.ground.host.removeprefix("unix://"), DEADLINE)
        try:
            data = body if isinstance(body, str | None) else json.dumps(body)
            connection.request(method, f"/v1.50{path}", data, {"Content-Type": kind} if data is not None else {})
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        return answer.status, json.loads(text) if text else ""

    def refusal(self, method: str, path: str, body: Any = None) -> str:
        """Status and message, ids by the names of what they belong to."""
        status, told = self.ask(method, path, body)
        text = told["message"] if isinstance(told, dict) and "message" in told else json.dumps(told)
        for name, ident in self.ids.items():
            text = text.replace(ident, f"<{name}>")
        return f"{status} {text}"

    def state(self) -> str:
        """Everything that a refusal must leave as it was."""
        networks = self.ask("GET", "/networks")[1]
        shown = [self.ask("GET", f"/networks/{n['Id']}")[1] for n in networks]
        boxes = self.ask("GET", "/containers/json?all=1")[1]
        shown += [self.ask("GET", f"/containers/{c['Id']}/json")[1] for c in boxes]
        for what, keys in TOLD.items():
            found = [[one.get(key) for key in keys] for one in json.loads(self.host(f"ip -j {what}"))]
            # What was removed waits for its physical end under such a name.
            shown.append([one for one in found if not str(one[0]).startswith("gone-")])
        shown += [sorted(str(p) for p in (self.ground.directory / "run" / "netns").iterdir())]
        return "\n".join([json.dumps(shown, sort_keys=True, indent=1), self.host("nft -s list ruleset")])

    def host(self, command: str) -> str:
        told = self.ground.run(["ip", "netns", "exec", self.ground.netns, "sh", "-ec", command])
        assert told.status == 0, told.err
        return told.out

    def arrange(self, *words: str) -> str:
        told = self.ground.docker(*words)
        assert told.status == 0, told.err
        return told.out.strip()


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    if os.geteuid() != 0:
        pytest.skip("needs root: sudo make test-clients")
    if not shutil.which("docker"):
        pytest.skip("there is no docker CLI (apt-get install docker.io)")
    ground = Ground(Path(f"/dev/shm/bbad-{os.getpid()}"), "--default-address-pool=base=172.20.0.0/14,size=16")
    try:
        ground.start()
        made = Stage(ground)
        create = made.arrange

        def run(name: str, *words: str) -> None:
            made.arrange("run", "-d", "--name", name, *words, "host", "sleep", "6000")

        create("network", "create", "--subnet", "10.77.0.0/24", "--gateway", "10.77.0.1", "app")
        create("network", "create", "--subnet", "10.78.0.0/30", "full")
        create("network", "create", "auto")
        create("network", "create", "--config-only", "conf")
        create("network", "create", "--config-from", "conf", "from-conf")
        run("web", "--network", "app", "--ip", "10.77.0.9", "-p", "8080:80")
        run("only", "--network", "full")
        run("idle")
        run("hosty", "--network", "host")
        run("alone", "--network", "none")
        run("sharer", "--network", "container:web")
        create("create", "--name", "still", "--network", "app", "host", "true")
        for name in ("web", "only", "idle", "hosty", "alone", "sharer", "still"):
            made.ids[name] = made.ask("GET", f"/containers/{name}/json")[1]["Id"]
        for name in ("app", "auto", "full", "conf"):
            made.ids[name] = made.ask("GET", f"/networks/{name}")[1]["Id"]
        made.host("ip link add busy0 up type veth peer name busy1; ip addr add 10.200.0.1/16 dev busy0")
        yield made
    finally:
        ground.close()


def net(**more: Any) -> dict[str, Any]:
    return {"Name": "bad", **more}


def pool(subnet: str, **more: Any) -> dict[str, Any]:
    return net(IPAM={"Config": [{"Subnet": subnet, **more}]})


def option(key: str, value: str) -> dict[str, Any]:
    return net(Options={f"com.docker.network.{key}": value})


# fmt: off
CREATES: list[tuple[Any, str]] = [
    (net(Name="app"), "409 network with name app already exists"),
    *((net(Name=n), f"403 operation is not permitted on predefined {n} network ") for n in ("bridge", "host", "none", "default")),
    (net(Name=""), "400 invalid name: name is empty"),
    (net(Name=" \t"), "400 invalid name: name is empty"),
    # Docker takes the next three; what cannot be printed or shown in a table is no name here.
    (net(Name="a\nb"), "400 invalid name: 'a\\nb' has a character that cannot be printed"),
    (net(Name="\x00"), "400 invalid name: '\\x00' has a character that cannot be printed"),
    (net(Name="n" * 300), "400 invalid name: 300 characters, 255 at most"),
    ("{", "400 invalid JSON: unexpected EOF"),
    ("", "400 invalid name: name is empty"),
    (net(Driver="nosuch"), '404 plugin "nosuch" not found'),
    (net(Driver="host"), '403 only one instance of "host" network is allowed'),
    (net(Driver="null"), '403 only one instance of "null" network is allowed'),
    (net(IPAM={"Driver": "nosuch"}), '404 plugin "nosuch" not found'),
    (net(Scope="swarm"), "403 cannot create a swarm scoped network when swarm is not active"),
    (net(Ingress=True), "403 Ingress network can only be global scope network"),
    (net(EnableIPv4=False), "400 IPv4 or IPv6 must be enabled"),
    (pool("10.5.0.1/24"), f"400 {BAD}invalid subnet 10.5.0.1/24: it should be 10.5.0.0/24"),
    (pool("10.5.0.300/24"), f"400 {BAD}invalid subnet 10.5.0.300/24: invalid CIDR block notation"),
    (pool("10.5.0.0/33"), f"400 {BAD}invalid subnet 10.5.0.0/33: invalid CIDR block notation"),
    (pool("rubbish\n"), f"400 {BAD}invalid subnet rubbish\n: invalid CIDR block notation"),
    (pool(""), f"400 {BAD}invalid subnet : invalid CIDR block notation"),
    (pool("10.5.0.0/24", Gateway="10.6.0.1"), f"400 {BAD}invalid gateway 10.6.0.1: parent subnet 10.5.0.0/24 doesn't contain this address"),
    (pool("10.5.0.0/24", Gateway="zz"), f"400 {BAD}invalid gateway zz: invalid address"),
    (pool("10.5.0.0/24", Gateway="10.5.0.0"), "500 failed to allocate gateway (10.5.0.0): Address already in use"),
    (pool("10.5.0.0/24", Gateway="10.5.0.255"), "500 failed to allocate gateway (10.5.0.255): Address already in use"),
    (pool("10.5.0.0/24", IPRange="10.6.0.0/25"), f"400 {BAD}invalid ip-range 10.6.0.0/25: parent subnet 10.5.0.0/24 doesn't contain ip-range"),
    (pool("10.5.0.0/24", IPRange="10.5.0.0/16"), f"400 {BAD}invalid ip-range 10.5.0.0/16: CIDR block is bigger than its parent subnet 10.5.0.0/24"),
    (pool("10.5.0.0/24", IPRange="10.5.0.5/25"), f"400 {BAD}invalid ip-range 10.5.0.5/25: it should be 10.5.0.0/25"),
    (pool("10.5.0.0/24", AuxiliaryAddresses={"a": "10.6.0.1"}), f"400 {BAD}invalid auxiliary address a: parent subnet 10.5.0.0/24 doesn't contain this address"),
    (pool("10.5.0.0/24", AuxiliaryAddresses={"a": "10.5.0.1"}), "500 failed to allocate secondary ip address (a:10.5.0.1): Address already in use"),
    (pool("10.77.0.0/25"), "403 invalid pool request: Pool overlaps with other one on this address space"),
    (pool("172.20.0.0/16"), "403 invalid pool request: Pool overlaps with other one on this address space"),
    # Docker would take it and break the route.
    (pool("10.200.3.0/24"), "403 invalid pool request: 10.200.3.0/24 overlaps with 10.200.0.0/16, which this host has an address in or a route to (--opt bascule.allow_overlap=true to use it all the same)"),
    (option("bridge.enable_icc", "zz"), '400 failed to parse com.docker.network.bridge.enable_icc value: zz (strconv.ParseBool: parsing "zz": invalid syntax)'),
    (option("enable_ipv6", "zz"), '400 driver-opt "com.docker.network.enable_ipv6" is not a valid bool'),
    (option("driver.mtu", "-1"), "400 invalid MTU number: -1"),
    (option("driver.mtu", "x"), '400 failed to parse com.docker.network.driver.mtu value: x (strconv.Atoi: parsing "x": invalid syntax)'),
    (option("driver.mtu", "99999"), "500 invalid argument"),
    (option("bridge.name", "sixteencharacter"), "500 numerical result out of range"),
    (option("bridge.gateway_mode_ipv4", "zz"), "400 failed to parse com.docker.network.bridge.gateway_mode_ipv4 value: zz (unknown gateway mode zz)"),
    (option("bridge.gateway_mode_ipv4", "isolated"), "500 gateway mode 'isolated' can only be used for an internal network"),
    (option("bridge.host_binding_ipv4", "zz"), "400 failed to parse com.docker.network.bridge.host_binding_ipv4 value: zz (nil ip)"),
    (option("advertise_addr_nmsgs", "9"), "500 com.docker.network.advertise_addr_nmsgs must be in the range 0 to 3"),
    (net(ConfigOnly=True, Internal=True), "403 configuration network can only contain network specific fields. Network operator fields like [ ingress | internal | attachable | scope ] are not supported."),
    (net(ConfigOnly=True, ConfigFrom={"Network": "conf"}), "403 a configuration network cannot depend on another configuration network"),
    (net(ConfigFrom={"Network": "zz"}), '404 configuration network "zz" does not exist'),
    ({**pool("10.5.0.0/24"), "ConfigFrom": {"Network": "conf"}}, "403 user specified configurations are not supported if the network depends on a configuration network"),
]
# fmt: on


@pytest.mark.parametrize(("body", "told"), CREATES)
def test_a_network_that_cannot_be(stage: Stage, body: Any, told: str) -> None:
    before = stage.state()
    assert stage.refusal("POST", "/networks/create", body) == told
    assert stage.state() == before


def end(who: str, **settings: Any) -> dict[str, Any]:
    return {"Container": who, "EndpointConfig": settings}


def ip(who: str, **addresses: Any) -> dict[str, Any]:
    return end(who, IPAMConfig=addresses)


ALREADY_SHARES = "400 container sharing network namespace with another container or host cannot be connected to any other network"
NONE = "400 container cannot be connected to multiple networks with one of the networks in private (none) mode"
# fmt: off
REQUESTS: list[tuple[str, str, Any, str]] = [
    ("POST", "/networks/app/connect", end("zz"), "404 No such container: zz"),
    ("POST", "/networks/zz/connect", end("idle"), "404 network zz not found"),
    ("POST", "/networks/app/connect", end(""), '400 invalid name or ID supplied: ""'),
    ("POST", "/networks/app/connect", end("web"), "403 endpoint with name web already exists in network app"),
    ("POST", "/networks/host/connect", end("idle"), "400 cannot connect container to host network - container must be created in host network mode"),
    ("POST", "/networks/none/connect", end("idle"), NONE),
    ("POST", "/networks/app/connect", end("alone"), NONE),
    ("POST", "/networks/app/connect", end("hosty"), ALREADY_SHARES),
    ("POST", "/networks/app/connect", end("sharer"), ALREADY_SHARES),
    ("POST", "/networks/conf/connect", end("idle"), "403 cannot create endpoint on configuration-only network"),
    ("POST", "/networks/bridge/connect", end("web", Aliases=["x"]), f"400 {END}network-scoped alias is supported only for containers in user defined networks"),
    ("POST", "/networks/bridge/connect", ip("web", IPv4Address="172.20.0.9"), f"400 {END}* user specified IP address is supported on user defined networks only\n* user specified IP address is supported only when connecting to networks with user configured subnets"),
    ("POST", "/networks/auto/connect", ip("idle", IPv4Address="172.21.0.9"), f"400 {END}user specified IP address is supported only when connecting to networks with user configured subnets"),
    ("POST", "/networks/app/connect", ip("idle", IPv4Address="10.76.0.9"), f"400 {END}no configured subnet or ip-range contain the IP address 10.76.0.9"),
    # Docker adds that no subnet contains it.
    ("POST", "/networks/app/connect", ip("idle", IPv4Address="zz"), f"400 {END}invalid IPv4 address: zz"),
    ("POST", "/networks/app/connect", ip("idle", IPv6Address="fd00::9"), f"400 {END}user specified IP address is supported only when connecting to networks with user configured subnets"),
    ("POST", "/networks/app/connect", ip("idle", IPv4Address="10.77.0.1"), "403 Address already in use"),
    ("POST", "/networks/app/connect", ip("idle", IPv4Address="10.77.0.9"), "403 Address already in use"),
    ("POST", "/networks/app/connect", ip("idle", LinkLocalIPs=["10.1.1.1"]), "400 invalid link local IP address: 10.1.1.1"),
    ("POST", "/networks/full/connect", end("idle"), "500 no available IPv4 addresses on this network's address pools: full (<full>)"),
    # Docker takes it and the kernel refuses it, at 1.54 only.
    ("POST", "/networks/app/connect", end("idle", MacAddress="01:00:00:00:00:01"), "400 invalid MAC address 01:00:00:00:00:01"),
    ("POST", "/networks/app/connect", end("idle", DriverOpts={"com.docker.network.endpoint.sysctls": "net.ipv4.conf.eth0.log_martians=1"}), f"400 {END}unrecognised network interface sysctl 'net.ipv4.conf.eth0.log_martians=1'; represent 'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'"),
    ("POST", "/networks/app/disconnect", end("idle"), "500 container <idle> is not connected to network app"),
    ("POST", "/networks/zz/disconnect", end("idle"), "404 network zz not found"),
    ("POST", "/networks/app/disconnect", end("zz"), "404 No such container: zz"),
    ("POST", "/networks/app/disconnect", {"Container": "zz", "Force": True}, "404 endpoint zz not found"),
    ("POST", "/networks/app/disconnect", end(""), '400 invalid name or ID supplied: ""'),
    ("POST", "/networks/auto/disconnect", end("still"), "500 container <still> is not connected to the network auto"),
    ("POST", "/networks/host/disconnect", end("hosty"), "400 cannot disconnect container from host network - container was created in host network mode"),
    ("DELETE", "/networks/zz", None, "404 network zz not found"),
    *(("DELETE", f"/networks/{n}", None, f"403 {n} is a pre-defined network and cannot be removed") for n in ("bridge", "host", "none")),
    ("DELETE", "/networks/conf", None, '403 error while removing network: configuration network "conf" is in use'),
    ("GET", "/networks/zz", None, "404 network zz not found"),
    ("GET", "/networks?filters=xx", None, "400 invalid filter"),
    ("GET", '/networks?filters={"foo":["x"]}', None, "400 invalid filter 'foo'"),
    ("GET", '/networks?filters={"dangling":["zz"]}', None, '400 invalid value for filter \'dangling\', must be "true" (or "1"), or "false" (or "0")'),
    ("GET", '/networks?filters={"type":["x"]}', None, "500 invalid filter: 'type'='x'"),
    ("POST", '/networks/prune?filters={"foo":["x"]}', None, "400 invalid filter 'foo'"),
]
# fmt: on


@pytest.mark.parametrize(("method", "path", "body", "told"), REQUESTS)
def test_a_request_that_cannot_be(stage: Stage, method: str, path: str, body: Any, told: str) -> None:
    before = stage.state()
    assert stage.refusal(method, path, body) == told
    assert stage.state() == before


def test_a_network_in_use_names_who_uses_it(stage: Stage) -> None:
    before = stage.state()
    told = re.sub(r'id:"\w{12}"', 'id:"…"', stage.refusal("DELETE", "/networks/app"))
    assert told == '403 error while removing network: network app has active endpoints (name:"web" id:"…")'
    assert stage.state() == before


def box(**more: Any) -> dict[str, Any]:
    return {"Image": "host", "Cmd": ["true"], **more}


def mode(name: str, host: Any = None, **more: Any) -> dict[str, Any]:
    return box(HostConfig={"NetworkMode": name, **(host or {})}, **more)


def published(port: str, host_port: str, host_ip: str = "") -> dict[str, Any]:
    bound = {port: [{"HostIp": host_ip, "HostPort": host_port}]}
    return box(ExposedPorts={port: {}}, HostConfig={"NetworkMode": "app", "PortBindings": bound})


LINKS = "can't be used with links. This would result in undefined behavior"
# fmt: off
CONTAINERS: list[tuple[Any, str]] = [
    (box(Image="nosuch"), "404 No such image: nosuch:latest"),
    (mode("container:"), "400 invalid network mode: invalid container format container:<name|id>"),
    (mode("host", {"Links": ["web:db"]}), f"400 conflicting options: host type networking {LINKS}"),
    (mode("container:web", {"Links": ["web:db"]}), f"400 conflicting options: container type network {LINKS}"),
    *((mode("bridge", {"Links": [f"{who}:x"]}), told) for who, told in (
        ("nosuch", "400 could not get container for nosuch: No such container: nosuch"),
        ("", '400 could not get container for : invalid name or ID supplied: ""'),
        ("idle:a", "500 bad format for links: idle:a:x"),
        ("hosty", f"400 conflicting options: host type networking {LINKS}"),
    )),
    (mode("bridge", {"Links": [""]}), "500 empty string specified for links"),
    (mode("bridge", {"ShmSize": -1}), "400 SHM size can not be less than 0"),
    (mode("bridge", {"ShmSize": -1, "IpcMode": "host"}), "400 SHM size can not be less than 0"),
    (mode("container:web", Hostname="x"), "400 conflicting options: hostname and the network mode"),
    (mode("container:web", {"Dns": ["192.0.2.1"]}), "400 conflicting options: dns and the network mode"),
    (mode("container:web", {"ExtraHosts": ["a:192.0.2.1"]}), "400 conflicting options: custom host-to-IP mapping and the network mode"),
    (mode("container:web", {"PortBindings": {"80/tcp": [{"HostPort": "1"}]}}), "400 conflicting options: port publishing and the container type network mode"),
    (mode("container:web", ExposedPorts={"80/tcp": {}}), "400 conflicting options: port exposing and the container type network mode"),
    (published("80/tcp", "99999"), '400 invalid port specification: "99999"'),
    (published("80/tcp", "zz"), '400 invalid port specification: "zz"'),
    (published("99999/tcp", "80"), "400 "),
    (published("80/zz", "80"), "400 "),
    (published("80/tcp", "80", "zz"), "400 "),
]
# fmt: on


@pytest.mark.parametrize(("body", "told"), CONTAINERS)
def test_a_container_that_cannot_be(stage: Stage, body: Any, told: str) -> None:
    before = stage.state()
    answer = stage.refusal("POST", "/containers/create?name=bad", body)
    # Docker's words for the last three come from Go's parsers and vary by version.
    assert answer.startswith(told) if told == "400 " else answer == told
    assert stage.state() == before


def test_a_name_that_is_taken(stage: Stage) -> None:
    assert stage.refusal("POST", "/containers/create?name=web", box()) == (
        '409 Conflict. The container name "/web" is already in use by container "<web>". You have to remove (or'
        " rename) that container to be able to reuse that name."
    )


NO_NAME = "only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"


@pytest.mark.parametrize("name", ["/", "-b", "a", "//ab", "/-b", "a%20b", "ab%0A"])
def test_a_name_that_cannot_be(stage: Stage, name: str) -> None:
    """A container is renamed with the slash, and made without it."""
    before, shown = stage.state(), unquote(name)
    told = stage.refusal("POST", f"/containers/idle/rename?name={name}")
    slashed = shown if shown.startswith("/") else f"/{shown}"
    assert told == f"400 Error when allocating new name: Invalid container name ({slashed}), {NO_NAME}"
    assert (
        stage.refusal("POST", f"/containers/create?name={name}", box())
        == f"400 Invalid container name ({shown}), {NO_NAME}"
    )
    assert stage.state() == before


@pytest.mark.parametrize("name", ["idle", "/idle"])
def test_a_name_that_is_its_own(stage: Stage, name: str) -> None:
    told = stage.refusal("POST", f"/containers/idle/rename?name={name}")
    assert told == "400 Renaming a container with the same name as its current name"


STARTS: list[tuple[Any, str]] = [
    (mode("bridge", {"Links": ["web:x"]}), "500 container <web> not attached to default bridge network"),
    (mode("bridge", {"Links": ["alone:x"]}), "500 container <alone> not attached to default bridge network"),
    (mode("bridge", {"Links": ["sharer:x"]}), "500 container <web> not attached to default bridge network"),
    (mode("bridge", {"Links": ["still:x"]}), "500 Cannot link to a non running container: /still AS /bad/x"),
    (mode("nosuch"), f"404 {SETUP}network nosuch not found"),
    (mode("full"), f"500 {SETUP}no available IPv4 addresses on this network's address pools: full (<full>)"),
    (mode("container:zz"), "500 joining network namespace of container: No such container: zz"),
    (
        mode("container:still"),
        "409 cannot join network namespace of a non running container: container still is created",
    ),
    (
        mode("app", NetworkingConfig={"EndpointsConfig": {"app": {"IPAMConfig": {"IPv4Address": "10.77.0.9"}}}}),
        f"403 {SETUP}Address already in use",
    ),
    (
        published("80/tcp", "8080"),
        f"500 {SETUP}driver failed programming external connectivity on endpoint bad (<id>): Bind for 0.0.0.0:8080"
        ' failed: port is already allocated (by container "web")',
    ),
    (
        published("80/tcp", "8081", "192.0.2.99"),
        f"500 {SETUP}driver failed programming external connectivity on endpoint bad (<id>): failed to bind host"
        " port 192.0.2.99:8081/tcp: cannot assign requested address",
    ),
]


@pytest.mark.parametrize(("body", "told"), STARTS)
def test_a_start_that_cannot_be_leaves_a_container_that_is_not_running(stage: Stage, body: Any, told: str) -> None:
    before = stage.state()
    status, made = stage.ask("POST", "/containers/create?name=bad", body)
    assert status == 201, made
    try:
        answer = stage.refusal("POST", "/containers/bad/start")
        assert re.sub(r"\((\w{64})\)", "(<id>)", answer) == told
        assert stage.ask("GET", "/containers/bad/json")[1]["State"]["Status"] == "created"
    finally:
        stage.ask("DELETE", "/containers/bad?force=1")
    assert stage.state() == before


def test_a_pool_that_ran_out(stage: Stage) -> None:
    stage.arrange("network", "create", "last")
    try:
        before = stage.state()
        assert stage.refusal("POST", "/networks/create", net()) == (
            "400 all predefined address pools have been fully subnetted"
        )
        assert stage.state() == before
    finally:
        stage.arrange("network", "rm", "last")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("network create app", f"{DAEMON}network with name app already exists"),
        (
            "network create --subnet 10.77.0.0/24 bad",
            f"{DAEMON}invalid pool request: Pool overlaps with other one on this address space",
        ),
        ("network create --subnet 10.5.0.0/24 --gateway 10.6.0.1 bad", "no matching subnet for gateway 10.6.0.1"),
        ("network connect --ip 10.77.0.9 app idle", f"{DAEMON}Address already in use"),
        (
            "network connect host idle",
            f"{DAEMON}cannot connect container to host network - container must be created in host network mode",
        ),
        ("network disconnect app idle", f"{DAEMON}container <idle> is not connected to network app"),
        ("network rm none", f"{DAEMON}none is a pre-defined network and cannot be removed\nexit status 1"),
        ("run --rm --network app --mac-address zz host true", "zz is not a valid mac address"),
        (
            "run --rm -p 80-82:70-71 host true",
            "invalid ranges specified for container and host Ports: 70-71 and 80-82",
        ),
        ("run --rm -p zz host true", "invalid containerPort: zz"),
        ("run --rm -p 1.2.3:80:80 host true", ""),
        (
            "run --rm --ip 172.20.0.9 host true",
            "user specified IP address is supported on user defined networks only",
        ),
        (
            "run --rm --network auto --ip 172.21.0.9 host true",
            "user specified IP address is supported only when connecting to networks with user configured subnets",
        ),
        ("run --rm --network app --network app host true", 'network "app" is specified multiple times'),
    ],
)
def test_docker_says_it(stage: Stage, words: str, told: str) -> None:
    before = stage.state()
    done = stage.ground.docker(*words.split())
    said = done.err
    for name, ident in stage.ids.items():
        said = said.replace(ident, f"<{name}>")
    assert done.status != 0
    assert told in said
    for left in stage.ask("GET", "/containers/json?all=1&filters=" + '{"status":["created"]}')[1]:
        if left["Names"] != ["/still"]:
            stage.ask("DELETE", f"/containers/{left['Id']}")
    assert stage.state() == before
