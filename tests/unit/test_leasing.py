"""Leases as addresses of an endpoint, what is done about those that cannot be followed, and what is said where
there is no client to ask with."""

import logging
import os
import queue
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.patience import patient

from bascule.dhcp.client import DhcpClient, _Client, _read
from bascule.engine.engine import Engine
from bascule.engine.leases import NoLeases, Tell, Wanted
from bascule.engine.leasing import with_lease
from bascule.kernel.fake import FakeKernel
from bascule.model.addresses import Family, ip_address, ip_interface
from bascule.model.endpoint import FOREVER, Endpoint, EndpointSpec, Lease
from bascule.model.errors import Failed, Invalid
from bascule.model.network import NetworkSpec
from bascule.model.sandbox import SandboxSpec
from bascule.model.thing import Address, Route, Thing
from bascule.store.memory import MemoryStore

V4 = Lease(ip_interface("10.7.0.5/24"), ip_address("10.7.0.1"), "10.7.0.1", 120, 1)
V6 = Lease(ip_interface("fd07::5/128"), None, "0001", 120, 1)
BARE = Endpoint(id="e", network="n", sandbox="s", name="box", created=1)


def test_each_family_has_its_own_lease() -> None:
    both = with_lease(with_lease(BARE, 6, V6), 4, V4)
    assert (both.addresses, both.gateways) == ((V4.address, V6.address), (V4.gateway,))
    assert (both.lease(4), both.lease(6)) == (V4, V6)


def test_a_lease_that_ran_out_takes_its_own_address_along() -> None:
    both = with_lease(with_lease(BARE, 4, V4), 6, V6)
    assert with_lease(both, 6, None) == with_lease(BARE, 4, V4)
    assert with_lease(with_lease(both, 6, None), 4, None) == BARE


def test_another_lease_replaces_the_one_of_its_family() -> None:
    other = replace(V6, address=ip_interface("fd07::6/128"))
    assert with_lease(with_lease(BARE, 6, V6), 6, other).addresses == (other.address,)


@pytest.mark.parametrize(("version", "package"), [(4, "udhcpc or busybox-static"), (6, "dhcpcd-base")])
def test_a_client_that_is_not_installed_is_named_with_its_package(
    tmp_path: Path, version: int, package: str
) -> None:
    ask = (
        "from bascule.dhcp.client import DhcpClient; from bascule.engine.leases import Wanted\n"
        f"DhcpClient({str(tmp_path)!r}).resume(Wanted('e', {version}, '/n', 'eth0', '00' * 16, 'box'))"
    )
    said = subprocess.run(
        [sys.executable, "-c", ask], capture_output=True, text=True, env={**os.environ, "PATH": "/nowhere"}
    )
    assert f"and there is none (apt-get install {package})" in said.stderr
    assert list((tmp_path / "dhcp").iterdir()) == []


