"""Whole daemons on two real kernels, with an etcd and encrypted overlay networks between them.

h1 daemon, etcd 10.99.0.11 fd99::11 --- segment --- 10.99.0.12 fd99::12 daemon h2
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
from tests.etcd_server import ETCD, REASON
from tests.root.ground import until
from tests.vm.daemon import NO_ANSWER
from tests.vm.machine import Far, Machine

from bascule.drivers import sealed
from bascule.model.cluster import Seal

pytestmark = pytest.mark.skipif(not ETCD, reason=REASON)
MARKER = "plaintext-marker"
ANSWERS = {guest: f"{guest} {MARKER}" for guest in ("h1", "h2")}
# By network: what encrypts it, how a user says so, its subnets, and what the wire says of it.
WAYS: dict[str, tuple[Seal, str, int]] = {
    "secret": ("wireguard", "encrypted", 71),
    "other": ("esp", "bascule.encryption=esp", 72),
}
VNI = {network: number for number, network in enumerate(WAYS, 4096)}
CARRIED_BY: dict[Seal, str] = {"wireguard": "udp 51789", "esp": "esp"}
SERVICE = {"bascule.service": "web", "bascule.service.publish": "8080:80"}


@dataclass
class Hosts:
    """The two, each with a container that is on both networks: `box1` and `box2`, which are the service `web`."""

    machines: tuple[Machine, Far]
    addresses: list[dict[str, list[str]]]
    """Of each container, by network; and so its MACs."""
    macs: list[dict[str, str]]

    def __call__(self, number: int, what: str, *words: Any) -> Any:
        return self.machines[number - 1].call("daemon", what, *words)

    def both(self, what: str, *words: Any) -> list[Any]:
        return each(self.machines, [(what, *words)] * 2)

    def soon(self, wanted: Any, number: int, what: str, *words: Any) -> None:
        """That is what it says, sooner or later."""
        until(lambda: self(number, what, *words) == wanted, lambda: f"{words}: {self(number, what, *words)}")

    def verified(self) -> None:
        """Our own command line has nothing to say on either, once everything has arrived."""
        until(lambda: not any(self.differences()), lambda: str(self.differences()))
        assert self.both("command", "cluster", "verify") == ["", ""]

    def differences(self) -> list[Any]:
        return [told["Differences"] for told in self.both("ask", "GET", "/cluster/verify")]


def each(machines: tuple[Machine, Far], said: list[tuple[Any, ...]]) -> list[Any]:
    """What both say at the same time: each has a processor of its own."""
    near, far = machines
    with ThreadPoolExecutor() as threads:
        calls = [threads.submit(near.call, "daemon", *said[0]), threads.submit(far.call, "daemon", *said[1])]
        return [call.result() for call in calls]


@pytest.fixture(scope="module")
def hosts(machines: tuple[Machine, Far]) -> Iterator[Hosts]:
    made = Hosts(machines, [], [])
    each(machines, [("begin", 1, MARKER), ("begin", 2, MARKER)])
    try:
        founded(made)
        ends: dict[str, dict[str, str]] = {"secret": SERVICE, "other": {}}
        made.addresses = each(machines, [("run", f"box{number}", ends) for number in (1, 2)])
        made.macs = each(machines, [("macs", f"box{number}") for number in (1, 2)])
        yield made
    finally:
        made.both("close")
        made(1, "end")


def founded(hosts: Hosts) -> None:
    """A cluster of both, and its networks, as people say it."""
    for number, how in ((1, "init"), (2, "join")):
        hosts(number, "command", "cluster", how, "--address", f"10.99.0.1{number}")
    for network, (_, option, subnet) in WAYS.items():
        words = f"network create -d overlay --attachable --ipv6 --subnet 10.{subnet}.0.0/24"
        hosts(1, "docker", *words.split(), "--subnet", f"fd{subnet}::/64", "--opt", option, network)
    until(lambda: set(WAYS) <= {net["Name"] for net in hosts(2, "ask", "GET", "/networks")})


@pytest.mark.parametrize("network", WAYS)
def test_containers_find_and_reach_each_other_and_nobody_hears_them(hosts: Hosts, network: str) -> None:
    hosts(1, "listen")
    for asker, asked in ((1, 2), (2, 1)):
        there = hosts.addresses[asked - 1][network]
        assert len(there) == 2
        hosts.soon(f"NOERROR {there[0]}", asker, "name", f"box{asker}", f"box{asked}.{network}")
        for address, kind in product(there, ("tcp", "udp")):
            assert hosts(asker, "says", f"box{asker}", address, kind) == ANSWERS[f"h{asked}"], (address, kind)
    heard = hosts(1, "heard")
    assert heard[CARRIED_BY[WAYS[network][0]]] > 10
    assert (heard.get("clear", 0), heard.get("udp 4789", 0)) == (0, 0)


def test_a_service_on_an_encrypted_network_is_divided_and_published(hosts: Hosts) -> None:
    hosts.soon("NOERROR 10.71.0.254", 1, "name", "box1", "web")
    wanted = sorted(ANSWERS.values())
    hosts(1, "listen")
    for address in ("10.71.0.254", "fd71::ffff:ffff:ffff:ffff"):
        hosts.soon(wanted, 1, "among", "box1", address)
    # A host asks its own port: nothing of that is on the wire but between it and the endpoint on the other host.
    hosts.soon(wanted, 1, "among", "", "10.99.0.11", 8080)
    heard = hosts(1, "heard")
    assert heard[CARRIED_BY["wireguard"]] > 10
    assert (heard.get("clear", 0), heard.get("udp 4789", 0)) == (0, 0)
    # And from another machine, which is its own affair.
    for asker, asked in ((1, 2), (2, 1)):
        hosts.soon(wanted, asker, "among", "", f"10.99.0.1{asked}", 8080)


def test_nothing_is_lost_while_a_daemon_is_killed_and_secrets_turn_and_cleartext_stays_out(hosts: Hosts) -> None:
    for network in WAYS:
        assert hosts(1, "says", "box1", hosts.addresses[1][network][0]) == ANSWERS["h2"]
    hosts(1, "ping", "box1", *(hosts.addresses[1][network][0] for network in WAYS))
    hosts(2, "watch", "box2")
    hosts(2, "kill")
    assert forged(hosts) == 0
    # They are well made: a host that is not closed to them takes them.
    hosts(2, "sh", f"nft delete element inet bascule sealed '{{ {', '.join(map(str, VNI.values()))} }}'")
    assert forged(hosts) == len(WAYS)
    hosts(2, "start")
    assert forged(hosts) == 0
    for before in range(3):
        assert hosts(1, "turns") == before
        hosts(1, "due")
        hosts.soon(before + 1, 1, "turns")
        # Whoever hears of it late is understood all the same.
        assert hosts(1, "says", "box1", hosts.addresses[1]["other"][0]) == ANSWERS["h2"]
    said = hosts(1, "pinged")
    assert [pings["lost"] for pings in said] == [[], []], said
    assert all(pings["sent"] > 100 for pings in said)
    hosts.verified()


def forged(hosts: Hosts) -> int:
    """How many frames of one for each network, sent to the second host in the clear, get to its container."""
    node = hosts(1, "ask", "GET", "/cluster/nodes/h1")["ID"]
    for network, (seal, _, _) in WAYS.items():
        macs = [known[network] for known in hosts.macs[::-1]]
        hosts(1, "forge", str(sealed.inside(seal, node)), 2, VNI[network], macs)
    # Whoever has refused this has taken what came before.
    assert hosts(1, "says", "", "fd99::12", "tcp", 9) == NO_ANSWER
    return int(hosts(2, "taken"))
