"""A daemon whose host is a namespace, asked over its socket; and everything that there is of it, as text."""

import difflib
import http.client
import json
import os
import re
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.patience import patient
from tests.root.dns_ground import Box
from tests.unix_http import UnixConnection

from bascule.model.errors import Failed

ROOT = Path(__file__).parents[2]
DEADLINE = patient(30.0)
# Older than the clients of today, and spoken by all of them.
API = "/v1.44"
GENERATED = ("hosts", "hostname", "resolv.conf")


Calling = Callable[[str], str]
Rows = Sequence[tuple[str, dict[str, Any]]]


def until(condition: Callable[[], bool], what: Callable[[], str] = lambda: "") -> None:
    """Return as soon as *condition* holds; fail after a while, with *what*."""
    end = time.monotonic() + DEADLINE
    nothing = select.poll()
    while not condition():
        assert time.monotonic() < end, what()
        nothing.poll(5)


@dataclass(frozen=True)
class Inside(Box):
    """A container's namespace, to be asked for names in."""

    path: str

    @property
    def key(self) -> str:
        return self.path


class Refused(Exception):
    """An answer of 400 and more, or none because the daemon ended."""


class DaemonGround:
    """One daemon at a time, in *directory* and a network namespace of that name.  It comes and goes; what it made
    stays until `close`."""

    def __init__(self, directory: Path, *flags: str, program: str = "bascule", netns: str = "") -> None:
        """*program* is the module to run; *netns* somebody else's namespace to live in."""
        self.directory = directory
        self.netns = netns or directory.name
        self.log: list[str] = []
        self.environment: Mapping[str, str] = {}
        """What else the next one is told in its environment."""
        self._own = not netns
        self._flags = flags
        self._words = ["bascule", "daemon"] if program == "bascule" else [program]
        self._daemon: subprocess.Popen[str] | None = None
        self._obeyed = threading.Event()
        directory.mkdir()
        if self._own:
            self.ip("netns", "add", self.netns)
            self.sh("ip link set lo up")

    # ---- the daemon

    def start(self) -> None:
        """It listens when this returns."""
        listening = threading.Event()
        self._daemon = self._begun()
        threading.Thread(target=self._read, args=(self._daemon, listening), daemon=True).start()
        assert listening.wait(DEADLINE), self.said()
        assert self.alive(), self.said()

    def tell(self, *flags: str) -> None:
        """The next one has these."""
        self._flags = flags

    def _begun(self) -> "subprocess.Popen[str]":
        paths = [f"--data-root={self.directory}/data", f"--exec-root={self.directory}/run"]
        return subprocess.Popen(
            [
                "nsenter",
                f"--net=/run/netns/{self.netns}",
                sys.executable,
                "-m",
                *self._words,
                *paths,
                f"--host=unix://{self.directory}/s",
                *self._flags,
            ],
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONPATH": f"{ROOT}/src:{ROOT}",
                "ORDERS": f"{self.directory}/orders",
                **self.environment,
            },
            stderr=subprocess.PIPE,
            text=True,
        )

    def _read(self, daemon: "subprocess.Popen[str]", listening: threading.Event) -> None:
        assert daemon.stderr
        with daemon.stderr as lines:
            for line in lines:
                self.log.append(line)
                if " listening " in line:
                    listening.set()
                if " obeyed " in line:
                    self._obeyed.set()
        listening.set()

    def said(self) -> str:
        """The last of what the daemons said."""
        return "".join(self.log[-40:])

    def count(self, words: str) -> int:
        """How many of their lines have *words* in them."""
        return sum(words in line for line in self.log)

    @property
    def pid(self) -> int:
        return self._daemon.pid if self._daemon else 0

    def alive(self) -> bool:
        return self._daemon is not None and self._daemon.poll() is None

    def stop(self) -> None:
        """It has ended by itself, as asked."""
        status = self._end(signal.SIGTERM)
        assert status == 0, self.said()

    def kill(self) -> None:
        """It has been ended as nothing can prevent."""
        self._end(signal.SIGKILL)

    def ended(self) -> None:
        """It has ended, whoever wanted that."""
        if self._daemon:
            self._daemon.wait(DEADLINE)
            self._daemon = None

    def _end(self, number: int) -> int:
        daemon, self._daemon = self._daemon, None
        assert daemon
        daemon.send_signal(number)
        return daemon.wait(DEADLINE)

    def reboot(self) -> None:
        """The machine's: nothing of the daemon is left but what is on its disk.  It is not started."""
        self.kill()
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        until(lambda: not self.processes(), lambda: str(self.processes()))
        for mount in self.mounts():
            self.sh(f"umount -l {mount}")
        shutil.rmtree(self.directory / "run")
        self.sh("nft flush ruleset; for l in $(ls /sys/class/net); do ip link del $l 2>/dev/null || true; done")

    def send(self, number: int) -> None:
        assert self._daemon
        self._daemon.send_signal(number)

    def arm(self, step: int) -> None:
        """It ends before its *step*-th step from now on; 0: it does not.  Or it has ended before it heard."""
        (self.directory / "orders").write_text(str(step))
        self._obeyed.clear()
        self.send(signal.SIGUSR1)
        until(lambda: self._obeyed.is_set() or not self.alive(), self.said)

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The answer's JSON.  Raises Refused."""
        connection = UnixConnection(f"{self.directory}/s", DEADLINE)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request(method, API + path, json.dumps(body or {}), headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException) as why:
            raise Refused(f"{method} {path}: no answer: {why!r}") from why
        finally:
            connection.close()
        if answer.status >= 400:
            raise Refused(f"{method} {path}: {answer.status} {text}{self.said() * (answer.status == 500)}")
        return json.loads(text) if text.strip() else None

    def run(self, name: str, network: str, *command: str, **more: Any) -> str:
        """The id of a container of the host's image that has been started; *more* is of its body."""
        host = {"NetworkMode": network, **more.pop("HostConfig", {})}
        body = {"Image": "host", "Cmd": list(command), "HostConfig": host, **more}
        ident = str(self.ask("POST", f"/containers/create?name={name}", body)["Id"])
        self.ask("POST", f"/containers/{ident}/start")
        return ident

    def sandbox(self, name: str) -> str:
        """The path of the running container's namespace."""
        return str(self.ask("GET", f"/containers/{name}/json")["NetworkSettings"]["SandboxKey"])

    def sweep(self) -> None:
        """No container and no network of a user's is left."""
        for container in self.ask("GET", "/containers/json?all=1"):
            self.ask("DELETE", f"/containers/{container['Id']}?force=1&v=1")
        self.ask("POST", "/networks/prune")

    def close(self) -> None:
        """Nothing is left, of whatever state the test left it in."""
        try:
            if not self.alive():
                self.start()
            self.sweep()
            self.stop()
        finally:
            if self._daemon:
                self.kill()
            for pid in self.processes():
                os.kill(pid, signal.SIGKILL)
            for mount in self.mounts():
                self.sh(f"umount -l {mount}")
            if self._own:
                self.ip("netns", "del", self.netns)
            shutil.rmtree(self.directory)

    # ---- what there is

    @staticmethod
    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    def sh(self, command: str, netns: str = "") -> str:
        """What a shell *command* prints, in the host's namespace or the one at the path *netns*."""
        place = netns or f"/run/netns/{self.netns}"
        done = subprocess.run(["nsenter", f"--net={place}", "sh", "-ec", command], capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def processes(self) -> dict[int, str]:
        """Those that have our directory among their words or live in our namespaces, but for the daemon."""
        spaces = {f"/run/netns/{self.netns}", *map(str, self.namespaces())} if self._own else set()
        inodes = {os.stat(path).st_ino for path in spaces}
        found = {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) == self.pid:
                continue
            try:
                words = Path(f"/proc/{entry}/cmdline").read_bytes()
                inode = os.stat(f"/proc/{entry}/ns/net").st_ino
            except OSError:
                # It ended while we looked.
                continue
            if words and (inode in inodes or os.fsencode(self.directory) + b"/" in words):
                found[int(entry)] = words.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
        return found

    def namespaces(self) -> list[Path]:
        return sorted((self.directory / "run" / "netns").glob("*"))

    def rules(self, called: Calling = str) -> str:
        """The rule set of the host's namespace; the elements of a set in order, which is not the kernel's."""

        def ordered(found: re.Match[str]) -> str:
            elements = (" ".join(word.split()) for word in found[1].split(","))
            return "elements = { " + ", ".join(sorted(elements)) + " }"

        tables = re.split(r"^(?=table )", called(self.sh("nft list ruleset")), flags=re.MULTILINE)
        return re.sub(r"elements = \{([^}]*)\}", ordered, "".join(sorted(tables)))

    def network_state(self, netns: str = "", called: Calling = str) -> str:
        """Links, addresses, routes and rules of one namespace, when nothing removed is still on its way out."""
        until(lambda: not self.alive() or ": gone-" not in self.sh("ip -o link", netns), self.said)
        links = [_link(link) for link in json.loads(self.sh("ip -j -d addr", netns))]
        # What the kernel adds by itself follows from the addresses, and later.
        routes = self.sh("ip route; ip -6 route; ip rule; ip -6 rule", netns).splitlines()
        ours = [" ".join(line.replace("linkdown", "").split()) for line in routes if not line.startswith("fe80")]
        return "\n".join(sorted(map(called, [*links, *ours])))

    def names(self, rows: Rows) -> Iterator[str]:
        """What each running container is told when it asks for any of the names that there are."""
        wanted = sorted({name for kind, body in rows if kind == "endpoint" for name in body["dns_names"]})
        for kind, body in rows:
            if kind == "sandbox":
                for name in wanted:
                    yield f"{body['name']} asks for {name}: {_answer(Inside(body['name'], body['key']), name)}"

    def rows(self) -> list[tuple[str, dict[str, Any]]]:
        """The store's objects by kind."""
        db = sqlite3.connect(f"file:{self.directory}/data/bascule.db?mode=ro", uri=True)
        try:
            return [
                (kind, json.loads(body)) for kind, body in db.execute("SELECT kind, body FROM object ORDER BY seq")
            ]
        finally:
            db.close()

    def mounts(self) -> list[str]:
        table = Path("/proc/self/mountinfo").read_text().splitlines()
        return sorted(line.split()[4] for line in table if f" {self.directory}/" in line)

    def files(self) -> list[str]:
        """What lies in our directories; inside a container's own only that it is there."""
        found = []
        for above, directories, names in os.walk(self.directory):
            place = Path(above).relative_to(self.directory)
            if place.name in ("upper", "work", "merged") or str(place) == "data/layers":
                directories[:] = []
                names = []
            found += [str(place / name) for name in (*directories, *names)]
        return sorted(name for name in found if not _passing(name))

    def groups(self) -> Iterator[str]:
        """The control groups of containers that we know, and have known."""
        for tree in sorted(Path("/sys/fs/cgroup").iterdir()):
            for ident in self._seen:
                if (tree / "bascule" / ident).exists():
                    yield f"{tree}/{ident}"

    _seen: frozenset[str] = frozenset()

    def summary(self) -> str:
        """Everything, with what differs from one time to the next (ids, MACs, times) called by its kind."""
        rows = self.rows()
        self._seen |= {body["id"] for kind, body in rows if kind == "container"}
        called = _calling(rows, str(self.directory))
        spaces = [f"namespace {path.name}\n{self.network_state(str(path))}" for path in self.namespaces()]
        living = [body["id"] for kind, body in rows if kind == "container" and body["state"]["status"] == "running"]
        own = [self.directory / "data/containers" / ident / name for ident in living for name in GENERATED]
        parts = {
            "store": [f"{kind} {body['id']} {key}: {json.dumps(body[key])}" for kind, body in rows for key in body],
            "namespaces": spaces,
            "names": self.names(rows),
            "mounts": self.mounts(),
            "processes": _without_idle(self.processes().values()),
            "groups": self.groups(),
            # A container's own files are written anew by each start.
            "files": [name for name in self.files() if Path(name).name not in (*GENERATED, "log")],
            "contents": [f"{path}\n{_text(path)}" for path in own],
        }
        pages = [["host", self.network_state(called=called)], ["rules", self.rules(called)]]
        pages += [[title, *sorted(map(called, lines))] for title, lines in parts.items()]
        return "\n".join(line for page in pages for line in page)


def compared(wanted: str, found: str) -> str:
    """The lines that differ."""
    return "\n".join(difflib.unified_diff(wanted.splitlines(), found.splitlines(), lineterm="", n=0))


def _link(link: Mapping[str, Any]) -> str:
    info = link.get("linkinfo", {})
    up = "up" if "UP" in link["flags"] else "down"
    words = [link["ifname"], info.get("info_kind", ""), up, f"mtu {link['mtu']}", link.get("master", "")]
    # A link-local address follows from the MAC, and comes when the kernel has looked for another.
    own = [f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"] if a["scope"] != "link"]
    return " ".join(["link", *words, *sorted(own)])


def _answer(asker: Box, name: str) -> str:
    try:
        return asker.ask(name)
    except (OSError, Failed) as why:
        # Nobody listens, or the namespace went while we asked.
        return str(why)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        # It went while we looked.
        return ""


def _without_idle(commands: Iterable[str]) -> Iterator[str]:
    """The processes for names and ports stay when nobody needs them any more; but there is one of each."""
    seen = set()
    for command in commands:
        found = re.search(r"bascule\.(dns|proxy)", command)
        if not found or found[0] in seen:
            yield command
        else:
            seen.add(found[0])


def _passing(name: str) -> bool:
    """What lies around as long as it likes: databases' logs, sockets and the log of a helper."""
    return name.startswith(("data/bascule.db", "run/resolver", "run/proxy", "run/bascule.pid")) or name in (
        "s",
        "orders",
    )


def _calling(rows: Rows, directory: str) -> Calling:
    """What differs from one time to the next (ids, MACs, times, numbers), called by its kind."""
    networks = {body["id"]: body["name"] for kind, body in rows if kind == "network"}
    names = {}
    for kind, body in rows:
        where = f" on {networks.get(body['network'])}" if kind == "endpoint" else ""
        names[body["id"][:7]] = f"<{kind} {body.get('name')}{where}>"

    def called(text: str) -> str:
        text = re.sub(r"[0-9a-f]{7,64}", lambda found: names.get(found[0][:7], found[0]), text)
        text = re.sub(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", "<mac>", text)
        text = re.sub(r"fe80::[0-9a-f:]+", "<link-local>", text)
        text = re.sub(r"\b\d{15,}\b", "<time>", text)
        return re.sub(r'("pid": )[1-9]\d*', r"\1<pid>", text).replace(directory, "DIR")

    return called
