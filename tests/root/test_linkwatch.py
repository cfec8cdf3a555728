"""What is heard of links of the host: others', and of ours only what somebody else did."""

import threading
from collections.abc import Collection

from tests.root.conftest import Host
from tests.root.ground import until

from bascule.kernel.linux import LinuxKernel
from bascule.model.addresses import ip_interface
from bascule.model.links import Address, Bridge, Dummy, Macvlan, Namespace, Up, Veth
from bascule.model.thing import Thing


class Heard:
    """What was heard, and how often."""

    def __init__(self, kernel: LinuxKernel) -> None:
        self._lock = threading.Lock()
        self.times = 0
        self.names: set[str] = set()
        kernel.on_links(self._hear)

    def _hear(self, names: Collection[str]) -> None:
        with self._lock:
            self.times += 1
            self.names |= set(names) or {"(any)"}

    def of(self, name: str) -> None:
        """*name* comes to be heard of."""
        until(lambda: name in self.names, lambda: str(self.names))


def test_others_links_are_heard_of_as_they_come_change_and_go(host: Host, kernel: LinuxKernel) -> None:
    heard = Heard(kernel)
    for command, names in (
        ("ip link add f0 type veth peer name f1", {"f0", "f1"}),
        ("ip link set f0 up", {"f0"}),
        ("ip link set f0 down; ip link set f0 name g0", {"f0", "g0"}),
        ("ip link set g0 mtu 1400", {"g0"}),
        ("ip link del g0", {"g0", "f1"}),
    ):
        heard.names.clear()
        host.sh(command)
        for name in sorted(names):
            heard.of(name)


def test_what_we_make_and_remove_wakes_nobody(host: Host, kernel: LinuxKernel) -> None:
    host.sh("ip link add f0 type veth peer name f1; ip link set f0 up; ip link set f1 up")
    heard = Heard(kernel)
    box = host.container("box")
    things: list[Thing] = [
        Namespace(box),
        Bridge("br-a"),
        Address("br-a", ip_interface("10.9.0.1/24")),
        Veth("bv-a", "eth0", box, master="br-a"),
        Up("eth0", box),
        Macvlan("eth1", "f0", ns=box),
        Up("eth1", box),
    ]
    for _ in range(3):
        assert set(kernel.add(things)) == {"made"}
        assert kernel.remove(things[::-1]) == []
        kernel.settle()
    # What comes later is heard of later.
    host.sh("ip link add last type bridge")
    heard.of("last")
    assert (heard.times, heard.names) == (1, {"last"})


def test_that_somebody_took_away_a_link_of_ours_is_heard_of(host: Host, kernel: LinuxKernel) -> None:
    heard = Heard(kernel)
    kernel.add([Dummy("dm-a")])
    host.sh("ip link del dm-a")
    heard.of("dm-a")


def test_more_changes_than_the_kernel_keeps_for_us_are_not_missed(host: Host, kernel: LinuxKernel) -> None:
    gate = threading.Event()
    told: list[Collection[str]] = []

    def hear(names: Collection[str]) -> None:
        told.append(names)
        gate.wait()

    kernel.on_links(hear)
    try:
        host.sh("ip link add f0 type bridge")
        until(lambda: bool(told))
        host.sh("for n in $(seq 500); do echo link set f0 mtu $((1000 + n)); done | ip -batch -")
    finally:
        gate.set()
    until(lambda: () in told)
