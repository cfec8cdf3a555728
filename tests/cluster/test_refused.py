"""What a host refuses of overlay networks, before anything has changed."""

import pytest
from tests.cluster.hosts import Host, until
from tests.etcd_server import ETCD, REASON

from bascule.engine.intent import GATEWAY
from bascule.model.addresses import ip_network
from bascule.model.errors import Failed, Forbidden
from bascule.model.network import NetworkSpec, PoolSpec
from bascule.model.sandbox import SandboxSpec

pytestmark = pytest.mark.skipif(not ETCD, reason=REASON)


def test_an_ingress_network_is_refused_with_what_there_is_instead(hosts: list[Host]) -> None:
    with pytest.raises(Forbidden, match=r"^network in: there are no ingress .* bascule\.service\.publish "):
        hosts[0].engine.create(NetworkSpec("in", driver="overlay", ingress=True))
    assert hosts[0].overlays() == []


def test_a_sandbox_has_no_subnet_on_two_links(hosts: list[Host]) -> None:
    one, two, _ = hosts
    two.engine.create(NetworkSpec("own", pools=(PoolSpec(ip_network("10.1.0.0/16")),)))
    one.network("web", "10.1.7.0/24")
    until(lambda: two.overlays() == ["web"])
    box = two.box("a", "web").sandbox
    said = r"^a cannot be on network own \(10\.1\.0\.0/16\) and on network web \(10\.1\.7\.0/24\): they overlap$"
    with pytest.raises(Failed, match=said):
        two.engine.connect("own", box)
    assert "own" not in {two.engine.network(ep.network).name for ep in two.engine.endpoints(sandbox=box)}
    other = two.engine.open(SandboxSpec(container="d" * 64, name="d"))
    assert str(two.engine.connect("own", other.id).addresses[0]) == "10.1.0.3/16"


def test_the_way_out_of_overlay_networks_is_a_bridge_network(hosts: list[Host]) -> None:
    one = hosts[0]
    for wrong in (
        NetworkSpec(GATEWAY, driver="overlay"),
        NetworkSpec(GATEWAY, driver="macvlan"),
        NetworkSpec(GATEWAY, internal=True),
        NetworkSpec(GATEWAY, config_only=True),
    ):
        with pytest.raises(Forbidden, match=f"^network {GATEWAY} leads containers of overlay networks outside"):
            one.engine.create(wrong)
    made = one.engine.create(NetworkSpec(GATEWAY, ipv6=True))
    one.network("web")
    box = one.box("a", "web")
    assert {ep.network for ep in one.engine.endpoints(sandbox=box.sandbox)} == {box.network, made.id}
