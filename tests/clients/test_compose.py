"""docker-compose: three files brought up on either engine, and who reaches whom by which name, told as text.

What is told is kept beside the files: ours must tell it, and where there is a peer, it must as well.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.clients import peer
from tests.clients.conftest import Client, Ground, Told

FILES = Path(__file__).with_name("compose")
NAMES = {
    "shop": {"web": 80, "shop": 80, "www": 80, "db": 5432, "database": 5432, "cache": 6379},
    "fixed": dict.fromkeys(("one", "two", "second", "safe"), 7000),
    "lan": dict.fromkeys(("here", "there", "behind"), 7000),
}
"""The names that are asked for, and where something listens."""
ASK = """
for asked in NAMES; do
    name=${asked%:*} told=$(ping -c 1 -W 1 ${asked%:*} 2>&1) address=
    case $told in PING*) address=${told#*(} address=${address%%)*} ;; esac
    said=
    [ -z "$address" ] || said=$(echo hello | nc -w 1 $name ${asked#*:} 2>/dev/null)
    set -- $said
    echo "$name|$address|$1"
done
"""
PING = """
for address in ADDRESSES; do
    ping -c 1 -W 1 $address >/dev/null 2>&1 && told=yes || told=no
    echo "$address|$told"
done
"""


@dataclass
class Project:
    """One file on one engine.  *host* runs a command on the engine's host."""

    client: Client
    name: str
    host: Sequence[str]

    def compose(self, *words: str) -> Told:
        file = FILES / f"{self.name}.yml"
        return self.client.run(["docker-compose", "--no-ansi", "-p", f"p{self.name}", "-f", str(file), *words])

    def up(self) -> None:
        told = self.compose("up", "-d")
        assert told.status == 0, told

    def services(self) -> list[str]:
        return self.compose("config", "--services").out.split()

    def inside(self, service: str, script: str) -> str:
        """What a shell says in the service's container."""
        return self.client.docker("exec", f"p{self.name}_{service}_1", "sh", "-c", script).out

    def addresses(self) -> dict[str, str]:
        """Which service on which network has an address."""
        found = {}
        for ident in self.compose("ps", "-q").out.split():
            (shown,) = json.loads(self.client.docker("inspect", ident).out)
            service = shown["Config"]["Labels"]["com.docker.compose.service"]
            for network, end in shown["NetworkSettings"]["Networks"].items():
                for key in ("IPAddress", "GlobalIPv6Address"):
                    if end[key]:
                        found[end[key]] = f"{service} on {network.removeprefix(f'p{self.name}_')}"
        return found

    def matrix(self) -> Iterator[str]:
        """A line for each service and name: whose address it is, and whether its port answers; then for each
        address whether a ping comes back."""
        places = self.addresses()
        names = " ".join(f"{name}:{port}" for name, port in NAMES[self.name].items())
        ordered = sorted(places, key=lambda address: (places[address], ":" in address))
        for service in sorted(self.services()):
            for line in self.inside(service, ASK.replace("NAMES", names)).splitlines():
                name, address, said = line.split("|")
                answers = "answers" if said else "silent"
                place = places.get(address, address)
                # With several addresses it may be told any of its own.
                place = "itself" if place.startswith(f"{service} on ") else place
                whose = f"{place}, {answers}" if address else "unknown"
                yield f"{service} asks for {name}: {whose}"
            for line in self.inside(service, PING.replace("ADDRESSES", " ".join(ordered))).splitlines():
                address, told = line.split("|")
                yield f"{service} reaches {places[address]} by IPv{6 if ':' in address else 4}: {told}"
            out = self.inside(service, "ip route; ip -6 route")
            yield f"{service} has {out.count('default')} default routes"

    def page(self) -> str:
        """Everything that is compared."""
        rows = self.compose("ps").out.splitlines()[2:]
        states = sorted(" ".join(row.split()[:1] + re.findall(r"\bUp\b|\bExit \d+", row)) for row in rows)
        lines = [*states, *self.matrix()]
        if self.name == "shop":
            told = self.compose(
                "exec", "-T", "web", "sh", "-c", "echo welcome > /www/index.html; echo written; exit 3"
            )
            lines.append(f"exec tells {told.out.strip()} and {told.status}")
            fetched = subprocess.run(
                [*self.host, "curl", "-sS", "--max-time", "5", "http://127.0.0.1:18080/"],
                capture_output=True,
                text=True,
            )
            lines.append(f"the host fetches: {fetched.stdout.strip()}{fetched.stderr.strip()}")
        logs = self.compose("logs", "--no-color").out.splitlines()
        lines.append(f"logs attach to: {' '.join(sorted(logs[0].replace(',', '').split()[2:]))}")
        down = self.compose("down", "-v", "-t", "0")
        lines.append(f"down: {down.status}")
        left = self.client.docker("ps", "-aq").out + self.client.docker("volume", "ls", "-q").out
        left += self.client.docker("network", "ls", "-q", "-f", "type=custom").out
        lines.append(f"left: {left.strip()}")
        return "\n".join(lines) + "\n"


# A cable, with something at its other end that answers nobody.
CABLE = "ip link add lan0 type veth peer name lan1; ip link set lan1 up; ip link set lan0 up"


@pytest.fixture(scope="module")
def theirs() -> Iterator[tuple[Client, list[str]]]:
    why = peer.lacking()
    if why:
        pytest.skip(why)
    with peer.peer() as (client, side):
        side.ground.run("sh", "-ec", CABLE)
        yield client, side.ground.inside()


@pytest.fixture(scope="module")
def ours(shared: Ground) -> Iterator[tuple[Client, list[str]]]:
    peer.load_image(shared)
    inside = ["nsenter", f"--net=/run/netns/{shared.netns}"]
    subprocess.run([*inside, "sh", "-ec", CABLE], check=True)
    yield shared, inside
    subprocess.run([*inside, "ip", "link", "del", "lan0"], check=True)


@pytest.fixture(autouse=True)
def _compose() -> None:
    if not shutil.which("docker-compose"):
        pytest.skip("there is no docker-compose (sudo packaging/peer-setup)")


def expected(name: str) -> str:
    return (FILES / f"{name}.txt").read_text()


@pytest.mark.parametrize("name", ["shop", "fixed", "lan"])
def test_dockerd_says_what_is_kept(theirs: tuple[Client, list[str]], name: str) -> None:
    project = Project(theirs[0], name, theirs[1])
    project.up()
    assert project.page() == expected(name)


@pytest.mark.parametrize("name", ["shop", "fixed", "lan"])
def test_ours_says_what_dockerd_says(ours: tuple[Client, list[str]], name: str) -> None:
    project = Project(ours[0], name, ours[1])
    project.up()
    assert project.page() == expected(name)
