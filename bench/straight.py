"""Rows of containers straight on a physical network: from a machine on it to a container of each side's."""

from collections.abc import Iterator
from contextlib import contextmanager

from bench import attach
from bench.ground import Ground, tie
from bench.measure import Row, Stage
from bench.paths import Way, ready, rows, serve
from bench.sides import Side


@contextmanager
def straight(side: Side, number: int) -> Iterator[Way]:
    """From a neighbour, one cable away, to a container on a macvlan network whose parent is the cable's end."""
    link, subnet = f"lan{number}", f"198.18.{number}"
    with Ground() as neighbour:
        tie(side.ground, f"{subnet}.1/24", neighbour, f"{subnet}.2/24", link)
        pool = {
            "Subnet": f"{subnet}.0/24",
            "IPRange": f"{subnet}.128/25",
            "AuxiliaryAddresses": {"a": f"{subnet}.1"},
        }
        body = {"Name": link, "Driver": "macvlan", "Options": {"parent": link}, "IPAM": {"Config": [pool]}}
        network = side.api.ask("POST", "/networks/create", body)["Id"]
        with side.box(network) as server:
            serve(side.ground, side.namespace(server), side.place / "servers.log")
            way = Way(side.name, neighbour.net, side.address(server))
            ready(way)
            yield way
        side.api.ask("DELETE", f"/networks/{network}")
        side.ground.run("ip", "link", "del", link)


def macvlan(stage: Stage, _level: int) -> Iterator[Row]:
    yield from attach.macvlan(stage)
    with straight(stage.ours, 3) as ours, straight(stage.peer, 4) as peer:
        yield from rows(stage, "macvlan", "a container on a macvlan, from a neighbour", ours, (peer,))
