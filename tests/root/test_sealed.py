"""What is of an encrypted network neither comes nor leaves in the clear (S6), on a kernel that need not be able to
encrypt: a link that encrypts is one that is said to."""

from collections.abc import Iterator
from ipaddress import ip_address, ip_interface

import pytest
from tests.root.overlay_world import Wire, ping

from bascule.drivers import overlay
from bascule.kernel.apply import bring_up, take_down
from bascule.model.cluster import Node, Remote, Tunnel
from bascule.model.endpoint import Endpoint
from bascule.model.network import Network
from bascule.model.thing import Sealed, Sealer, Thing

VNI = 4096
NAMES = ("one", "two")


@pytest.fixture(params=[4, 6])
def wire(request: pytest.FixtureRequest) -> Iterator[Wire]:
    """Two hosts with two plain networks, 4096 and 4097, and an endpoint of each on both."""
    version = request.param
    with Wire(*NAMES) as made:
        nodes = [Node(name, name, made.address(name, version), 1500, 1, 1) for name in NAMES]
        for name in NAMES:
            made.kernel(name).guard([])
            bring_up(made.kernel(name), overlay.host(4789, nodes))
            for vni in (VNI, VNI + 1):
                bring_up(made.kernel(name), stated(made, name, vni, version))
        yield made


def stated(wire: Wire, name: str, vni: int, version: int) -> list[Thing]:
    local, number = wire.address(name, version), NAMES.index(name) + 1
    tunnel = Tunnel(vni, 1400, local=local, mac=f"02:00:00:00:01:{number:02x}")
    net = Network(f"{vni}" * 16, f"n{vni}", "overlay", 1, link=f"br-{vni}", tunnel=tunnel)
    path = wire.namespace(f"{name}-{vni}")
    mac = "02:00:00:00:02:{:02x}".format
    own = (ip_interface(f"10.{vni & 7}.0.{number}/24"),)
    box = Endpoint(
        "b" * 64, net.id, "c" * 64, "box", 1, own, mac=mac(number), link=f"bv-{vni}", ifname="eth0", key=path
    )
    other = 3 - number
    far = ip_address(f"10.{vni & 7}.0.{other}")
    there = Remote("d" * 64, net.id, "x", 1, 1, "far", wire.address(NAMES[other - 1], version), (far,), mac(other))
    return [*overlay.network(net), *overlay.endpoint(net, box), *overlay.remote(net, there)]


def answered(wire: Wire, vni: int, *, seconds: int = 5) -> str:
    """Whether the first host's endpoint reaches the other's."""
    return ping(wire.path(f"one-{vni}"), ip_interface(f"10.{vni & 7}.0.2/24").ip, seconds=seconds)


def heard(wire: Wire, name: str, vni: int) -> int:
    """How many frames came out of the network's tunnel."""
    link = f"vx-{str(vni) * 3}"
    return int(wire.sh(name, f'ip -s -j link show {link} | sed \'s/.*"rx":{{[^}}]*"packets":\\([0-9]*\\).*/\\1/\''))


def test_what_came_in_the_clear_is_dropped_from_when_the_network_is_to_be_encrypted(wire: Wire) -> None:
    assert (answered(wire, VNI), answered(wire, VNI + 1)) == ("1/1", "1/1")
    before = heard(wire, "two", VNI)
    bring_up(wire.kernel("two"), [Sealed(VNI)])
    assert (answered(wire, VNI, seconds=1), heard(wire, "two", VNI)) == ("0/1", before)
    # Nobody else's network is.
    assert answered(wire, VNI + 1) == "1/1"
    take_down(wire.kernel("two"), [Sealed(VNI)])
    assert answered(wire, VNI) == "1/1"


def test_nothing_leaves_in_the_clear(wire: Wire) -> None:
    assert answered(wire, VNI) == "1/1"
    before = heard(wire, "two", VNI)
    bring_up(wire.kernel("one"), [Sealed(VNI)])
    assert (answered(wire, VNI, seconds=1), heard(wire, "two", VNI)) == ("0/1", before)
    assert answered(wire, VNI + 1) == "1/1"


# IPv6 finds its neighbours with what is no tunnel.
@pytest.mark.parametrize("wire", [4], indirect=True)
def test_by_a_link_that_encrypts_tunnels_pass_and_nothing_else(wire: Wire) -> None:
    for name in NAMES:
        bring_up(wire.kernel(name), [Sealed(VNI), Sealer("eth0")])
    assert answered(wire, VNI) == "1/1"
    assert ping(wire.path("one"), wire.address("two"), seconds=1) == "0/1"
    take_down(wire.kernel("two"), [Sealer("eth0")])
    assert answered(wire, VNI, seconds=1) == "0/1"
