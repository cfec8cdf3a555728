"""ipvlan on both engines, on a kernel that has it (make test-vm-all): who reaches whom in each mode with each flag;
and both drivers on a VLAN, and without a parent.

Documentation/networking/ipvlan.rst: siblings see each other but in private and vepa; nobody sees the own host.  In
l3 and l3s the containers have a subnet of their own, and the machine's way there is by the parent's address.
"""

import subprocess
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import pytest
from tests.clients import peer
from tests.clients.conftest import Client, Ground
from tests.clients.segment import AT, AT6, Segment

from bascule.kernel.removing import AWAY

PAGE = """\
l2 bridge: one reaches machine, two; machine reaches one; host reaches nobody
l2 private: one reaches machine; machine reaches one; host reaches nobody
l2 vepa: one reaches machine; machine reaches one; host reaches nobody
l3 bridge: one reaches machine, two; machine reaches one; host reaches nobody
l3 private: one reaches machine; machine reaches one; host reaches nobody
l3 vepa: one reaches machine; machine reaches one; host reaches nobody
l3s bridge: one reaches machine, two; machine reaches one; host reaches nobody
l3s private: one reaches machine; machine reaches one; host reaches nobody
l3s vepa: one reaches machine; machine reaches one; host reaches nobody
"""
# lan0.50 is made and goes again, lan0.60 was there; without a parent the containers have one another.
BELOW = """\
ipvlan on lan0.50: lan0.50; one reaches machine, two; machine reaches one; host reaches nobody; then nothing
ipvlan on lan0.60: nothing; one reaches machine, two; machine reaches one; host reaches nobody; then nothing
ipvlan on nothing: di-ID; no way out; one reaches two; machine reaches nobody; host reaches nobody; then nothing
macvlan on lan0.50: lan0.50; one reaches machine, two; machine reaches one; host reaches nobody; then nothing
macvlan on lan0.60: nothing; one reaches machine, two; machine reaches one; host reaches nobody; then nothing
macvlan on nothing: dm-ID; no way out; one reaches two; machine reaches nobody; host reaches nobody; then nothing
"""
TAGGED = {
    "one": ("10.215.0.10", "fd15::10"),
    "two": ("10.215.0.20", "fd15::20"),
    "machine": ("10.215.0.200", "fd15::200"),
    "host": (AT["host"], AT6["host"]),
}
ROUTED = {"one": ("10.214.0.10", "fd14::10"), "two": ("10.214.0.20", "fd14::20")}


class Lan(Segment):
    """With an ipvlan network `lan` and the boxes `one` and `two` on it, one mode and flag at a time."""

    def line(self, mode: str, flag: str) -> str:
        """Whom each reaches, in both families."""
        at = {who: (AT[who], AT6[who]) for who in AT} | (ROUTED if mode != "l2" else {})
        subnets = ("10.213.0.0/24", "fd13::/64") if mode == "l2" else ("10.214.0.0/24", "fd14::/64")
        options = (f"-oipvlan_mode={mode}", f"-oipvlan_flag={flag}", "-oparent=lan0", "--ipv6")
        self._told("network", "create", "-dipvlan", *options, *(f"--subnet={subnet}" for subnet in subnets), "lan")
        found = self._reaching(at)
        self._told("network", "rm", "lan")
        return f"{mode} {flag}: {found}\n"

    def below(self, driver: str, parent: str) -> str:
        """The same of a network on *parent*, and what there is of links with it and after it."""
        before = self._links()
        subnets = ("--ipv6", "--subnet=10.215.0.0/24", "--subnet=fd15::/64")
        options = (f"-oparent={parent}",) if parent else ()
        ident = self._told("network", "create", f"-d{driver}", *options, *subnets, "lan")
        made = ", ".join(sorted(self._links() - before)).replace(ident[:12], "ID")
        found = self._reaching(TAGGED)
        self._told("network", "rm", "lan")
        left = ", ".join(sorted(self._links() - before))
        where = f"{driver} on {parent or 'nothing'}"
        return f"{where}: {made or 'nothing'}; {found}; then {left or 'nothing'}\n"

    def _links(self) -> set[str]:
        """The names of the host's links, but for those that were taken away and are not deleted yet."""
        names = {line.split()[1].split("@")[0].rstrip(":") for line in self.in_host("ip -o link").splitlines()}
        return {name for name in names if not name.startswith(AWAY)}

    def _reaching(self, at: Mapping[str, tuple[str, str]]) -> str:
        """Whom each reaches, when `one` and `two` are on `lan`, which they have left again then."""
        places = {"machine": f"/run/netns/{self.names[1]}", "host": self.host}
        for name in ROUTED:
            own = (f"--name={name}", "--network=lan", f"--ip={at[name][0]}", f"--ip6={at[name][1]}")
            self._told("run", "-d", *own, peer.IMAGE, "sleep", "1000000")
        places["one"] = f"/proc/{self._told('inspect', '-f', '{{.State.Pid}}', 'one')}/ns/net"
        asked = {"one": ("host", "machine", "two"), "machine": ("one",), "host": ("one",)}
        found = [f"{asker} reaches {_reached(places[asker], names, at)}" for asker, names in asked.items()]
        if not self._run(places["one"], "ip route show default"):
            found = ["no way out", *found]
        self._told("rm", "-f", *ROUTED)
        return "; ".join(found)

    def _told(self, *words: str) -> str:
        told = self.client.docker(*words)
        assert told.status == 0, told
        return told.out.strip()


