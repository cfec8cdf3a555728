"""Networks of containers, running and not, asked of the daemon: what is wished for and what comes of it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.root.ground import ROOT, DaemonGround, Refused

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo make test-root")

EVERYTHING = {
    "IPAMConfig": {"IPv4Address": "10.81.0.40", "IPv6Address": "fd81::40", "LinkLocalIPs": ["169.254.7.7"]},
    "Aliases": ["shop", "store"],
    "Links": ["web:cache"],
    "DriverOpts": {
        "com.docker.network.endpoint.ifname": "front",
        "com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.log_martians=1",
    },
    "GwPriority": 7,
}


@pytest.fixture(scope="module")
def shared() -> Iterator[DaemonGround]:
    made = DaemonGround(Path(f"/dev/shm/bnetworks-{os.getpid()}"), f"--bridge=bn{os.getpid()}")
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture
def ground(shared: DaemonGround) -> Iterator[DaemonGround]:
    """The module's daemon, with nothing left behind by this test."""
    yield shared
    shared.sweep()


def network(ground: DaemonGround, name: str, *subnets: str, **more: Any) -> None:
    config = [{"Subnet": subnet} for subnet in subnets]
    body = {"Name": name, "IPAM": {"Config": config}, "EnableIPv6": any(":" in s for s in subnets), **more}
    ground.ask("POST", "/networks/create", body)


def create(ground: DaemonGround, name: str, network: str, **more: Any) -> None:
    """A container that is not running."""
    body = {"Image": "host", "Cmd": ["sleep", "600"], "HostConfig": {"NetworkMode": network}, **more}
    ground.ask("POST", f"/containers/create?name={name}", body)


def inspect(ground: DaemonGround, name: str) -> dict[str, Any]:
    found: dict[str, Any] = ground.ask("GET", f"/containers/{name}/json")
    return found


def shell(ground: DaemonGround, name: str, command: str) -> str:
    """What a shell *command* prints in the container's namespace."""
    return ground.sh(command, f"/proc/{inspect(ground, name)['State']['Pid']}/ns/net")


def links(ground: DaemonGround, name: str) -> str:
    """The interfaces of a running container with their addresses."""
    told = []
    for link in json.loads(shell(ground, name, "ip -j addr")):
        if link["ifname"] != "lo" and not link["ifname"].startswith("gone-"):
            own = [a["local"] for a in link["addr_info"] if a["family"] == "inet" or a["scope"] != "link"]
            told.append(" ".join([link["ifname"], *own]))
    return "\n".join(sorted(told))


def resolved(ground: DaemonGround, name: str, *asked: str) -> str:
    """What the names are to a container, each as its resolver says it."""
    script = "; ".join(f"getent ahostsv4 {one} | awk 'NR==1 {{print $1}}' | grep . || echo nobody" for one in asked)
    done = subprocess.run(
        [sys.executable, "-m", "bascule", "-H", f"unix://{ground.directory}/s", "exec", name, "sh", "-c", script],
        env={**os.environ, "PYTHONPATH": f"{ROOT}/src"},
        capture_output=True,
        text=True,
        check=True,
    )
    return " ".join(done.stdout.split())


