"""Three hosts on one machine: grounds on one wire, each with a daemon of its own.  A host may lose its power."""

import json
import os
import shutil
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.ground import Ground
from bench.sides import Side

from demo.terminal import Said, Terminal

NAMES = ("one", "two", "three")
UNPACKED = Path(__file__).parents[1] / ".etcd/usr/bin/etcd"
"""Where packaging/etcd-setup has Debian's; where there is none, the one on PATH is meant."""
# A host that dies is noticed, and given up, sooner than one has time for in a demonstration.
_FLAGS = ("--cluster-lease", "4", "--cluster-grace", "3")


def address(name: str) -> str:
    """RFC 5737: addresses for documentation."""
    return f"198.51.100.{NAMES.index(name) + 1}"


@dataclass
class Hosts:
    """*sides* by name, on *wire*; all of it is gone when *keep* closes."""

    place: Path
    mark: str
    keep: ExitStack
    sides: dict[str, Side] = field(default_factory=dict)
    terminal: Terminal = field(init=False)
    _cables: int = 0

    def __post_init__(self) -> None:
        self.wire = self.keep.enter_context(Ground())
        self.wire.run("ip", "link", "add", "wire", "up", "type", "bridge")
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.terminal = Terminal(self.wire, {**os.environ, "PATH": path})
        for name in NAMES:
            self.sides[name] = Side("bascule", self.place / name, _daemon, (), ("bascule",), self.mark)
            self.keep.callback(self.sides[name].close)
            self._tie(name)
            self.sides[name].start()

    def _tie(self, name: str) -> None:
        """The host has a cable, lan0, and its address."""
        ground = self.sides[name].ground
        self._cables += 1
        end = f"to-{name}{self._cables}"
        self.wire.run(
            *("ip", "link", "add", end, "up", "master", "wire", "type", "veth"),
            *("peer", "name", "lan0", "netns", str(ground.pid)),
        )
        ground.run("ip", "addr", "add", f"{address(name)}/24", "dev", "lan0")
        ground.run("ip", "link", "set", "lan0", "up")

    def start(self, name: str) -> None:
        """A daemon in the place of one that has ended."""
        self.sides[name].pid = 0
        self.sides[name].start()

    def etcd(self, name: str) -> int:
        """The host's member of the store, a process."""
        return int(json.loads((self.sides[name].place / "exec/etcd.json").read_text())["pid"])

    def power_off(self, name: str) -> None:
        """Nothing of the host runs any more, and its cable is dead: as when somebody pulls the plug."""
        self.sides[name].close()

    def power_on(self, name: str) -> None:
        """It boots: what was on its disk is there, what was in /run is not."""
        side = self.sides[name]
        shutil.rmtree(side.place / "exec")
        (side.place / "pid").unlink(missing_ok=True)
        side.ground = Ground(side.masks)
        self._tie(name)
        side.start()

    # ---- typing

    def on(self, name: str, line: str, *, quiet: bool = False) -> Said:
        """Type *line* on a host."""
        side = self.sides[name]
        env = {"BASCULE_HOST": side.host}
        return self.terminal.type(line, at=side.ground, who=name, quiet=quiet, env=env)

    def watch(self, name: str, line: str, *words: str, without: str = "") -> bool:
        """Whether what *line* says on a host has all *words* in it, and not *without*, before patience ends."""
        side = self.sides[name]

        def holds(said: Said) -> bool:
            return (
                said.well and all(word in said.text for word in words) and (not without or without not in said.text)
            )

        return holds(self.terminal.watch(line, holds, at=side.ground, who=name, env={"BASCULE_HOST": side.host}))


def _daemon(place: Path) -> list[str]:
    program = str(Path(sys.executable).with_name("bascule"))
    own = ("--data-root", f"{place}/data", "--exec-root", f"{place}/exec", "--pidfile", f"{place}/pid")
    etcd = ("--etcd", str(UNPACKED)) if UNPACKED.exists() else ()
    return [program, "daemon", *own, "--host", f"unix://{place}/s", *_FLAGS, *etcd]
