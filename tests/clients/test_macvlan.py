"""macvlan on both engines: who reaches whom through a switch, in each mode, told as text.

    machine 10.213.0.200 --- switch --- lan0 10.213.0.100, the host, parent of the containers' links

The page is what the kernel's documentation says (Documentation/networking, ip-link(8)): containers of a bridge see
each other; in private and vepa they do not (the switch does not send frames back where they came from); all see the
machine; none sees its own host.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.clients import peer
from tests.clients.conftest import Client, Ground
from tests.clients.segment import AT, AT6, Segment

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


class Lan(Segment):
    """With a macvlan network `lan`."""

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
    with Lan(client, host) as lan:
        return "".join(line for mode in MODES for line in lan.page(mode))


def test_dockerd_says_what_the_kernels_documentation_says() -> None:
    if why := peer.lacking():
        pytest.skip(why)
    with peer.peer() as (client, side):
        assert told(client, side.ground.net) == PAGE


def test_ours_says_the_same(ground: Ground) -> None:
    peer.load_image(ground)
    assert told(ground, str(Path("/run/netns") / ground.netns)) == PAGE
