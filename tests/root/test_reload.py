"""SIGHUP: the daemon reads its file again, while everything runs on."""

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
def ground(tmp_path: Path) -> Iterator[DaemonGround]:
    name = f"breload-{os.getpid()}"
    write(tmp_path, {"log-level": "info", "default-address-pools": [{"base": "10.90.0.0/16", "size": 24}]})
    flags = (f"--bridge=br{os.getpid()}", f"--config={tmp_path}/daemon.json", "--bip=10.95.0.1/24")
    made = DaemonGround(Path(f"/dev/shm/{name}"), *flags)
    try:
        made.start()
        yield made
    finally:
        made.close()


def write(place: Path, told: dict[str, Any]) -> None:
    (place / "daemon.json").write_text(json.dumps(told))


def reload(ground: DaemonGround, answer: str) -> None:
    heard = ground.count(answer)
    ground.send(signal.SIGHUP)
    until(lambda: ground.count(answer) > heard, ground.said)


def subnet(ground: DaemonGround, name: str) -> str:
    ground.ask("POST", "/networks/create", {"Name": name})
    return str(ground.ask("GET", f"/networks/{name}")["IPAM"]["Config"][0]["Subnet"])


def test_a_reload_changes_what_comes_and_nothing_that_is_there(ground: DaemonGround, tmp_path: Path) -> None:
    assert subnet(ground, "before") == "10.90.0.0/24"
    assert ground.count(" debug ") == 0
    pools = [{"base": "10.91.0.0/16", "size": 26}]
    write(
        tmp_path,
        {
            "log-level": "debug",
            "default-address-pools": pools,
            "default-network-opts": {"bridge": {"com.docker.network.driver.mtu": "1280"}},
        },
    )
    reload(ground, "configuration reloaded")
    assert subnet(ground, "after") == "10.91.0.0/26"
    links = {name: ground.ask("GET", f"/networks/{name}")["Id"][:12] for name in ("before", "after")}
    assert " mtu 1280 " in ground.sh(f"ip link show br-{links['after']}")
    assert " mtu 1500 " in ground.sh(f"ip link show br-{links['before']}")
    assert ground.count(" debug ") > 0
    assert subnet(ground, "third") == "10.91.0.64/26"


def test_a_file_that_cannot_be_read_changes_nothing_and_is_told(ground: DaemonGround, tmp_path: Path) -> None:
    write(tmp_path, {"log-level": "debug", "nosuch-key": 1})
    reload(ground, "reload refused, nothing changed")
    assert "nosuch-key" in ground.said()
    assert subnet(ground, "n") == "10.90.0.0/24"
    assert ground.count(" debug ") == 0
