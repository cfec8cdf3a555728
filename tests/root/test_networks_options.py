"""Each option of a bridge network, and each way to say its addresses, on the real kernel."""

import os
import re
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from tests.root.engine_world import HOST, LAN, LAN6, EngineWorld, at, port

from bascule.model.endpoint import EndpointSpec
from bascule.model.errors import BasculeError
from bascule.model.network import Network, NetworkSpec, PoolSpec

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo make test-root")

A, A6 = "10.71.0.2", "fd71::2"


@pytest.fixture
def world() -> Iterator[EngineWorld]:
    with EngineWorld() as made:
        yield made


def addresses(world: EngineWorld, who: str, link: str) -> list[str]:
    """The addresses of a link, without those it made up."""
    found = re.findall(r"inet6? (\S+)", world.sh(who, f"ip -o addr show dev {link}"))
    return [a for a in found if not a.startswith("fe80:")]


def routes(world: EngineWorld, who: str) -> list[str]:
    """The default routes, by which link."""
    told = world.sh(who, "ip route; ip -6 route")
    return [line.split(" metric")[0].strip() for line in told.splitlines() if line.startswith("default")]


def test_name_and_mtu(world: EngineWorld) -> None:
    options = {"name": "br-of-mine", "com.docker.network.driver.mtu": "1400"}
    net = world.network("n", "10.71.0.0/24", options=options)
    world.box("a", "n")
    mtus = world.sh("host", "cat /sys/class/net/br-of-mine/mtu"), world.sh("a", "cat /sys/class/net/eth0/mtu")
    assert (net.link, mtus) == ("br-of-mine", ("1400", "1400"))


def test_a_bridge_of_somebody_elses_is_adopted_and_stays(world: EngineWorld) -> None:
    world.ip("host", "link add theirs up type bridge", "addr add 10.71.0.1/24 dev theirs")
    world.network("n", "10.71.0.0/24", options={"name": "theirs"})
    box = world.box("a", "n")
    assert world.ping("a", "10.71.0.1") == "answers"
    world.engine.close_sandbox(box)
    world.engine.remove("n")
    assert "theirs" in world.kernel.links()
    assert addresses(world, "host", "theirs") == ["10.71.0.1/24"]


@pytest.mark.parametrize(("icc", "told"), [("true", "10.71.0.3"), ("false", "no answer")])
def test_enable_icc(world: EngineWorld, icc: str, told: str) -> None:
    world.network("n", "10.71.0.0/24", options={"enable_icc": icc})
    world.box("a", "n", spec=at(A))
    world.box("c", "n")
    assert world.ask("c", A, 81) == told


@pytest.mark.parametrize(("masquerade", "seen"), [("true", [HOST, "2001:db8::1"]), ("false", [A, A6])])
def test_enable_ip_masquerade(world: EngineWorld, masquerade: str, seen: list[str]) -> None:
    world.network("n", "10.71.0.0/24", "fd71::/64", options={"enable_ip_masquerade": masquerade})
    world.box("a", "n", spec=at(A, A6))
    for address in ("0.0.0.0", "::"):
        world.serve("lan", address, 90)
    assert [world.ask("a", LAN, 90), world.ask("a", LAN6, 90)] == seen


def test_host_ipv4_is_the_address_that_the_world_sees(world: EngineWorld) -> None:
    world.ip("host", "addr add 192.0.2.77/24 dev eth0", "addr add 2001:db8::77/64 dev eth0 nodad")
    sources = {"com.docker.network.host_ipv4": "192.0.2.77", "com.docker.network.host_ipv6": "2001:db8::77"}
    world.network("n", "10.71.0.0/24", "fd71::/64", options=sources)
    world.box("a", "n", spec=at(A, A6))
    for address in ("0.0.0.0", "::"):
        world.serve("lan", address, 90)
    assert [world.ask("a", LAN, 90), world.ask("a", LAN6, 90)] == ["192.0.2.77", "2001:db8::77"]


