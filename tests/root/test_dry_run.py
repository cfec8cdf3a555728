"""A dry run's lines, typed as they are printed, come to what the engine would have done."""

import os
import re
import subprocess
from collections.abc import Iterator

import pytest
from tests.root.engine_world import EngineWorld, port

from bascule.engine.engine import Engine
from bascule.model.network import NetworkSpec
from bascule.model.sandbox import SandboxSpec
from bascule.model.typed import made

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo make test-root")


@pytest.fixture
def world() -> Iterator[EngineWorld]:
    with EngineWorld() as made:
        yield made


def state(world: EngineWorld, *boxes: str) -> str:
    """What is there: links, addresses and routes of the host and *boxes*, and the firewall's elements."""
    told = [f"{who}: {line}" for who in ("host", *boxes) for line in _links(world, who)]
    listed = re.sub(r"\s+", " ", world.sh("host", "nft list ruleset"))
    for name, elements in re.findall(r"(?:set|map) (\w+) \{[^{}]*elements = \{ ([^}]*) \}", listed):
        told += [f"{name}: {element}" for element in elements.split(", ")]
    return "\n".join(sorted(told))


def _links(world: EngineWorld, who: str) -> list[str]:
    text = world.sh(who, "ip -br link | cut -d' ' -f1; ip -br addr; ip route; ip -6 route")
    # Whether there is a carrier, and what the kernel makes for multicast and itself, nobody states.
    lines = [re.sub(r"@\S+|linkdown|UP|DOWN|UNKNOWN|pref medium", "", line) for line in text.splitlines()]
    return [" ".join(line.split()) for line in lines if "fe80" not in line and "ff00" not in line]


def typed(world: EngineWorld, lines: list[str]) -> None:
    """Each line has been typed on the host, and did what it says; the engine, which would put back what others
    took, is no longer there."""
    world.kernel.close()
    for line in lines:
        done = subprocess.run(
            # Not `ip netns exec`: in its mount namespace, what one line mounts the next would not see.
            ["nsenter", f"--net=/run/netns/{world.ns('host')}", "sh", "-ec", line],
            capture_output=True,
            text=True,
            check=False,
        )
        assert f"{line}\n{done.stderr}" == f"{line}\n"


def test_a_parent_of_our_own_is_of_a_kind_that_this_kernel_has(world: EngineWorld) -> None:
    spec = NetworkSpec("lone", "macvlan")
    things = world.engine.plan(spec)
    kinds = [re.sub(r"dm-\w+", "dm-ID", line) for line in made(things, world.engine.settings.table)]
    rehearsed = world.engine.rehearse(lambda other: other.create(spec))
    assert kinds == [re.sub(r"dm-\w+", "dm-ID", line) for line in rehearsed]
    lines = made(things, world.engine.settings.table)
    before = state(world)
    typed(world, lines)
    assert state(world) != before


def test_the_lines_of_network_create_are_taken_away_by_those_of_rm(world: EngineWorld) -> None:
    before = state(world)
    world.network("n", "10.71.0.0/24", "fd71::/64")
    after, gone = state(world), world.engine.plan_remove("n")
    assert state(world) == after != before
    typed(world, gone)
    assert state(world) == before


def test_the_lines_of_network_prune_are_those_of_each_network_that_is_not_used(world: EngineWorld) -> None:
    before = state(world)
    world.network("one", "10.71.0.0/24")
    world.network("two", "10.72.0.0/24", internal=True)
    typed(world, world.engine.plan_prune(lambda net: net.name != "keep"))
    assert state(world) == before


def test_the_lines_of_create_make_what_create_makes(world: EngineWorld) -> None:
    net = world.network("n", "10.71.0.0/24", "fd71::/64")
    lines = world.engine.plan_remove("n")
    after = state(world)
    typed(world, lines)
    things = world.engine._intent.made_things(net)
    typed(world, made(things, world.engine.settings.table))
    assert state(world) == after


def test_the_lines_of_disconnect_take_away_what_connect_made(world: EngineWorld) -> None:
    world.network("n", "10.71.0.0/24", "fd71::/64")
    world.network("other", "10.72.0.0/24")
    box = world.box("a", "n", ports=(port(80, 8080),))
    before = state(world, "a")
    world.engine.connect("other", box)
    typed(world, world.engine.plan_disconnect("other", box))
    assert state(world, "a") == before


def test_the_lines_of_an_end_take_away_the_container_and_all_it_had(world: EngineWorld) -> None:
    world.network("n", "10.71.0.0/24", "fd71::/64")
    world.network("other", "10.72.0.0/24")
    before = state(world)
    box = world.box("a", "n", "other", ports=(port(80, 8080),))
    world.hang_up()
    lines = world.engine.rehearse(lambda engine: engine.close_sandbox(box))
    typed(world, lines)
    assert state(world) == before


def test_the_lines_of_a_run_put_a_namespace_on_its_networks(world: EngineWorld) -> None:
    world.network("n", "10.71.0.0/24", "fd71::/64")
    world.network("other", "10.72.0.0/24")
    before = state(world)

    def run(engine: Engine) -> None:
        box = engine.open(SandboxSpec(container="c" * 64, name="a", ports=(port(80, 8080),))).id
        for net in ("n", "other"):
            engine.connect(net, box)

    lines = world.engine.rehearse(run)
    assert (state(world), world.engine.sandboxes()) == (before, [])
    typed(world, lines)
    place = lines[0].split("--net=")[1].split()[0]
    shown = world.sh("host", f"nsenter --net={place} sh -c 'ip -br -4 addr; ping -q -c 1 -W 5 10.71.0.1'")
    assert re.findall(r"^(eth\d).* (10\S+)", shown, re.M) == [("eth0", "10.71.0.2/24"), ("eth1", "10.72.0.2/24")]
    assert " 1 received" in shown
    subprocess.run(["umount", place], check=True)
    assert re.search(r"8080\S* : \S*10\.71\.0\.2", world.sh("host", "nft list table inet bascule"))


def test_when_the_gateways_network_is_left_the_lines_move_route_and_ports(world: EngineWorld) -> None:
    world.network("n", "10.71.0.0/24")
    world.network("other", "10.72.0.0/24")
    box = world.box("a", "n", "other", ports=(port(80, 8080),))
    lines = world.engine.plan_disconnect("n", box)
    world.engine.disconnect("n", box)
    world.kernel.settle()
    wanted = state(world, "a")
    world.engine.connect("n", box)
    lines = world.engine.plan_disconnect("n", box)
    typed(world, lines)
    assert state(world, "a") == wanted