def refusal(ground: DaemonGround, path: str, body: dict[str, Any]) -> str:
    with pytest.raises(Refused) as told:
        ground.ask("POST", path, body)
    return str(told.value).strip()


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_everything_that_can_be_said_of_a_connection_comes_true(ground: DaemonGround, running: bool) -> None:
    """Of a container that runs at once, of another when it is started."""
    network(ground, "n", "10.80.0.0/24")
    network(ground, "m", "10.81.0.0/24", "fd81::/64")
    ground.run("web", "m", "sleep", "600")
    create(ground, "box", "n")
    if running:
        ground.ask("POST", "/containers/box/start")
    ground.ask("POST", "/networks/m/connect", {"Container": "box", "EndpointConfig": EVERYTHING})
    wish = inspect(ground, "box")["NetworkSettings"]["Networks"]["m"]
    asked = {key: wish[key] for key in EVERYTHING}
    assert {**asked, "Aliases": [a for a in asked["Aliases"] if len(a) != 12]} == EVERYTHING
    if not running:
        assert (wish["IPAddress"], wish["EndpointID"]) == ("", "")
        assert "box" not in str(ground.ask("GET", "/networks/m")["Containers"])
        ground.ask("POST", "/containers/box/start")
    shown = inspect(ground, "box")["NetworkSettings"]["Networks"]["m"]
    assert (shown["IPAddress"], shown["GlobalIPv6Address"], shown["Gateway"], shown["IPv6Gateway"]) == (
        "10.81.0.40",
        "fd81::40",
        "10.81.0.1",
        "fd81::1",
    )
    assert links(ground, "box") == "eth0 10.80.0.2\nfront 10.81.0.40 169.254.7.7 fd81::40"
    assert shell(ground, "box", "ip route show default; cat /proc/sys/net/ipv4/conf/front/log_martians") == (
        "default via 10.81.0.1 dev front \n1\n"
    )
    assert resolved(ground, "web", "shop", "store.m", "box") == "10.81.0.40 10.81.0.40 10.81.0.40"
    assert resolved(ground, "box", "web", "cache") == "10.81.0.2 10.81.0.2"
    # The link is the asker's own.
    assert resolved(ground, "web", "cache") == "nobody"
    (member,) = [m for m in ground.ask("GET", "/networks/m")["Containers"].values() if m["Name"] == "box"]
    assert (member["IPv4Address"], member["IPv6Address"], member["EndpointID"], member["MacAddress"]) == (
        "10.81.0.40/24",
        "fd81::40/64",
        shown["EndpointID"],
        shown["MacAddress"],
    )


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_what_is_disconnected_is_no_longer_wished_for(ground: DaemonGround, running: bool) -> None:
    for number, name in enumerate(("n", "m")):
        network(ground, name, f"10.8{number}.0.0/24")
    create(ground, "box", "n")
    ground.ask("POST", "/networks/m/connect", {"Container": "box"})
    if running:
        ground.ask("POST", "/containers/box/start")
    ground.ask("POST", "/networks/n/disconnect", {"Container": "box"})
    if not running:
        ground.ask("POST", "/containers/box/start")
    assert list(inspect(ground, "box")["NetworkSettings"]["Networks"]) == ["m"]
    # The name is free for the next; who was there keeps its own.
    assert links(ground, "box") == ("eth1 10.81.0.2" if running else "eth0 10.81.0.2")
    ground.ask("DELETE", "/networks/n")


def test_a_static_address_and_mac_stay_over_a_restart(ground: DaemonGround) -> None:
    network(ground, "n", "10.80.0.0/24")
    wish = {"IPAMConfig": {"IPv4Address": "10.80.0.77"}, "MacAddress": "02:42:ac:11:00:09"}
    create(ground, "box", "n", NetworkingConfig={"EndpointsConfig": {"n": wish}})
    told = []
    for _ in range(2):
        ground.ask("POST", "/containers/box/start")
        told.append(f"{links(ground, 'box')} {shell(ground, 'box', 'ip -br link show eth0').split()[2]}")
        ground.ask("POST", "/containers/box/kill")
        ground.ask("POST", "/containers/box/wait")
    assert told == ["eth0 10.80.0.77 02:42:ac:11:00:09"] * 2


def test_interfaces_have_the_same_names_after_a_restart(ground: DaemonGround) -> None:
    for number, name in enumerate(("n", "m", "k")):
        network(ground, name, f"10.8{number}.0.0/24")
    ground.run("box", "n", "sleep", "600")
    for name in ("m", "k"):
        ground.ask("POST", f"/networks/{name}/connect", {"Container": "box"})
    before = links(ground, "box")
    ground.ask("POST", "/containers/box/restart?t=0")
    assert re.sub(r"\.\d+$", "", before, flags=re.M) == "eth0 10.80.0\neth1 10.81.0\neth2 10.82.0"
    assert re.sub(r"\.\d+$", "", links(ground, "box"), flags=re.M) == re.sub(r"\.\d+$", "", before, flags=re.M)


def test_a_static_address_that_is_taken_meanwhile_is_told_at_the_start(ground: DaemonGround) -> None:
    network(ground, "n", "10.80.0.0/24")
    wish = {"n": {"IPAMConfig": {"IPv4Address": "10.80.0.2"}}}
    create(ground, "box", "n", NetworkingConfig={"EndpointsConfig": wish})
    ground.run("thief", "n", "sleep", "600")
    assert refusal(ground, "/containers/box/start", {}).endswith(
        '403 {"message":"failed to set up container networking: Address already in use"}'
    )
    assert inspect(ground, "box")["State"]["Status"] == "created"


def test_publish_all_publishes_what_is_exposed(ground: DaemonGround) -> None:
    network(ground, "n", "10.80.0.0/24")
    exposed: dict[str, Any] = {"80/tcp": {}, "53/udp": {}, "90/tcp": {}}
    ports = {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}
    host = {"PublishAllPorts": True, "PortBindings": ports}
    ground.run("box", "n", "sleep", "600", ExposedPorts=exposed, HostConfig=host)
    shown = inspect(ground, "box")["NetworkSettings"]["Ports"]
    told = {
        key: [f"{p['HostIp']} {'8080' if p['HostPort'] == '8080' else 'one'}" for p in bound]
        for key, bound in shown.items()
    }
    assert told == {
        "80/tcp": ["127.0.0.1 8080"],
        "53/udp": ["0.0.0.0 one", ":: one"],
        "90/tcp": ["0.0.0.0 one", ":: one"],
    }
    for bound in shown.values():
        assert len({p["HostPort"] for p in bound}) == 1


