"""Several hosts on one wire, as namespaces; and containers' namespaces beside them.

wire (a bridge) --- eth0 of one, two, three: 192.0.2.1 .. 3 and 2001:db8::1 .. 3
"""

import itertools
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.root.firewall_world import inside

from bascule.kernel.linux import LinuxKernel
from bascule.model.addresses import IPAddress, ip_address

_count = itertools.count(1)


class Wire:
    """*names* are hosts, each with eth0 on the same wire, numbered from 1."""

    def __init__(self, *names: str, mtu: int = 1500) -> None:
        self.name = f"o{os.getpid()}-{next(_count)}"
        self.names = names
        self.directory = Path(f"/run/bascule-{self.name}")
        self.directory.mkdir()
        self._spaces: list[str] = []
        self._kernels: dict[str, LinuxKernel] = {}
        try:
            self.namespace("wire")
            self.ip("wire", "link add wire mtu 9000 up type bridge")
            for number, name in enumerate(names, 1):
                self.namespace(name)
                self.ip("wire", f"link add {name} up master wire type veth peer name eth0 netns {self.ns(name)}")
                self.ip(name, f"link set eth0 mtu {mtu} up", f"addr add 192.0.2.{number}/24 dev eth0")
                self.ip(name, f"-6 addr add 2001:db8::{number}/64 dev eth0 nodad")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        for kernel in self._kernels.values():
            kernel.close()
        for who in self._spaces:
            subprocess.run(["ip", "netns", "del", self.ns(who)], check=False, capture_output=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def ns(self, who: str) -> str:
        """The name of *who*'s namespace."""
        return f"{self.name}-{who}"

    def path(self, who: str) -> str:
        return f"/run/netns/{self.ns(who)}"

    def namespace(self, who: str) -> str:
        """A namespace for *who*, with loopback; its path."""
        subprocess.run(["ip", "netns", "add", self.ns(who)], check=True)
        self._spaces.append(who)
        # No link-local addresses: they would be tentative for two seconds.
        self.sh(who, "echo 1 > /proc/sys/net/ipv6/conf/default/addr_gen_mode")
        self.ip(who, "link set lo up")
        return self.path(who)

    def ip(self, who: str, *lines: str) -> None:
        self.sh(who, "\n".join(f"ip {line}" for line in lines))

    def sh(self, who: str, command: str) -> str:
        """What a shell *command* prints in *who*'s namespace.  Fails if it fails."""
        done = subprocess.run(
            ["nsenter", f"--net={self.path(who)}", "sh", "-ec", command], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, f"{who}: {command}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def address(self, who: str, version: int = 4) -> IPAddress:
        number = self.names.index(who) + 1
        return ip_address(f"192.0.2.{number}" if version == 4 else f"2001:db8::{number}")

    def kernel(self, who: str) -> LinuxKernel:
        """The kernel whose home is *who*; it is closed with the wire."""
        if who not in self._kernels:
            make = lambda: LinuxKernel(namespaces=str(self.directory / "netns"))  # noqa: E731
            self._kernels[who] = inside(self.ns(who), make)
        return self._kernels[who]


def ping(path: str, to: IPAddress, *, size: int = 56, count: int = 1, seconds: int = 2) -> str:
    """How many of *count* echo requests of *size* bytes, which must not be fragmented, were answered: "1/1"."""
    words: Sequence[str] = ("ping", "-n", "-q", "-M", "do", "-i", "0.01", "-c", str(count), "-s", str(size))
    done = subprocess.run(
        ["nsenter", f"--net={path}", *words, "-W", str(seconds), str(to)], capture_output=True, text=True
    )
    line = next((line for line in done.stdout.splitlines() if "transmitted" in line), done.stderr.strip())
    sent, _, rest = line.partition(" packets transmitted, ")
    return f"{rest.partition(' ')[0]}/{sent}" if rest else line
