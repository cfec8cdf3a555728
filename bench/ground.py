"""Ground to stand on: a "host" made of namespaces, and the proof that the real one is as it was found."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from bench.warden import offspring

WARDEN = Path(__file__).with_name("warden.py")
CGROUPS = Path("/sys/fs/cgroup")


class Ground:
    """A host of its own: network and mount namespaces, and processes in them, none of which outlives it.

    Links and routes made in it, mounts made by its processes and everything they left running are gone when
    `close` returns, and also when our own process is killed.
    """

    def __init__(self, masks: Sequence[str] = ()) -> None:
        # A place a mount can cover must be there; what we made is taken away again.
        self._made = [path for path in masks if not Path(path).exists()]
        for path in self._made:
            Path(path).mkdir()
        self._warden = subprocess.Popen(
            [sys.executable, "-I", str(WARDEN), *masks],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.pid = int(self._answer()["pid"])

    @property
    def net(self) -> str:
        """Its network namespace, as a path."""
        return f"/proc/{self.pid}/ns/net"

    def inside(self, *argv: str) -> list[str]:
        """The command line that runs *argv* in its network namespace."""
        return ["nsenter", f"--net={self.net}", *argv]

    def run(self, *argv: str) -> str:
        return subprocess.run(self.inside(*argv), check=True, capture_output=True, text=True).stdout

    def start(self, argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> int:
        """A process of the ground, detached; its pid."""
        return int(self._ask({"start": list(argv), "log": str(log), "env": dict(env or os.environ)})["pid"])

    def stop(self, pid: int, within: float = 30.0) -> int:
        """End a process that `start` gave: SIGTERM, and SIGKILL if it is still there after *within* seconds."""
        return int(self._ask({"stop": pid, "within": within})["code"])

    def processes(self) -> list[int]:
        """Everything that runs on it, containers included."""
        return offspring(self.pid)

    def close(self) -> None:
        if self._warden.stdin and not self._warden.stdin.closed:
            self._warden.stdin.close()
        self._warden.wait()
        if self._warden.stdout:
            self._warden.stdout.close()
        for path in self._made:
            if Path(path).exists():
                Path(path).rmdir()

    def __enter__(self) -> "Ground":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, request: dict[str, object]) -> dict[str, int]:
        assert self._warden.stdin
        self._warden.stdin.write(json.dumps(request) + "\n")
        self._warden.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, int]:
        assert self._warden.stdout
        line = self._warden.stdout.readline()
        if not line:
            raise OSError("the ground's warden died")
        answer: dict[str, int] = json.loads(line)
        if "error" in answer:
            raise OSError(answer["error"])
        return answer


def tie(one: Ground, address: str, other: Ground, peer: str, link: str = "lan0") -> None:
    """A cable between two grounds, *address* and *peer* (with prefix) at its ends."""
    one.run("ip", "link", "add", link, "type", "veth", "peer", "name", link, "netns", str(other.pid))
    for ground, own in ((one, address), (other, peer)):
        ground.run("ip", "addr", "add", own, "dev", link)
        ground.run("ip", "link", "set", link, "up")


def services(ground: Ground) -> list[int]:
    """The ground's processes that are not a container's: those of the host's own process namespace."""
    own = os.readlink("/proc/self/ns/pid")
    found = []
    for pid in ground.processes():
        try:
            if os.readlink(f"/proc/{pid}/ns/pid") == own:
                found.append(pid)
        except OSError:  # It ended.
            continue
    return found


@dataclass(frozen=True, slots=True)
class Memory:
    """Of several processes together, in MB: resident, and with shared pages divided among their users."""

    rss: float
    pss: float
    processes: int


def memory(pids: Sequence[int]) -> Memory:
    rss = pss = 0
    count = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:  # It ended.
            continue
        numbers = dict(re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE))
        rss += int(numbers["Rss"])
        pss += int(numbers["Pss"])
        count += 1
    return Memory(rss / 1024, pss / 1024, count)


# What moves by itself while nothing of ours happens.
RESTLESS = re.compile(r"count|nf_conntrack_(buckets|max)|random|_max_age|neigh\.\S+\.gc|ifb\d|entropy")


def changed(what: str, before: set[str], now: set[str]) -> list[str]:
    """What of the rows before is gone and what is new, a line each.  A sysctl that was not there at all came with a
    module that somebody needed (conntrack, on a machine that has not translated yet), and is no change of one."""
    gone, come = before - now, now - before
    if what == "sysctl":
        there = {row.partition(" = ")[0] for row in before}
        come = {row for row in come if row.partition(" = ")[0] in there}
    return [f"{what}: gone: {row}" for row in sorted(gone)] + [f"{what}: new: {row}" for row in sorted(come)]


class Found:
    """The machine as it was found: links, routes, rules, sysctls of its network, mounts and cgroups."""

    def __init__(self) -> None:
        self._state = self._look()
        self._cgroups = self._groups()

    def differences(self, marks: Sequence[str]) -> list[str]:
        """What is not as it was.  Of mounts and cgroups only those with one of *marks* in their path count:
        others live on this machine too."""
        wrong = []
        now = self._look()
        for what, before in self._state.items():
            wrong += changed(what, before, now[what])
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        wrong += [f"mount: {line}" for line in mounts if any(mark in line for mark in marks)]
        new = self._groups() - self._cgroups
        return wrong + [f"cgroup: {path}" for path in sorted(new) if any(mark in path for mark in marks)]

    def take_cgroups(self, marks: Sequence[str]) -> None:
        """Remove the empty control groups that are new and have one of *marks* in their path."""
        for path in sorted(self._groups() - self._cgroups, key=len, reverse=True):
            if any(mark in path for mark in marks):
                os.rmdir(path)

    @staticmethod
    def _look() -> dict[str, set[str]]:
        asked = {
            "link": "ip -br -d link",
            "address": "ip -br addr",
            "route": "ip route show table all",
            "route6": "ip -6 route show table all",
            "policy": "ip rule",
            "neighbour": "ip neigh show nud permanent",
            "rule": "nft -s list ruleset",
            "sysctl": "sysctl -a --pattern ^net",
        }
        state = {}
        for what, line in asked.items():
            text = subprocess.run(line.split(), capture_output=True, text=True).stdout
            state[what] = {row for row in text.splitlines() if not RESTLESS.search(row)}
        return state

    @staticmethod
    def _groups() -> set[str]:
        return {place for place, _, _ in os.walk(CGROUPS)}


def workplace() -> Path:
    """A new directory, below TMPDIR; that must be short, because a Unix socket's path may have 107 characters."""
    return Path(tempfile.mkdtemp(prefix="bascule-bench-"))


def clear(place: Path) -> None:
    """Take a workplace away, with what is in it; loud if something in it is still mounted."""
    shutil.rmtree(place)
