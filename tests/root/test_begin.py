"""A daemon starts, whatever containers and administrators did to its links; and with other settings than before."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.root.ground import DaemonGround, until

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