def test_a_conflict_of_ports_is_found_before_anything_changes(ground: DaemonGround) -> None:
    network(ground, "n", "10.80.0.0/24")
    ports = {"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}
    ground.run("web", "n", "sleep", "600", HostConfig=ports)
    create(ground, "box", "n", HostConfig={"NetworkMode": "n", **ports})
    before = ground.network_state(), ground.rules()
    told = refusal(ground, "/containers/box/start", {})
    assert "500" in told
    assert r"Bind for 0.0.0.0:8080 failed: port is already allocated (by container \"web\")" in told
    assert (ground.network_state(), ground.rules()) == before
    ground.ask("DELETE", "/containers/web?force=1")
    ground.ask("POST", "/containers/box/start")


def test_prune_takes_what_no_container_is_on_and_what_the_filters_say(ground: DaemonGround) -> None:
    """A network that only a stopped container wishes for goes, as Docker's."""
    for number, (name, labels) in enumerate({"used": {}, "idle": {}, "kept": {"keep": "yes"}, "wish": {}}.items()):
        network(ground, name, f"10.8{number}.0.0/24", Labels=labels)
    ground.run("box", "used", "sleep", "600")
    create(ground, "other", "wish")

    def pruned(filters: dict[str, list[str]]) -> list[str]:
        answer = ground.ask("POST", f"/networks/prune?filters={quote(json.dumps(filters))}")
        return sorted(answer["NetworksDeleted"] or ())

    told = [
        pruned({"until": ["10m"]}),
        pruned({"label": ["nosuch"]}),
        pruned({"label!": ["keep"]}),
        pruned({"label": ["keep=no"]}),
        pruned({"label": ["keep=yes"]}),
        pruned({}),
    ]
    assert told == [[], [], ["idle", "wish"], [], ["kept"], []]
    assert [net["Name"] for net in ground.ask("GET", "/networks")] == ["bridge", "host", "none", "used"]
    assert refusal(ground, "/containers/other/start", {}).endswith(
        '404 {"message":"failed to set up container networking: network wish not found"}'
    )


def test_a_running_container_of_none_or_host_is_connected_to_nothing(ground: DaemonGround) -> None:
    network(ground, "n", "10.80.0.0/24")
    for mode in ("host", "none"):
        ground.run(f"of-{mode}", mode, "sleep", "600")
    before = ground.network_state()
    told = [refusal(ground, "/networks/n/connect", {"Container": f"of-{mode}"}) for mode in ("host", "none")]
    assert [text.partition(": ")[2] for text in told] == [
        '400 {"message":"container sharing network namespace with another container or host cannot be connected to'
        ' any other network"}',
        '400 {"message":"container cannot be connected to multiple networks with one of the networks in private'
        ' (none) mode"}',
    ]
    assert ground.network_state() == before
    assert shell(ground, "of-none", "ip -br link").split()[0] == "lo"
    assert os.stat(f"/proc/{inspect(ground, 'of-host')['State']['Pid']}/ns/net").st_ino == (
        os.stat(f"/run/netns/{ground.netns}").st_ino
    )


def test_what_the_kernel_was_asked_is_in_the_log_at_debug() -> None:
    made = DaemonGround(Path(f"/dev/shm/bdebug-{os.getpid()}"), f"--bridge=bd{os.getpid()}", "--log-level=debug")
    try:
        made.start()
        network(made, "n", "10.80.0.0/24")
        ident = made.ask("GET", "/networks/n")["Id"]
        told = [line.split(" debug   ")[1].strip() for line in made.log if ident[:12] in line and " debug " in line]
        assert [line for line in told if line.startswith("ip addr")] == [
            f"ip addr add 10.80.0.1/24 dev br-{ident[:12]}"
        ]
        assert any(line.startswith("nft add element inet bascule") for line in told)
    finally:
        made.close()


def test_another_firewall_that_drops_what_we_forward_is_named_at_the_start() -> None:
    made = DaemonGround(Path(f"/dev/shm/bforeign-{os.getpid()}"), f"--bridge=bf{os.getpid()}")
    try:
        for table, policy in (("theirs", "drop"), ("harmless", "accept")):
            made.sh(
                f"nft add table inet {table}; nft 'add chain inet {table} forwarded"
                f" {{ type filter hook forward priority 0; policy {policy}; }}'"
            )
        made.start()
        assert [line.split(" warning ")[1].strip() for line in made.log if " warning " in line] == [
            "inet theirs forwarded drops what it does not know: containers may not reach the world"
        ]
    finally:
        made.close()
