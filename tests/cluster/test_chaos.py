"""Anything may fail at any time, again and again; at the end all is as the store says, and nothing is stale.

What happens follows from a seed: BASCULE_SEED=… plays it again, BASCULE_CHAOS=600 goes on for so many seconds.
"""

import os
import random
import time
from collections.abc import Callable
from itertools import permutations, product
from pathlib import Path

import pytest
from tests.cluster.daemons import HOSTS, Cluster, Container
from tests.etcd_server import ETCD, REASON
from tests.root.ground import Refused, until

pytestmark = pytest.mark.skipif(not ETCD, reason=REASON)
SECONDS = float(os.environ.get("BASCULE_CHAOS", "60"))
NETWORKS = {"red": "10.60.0.0/24", "blue": "10.61.0.0/24"}
_PORTS = ("sport", "dport")
# Few, so that they go from one container to the next.
ADDRESSES = ("10.60.0.200", "10.60.0.201", "10.61.0.200", "")


class Chaos:
    """*chance* decides everything; *told* is what was done, for whoever reads a failure."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self.cluster = cluster
        self.told: list[str] = [f"seed {seed}"]
        self._chance = random.Random(seed)
        self._count = 0
        self._down: set[str] = set()
        """What is out of order now: at most one host's daemon, wire or member of the store at a time of each."""

    def step(self) -> None:
        acts: list[tuple[int, Callable[[], None]]] = [
            (6, self.come),
            (4, self.go),
            (2, self.daemon),
            (1, self.wire),
            (1, self.loss),
            (1, self.store),
            (1, self.tunnel),
        ]
        act = self._chance.choices([a for _, a in acts], [w for w, _ in acts])[0]
        try:
            act()
        except Refused as why:
            # A daemon or the store is away, or an address is taken: it is said, and nothing is half done.
            self.told.append(f"    refused: {str(why)[:150]}")

    def come(self) -> None:
        host, net = self._chance.choice(HOSTS), self._chance.choice(list(NETWORKS))
        address = self._chance.choice(ADDRESSES)
        if address and not address.startswith(NETWORKS[net][:6]):
            address = ""
        self._come(host, net, address)

    def comes(self, host: str, net: str) -> bool:
        """Whether nobody refuses one more."""
        try:
            self._come(host, net)
        except Refused as why:
            self.told.append(f"    refused: {str(why)[:150]}")
            return False
        return True

    def _come(self, host: str, net: str, address: str = "") -> None:
        self._count += 1
        self.told.append(f"box{self._count} comes to {host}, {net} {address}")
        self.cluster.run(host, f"box{self._count}", net, address=address)

    def go(self) -> None:
        host = self._chance.choice(HOSTS)
        there = [one["Names"][0] for one in self.cluster.daemons[host].ask("GET", "/containers/json?all=1")]
        if there:
            name = self._chance.choice(sorted(there)).lstrip("/")
            self.told.append(f"{name} goes from {host}")
            self.cluster.daemons[host].ask("DELETE", f"/containers/{name}?force=1")

    def _toggle(self, what: str, host: str, down: Callable[[], None], up: Callable[[], None]) -> None:
        """*what* of one host at a time is out of order."""
        other = next((key for key in self._down if key.startswith(what)), "")
        host = other.partition(" ")[2] or host
        self.told.append(f"{what} of {host} {'is back' if other else 'is gone'}")
        if other:
            self._down.remove(other)
            up()
        else:
            self._down.add(f"{what} {host}")
            down()

    def _one(self, what: str) -> str:
        """The host whose *what* is out of order, else any."""
        other = next((key for key in self._down if key.startswith(what)), "")
        return other.partition(" ")[2] or self._chance.choice(HOSTS)

    def daemon(self) -> None:
        host = self._one("daemon")
        daemon = self.cluster.daemons[host]
        self._toggle("daemon", host, daemon.kill, daemon.start)

    def wire(self) -> None:
        host = self._one("wire")
        self._toggle("wire", host, lambda: self.cluster.cut(host), lambda: self.cluster.mend(host))

    def loss(self) -> None:
        """Some packets are lost: between two hosts, of one host and the store, or one way."""
        host = self._one("loss")
        one, other = (self.cluster.wire.address(name) for name in self._chance.sample(HOSTS, 2))
        what = self._chance.choice(
            (
                [f"ip saddr {a} ip daddr {b} udp dport 4789" for a, b in ((one, other), (other, one))],
                [f"ip {end} {one} tcp {way} {{ 2379, 2380 }}" for end, way in product(("saddr", "daddr"), _PORTS)],
                [f"{self._chance.choice(('iifname', 'oifname'))} {host}"],
            )
        )
        if not any(key.startswith("loss") for key in self._down):
            self.told.append(f"lost from now on: {', '.join(what)}")
        self._toggle("loss", host, lambda: self.cluster.lose(*what), self.cluster.lose_nothing)

    def store(self) -> None:
        host = self._one("store")
        member = self.cluster.store[host]
        self._toggle("store", host, member.kill, member.start)

    def tunnel(self) -> None:
        host = self._chance.choice(HOSTS)
        self.told.append(f"the tunnels of {host} are deleted")
        self.cluster.wire.sh(
            host,
            "for l in $(ip -o link show type vxlan | cut -d: -f2); do ip link del $l || ! ip link show $l; done",
        )

    def end(self) -> None:
        """Everything is in order."""
        for daemon in self.cluster.daemons.values():
            if not daemon.alive():
                daemon.start()
        self.cluster.whole()