def test_host_binding_ipv4_is_where_ports_are_published(world: EngineWorld) -> None:
    world.ip("host", "addr add 192.0.2.77/24 dev eth0")
    world.network("n", "10.71.0.0/24", options={"host_binding_ipv4": "192.0.2.77"})
    box = world.box("a", "n", ports=(port(80, 8080),), spec=at(A))
    assert [str(p.host) for p in world.end(box).ports] == ["192.0.2.77"]
    assert world.table("lan 192.0.2.77 8080", "lan 192.0.2.1 8080") == (
        f"lan 192.0.2.77 8080: {LAN}\nlan 192.0.2.1 8080: refused"
    )


def test_inhibit_ipv4_leaves_the_gateway_to_another(world: EngineWorld) -> None:
    net = world.network("n", "10.71.0.0/24", options={"inhibit_ipv4": "true"})
    world.box("gw", "n", spec=at("10.71.0.9"))
    assert addresses(world, "host", net.link) == []
    world.box("a", "n")
    assert routes(world, "a") == ["default via 10.71.0.1 dev eth0"]


def test_another_default_gateway_is_an_auxiliary_address(world: EngineWorld) -> None:
    world.engine.create(
        NetworkSpec(
            "n",
            pools=(PoolSpec(ip_network("10.71.0.0/24"), aux={"DefaultGatewayIPv4": ip_address("10.71.0.5")}),),
        )
    )
    world.box("a", "n")
    assert routes(world, "a") == ["default via 10.71.0.5 dev eth0"]


def test_container_iface_prefix_ifname_and_sysctls(world: EngineWorld) -> None:
    world.network("n", "10.71.0.0/24", options={"com.docker.network.container_iface_prefix": "lan"})
    world.network("m", "10.72.0.0/24")
    box = world.box("a", "n")
    endpoint = "com.docker.network.endpoint."
    sysctls = "net.ipv4.conf.IFNAME.log_martians=1,net.ipv4.conf.IFNAME.forwarding=0"
    world.engine.connect(
        "m", box, EndpointSpec(options={endpoint + "ifname": "mine", endpoint + "sysctls": sysctls})
    )
    links = sorted(os.path.basename(p) for p in world.sh("a", "ls -d /sys/class/net/*").split())
    assert links == ["lan0", "lo", "mine"]
    conf = "/proc/sys/net/ipv4/conf/mine/"
    assert world.sh("a", f"cat {conf}log_martians {conf}forwarding").split() == ["1", "0"]


def test_a_name_that_is_there_already_is_refused_and_nothing_changed(world: EngineWorld) -> None:
    world.network("n", "10.71.0.0/24")
    world.network("m", "10.72.0.0/24")
    box = world.box("a", "n")
    before = world.kernel.dump()
    with pytest.raises(BasculeError, match=r"error renaming interface .* to .eth0.: file exists"):
        world.engine.connect("m", box, EndpointSpec(options={"com.docker.network.endpoint.ifname": "eth0"}))
    assert world.kernel.dump() == before


def test_ipv6_alone(world: EngineWorld) -> None:
    net = world.network("n", "fd71::/64", ipv4=False)
    world.box("a", "n", ports=(port(80, 8080),))
    world.box("c", "n")
    assert (addresses(world, "a", "eth0"), routes(world, "a")) == ([f"{A6}/64"], ["default via fd71::1 dev eth0"])
    assert addresses(world, "host", net.link) == ["fd71::1/64"]
    assert world.table("c fd71::2 81", "lan 2001:db8::1 8080") == (
        "c fd71::2 81: fd71::3\nlan 2001:db8::1 8080: 2001:db8::2"
    )