@pytest.mark.skipif(not (shutil.which("udhcpc") or shutil.which("busybox")), reason="no udhcpc")
def test_a_client_that_ends_without_a_lease_is_begun_again_ever_later(tmp_path: Path) -> None:
    client = _Client(tmp_path / "e", 4)
    # There is no such namespace, so it ends at once.
    client.begin(Wanted("e", 4, str(tmp_path / "nowhere"), "eth0", "00" * 16, "box"), once=False)
    now, pauses = time.time(), []

    def ended() -> float:
        select.select(client.descriptors(), [], [], 10)
        client.look(now)
        assert client.ended
        return round((client.next_look() or 0.0) - now)

    for _ in range(7):
        pauses.append(ended())
        now += pauses[-1] + 0.5
        client.look(now)
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    # One that was given something, and only then ended, is begun again soon.
    lease = tmp_path / "e" / "lease"
    lease.write_text("10.7.0.5/24\n10.7.0.1\n10.7.0.1\n100000\n")
    # A file's time may be some milliseconds late.
    os.utime(lease, ns=(time.time_ns(), time.time_ns()))
    assert ended() == 1
    client.end()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Path]:
    """The directory of a client that an earlier daemon left, and that is given nothing yet."""
    place = tmp_path / "dhcp" / "e"
    place.mkdir(parents=True)
    words = ["sh", "-c", "echo; read -r _", f"{place}/tell"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        # Before it says anything, what it runs may not be told in /proc yet.
        assert process.stdout
        assert process.stdout.read(1)
        (place / "words").write_text("\0".join(words))
        (place / "pid").write_text(str(process.pid))
        yield place
        process.kill()


def given(place: Path, address: str, seconds: int = 100) -> None:
    (place / "new").write_text(f"{address}\n10.7.0.1\n10.7.0.1\n{seconds}\n")
    (place / "new").rename(place / "lease")


@pytest.mark.parametrize("seconds", [2_200_000, FOREVER], ids=["25 days", "for ever"])
def test_a_long_lease_is_looked_after_as_any(running: Path, seconds: int) -> None:
    heard: queue.Queue[Lease | None] = queue.Queue()
    client = DhcpClient(str(running.parent.parent))
    client.on_change(lambda _endpoint, _family, lease: heard.put(lease))
    for number in (5, 6, 7):
        given(running, f"10.7.0.{number}/24", seconds)
        lease = heard.get(timeout=patient(10))
        assert lease
        assert (str(lease.address), lease.seconds) == (f"10.7.0.{number}/24", seconds)
    client.close()


def test_what_goes_wrong_with_one_lease_does_not_stop_the_watch(
    running: Path, caplog: pytest.LogCaptureFixture
) -> None:
    heard: queue.Queue[str] = queue.Queue()

    def tell(_endpoint: str, _family: Family, lease: Lease | None) -> None:
        heard.put(str(lease.address) if lease else "")
        raise RuntimeError("whatever it is")

    client = DhcpClient(str(running.parent.parent))
    client.on_change(tell)
    for number in (5, 6):
        given(running, f"10.7.0.{number}/24")
        assert heard.get(timeout=patient(10)) == f"10.7.0.{number}/24"
    client.close()
    assert [record.message for record in caplog.records] == ["a lease cannot be looked after"] * 2


def test_a_client_that_just_ended_can_be_let_go(running: Path) -> None:
    client = _Client(running, 4)
    assert client.find()
    ended = int((running / "pid").read_text())
    os.kill(ended, signal.SIGKILL)
    os.waitpid(ended, 0)
    client.end()
    assert not running.exists()


@pytest.mark.parametrize("router", ["0.0.0.0", "10.7.0.5", "224.0.0.1", "127.0.0.1", ""])
def test_a_router_that_nothing_can_be_sent_to_is_none(tmp_path: Path, router: str) -> None:
    (tmp_path / "lease").write_text(f"10.7.0.5/24\n{router}\n10.7.0.1\n120\n")
    lease = _read(tmp_path / "lease", 0.0)
    assert lease
    assert (lease.address, lease.gateway) == (V4.address, None)


@dataclass
class Server(NoLeases):
    """It gives V4 to whoever asks, and later what the test says."""

    held: dict[tuple[str, Family], Lease | None] = field(default_factory=dict)
    tell: Tell = lambda _endpoint, _family, _lease: None

    def obtain(self, wanted: Wanted) -> Lease | None:
        self.held[wanted.endpoint, wanted.family] = V4
        return V4

    def kept(self) -> Mapping[tuple[str, Family], Lease | None]:
        return self.held

    def on_change(self, tell: Tell) -> None:
        self.tell = tell


@dataclass
class Lan:
    """A container on a macvlan with leases, on a kernel that refuses what the test says."""

    refused: set[Thing] = field(default_factory=set)
    server: Server = field(default_factory=Server)
    store: MemoryStore = field(default_factory=MemoryStore)

    def __post_init__(self) -> None:
        self.kernel = FakeKernel(links={"up9": "veth"}, refuse=self.refused.__contains__)
        self.engine = self._engine()
        self.engine.start()
        net = self.engine.create(NetworkSpec("lan", "macvlan", ipam_driver="dhcp", options={"parent": "up9"}))
        self.box = self.engine.open(SandboxSpec("c" * 64, "box"))
        self.end = self.engine.connect(net.id, self.box.id, EndpointSpec())

    def _engine(self) -> Engine:
        return Engine(self.kernel, self.store, leases=self.server)

    def restart(self) -> None:
        self.engine = self._engine()
        self.engine.start()

    def status(self) -> str:
        return self.engine.status(self.engine.network("lan")).get("bascule.dhcp", "")

    def now(self) -> Endpoint:
        (found,) = self.engine.endpoints()
        return found


def refusing_the_router(lan: Lan) -> None:
    gateway = ip_address("10.7.0.2")
    lan.refused.add(Route(lan.end.ifname, None, gateway, 4, lan.end.key))


def refusing_the_address(lan: Lan) -> None:
    lan.refused.add(Address(lan.end.ifname, OTHER.address, lan.end.key))


OTHER = Lease(ip_interface("10.7.0.6/24"), ip_address("10.7.0.2"), "10.7.0.1", 120, 2)


@pytest.mark.parametrize("away", [False, True], ids=["told", "while no daemon was there"])
def test_a_router_that_is_refused_does_not_cost_the_address(away: bool, caplog: pytest.LogCaptureFixture) -> None:
    lan = Lan()
    refusing_the_router(lan)
    lan.server.held[lan.end.id, 4] = OTHER
    lan.restart() if away else lan.server.tell(lan.end.id, 4, OTHER)
    assert (lan.now().addresses, lan.now().gateways) == ((OTHER.address,), ())
    assert lan.status().startswith("box: a lease of 10.7.0.1 cannot be followed: ")
    assert "route add default via 10.7.0.2 dev eth0: operation not permitted" in lan.status()
    assert "a lease of 10.7.0.1 cannot be followed" in caplog.messages
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.__dict__["fields"]["container"] == "c" * 12
    lan.refused.clear()
    lan.server.tell(lan.end.id, 4, OTHER)
    assert (lan.now().gateways, lan.status()) == ((OTHER.gateway,), "")


@pytest.mark.parametrize("away", [False, True], ids=["told", "while no daemon was there"])
def test_an_address_that_is_refused_leaves_what_there_was(away: bool) -> None:
    lan = Lan()
    before = lan.kernel.dump()
    refusing_the_address(lan)
    lan.server.held[lan.end.id, 4] = OTHER
    lan.restart() if away else lan.server.tell(lan.end.id, 4, OTHER)
    assert lan.now().addresses == (V4.address,)
    assert lan.kernel.dump() == before
    assert "cannot be followed" in lan.status()
    lan.server.tell(lan.end.id, 4, V4)
    assert lan.status() == ""


def test_a_line_tells_of_a_lease_that_ran_out_came_back_or_changed(caplog: pytest.LogCaptureFixture) -> None:
    lan = Lan()
    caplog.set_level(logging.INFO)
    caplog.clear()
    steps = (None, V4, replace(V4, since=3), OTHER, replace(OTHER, gateway=None))
    for lease in steps:
        lan.server.tell(lan.end.id, 4, lease)
        assert (lan.status() == "box has no lease") == (lease is None)
    assert [record.getMessage() for record in caplog.records] == [
        "the lease of 10.7.0.5/24 by 10.7.0.1 ran out",
        "a lease of 10.7.0.5/24 by 10.7.0.1, router 10.7.0.1",
        "a lease of 10.7.0.6/24 by 10.7.0.1 instead of 10.7.0.5/24, router 10.7.0.2",
        "a lease of 10.7.0.6/24 by 10.7.0.1",
    ]
    assert {record.__dict__["fields"]["container"] for record in caplog.records} == {"c" * 12}


def test_a_first_lease_that_is_refused_is_an_error_and_leaves_nothing() -> None:
    lan = Lan()
    lan.engine.disconnect("lan", lan.box.id)
    before = lan.kernel.dump()
    lan.refused.add(Address(lan.end.ifname, V4.address, lan.end.key))
    with pytest.raises(
        Failed, match=r"^network lan: what a DHCP server gave cannot be followed: .* ip addr add 10"
    ):
        lan.engine.connect("lan", lan.box.id)
    assert lan.kernel.dump() == before
    assert lan.engine.endpoints() == []


def test_an_address_of_the_users_is_the_servers_to_give() -> None:
    lan = Lan()
    other = lan.engine.open(SandboxSpec("d" * 64, "other"))
    with pytest.raises(Invalid, match=r"network lan: a DHCP server gives the addresses, 10\.7\.0\.9 is not ours"):
        lan.engine.connect("lan", other.id, EndpointSpec((ip_address("10.7.0.9"),)))


def test_a_rehearsal_tells_that_a_server_is_asked() -> None:
    lan = Lan()
    other = lan.engine.open(SandboxSpec("d" * 64, "other"))
    planned = lan.engine.plan_connect("lan", other.id)
    assert [line for line in planned if line.startswith("#")] == [planned[-1]]
    assert planned[-1].startswith("# a server on the segment of eth0 is asked for an address (DHCP)")
    assert lan.engine.rehearse(lambda engine: engine.connect("lan", other.id))[-1] == planned[-1]
    assert lan.engine.endpoints() == [lan.end]
