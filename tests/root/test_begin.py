"""A daemon starts, whatever containers and administrators did to its links; and with other settings than before."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.root.ground import DaemonGround, until
from tests.root.test_side_by_side import refused

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo make test-root")


@pytest.fixture
def ground() -> Iterator[DaemonGround]:
    made = DaemonGround(Path(f"/dev/shm/bbegin-{os.getpid()}"), "--bridge=bb0")
    try:
        made.start()
        yield made
    finally:
        made.close()


def row(ground: DaemonGround, kind: str, name: str) -> dict[str, Any]:
    return next(body for found, body in ground.rows() if (found, body.get("name")) == (kind, name))


def link(ground: DaemonGround, name: str, netns: str = "") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ground.sh(f"ip -j -d link show dev {name}", netns))[0]
    return found


def again(ground: DaemonGround) -> None:
    ground.stop()
    ground.start()


def reload(ground: DaemonGround) -> None:
    heard = ground.count("configuration reloaded")
    ground.send(signal.SIGHUP)
    until(lambda: ground.count("configuration reloaded") > heard, ground.said)
    # What is put back comes behind it; the answer to the next request behind that.
    ground.ask("GET", "/info")


CHANGES = {
    "mtu": "ip link set eth0 mtu 1400",
    "mac": "ip link set eth0 address 02:00:00:00:00:77",
    "name": "ip link set eth0 down; ip link set eth0 name mine; ip link set mine up",
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("after", [again, reload])
def test_what_a_container_did_to_its_own_link_is_its_business(
    ground: DaemonGround, change: str, after: Any
) -> None:
    ground.ask("POST", "/networks/create", {"Name": "n"})
    ground.run("web", "n", "sleep", "600")
    ground.run("other", "n", "sleep", "600")
    web, other = ground.sandbox("web"), ground.sandbox("other")
    ground.sh(CHANGES[change], web)
    before = ground.sh("ip -d link; ip addr", web)
    after(ground)
    assert ground.sh("ip -d link; ip addr", web) == before
    assert ground.count("could not be put back") == 0
    # With a MAC that it was not given it is heard by nobody.
    lost = "100% packet loss" in ground.sh("ping -c1 -W1 172.18.0.1 || true", web)
    assert lost == (change == "mac")
    # Another endpoint is put back all the same.
    ground.sh("ip addr flush dev eth0", other)
    after(ground)
    assert "172.18.0.3/16" in ground.sh("ip addr", other)
    ground.ask("POST", "/networks/n/disconnect", {"Container": "web", "Force": True})
    until(lambda: ground.sh("ip -o link", web).count("\n") == 1)


@pytest.mark.parametrize("after", [again, reload])
def test_our_links_on_the_host_have_their_mtu_and_mac_back(ground: DaemonGround, after: Any) -> None:
    ground.ask("POST", "/networks/create", {"Name": "n"})
    ground.run("web", "n", "sleep", "600")
    port, bridge = row(ground, "endpoint", "web")["link"], row(ground, "network", "n")
    before = ground.summary()
    ground.sh(f"ip link set {port} mtu 1400; ip link set {bridge['link']} mtu 1300 address 02:00:00:00:00:77")
    after(ground)
    until(lambda: ground.summary() == before, ground.said)
    assert [link(ground, name)["mtu"] for name in (port, bridge["link"])] == [1500, 1500]
    assert link(ground, bridge["link"])["address"] == bridge["mac"]
    ground.sh("ping -c1 -W2 172.18.0.1", ground.sandbox("web"))


def test_what_cannot_be_put_back_is_told_and_keeps_nothing_down(ground: DaemonGround) -> None:
    for name in ("one", "two"):
        ground.ask("POST", "/networks/create", {"Name": name})
        ground.run(f"in-{name}", name, "sleep", "600")
    ports = [row(ground, "endpoint", f"in-{name}")["link"] for name in ("one", "two")]
    ground.stop()
    # Somebody else's link has the name of ours.
    ground.sh(f"ip link del {ports[0]}; ip link add {ports[0]} type bridge; ip link del {ports[1]}")
    ground.start()
    assert ground.count("network one, container in-one: what is gone could not be put back: ip link add") == 1
    assert ground.count("could not be put back") == 1
    ground.sh("ping -c1 -W2 172.19.0.1", ground.sandbox("in-two"))
    ground.sh(f"ip link del {ports[0]}")
    reload(ground)
    until(lambda: "172.18.0.2/16" in ground.sh("ip addr", ground.sandbox("in-one")), ground.said)


# ---- other settings than before

PREFIX = "com.docker.network.bridge."


def default(ground: DaemonGround) -> dict[str, Any]:
    found: dict[str, Any] = ground.ask("GET", "/networks/bridge")
    return found


def begun(ground: DaemonGround, *flags: str) -> None:
    """It has been started anew with these."""
    if ground.alive():
        ground.stop()
    ground.tell(*flags)
    ground.start()


def tables(ground: DaemonGround) -> set[str]:
    return {words.split()[2] for words in ground.sh("nft list tables").splitlines()}


def test_ports_of_the_default_network_are_published_where_the_settings_say(ground: DaemonGround) -> None:
    begun(ground, "--bridge=bb0", "--ip=127.0.0.1")
    assert default(ground)["Options"][PREFIX + "host_binding_ipv4"] == "127.0.0.1"
    ground.run("web", "bridge", "sleep", "600", HostConfig={"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}})
    found = ground.ask("GET", "/containers/web/json")["NetworkSettings"]["Ports"]
    assert found == {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}
    begun(ground, "--bridge=bb0")
    assert default(ground)["Options"][PREFIX + "host_binding_ipv4"] == "0.0.0.0"
    # A port that is published stays as it is.
    assert ground.ask("GET", "/containers/web/json")["NetworkSettings"]["Ports"] == found


def test_an_idle_default_network_follows_the_settings(ground: DaemonGround) -> None:
    before = default(ground)
    begun(ground, "--bridge=bb0", "--icc=false", "--mtu=1400", "--bip=10.96.0.1/24")
    found = default(ground)
    assert (found["Id"], found["IPAM"]["Config"]) == (
        before["Id"],
        [{"Subnet": "10.96.0.0/24", "Gateway": "10.96.0.1"}],
    )
    assert found["Options"][PREFIX + "enable_icc"] == "false"
    assert found["Options"]["com.docker.network.driver.mtu"] == "1400"
    assert ground.sh("ip -4 -br addr show dev bb0").split()[2:] == ["10.96.0.1/24"]
    ground.run("web", "bridge", "sleep", "600")
    assert link(ground, "eth0", ground.sandbox("web"))["mtu"] == link(ground, "bb0")["mtu"] == 1400
    assert row(ground, "endpoint", "web")["link"] in ground.sh("nft list set bridge bascule-bb0 apart")
    ground.ask("DELETE", "/containers/web?force=1")
    # Nothing said: the subnet stays, all else is as at first.
    begun(ground, "--bridge=bb0")
    assert default(ground)["IPAM"]["Config"][0]["Subnet"] == "10.96.0.0/24"
    assert default(ground)["Options"] == before["Options"]


def test_what_can_be_changed_under_living_containers_is(ground: DaemonGround) -> None:
    for name in ("web", "other"):
        ground.run(name, "bridge", "sleep", "600")
    web = ground.sandbox("web")
    ground.sh("ping -c1 -W2 172.17.0.3", web)
    begun(ground, "--bridge=bb0", "--icc=false", "--mtu=1400")
    ground.run("late", "bridge", "sleep", "600")
    mtus = [link(ground, "eth0", ground.sandbox(name))["mtu"] for name in ("web", "other", "late")]
    assert mtus == [1500, 1500, 1400]
    assert link(ground, row(ground, "endpoint", "web")["link"])["mtu"] == 1500
    # What it was born with still reaches it whole.
    ground.sh("ping -c1 -W2 -s 1472 -M do 172.17.0.1", web)
    assert "100% packet loss" in ground.sh("ping -c1 -W1 172.17.0.3 || true", web)
    assert ground.count("could not be put back") == 0
    ground.ask("POST", "/containers/web/restart?signal=KILL")
    assert link(ground, "eth0", ground.sandbox("web"))["mtu"] == 1400


@pytest.mark.parametrize("flags", [["--bridge=bb1"], ["--bridge=bb0", "--bip=10.96.0.1/24"]])
def test_another_subnet_or_bridge_is_refused_under_living_containers(
    ground: DaemonGround, flags: list[str]
) -> None:
    ground.run("web", "bridge", "sleep", "600")
    before = ground.summary()
    ground.stop()
    paths = [f"--data-root={ground.directory}/data", f"--exec-root={ground.directory}/run"]
    asked = "172.17.0.0/16 on bb1" if flags == ["--bridge=bb1"] else "10.96.0.0/24 on bb0"
    assert refused(ground.netns, *paths, f"--host=unix://{ground.directory}/s", *flags) == (
        1,
        [
            f"bascule daemon: the default network is 172.17.0.0/16 on bb0 and cannot become {asked} under its"
            " containers (web): start with --bridge=bb0, stop them, then change it"
        ],
    )
    ground.start()
    assert ground.summary() == before
    ground.ask("DELETE", "/containers/web?force=1")
    begun(ground, *flags)
    assert default(ground)["Options"][PREFIX + "name"] == flags[0].partition("=")[2]


def test_another_bridge_leaves_nothing_of_the_last_one(ground: DaemonGround) -> None:
    ground.ask("POST", "/networks/create", {"Name": "n"})
    ground.run("web", "n", "sleep", "600", HostConfig={"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}})
    ground.sh("nft add set inet bascule-bb0 bascule-user-few '{ type ipv4_addr; }'")
    ground.sh("nft add rule inet bascule-bb0 bascule-user ip saddr @bascule-user-few counter drop")
    before = ground.sh("nft list chain inet bascule-bb0 bascule-user")
    rules = ground.rules()
    begun(ground, "--bridge=bb1")
    assert tables(ground) == {"bascule-bb1", "bascule-bb1-kept"}
    assert ground.sh("nft list chain inet bascule-bb1 bascule-user") == before.replace("bb0", "bb1")
    assert ground.rules() == rules.replace("bb0", "bb1")
    assert "bb0" not in ground.sh("ip link")
    assert default(ground)["Options"][PREFIX + "name"] == "bb1"
    begun(ground, "--bridge=bb1")
    assert ground.rules() == rules.replace("bb0", "bb1")
    begun(ground, "--bridge=bb0")
    assert ground.rules() == rules


def test_tables_that_another_daemon_has_by_now_are_left(ground: DaemonGround) -> None:
    ground.stop()
    second = DaemonGround(Path(f"{ground.directory}-2"), "--bridge=bb0", netns=ground.netns)
    try:
        # It is told of no subnet: that of the first, whose bridge is still there, is taken.
        ground.sh("ip link del bb0")
        second.start()
        begun(ground, "--bridge=bb1", "--bip=10.97.0.1/24")
        assert {"bascule-bb0", "bascule-bb1"} <= tables(ground)
        assert ground.count("rule set of table bascule-bb0") + second.count("rule set of table") == 0
    finally:
        second.close()
