"""Rows of networks over several hosts: a container on one host and a container on another, one cable apart, beside
Docker Swarm's overlay and beside a bare VXLAN link between the two hosts."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.ground import Ground, tie
from bench.measure import Row, Stage
from bench.paths import Way, ready, rows, serve, until
from bench.sides import Side, bascule, docker

ETCD = Path(__file__).parents[1] / ".etcd/usr/bin/etcd"
"""Where packaging/etcd-setup unpacks it."""
NAME, SUBNET = "wide", "10.200.0.0/24"
NETWORK = {"Name": NAME, "Driver": "overlay", "Attachable": True, "IPAM": {"Config": [{"Subnet": SUBNET}]}}


@contextmanager
def pair(stage: Stage, make: Callable[[Path, str], Side], number: int) -> Iterator[tuple[Side, Side]]:
    """Two hosts with a daemon each, at .1 and .2 of 198.18.*number*."""
    with ExitStack() as keep:
        hosts = []
        for which in (1, 2):
            side = make(stage.place / f"{make.__name__[0]}{number}{which}", stage.ours.mark)
            keep.callback(side.close)
            hosts.append(side)
        one, two = hosts
        tie(one.ground, f"198.18.{number}.1/24", two.ground, f"198.18.{number}.2/24")
        for side in hosts:
            side.start()
            keep.callback(side.stop)
            # Before it ends: what it made is looked for in the end.
            keep.callback(lambda side=side: stage.others.update(side.known_containers()))
            side.load_image()
        yield one, two


def etcd(stage: Stage, host: Side, address: str) -> str:
    """The cluster's store, on one of its hosts; where it is."""
    url, peer = f"http://{address}:2379", f"http://{address}:2380"
    words = [
        str(ETCD),
        "--name",
        "one",
        "--data-dir",
        str(stage.place / "etcd"),
        "--initial-cluster",
        f"one={peer}",
    ]
    words += ["--listen-client-urls", url, "--advertise-client-urls", url]
    words += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
    host.ground.start(words, stage.place / "etcd.log")
    until(lambda: answers(host, url), f"{url} does not answer")
    return url


def answers(host: Side, url: str) -> bool:
    return "true" in host.ground.run("sh", "-c", f"wget -qO- -T 1 {url}/health || true")


def cluster(stage: Stage, one: Side, two: Side, number: int) -> None:
    """The two hosts are one cluster of ours."""
    where = etcd(stage, one, f"198.18.{number}.1")
    for which, side, how in ((1, one, "init"), (2, two, "join")):
        body = {"Store": [where], "Address": f"198.18.{number}.{which}", "Name": f"host{which}"}
        side.api.ask("POST", f"/cluster/{how}", body)


def swarm(_stage: Stage, one: Side, two: Side, number: int) -> None:
    """The two hosts are a swarm of Docker's."""
    first, second = f"198.18.{number}.1", f"198.18.{number}.2"

    def at(address: str) -> dict[str, object]:
        return {"ListenAddr": f"{address}:2377", "AdvertiseAddr": address, "DataPathAddr": address}

    one.api.ask("POST", "/swarm/init", at(first))
    token = one.api.ask("GET", "/swarm")["JoinTokens"]["Manager"]
    two.api.ask("POST", "/swarm/join", {**at(second), "RemoteAddrs": [f"{first}:2377"], "JoinToken": token})


Together = Callable[[Stage, Side, Side, int], None]


@contextmanager
def wide(stage: Stage, make: Callable[[Path, str], Side], join: Together, number: int) -> Iterator[Way]:
    """From a container on one host to a container on the other."""
    with pair(stage, make, number) as (one, two):
        join(stage, one, two, number)
        one.api.ask("POST", "/networks/create", NETWORK)
        with one.box(NAME) as client, two.box(NAME) as server:
            serve(two.ground, two.namespace(server), stage.place / "servers.log")
            way = Way(one.name, one.namespace(client), two.address(server))
            ready(way)
            yield way


@contextmanager
def bare(stage: Stage, number: int) -> Iterator[Way]:
    """The hosts themselves, each with an end of a VXLAN link: no bridge, no containers, no rules."""
    with Ground() as one, Ground() as two:
        tie(one, f"198.18.{number}.1/24", two, f"198.18.{number}.2/24")
        for which, ground, other in ((1, one, 2), (2, two, 1)):
            far = ("local", f"198.18.{number}.{which}", "remote", f"198.18.{number}.{other}", "dstport", "4789")
            ground.run("ip", "link", "add", "vx0", "type", "vxlan", "id", "42", *far)
            ground.run("ip", "addr", "add", f"10.201.0.{which}/24", "dev", "vx0")
            ground.run("ip", "link", "set", "vx0", "up")
        serve(two, two.net, stage.place / "servers.log")
        way = Way("bare VXLAN", one.net, "10.201.0.2", promised=False)
        ready(way)
        yield way


def overlay(stage: Stage, _level: int) -> Iterator[Row]:
    with (
        wide(stage, bascule, cluster, 5) as ours,
        wide(stage, docker, swarm, 6) as peer,
        bare(stage, 7) as floor,
    ):
        yield from rows(stage, "overlay", "two containers on two hosts", ours, (peer, floor))
