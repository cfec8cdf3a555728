"""The real daemon, killed between any two steps of a use case, and started again: all that there is of it on the
machine is as it was before, or as it would have been; and when all is removed, nothing is left."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.patience import FACTOR
from tests.root.ground import DaemonGround, Refused, compared, until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo make test-root")

SOME = 5
"""In a guest, one step of so many: each costs it a quarter of a minute."""

Step = Callable[[DaemonGround], Any]
DUAL = {"EnableIPv6": True, "IPAM": {"Config": [{"Subnet": "10.77.0.0/24"}, {"Subnet": "fd77::/64"}]}}
WIRE = {
    "Driver": "macvlan",
    "IPAM": {"Config": [{"Subnet": "10.79.0.0/24"}]},
    "Options": {"parent": "lan0", "bascule.host_access": "true"},
}
TAGGED = {**WIRE, "Driver": "ipvlan", "Options": {"parent": "lan0.50", "bascule.host_access": "true"}}
"""On a VLAN link that is made and goes with the network."""
SECOND = {"IPAM": {"Config": [{"Subnet": "10.78.0.0/24"}]}}
AT = {"IPAMConfig": {"IPv4Address": "10.77.0.9", "IPv6Address": "fd77::9"}, "Aliases": ["alias"]}
PUBLISHED = {"NetworkMode": "n", "PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}
BOX = {
    "Image": "host",
    "Cmd": ["sleep", "600"],
    "HostConfig": PUBLISHED,
    "NetworkingConfig": {"EndpointsConfig": {"n": AT}},
}


def network(ground: DaemonGround) -> None:
    ground.ask("POST", "/networks/create", {"Name": "n", **DUAL})


def second(ground: DaemonGround) -> None:
    ground.ask("POST", "/networks/create", {"Name": "second", **SECOND})


def parent(ground: DaemonGround) -> None:
    """A link of the host's own; it stays."""
    if "lan0" not in ground.sh("ip -o link"):
        ground.sh("ip link add lan0 type veth peer name far0; ip link set far0 up; ip link set lan0 up")


def wire(ground: DaemonGround) -> None:
    ground.ask("POST", "/networks/create", {"Name": "second", **WIRE})


def tag(ground: DaemonGround) -> None:
    """Or a skip, where the kernel has no such links."""
    try:
        ground.ask("POST", "/networks/create", {"Name": "second", **TAGGED})
    except Refused as refusal:
        if "Unknown device type" not in str(refusal):
            raise
        pytest.skip(f"this kernel cannot: {refusal}")


def wire_up(ground: DaemonGround) -> None:
    ground.ask("POST", "/networks/second/connect", {"Container": "box"})


def create(ground: DaemonGround) -> None:
    ground.ask("POST", "/containers/create?name=box", BOX)


def start(ground: DaemonGround) -> None:
    ground.ask("POST", "/containers/box/start")


def connect(ground: DaemonGround) -> None:
    wish = {"IPAMConfig": {"IPv4Address": "10.78.0.9"}, "GwPriority": 1}
    ground.ask("POST", "/networks/second/connect", {"Container": "box", "EndpointConfig": wish})


def disconnect(ground: DaemonGround) -> None:
    ground.ask("POST", "/networks/second/disconnect", {"Container": "box"})


def kill(ground: DaemonGround) -> None:
    ground.ask("POST", "/containers/box/kill")
    ground.ask("POST", "/containers/box/wait")


def stop(ground: DaemonGround) -> None:
    ground.ask("POST", "/containers/box/stop?t=0")


def restart(ground: DaemonGround) -> None:
    ground.ask("POST", "/containers/box/restart?t=0")


def remove(ground: DaemonGround) -> None:
    ground.ask("DELETE", "/containers/box?force=1")


def rename(ground: DaemonGround) -> None:
    ground.ask("POST", "/containers/box/rename?name=other")


def remove_network(ground: DaemonGround) -> None:
    ground.ask("DELETE", "/networks/n")


def remove_second(ground: DaemonGround) -> None:
    ground.ask("DELETE", "/networks/second")


