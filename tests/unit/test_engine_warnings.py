"""What is told of networks and containers that will be as asked, and may not work."""

from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path

import pytest

from bascule.engine import warnings
from bascule.engine.engine import Engine
from bascule.kernel.fake import FakeKernel
from bascule.kernel.nature import nature
from bascule.model.cluster import Tunnel
from bascule.model.endpoint import EndpointSpec
from bascule.model.hostlink import HostLink
from bascule.model.network import Network, NetworkSpec, PoolSpec
from bascule.store.memory import MemoryStore

WIRELESS = "wlan0 is wireless: access points drop frames of MACs that they did not admit"
VIRTUAL = "ens3 is a virtual machine's (virtio_net): outside of it, frames of MACs other than the machine's own"


def told(driver: str, parent: str, **options: str) -> str:
    links = {"wlan0": "wireless", "ens3": "virtio_net", "eth0": "igb"}
    engine = Engine(FakeKernel(links=links), MemoryStore())
    engine.start()
    pools = (PoolSpec(ip_network("10.7.0.0/24")),)
    given: Mapping[str, str] = {"parent": parent, **options} if parent else options
    net = engine.create(NetworkSpec("wire", driver, pools=pools, options=given))
    return "\n".join(warnings.of_network(engine.kernel, net))


def test_a_parent_that_drops_foreign_macs_is_told_with_what_to_do() -> None:
    assert told("macvlan", "wlan0").startswith(WIRELESS)
    assert "those of an ipvlan network have the parent's" in told("macvlan", "wlan0")
    assert told("macvlan", "ens3").startswith(VIRTUAL)
    assert told("macvlan", "ens3", macvlan_mode="passthru").startswith(VIRTUAL)
    assert "an ipvlan network used" in told("macvlan", "ens3")


def test_a_vlan_is_as_what_it_is_made_of() -> None:
    assert told("macvlan", "ens3.50").startswith(VIRTUAL)


@pytest.mark.parametrize(("driver", "parent"), [("ipvlan", "wlan0"), ("macvlan", "eth0"), ("macvlan", "")])
def test_nothing_is_told_where_nothing_is_in_the_way(driver: str, parent: str) -> None:
    assert told(driver, parent) == ""


def test_a_bridge_is_never_warned_of() -> None:
    assert told("bridge", "") == ""


def ports(*wanted: tuple[str, bool]) -> str:
    """What is told of ports of a container on overlay networks, internal or not, or on a macvlan network."""
    nets = [
        Network(
            name,
            name,
            driver,
            1,
            internal=internal,
            options={"parent": "eth0"},
            tunnel=Tunnel(4096, 1450) if driver == "overlay" else None,
        )
        for driver, internal in wanted
        for name in [f"inner-{driver}" if internal else driver]
    ]
    return "\n".join(warnings.of_ports([(net, EndpointSpec()) for net in nets]))


def test_ports_on_networks_of_several_hosts_are_discarded_only_where_nothing_leads_outside() -> None:
    told = "Published ports are discarded: "
    assert ports(("overlay", False)) == ""
    assert ports(("overlay", True), ("overlay", False)) == ""
    assert ports(("overlay", True)) == f"{told}network inner-overlay is internal"
    assert ports(("overlay", False), ("macvlan", False)) == (
        f"{told}the macvlan driver does not support port mappings"
    )


LINK = HostLink(7, "eth0", mac="02:00:00:00:00:07")


def shown(classes: Path, index: int = 7, mac: str = LINK.mac) -> Path:
    """A link in a tree like sysfs's."""
    place = classes / "eth0"
    place.mkdir(parents=True)
    (place / "ifindex").write_text(f"{index}\n")
    (place / "address").write_text(f"{mac}\n")
    return place


def test_the_driver_of_a_device_is_its_nature(tmp_path: Path) -> None:
    (tmp_path / "virtio0").mkdir()
    (tmp_path / "virtio0" / "driver").symlink_to("../../../../bus/virtio/drivers/virtio_net")
    (shown(tmp_path / "net") / "device").symlink_to(tmp_path / "virtio0")
    assert nature(LINK, tmp_path / "net") == "virtio_net"


@pytest.mark.parametrize("what", ["phy80211", "wireless"])
def test_a_wireless_link_is_known_by_either_sign(tmp_path: Path, what: str) -> None:
    (shown(tmp_path) / what).mkdir()
    assert nature(LINK, tmp_path) == "wireless"


@pytest.mark.parametrize(("index", "mac"), [(8, LINK.mac), (7, "02:00:00:00:00:08")])
def test_another_link_of_that_name_is_not_taken_for_it(tmp_path: Path, index: int, mac: str) -> None:
    (shown(tmp_path, index, mac) / "wireless").mkdir()
    assert nature(LINK, tmp_path) == ""


def test_what_is_no_device_or_not_shown_has_no_nature(tmp_path: Path) -> None:
    shown(tmp_path)
    assert nature(LINK, tmp_path) == ""
    assert nature(LINK, tmp_path / "none") == ""
