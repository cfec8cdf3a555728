"""macvlan on both engines: who reaches whom through a switch, in each mode, told as text.

    machine 10.213.0.200 --- switch --- lan0 10.213.0.100, the host, parent of the containers' links

The page is what the kernel's documentation says (Documentation/networking, ip-link(8)): containers of a bridge see
each other; in private and vepa they do not (the switch does not send frames back where they came from); all see the
machine; none sees its own host.
"""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.clients import peer
from tests.clients.conftest import Client, Ground

MODES = ("bridge", "private", "vepa", "passthru")
PAGE = """\
bridge: one reaches two: yes
bridge: one reaches machine: yes
bridge: one reaches host: no
bridge: machine reaches one: yes
bridge: machine reaches two: yes
bridge: host reaches one: no
private: one reaches two: no
private: one reaches machine: yes
private: one reaches host: no
private: machine reaches one: yes
private: machine reaches two: yes
private: host reaches one: no
vepa: one reaches two: no
vepa: one reaches machine: yes
vepa: one reaches host: no
vepa: machine reaches one: yes
vepa: machine reaches two: yes
vepa: host reaches one: no
passthru: one reaches machine: yes
passthru: one reaches host: no
passthru: machine reaches one: yes
passthru: host reaches one: no
"""
AT = {"one": "10.213.0.10", "two": "10.213.0.20", "machine": "10.213.0.200", "host": "10.213.0.100"}
# IPv6 as well: the same links, other addresses.
AT6 = {"one": "fd13::10", "two": "fd13::20", "machine": "fd13::200", "host": "fd13::100"}


class Segment:
    """A switch and a machine on it, in namespaces of their own, and the cable to the host at *host*."""

    def __init__(self, client: Client, host: str) -> None:
        self.client = client
        self.host = host
        self.names = [f"bseg{os.getpid()}-{what}" for what in ("switch", "machine")]
        switch, machine = self.names
        for name in self.names:
            subprocess.run(["ip", "netns", "add", name], check=True)
        self.at(switch, "ip link add sw0 type bridge; ip link set sw0 up")
        for port, link, other in (("p1", "lan0", host), ("p2", "eth0", f"/run/netns/{machine}")):
            self.at(switch, f"ip link add {port} master sw0 type veth peer name {link} netns {other}")
            self.at(switch, f"ip link set {port} up")
        self.at(machine, f"ip link set lo up; {self.up('eth0', 'machine')}")
        self.in_host(self.up("lan0", "host"))

    @staticmethod
    def up(link: str, who: str) -> str:
        addresses = f"ip addr add {AT[who]}/24 dev {link}; ip addr add {AT6[who]}/64 dev {link} nodad"
        return f"ip link set {link} up; {addresses}"

    def at(self, name: str, script: str) -> str:
        return self._run(f"/run/netns/{name}", script)

    def in_host(self, script: str) -> str:
        return self._run(self.host, script)

    @staticmethod
    def _run(path: str, script: str) -> str:
        done = subprocess.run(["nsenter", f"--net={path}", "sh", "-ec", script], capture_output=True, text=True)
        assert done.returncode == 0, f"{script}: {done.stderr}"
        return done.stdout

    def close(self) -> None:
        self.in_host("ip link del lan0")
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], check=True)

    def network(self, mode: str) -> None:
        told = self.client.docker(
            *("network", "create", "-d", "macvlan", "-o", "parent=lan0", "-o", f"macvlan_mode={mode}", "--ipv6"),
            *("--subnet", "10.213.0.0/24", "--gateway", "10.213.0.1", "--subnet", "fd13::/64", "lan"),
        )
        assert told.status == 0, told

    def box(self, name: str) -> None:
        told = self.client.docker(
            *("run", "-d", "--name", name, "--network", "lan", "--ip", AT[name], "--ip6", AT6[name]),
            *(peer.IMAGE, "sh", "-c", "nc -ll -p 7000 -e cat"),
        )
        assert told.status == 0, told

    def reaches(self, asker: str, asked: str) -> str:
        """By ping of either family, and between machine and container by TCP as well; all must agree."""
        ask: Callable[[str], str]
        if asker == "machine":
            ask = lambda script: self.at(self.names[1], script)  # noqa: E731
        elif asker == "host":
            ask = self.in_host
        else:
            ask = lambda script: self.client.docker("exec", asker, "sh", "-c", script).out  # noqa: E731
        told = [ask(f"ping -c 1 -W 1 {at[asked]} >/dev/null 2>&1 && echo yes || echo no") for at in (AT, AT6)]
        if asker == "machine":
            told += [ask(f"echo yes | nc -N -w 2 {at[asked]} 7000 || echo no") for at in (AT, AT6)]
        return "/".join(sorted({text.strip() for text in told}))

    def page(self, mode: str) -> Iterator[str]:
        self.network(mode)
        self.box("one")
        pairs = [("one", "machine"), ("one", "host"), ("machine", "one"), ("host", "one")]
        if mode != "passthru":
            self.box("two")
            pairs = [("one", "two"), *pairs[:3], ("machine", "two"), *pairs[3:]]
        for asker, asked in pairs:
            yield f"{mode}: {asker} reaches {asked}: {self.reaches(asker, asked)}\n"
        self.client.sweep()


def told(client: Client, host: str) -> str:
    segment = Segment(client, host)
    try:
        return "".join(line for mode in MODES for line in segment.page(mode))
    finally:
        client.sweep()
        segment.close()


def test_dockerd_says_what_the_kernels_documentation_says() -> None:
    if why := peer.lacking():
        pytest.skip(why)
    with peer.peer() as (client, side):
        assert told(client, side.ground.net) == PAGE


def test_ours_says_the_same(ground: Ground) -> None:
    peer.load_image(ground)
    assert told(ground, str(Path("/run/netns") / ground.netns)) == PAGE
