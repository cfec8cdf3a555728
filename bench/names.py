"""Rows of the resolver: A records asked from inside a container, beside Docker's own and beside dnsmasq."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.ground import Ground
from bench.measure import Row, Stage, interleaved
from bench.sides import IMAGE, Side


@dataclass(frozen=True, slots=True)
class Server:
    name: str
    namespace: str
    address: str


def known(count: int) -> list[str]:
    return [f"name{number}" for number in range(count)]


@contextmanager
def resolver(side: Side, count: int) -> Iterator[Server]:
    """A container of *count* names on a network of its own, and another one there that asks."""
    network = side.create_network()
    body = {
        "Image": IMAGE,
        "Cmd": ["sleep", "1000000"],
        "HostConfig": {"NetworkMode": network},
        "NetworkingConfig": {"EndpointsConfig": {network: {"Aliases": known(count)}}},
    }
    ident = side.api.ask("POST", "/containers/create", body)["Id"]
    side.containers.add(ident)
    try:
        side.start_container(ident)
        with side.box(network) as asker:
            yield Server(side.name, side.namespace(asker), "127.0.0.11")
    finally:
        side.remove_container(ident)
        side.remove_network(network)


@contextmanager
def dnsmasq(place: Path, count: int) -> Iterator[Server]:
    hosts = place / f"hosts{count}"
    hosts.write_text("".join(f"10.0.0.2 {name}\n" for name in known(count)))
    with Ground() as ground:
        own = ("--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root")
        where = ("--listen-address=127.0.0.1", "--bind-interfaces", f"--addn-hosts={hosts}", "--pid-file=")
        ground.start(["dnsmasq", *own, *where], place / "dnsmasq.log")
        yield Server("dnsmasq", ground.net, "127.0.0.1")


def rate(server: Server, questions: Path, seconds: float) -> float:
    """Answers a second.  Raises RuntimeError if one of a thousand was not an answer."""
    argv = ["dnsperf", "-s", server.address, "-d", str(questions), "-l", str(max(1, round(seconds)))]
    line = ["nsenter", f"--net={server.namespace}", *argv, "-c", "4", "-T", "1", "-q", "100", "-t", "2"]
    text = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    good = re.search(r"NOERROR \d+ \(([\d.]+)%\)", text)
    completed = re.search(r"Queries completed:\s+\d+ \(([\d.]+)%\)", text)
    speed = re.search(r"Queries per second:\s+([\d.]+)", text)
    if not (good and completed and speed) or min(float(good[1]), float(completed[1])) < 99.9:
        raise RuntimeError(f"{server.name}: not every question was answered:\n{text}")
    return float(speed[1])


def names(stage: Stage, _level: int) -> Iterator[Row]:
    for count in stage.names:
        questions = stage.place / f"questions{count}"
        questions.write_text("".join(f"{name} A\n" for name in known(count)))
        with ExitStack() as opened:
            ours, peer = (opened.enter_context(resolver(side, count)) for side in stage.sides)
            plain = opened.enter_context(dnsmasq(stage.place, count))
            servers = (ours, peer, plain)

            def one(server: Server, questions: Path = questions) -> float:
                return rate(server, questions, stage.seconds)

            samples = interleaved(servers, stage.rounds, one)
        what = f"resolver, A records, {count} names"
        yield Row(f"resolver@{count}", what, "q/s", samples[0], samples[1], budget=2.5, more=True)
        yield Row(f"resolver@{count}:dnsmasq", what, "q/s", samples[0], samples[2], "dnsmasq", 0.8, more=True)
