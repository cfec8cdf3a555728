"""`python -m demo.cluster`: three hosts on one machine become one, told and checked line by line; then the machine
is as it was.

    one 192.0.2.1 ---+
    two 192.0.2.2 ---+--- a wire, and etcd on it (192.0.2.100)
    three 192.0.2.3 -+
"""

import os
import shutil
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

from bench.client import wait_until_answers
from bench.ground import Found, Ground, clear, workplace
from bench.sides import Side

from demo.terminal import Said, Terminal

HOSTS = ("one", "two", "three")
UNPACKED = Path(__file__).parents[1] / ".etcd/usr/bin/etcd"
ETCD = str(UNPACKED) if UNPACKED.exists() else shutil.which("etcd") or ""
STORE = "192.0.2.100"
URL = f"http://{STORE}:2379"
PING = "ping -q -c 1 -W 2"
LOOK = "until {}; do :; done"


class Hosts:
    """The three, each with a daemon; what is typed on one of them has its name at the prompt."""

    def __init__(self, place: Path, mark: str, keep: ExitStack) -> None:
        self.place = place
        self.wire = keep.enter_context(Ground())
        self.wire.run("ip", "link", "add", "wire", "up", "type", "bridge")
        self.wire.run("ip", "addr", "add", f"{STORE}/24", "dev", "wire")
        self.sides = {name: Side("bascule", place / name, daemon, mark=mark) for name in HOSTS}
        self.claims: list[tuple[str, bool]] = []
        self.terminals: dict[str, Terminal] = {}
        for number, (name, side) in enumerate(self.sides.items(), 1):
            keep.callback(side.close)
            self._tie(name, number)
            path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
            terminal = Terminal(side.ground, {**os.environ, "PATH": path, "BASCULE_HOST": side.host})
            terminal.claims = self.claims
            self.terminals[name] = terminal
        self.store = 0

    def _tie(self, name: str, number: int) -> None:
        ground = self.sides[name].ground
        self.wire.run(
            *("ip", "link", "add", name, "up", "master", "wire", "type", "veth"),
            *("peer", "name", "eth0", "netns", str(ground.pid)),
        )
        ground.run("ip", "addr", "add", f"192.0.2.{number}/24", "dev", "eth0")
        ground.run("ip", "link", "set", "eth0", "up")

    def start_store(self) -> None:
        peer = f"http://{STORE}:2380"
        words = ("--name", "etcd", "--data-dir", str(self.place / "etcd"), "--logger", "zap")
        urls = ("--listen-client-urls", URL, "--advertise-client-urls", URL, "--listen-peer-urls", peer)
        first = ("--initial-advertise-peer-urls", peer, "--initial-cluster", f"etcd={peer}")
        argv = self.wire.inside(ETCD, *words, *urls, *first)
        self.store = self.wire.start(argv, self.place / "etcd.log")

    def on(self, host: str, line: str, *, quiet: bool = False) -> Said:
        """Type *line* on a host."""
        return self.terminals[host].type(line, who=host, quiet=quiet)

    def title(self, text: str) -> None:
        self.terminals["one"].title(text)

    def note(self, text: str) -> None:
        self.terminals["one"].note(text)

    def claim(self, text: str, true: bool) -> None:
        self.terminals["one"].claim(text, true)


def daemon(place: Path) -> list[str]:
    program = str(Path(sys.executable).with_name("bascule"))
    own = ("--data-root", f"{place}/data", "--exec-root", f"{place}/exec", "--pidfile", f"{place}/pid")
    # So short that one need not wait for what takes a minute elsewhere.
    quick = ("--cluster-lease", "2", "--cluster-grace", "1")
    return [program, "daemon", *own, *quick, "--host", f"unix://{place}/s"]


# ---- scenes