def _reached(place: str, names: Sequence[str], at: Mapping[str, tuple[str, str]]) -> str:
    """Those of *names* that answer in both families, all asked at once; of one that answers in one, the address."""
    pings = {(name, address): _ping(place, address) for name in names for address in at[name]}
    answered = [asked for asked, ping in pings.items() if ping.wait() == 0]
    both = [name for name in names if all((name, address) in answered for address in at[name])]
    return (
        ", ".join([*both, *(f"{name} at {address}" for name, address in answered if name not in both)]) or "nobody"
    )


def _ping(place: str, address: str) -> "subprocess.Popen[bytes]":
    words = ["nsenter", f"--net={place}", "ping", "-qc1", "-W3", address]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def told(client: Client, host: str) -> str:
    with Lan(client, host) as lan:
        lan.at(
            lan.names[1], f"ip route add 10.214.0.0/24 via {AT['host']}; ip route add fd14::/64 via {AT6['host']}"
        )
        modes = ("l2", "l3", "l3s"), ("bridge", "private", "vepa")
        return "".join(lan.line(mode, flag) for mode, flag in product(*modes))


def told_below(client: Client, host: str) -> str:
    with Lan(client, host) as lan:
        machine = lan.names[1]
        v4, v6 = TAGGED["machine"]
        for tag in (50, 60):
            lan.at(machine, f"ip link add eth0.{tag} link eth0 up type vlan id {tag}")
        lan.in_host("ip link add lan0.60 link lan0 up type vlan id 60")
        lines = []
        for driver, parent in product(("ipvlan", "macvlan"), ("lan0.50", "lan0.60", "")):
            # One at a time has the subnet.
            link = f"eth0.{parent[-2:] or 50}"
            lan.at(machine, f"ip addr add {v4}/24 dev {link}; ip addr add {v6}/64 dev {link} nodad")
            lines.append(lan.below(driver, parent))
            lan.at(machine, f"ip addr flush dev {link} scope global")
        return "".join(lines)


@pytest.fixture(scope="module", autouse=True)
def _able() -> None:
    """A kernel that has such links refuses to make one of nothing for another reason."""
    words = ["ip", "link", "add", "name", "bipvlan", "type", "ipvlan"]
    if "Unknown device type" in subprocess.run(words, capture_output=True, text=True).stderr:
        pytest.skip("this kernel has no ipvlan: make test-vm-all")


def test_dockerd_says_what_the_kernels_documentation_says() -> None:
    if why := peer.lacking():
        pytest.skip(why)
    with peer.peer() as (client, side):
        assert told(client, side.ground.net) == PAGE


def test_ours_says_the_same(ground: Ground) -> None:
    peer.load_image(ground)
    assert told(ground, str(Path("/run/netns") / ground.netns)) == PAGE


def test_dockerd_says_this_of_vlans_and_of_no_parent() -> None:
    if why := peer.lacking():
        pytest.skip(why)
    with peer.peer() as (client, side):
        assert told_below(client, side.ground.net) == BELOW


def test_ours_says_the_same_of_them(ground: Ground) -> None:
    peer.load_image(ground)
    assert told_below(ground, str(Path("/run/netns") / ground.netns)) == BELOW