@dataclass(frozen=True, slots=True)
class Case:
    """*before* makes the beginning; *work* is what is broken off; *stages* are what it amounts to, one by one."""

    before: Sequence[Step]
    work: Sequence[Step]
    stages: Sequence[Step] = ()


CASES = {
    "network create": Case([], [network]),
    "network rm": Case([network], [remove_network]),
    "run": Case([network], [create, start]),
    "connect": Case([network, second, create, start], [connect]),
    "macvlan network create": Case([], [wire]),
    "macvlan network rm": Case([wire], [remove_second]),
    "macvlan connect": Case([network, wire, create, start], [wire_up]),
    "macvlan disconnect": Case([network, wire, create, start, wire_up], [disconnect]),
    "ipvlan network create": Case([], [tag]),
    "ipvlan network rm": Case([tag], [remove_second]),
    "ipvlan connect": Case([network, tag, create, start], [wire_up]),
    "ipvlan disconnect": Case([network, tag, create, start, wire_up], [disconnect]),
    "disconnect": Case([network, second, create, start, connect], [disconnect]),
    "rename": Case([network, create, start], [rename]),
    "rm -f": Case([network, create, start], [remove], [kill, remove]),
}

# As many steps as a run and a removal together, which are cases above: make test-long.
if os.environ.get("BASCULE_FAULTS"):
    CASES["restart"] = Case([network, create, start], [restart], [stop, start])


@pytest.fixture
def ground() -> Iterator[DaemonGround]:
    name = f"bfault-{os.getpid()}"
    made = DaemonGround(Path(f"/dev/shm/{name}"), f"--bridge=bf{os.getpid()}", program="tests.root.fault_daemon")
    try:
        made.start()
        parent(made)
        yield made
    finally:
        made.close()


def settled(ground: DaemonGround) -> str:
    """The summary when nothing is being cleaned up any more: what was removed goes later."""
    last = [""]

    def same() -> bool:
        before, last[0] = last[0], ground.summary()
        return before == last[0]

    until(same)
    return last[0]


def expect(ground: DaemonGround, allowed: Sequence[str], when: str) -> str:
    """What there is, when it has become one of *allowed*."""
    found = [""]

    def right() -> bool:
        found[0] = ground.summary()
        return found[0] in allowed

    def difference() -> str:
        pages = [compared(page, found[0]).splitlines() for page in allowed]
        return "\n".join([when, "against the state that is nearest:", *min(pages, key=len), ground.said()])

    until(right, difference)
    return found[0]


def steps(name: str) -> Iterator[int]:
    """Each; where everything is emulated some, if the case is one that has all of them on a machine of its own."""
    return count(1, 1 if FACTOR == 1 or "ipvlan" in name else SOME)


@pytest.mark.parametrize("name", CASES, ids=lambda name: name.replace(" ", "-"))
def test_a_kill_between_any_two_steps_leaves_all_or_nothing(ground: DaemonGround, name: str) -> None:
    case = CASES[name]
    untouched = settled(ground)
    begin(ground, case)
    states = [settled(ground)]
    for stage in case.stages or case.work:
        stage(ground)
        states.append(settled(ground))
    undo(ground, untouched, "at the beginning")
    found = untouched
    for number in steps(name):
        if found != states[0]:
            undo(ground, untouched, f"before step {number}")
            begin(ground, case)
            expect(ground, states[:1], f"before step {number}")
        ground.arm(number)
        if not killed(ground, case, states[-1]):
            assert number > 3
            return
        ground.ended()
        ground.start()
        found = expect(ground, states, f"killed before step {number}")


def begin(ground: DaemonGround, case: Case) -> None:
    for step in case.before:
        step(ground)


def killed(ground: DaemonGround, case: Case, after: str) -> bool:
    """Whether the daemon ended in the work, rather than come to its end."""
    try:
        for step in case.work:
            step(ground)
    except Refused as refusal:
        why = str(refusal)
        until(lambda: not ground.alive(), lambda: why)
        return True
    until(lambda: not ground.alive() or ground.summary() == after)
    if ground.alive():
        # The step may still be ahead, in what is done later.
        ground.arm(0)
    return not ground.alive()


def undo(ground: DaemonGround, untouched: str, when: str) -> None:
    ground.sweep()
    expect(ground, [untouched], when)