def found(hosts: Hosts) -> None:
    hosts.title("1. Three hosts become one")
    hosts.note(f"etcd runs at {URL}, as it might anywhere that all of them reach.")
    made = hosts.on("one", f"bascule cluster init --store {URL} --address 192.0.2.1 --name one")
    joined = [
        hosts.on(name, f"bascule cluster join --store {URL} --address 192.0.2.{number} --name {name}")
        for number, name in ((2, "two"), (3, "three"))
    ]
    hosts.on("three", LOOK.format("[ $(bascule cluster ls | grep -c ready) = 3 ]"), quiet=True)
    listed = hosts.on("three", "bascule cluster ls")
    states = [line.split()[1:4:2] for line in listed.text.splitlines()[1:]]
    hosts.claim(
        "one host founds a cluster, two join, and each sees all three",
        made.well
        and all(j.well for j in joined)
        and states == [["one", "ready"], ["three", "ready"], ["two", "ready"]],
    )


def network(hosts: Hosts) -> None:
    hosts.title("2. A network of all of them")
    made = hosts.on("one", "bascule network create --driver overlay --attachable --ipv6 app")
    hosts.on("three", LOOK.format("bascule network ls --format '{{.Name}}' | grep -q '^app$'"), quiet=True)
    listed = hosts.on("three", "bascule network ls --filter driver=overlay")
    hosts.claim("a network made on one host is there on every other", made.well and "global" in listed.text)
    hosts.on("one", "bascule run -d --name web --network app host sleep 1000000")
    hosts.on("two", "bascule run -d --name box --network app host sleep 1000000")
    hosts.on("one", LOOK.format("bascule exec web getent hosts box >/dev/null"), quiet=True)
    there = hosts.on("two", f"bascule exec box {PING} web")
    back = hosts.on("one", f"bascule exec web {PING} -6 box")
    hosts.claim("containers on two hosts reach each other by name, in IPv4 and IPv6", there.well and back.well)
    whole = hosts.on("two", f"bascule exec box {PING} -4 -M do -s 1422 web")
    hosts.claim("with packets of full size that must not be cut", whole.well)
    links = hosts.on("three", "ip -o link | grep -c vx-")
    hosts.claim("a host with no container on it has nothing of it in its kernel", links.text == "0")
    hosts.on("two", "bascule network inspect app --format '{{json .Peers}}'")


def apart(hosts: Hosts) -> None:
    hosts.title("3. Another network is another world")
    hosts.on("three", "bascule network create --driver overlay other")
    hosts.on("three", "bascule run -d --name far --network other host sleep 1000000")
    line = "inspect -f '{{(index .NetworkSettings.Networks \"app\").IPAddress}}' web"
    address = hosts.on("one", f"bascule {line}").text
    named = hosts.on("three", f"bascule exec far {PING} web")
    numbered = hosts.on("three", f"bascule exec far {PING} {address}")
    hosts.claim("who is on another network finds no name of this one", named.unanswered)
    hosts.claim("and does not reach its address", bool(address) and numbered.unanswered)


def killed(hosts: Hosts) -> None:
    hosts.title("4. A daemon is killed")
    side = hosts.sides["one"]
    hosts.on("one", f"kill -9 $(cat {side.place}/pid)")
    side.pid = 0
    still = hosts.on("two", f"bascule exec box {PING} -i 0.01 -c 100 web")
    hosts.claim("its containers are reached as if nothing were", still.well and " 0% packet loss" in still.text)
    side.start()
    again = hosts.on("one", f"bascule exec web {PING} box")
    hosts.claim("and the next one finds them again", again.well)


def without_store(hosts: Hosts) -> None:
    hosts.title("5. etcd is gone")
    hosts.wire.stop(hosts.store)
    hosts.note("etcd was stopped.")
    more = hosts.on("two", "bascule run -d --name more --network app host sleep 1000000")
    here = hosts.on("two", f"bascule exec more {PING} box")
    there = hosts.on("two", f"bascule exec more {PING} web")
    hosts.claim("a host starts one more container on a network that it is on", more.well and here.well)
    hosts.claim("which nobody else can be told of", there.unanswered)
    old = hosts.on("two", f"bascule exec box {PING} web")
    hosts.claim("who was there goes on talking", old.well)
    hosts.start_store()
    hosts.note("etcd runs again.")
    hosts.on("one", LOOK.format("bascule exec web getent hosts more >/dev/null"), quiet=True)
    now = hosts.on("two", f"bascule exec more {PING} web")
    hosts.claim("when it is back, they are told", now.well)