def test_dual_stack_with_a_subnet_of_chance(world: EngineWorld) -> None:
    net = world.engine.create(NetworkSpec("n", ipv6=True))
    world.box("a", "n")
    four, six = net.pools
    assert str(four.subnet) == "172.18.0.0/16"
    assert re.fullmatch(r"fd[0-9a-f:]+::?/64", str(six.subnet))
    assert addresses(world, "a", "eth0") == ["172.18.0.2/16", f"{six.subnet.network_address + 2}/64"]
    assert world.ping("a", str(six.gateway)) == "answers"


def test_several_pools_of_a_family(world: EngineWorld) -> None:
    """When the first is full the next is used, and both have their gateway on the bridge."""
    net = world.network("n", "10.71.0.0/30", "10.72.0.0/24")
    for who in ("a", "c"):
        world.box(who, "n")
    assert addresses(world, "host", net.link) == ["10.71.0.1/30", "10.72.0.1/24"]
    assert (addresses(world, "a", "eth0"), addresses(world, "c", "eth0")) == (["10.71.0.2/30"], ["10.72.0.2/24"])
    assert (world.ping("a", "10.71.0.1"), world.ping("c", "10.72.0.1"), world.ask("c", A, 81)) == (
        "answers",
        "answers",
        "10.72.0.2",
    )


def test_range_gateway_and_auxiliary_addresses(world: EngineWorld) -> None:
    net = world.engine.create(
        NetworkSpec(
            "n",
            pools=(
                PoolSpec(
                    ip_network("10.71.0.0/24"),
                    ip_network("10.71.0.128/29"),
                    ip_address("10.71.0.254"),
                    {"router": ip_address("10.71.0.129"), "printer": ip_address("10.71.0.131")},
                ),
            ),
        )
    )
    for who in ("a", "c", "d"):
        world.box(who, "n")
    world.box("e", "n", spec=at("10.71.0.7"))
    given = [addresses(world, who, "eth0")[0] for who in ("a", "c", "d", "e")]
    assert given == ["10.71.0.128/24", "10.71.0.130/24", "10.71.0.132/24", "10.71.0.7/24"]
    assert addresses(world, "host", net.link) == ["10.71.0.254/24"]
    assert routes(world, "a") == ["default via 10.71.0.254 dev eth0"]


def test_internal_has_no_default_route(world: EngineWorld) -> None:
    world.network("n", "10.71.0.0/24", "fd71::/64", internal=True)
    world.box("a", "n")
    assert (routes(world, "a"), world.ping("a", "10.71.0.1")) == ([], "answers")


def everything(world: EngineWorld) -> str:
    """Links, addresses, routes and rules of the host, but for what waits for its physical end."""
    told = world.sh("host", "ip -br link; ip -br addr; ip route; ip -6 route; nft -s list ruleset")
    lines = [line.replace(" linkdown", "") for line in told.splitlines() if not line.startswith("gone-")]
    return "\n".join(re.sub(r"(\S+) +(UP|DOWN|UNKNOWN) .*", r"\1", line) for line in lines)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"internal": True},
        {"options": {"enable_icc": "false"}},
        {"options": {"gateway_mode_ipv4": "routed", "gateway_mode_ipv6": "nat-unprotected"}},
        {"options": {"inhibit_ipv4": "true", "enable_ip_masquerade": "false"}},
        {"internal": True, "options": {"gateway_mode_ipv4": "isolated", "gateway_mode_ipv6": "isolated"}},
        {"options": {"trusted_host_interfaces": "eth0"}},
    ],
    ids=str,
)
def test_what_is_removed_leaves_nothing_and_can_be_made_again_at_once(
    world: EngineWorld, more: dict[str, Any]
) -> None:
    before = everything(world)

    def made() -> Network:
        net = world.network("n", "10.71.0.0/24", "fd71::/64", **more)
        box = world.engine.open(world.ask_for("a", ports=(port(80, 8080),))).id
        world.engine.connect("n", box, at(A, A6))
        world.engine.close_sandbox(box)
        return net

    for _ in range(3):
        made()
        world.engine.remove("n")
    assert everything(world) == before