def test_after_anything_has_failed_all_is_as_the_store_says(tmp_path: Path) -> None:
    seed = int(os.environ.get("BASCULE_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
    with Cluster(tmp_path, "--cluster-lease=2", "--cluster-grace=1") as cluster:
        cluster.enter()
        for name, subnet in NETWORKS.items():
            cluster.network("one", name, subnet)
        chaos = Chaos(cluster, seed)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            chaos.step()
        chaos.end()
        # Also where little was left of what there was: whoever comes now is refused by nobody.
        for host, net in product(HOSTS, NETWORKS):
            until(lambda host=host, net=net: chaos.comes(host, net), lambda: "\n".join(chaos.told))  # type: ignore[misc]

        def told() -> str:
            return "\n".join([*chaos.told, *cluster.differences()])

        until(lambda: not cluster.differences(), told)
        boxes = [(net, box) for host in HOSTS for net, box in running(cluster, host)]
        pairs = [(a, b, m == n) for (m, a), (n, b) in permutations(boxes, 2)]
        wrong = [pair for pair in pairs if reaches(*pair[:2]) != pair[2]]
        # A busy machine answers late: those that were wrong have to be right at some time.
        until(lambda: not still(wrong), lambda: "\n".join([told(), *still(wrong)]))


Pair = tuple[Container, Container, bool]


def still(wrong: list[Pair]) -> list[str]:
    """Those that are wrong even now, and how."""
    return [
        f"{a.name} {a.daemon.netns} {a.addresses} > {b.name} {b.daemon.netns} {b.addresses}:"
        f" {a.asks(b.name)}, {a.ping(b.addresses[0], seconds=1)}"
        for a, b, wanted in wrong
        if reaches(a, b) != wanted
    ]


def running(cluster: Cluster, host: str) -> list[tuple[str, Container]]:
    daemon = cluster.daemons[host]
    found = []
    for one in daemon.ask("GET", "/containers/json"):
        (net,) = one["NetworkSettings"]["Networks"]
        found.append((net, Container(daemon, one["Names"][0].lstrip("/"), net)))
    return found


def reaches(one: Container, other: Container) -> bool:
    """By name and by address."""
    found = one.asks(other.name).startswith("NOERROR")
    return found and one.ping(other.addresses[0], seconds=1) == "1/1"
