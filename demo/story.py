"""The demonstration, a function a scene.  Each leaves behind what the later ones build on, and states its
claims."""

import json
from dataclasses import dataclass

from bench.ground import Ground

from demo.picture import draw
from demo.terminal import Said, Terminal

OUTSIDE = "198.51.100.2"
"""The neighbour's address; the host's is .1 (RFC 5737: addresses for documentation)."""
HOST_OUTSIDE = "198.51.100.1"
SERVE = "mkdir -p /tmp/www; echo hello from $HOSTNAME >/tmp/www/index.html; exec busybox httpd -f -p 80 -h /tmp/www"
FETCH = "curl -sS --max-time 5 --retry 5 --retry-connrefused"
PING = "ping -q -c 1 -W 1"
LINKS = "ip -o link | cut -d: -f2 | cut -d@ -f1"


@dataclass(frozen=True, slots=True)
class Scene:
    """A terminal on the host, its neighbour, and the command line under test (`bascule`)."""

    terminal: Terminal
    neighbour: Ground
    cli: str

    def do(self, line: str) -> Said:
        """Type a line of the command line under test."""
        return self.terminal.type(f"{self.cli} {line}")

    def address(self, container: str, network: str) -> str:
        """A container's address, asked without showing it."""
        line = f"inspect -f '{{{{(index .NetworkSettings.Networks \"{network}\").IPAddress}}}}' {container}"
        return self.do(line).text.strip()


def defaults(scene: Scene) -> None:
    scene.terminal.title("1. The three networks that are always there")
    listed = scene.do("network ls")
    rows = [line.split()[1:] for line in listed.text.splitlines()[1:]]
    scene.terminal.claim(
        "there are three networks from the start: bridge, host, none",
        sorted(rows) == [["bridge", "bridge", "local"], ["host", "host", "local"], ["none", "null", "local"]],
    )
    scene.terminal.claim("a default network can't be removed", not scene.do("network rm bridge").well)


def dry_run(scene: Scene) -> None:
    scene.terminal.title("2. What would it do?")
    told = scene.do("network create --dry-run app")
    known = scene.do("network ls -q --filter name=app")
    links = scene.terminal.type("ip -br link")
    scene.terminal.claim(
        "--dry-run prints the ip and nft lines of a command and changes nothing",
        told.well and "type bridge" in told.text and known.well and not known.text and "br-" not in links.text,
    )


def by_name(scene: Scene) -> None:
    scene.terminal.title("3. A network, and containers that find each other by name")
    made = scene.do("network create app")
    web = scene.do(f"run -d --name web --hostname web --network app host sh -c '{SERVE}'")
    scene.do("run -d --name box --network app host sleep 1000000")
    scene.terminal.claim("a user's network is created and containers are started on it", made.well and web.well)
    there = scene.do(f"exec box {PING} web")
    back = scene.do(f"exec web {PING} box")
    scene.terminal.claim("two containers on one network reach each other by name", there.well and back.well)
    alone = scene.do(f"run --rm --network app host {PING} web")
    left = scene.do("ps -a --format '{{.Names}}'")
    scene.terminal.claim(
        "`run --rm` gives a third one that does, and leaves nothing",
        alone.well and sorted(left.text.split()) == ["box", "web"],
    )


def apart(scene: Scene) -> None:
    scene.terminal.title("4. Another network is another world")
    scene.do("network create other")
    scene.do("run -d --name far --network other host sleep 1000000")
    web = scene.address("web", "app")
    named = scene.do(f"exec far {PING} web")
    numbered = scene.do(f"exec far {PING} {web}")
    scene.terminal.claim("a container on another network finds no name of this one", named.unanswered)
    scene.terminal.claim("and does not reach its address either", bool(web) and numbered.unanswered)


def connect(scene: Scene) -> None:
    scene.terminal.title("5. Until it is connected")
    done = scene.do("network connect app far")
    reached = scene.do(f"exec far {PING} web")
    scene.terminal.claim("connected while it runs, it reaches them by name", done.well and reached.well)
    scene.do("network disconnect app far")
    lost = scene.do(f"exec far {PING} web")
    scene.terminal.claim("disconnected, it does not", lost.unanswered)
    scene.do("network connect app far")


def publish(scene: Scene) -> None:
    scene.terminal.title("6. A published port")
    scene.do(f"run -d --name shop --hostname shop --network app -p 8080:80 host sh -c '{SERVE}'")
    scene.do("port shop")
    local = scene.terminal.type(f"{FETCH} http://127.0.0.1:8080/")
    scene.terminal.claim("the host fetches a published port by 127.0.0.1", local.text == "hello from shop")
    outside = scene.terminal.type(f"{FETCH} http://{HOST_OUTSIDE}:8080/", at=scene.neighbour, who="neighbour")
    scene.terminal.claim(
        "a neighbour of the host fetches it by the host's address", outside.text == "hello from shop"
    )
    taken = scene.do("run --rm --network app -p 8080:80 host true")
    scene.terminal.claim(
        "a second container for the same port is refused",
        not taken.well and "port is already allocated" in taken.text,
    )


def host_and_none(scene: Scene) -> None:
    scene.terminal.title("7. The host's own network, and none at all")
    own = scene.terminal.type(LINKS)
    shared = scene.do(f"run --rm --network host host {LINKS}")
    scene.terminal.claim("on `host`, a container sees the host's links", bool(own.text) and own.text == shared.text)
    none = scene.do(f"run --rm --network none host {LINKS}")
    scene.terminal.claim("on `none`, it has its loopback and no more", none.well and none.text.split() == ["lo"])


def internal(scene: Scene) -> None:
    scene.terminal.title("8. A network without a way out")
    out = scene.do(f"exec web {PING} {OUTSIDE}")
    scene.terminal.claim("from an ordinary network the world outside is reached", out.well)
    scene.do("network create --internal vault")
    scene.do("run -d --name safe --network vault host sleep 1000000")
    scene.do("run -d --name gold --network vault host sleep 1000000")
    inside = scene.do(f"exec safe {PING} gold")
    kept = scene.do(f"exec safe {PING} {OUTSIDE}")
    scene.terminal.claim("on an internal one containers reach each other", inside.well)
    scene.terminal.claim("and nothing outside", kept.unanswered)


def picture(scene: Scene) -> None:
    scene.terminal.title("9. What is connected to what")
    said = scene.terminal.type(f"{scene.cli} network inspect bridge app other vault", quiet=True)
    networks = json.loads(said.text) if said.well else []
    scene.terminal.show(draw(networks))
    homes = {
        network["Name"]: sorted(place["Name"] for place in (network["Containers"] or {}).values())
        for network in networks
    }
    wanted = {"bridge": [], "app": ["box", "far", "shop", "web"], "other": ["far"], "vault": ["gold", "safe"]}
    scene.terminal.claim("`network inspect` tells who is where", homes == wanted)


def remove(scene: Scene) -> None:
    scene.terminal.title("10. And all of it away again")
    scene.do("rm -f web box far shop safe gold")
    scene.do("network rm app other vault")
    scene.terminal.note("The kernel deletes links slowly; nobody waits for it, and here we give it a second.")
    left = scene.terminal.type("sleep 1; ip -br link | grep -v -e ^lo -e ^lan0")
    listed = scene.do("network ls -q")
    gone = len(left.text.splitlines()) == 1
    scene.terminal.claim("removed means removed: of links, the default bridge is left", gone)
    scene.terminal.claim("three networks are left", len(listed.text.split()) == 3)


SCENES = (defaults, dry_run, by_name, apart, connect, publish, host_and_none, internal, picture, remove)