def vanished(hosts: Hosts) -> None:
    hosts.title("6. A host vanishes, and comes back")
    hosts.wire.run("ip", "link", "set", "two", "down")
    hosts.note("Somebody pulled the cable of host two.")
    hosts.on("one", LOOK.format("bascule cluster inspect -f '{{.State}}' two | grep -q down"), quiet=True)
    hosts.on("one", "bascule cluster ls")
    hosts.on("one", LOOK.format("! bascule exec web getent hosts box >/dev/null"), quiet=True)
    gone = hosts.on("one", f"bascule exec web {PING} box")
    hosts.claim("after a while its containers are found no more", gone.unanswered)
    hosts.wire.run("ip", "link", "set", "two", "up")
    hosts.note("The cable is back.")
    hosts.on("one", LOOK.format("bascule exec web getent hosts box >/dev/null"), quiet=True)
    # The wire's own neighbours have to find each other again, too.
    back = hosts.on("one", f"bascule exec web {PING} -c 5 -i 0.3 box")
    hosts.claim("and when it is back, they are", back.well)


def verified(hosts: Hosts) -> None:
    hosts.title("7. Is anything stale or missing?")
    said = []
    for name in HOSTS:
        hosts.on(name, LOOK.format("bascule cluster verify >/dev/null"), quiet=True)
        said.append(hosts.on(name, "bascule cluster verify"))
    hosts.claim("nothing, on any of them", all(s.well and not s.text for s in said))


def left(hosts: Hosts) -> None:
    hosts.title("8. And away again")
    for name, boxes in (("one", "web"), ("two", "box more"), ("three", "far")):
        hosts.on(name, f"bascule rm -f {boxes}")
    gone = [hosts.on("one", f"bascule network rm {name}") for name in ("app", "other")]
    parted = [hosts.on(name, "bascule cluster leave") for name in HOSTS]
    links = [hosts.on(name, "ip -o link | grep -c 'vx-\\|br-'", quiet=True).text for name in HOSTS]
    hosts.claim("networks go, hosts leave", all(s.well for s in (*gone, *parted)))
    hosts.claim("and nothing of it is left in their kernels but the way out", all(int(n) <= 1 for n in links))


SCENES = (found, network, apart, killed, without_store, vanished, verified, left)


def tell(place: Path, mark: str, marks: list[str], keep: ExitStack) -> Terminal:
    hosts = Hosts(place, mark, keep)
    hosts.start_store()
    for side in hosts.sides.values():
        side.start()
        wait_until_answers(str(side.place / "s"))
    try:
        for act in SCENES:
            act(hosts)
    finally:
        for side in hosts.sides.values():
            marks += side.known_containers()
    return hosts.terminals["one"]


def main() -> int:
    if os.geteuid() != 0:
        sys.exit("demo: it makes namespaces: run as root (sudo make demo-cluster)")
    if not ETCD:
        sys.exit("demo: it needs etcd (packaging/etcd-setup)")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    before, place, mark = Found(), workplace(), f"demo-{os.getpid()}"
    marks = [mark, str(place)]
    terminal = None
    try:
        with ExitStack() as keep:
            terminal = tell(place, mark, marks, keep)
    except KeyboardInterrupt:
        print("\ninterrupted: everything is taken away again", flush=True)
    finally:
        before.take_cgroups(marks)
        clear(place)
    different = before.differences(marks)
    for line in different:
        print(line)
    if terminal is None:
        return 130
    terminal.claim(
        "the machine is as it was found: links, routes, rules, sysctls, mounts, control groups", not different
    )
    return 0 if terminal.sum_up() else 1


if __name__ == "__main__":
    sys.exit(main())
