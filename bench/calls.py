"""Rows of single requests: networks made and removed, containers put on them and run, and plain questions."""

from collections.abc import Iterator

from bench.client import Api
from bench.measure import Row, Stage, column, interleaved, percentile, timed
from bench.sides import Side


def create(stage: Stage, level: int) -> Iterator[Row]:
    def one(side: Side) -> tuple[float, float]:
        made = timed(side.create_network)
        return made, timed(lambda: side.remove_network(side.networks[-1]))

    ours, peer = interleaved(stage.sides, stage.rounds, one)
    among = f"among {level} networks"
    yield Row(f"create@{level}", f"network create, {among}", "ms", column(ours, 0), column(peer, 0), budget=1 / 25)
    yield Row(f"rm@{level}", f"network rm, {among}", "ms", column(ours, 1), column(peer, 1), budget=1 / 40)


def connect(stage: Stage, _level: int) -> Iterator[Row]:
    for side in stage.sides:
        side.fill(2)
    with stage.ours.box(stage.ours.networks[0]) as mine, stage.peer.box(stage.peer.networks[0]) as theirs:
        box = {stage.ours.name: mine, stage.peer.name: theirs}

        def one(side: Side) -> tuple[float, float]:
            where, body = f"/networks/{side.networks[1]}", {"Container": box[side.name]}
            made = timed(lambda: side.api.ask("POST", f"{where}/connect", body))
            return made, timed(lambda: side.api.ask("POST", f"{where}/disconnect", body))

        ours, peer = interleaved(stage.sides, stage.rounds, one)
    for side in stage.sides:
        side.fill(1)
    running = "of a running container"
    yield Row("connect", f"network connect {running}", "ms", column(ours, 0), column(peer, 0), budget=1 / 12)
    yield Row("disconnect", f"network disconnect {running}", "ms", column(ours, 1), column(peer, 1), budget=1 / 20)


def run_and_remove(side: Side, network: str) -> None:
    """What `docker run --rm NETWORK true` asks of the server, attach left out."""
    ident = side.create_container(network, ("true",), {"AutoRemove": True})
    waiter = Api(side.api.path)
    try:
        # The headers of the answer say that the wait is registered: only then may it start.
        waiter.begin("POST", f"/containers/{ident}/wait?condition=removed")
        side.start_container(ident)
        code = waiter.finish()["StatusCode"]
    finally:
        waiter.close()
    if code != 0:
        raise RuntimeError(f"{side.name}: `true` ended with {code}")


def run(stage: Stage, _level: int) -> Iterator[Row]:
    ours, peer = interleaved(
        stage.sides, stage.rounds, lambda side: timed(lambda: run_and_remove(side, side.networks[0]))
    )
    yield Row("run", "run --rm true, on a user's bridge", "ms", ours, peer, budget=1 / 3)


def ask(stage: Stage, level: int) -> Iterator[Row]:
    for key, path, what in (("ping", "/_ping", "GET /_ping"), ("list", "/networks", f"GET /networks, {level}")):

        def one(side: Side, path: str = path) -> list[float]:
            return [timed(lambda: side.api.ask("GET", path)) for _ in range(50)]

        ours, peer = ([s for many in samples for s in many] for samples in interleaved(stage.sides, 4, one))
        yield Row(f"{key}@{level}", what, "ms", ours, peer, budget=1)
        slow = [percentile(ours, 0.99)], [percentile(peer, 0.99)]
        yield Row(f"{key}@{level}:p99", f"{what}, 99th percentile", "ms", *slow)
