"""Several daemons on one host, each with directories, a bridge and pools of its own; and what may not be shared."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.root.ground import DEADLINE, ROOT, DaemonGround, compared, until
from tests.root.test_survival import Echo, Pump, run_on, stream

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo make test-root")


def flags(number: int) -> list[str]:
    return [f"--bridge=bm{os.getpid()}-{number}", f"--default-address-pool=base=10.{80 + number}.0.0/16,size=24"]


@pytest.fixture
def three() -> Iterator[list[DaemonGround]]:
    """Daemons in one namespace: the first one's."""
    with ExitStack() as stack:
        made: list[DaemonGround] = []
        for number in range(3):
            netns = made[0].netns if made else ""
            ground = DaemonGround(Path(f"/dev/shm/bmany-{os.getpid()}-{number}"), *flags(number), netns=netns)
            stack.callback(ground.close)
            ground.start()
            made.append(ground)
        yield made


def host_state(ground: DaemonGround) -> str:
    return "\n".join([ground.network_state(), ground.rules()])


def test_daemons_work_side_by_side_and_clean_up_each_for_itself(three: list[DaemonGround]) -> None:
    first, *others = three
    untouched = host_state(first)
    path = first.sandbox(first.run("box", "bridge", "sleep", "600", HostConfig={"PublishAllPorts": True}))
    alone = host_state(first)
    for ground in others:
        ground.ask("POST", "/networks/create", {"Name": "n"})
        ground.run("box", "n", "sleep", "600", HostConfig={"PortBindings": {"80/tcp": [{"HostPort": ""}]}})
    with ExitStack() as stack:
        stack.callback(Echo(path, 80).close)
        conn, ask = stream(f"/run/netns/{first.netns}", "10.80.0.2", 80)
        stack.enter_context(conn)
        pumps = {"host to container": Pump(ask)}
        stack.callback(pumps["host to container"].end)
        for ground in others:
            ground.kill()
            ground.start()
            run_on(pumps)
            ground.sweep()
            run_on(pumps)
        until(lambda: host_state(first) == alone, lambda: compared(alone, host_state(first)))
    first.sweep()
    until(lambda: host_state(first) == untouched, lambda: compared(untouched, host_state(first)))


def refused(netns: str, *words: str) -> tuple[int, list[str]]:
    """How a daemon that must not start ends, and what it says."""
    done = subprocess.run(
        ["nsenter", f"--net=/run/netns/{netns}", sys.executable, "-m", "bascule", "daemon", *words],
        env={**os.environ, "PYTHONPATH": f"{ROOT}/src"},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    return done.returncode, done.stderr.splitlines()


@pytest.fixture
def one() -> Iterator[DaemonGround]:
    ground = DaemonGround(Path(f"/dev/shm/bmany-{os.getpid()}"), *flags(0))
    try:
        ground.start()
        yield ground
    finally:
        ground.close()


def test_what_belongs_to_one_daemon_is_refused_to_another(one: DaemonGround, tmp_path: Path) -> None:
    before = one.summary()
    data, run = f"{one.directory}/data", f"{one.directory}/run"
    own = [f"--data-root={tmp_path}/data", f"--exec-root={tmp_path}/run", f"--host=unix://{tmp_path}/s"]
    bridge = f"bm{os.getpid()}-0"
    taken = f"the firewall's table bascule-{bridge} is another daemon's in this network namespace"
    said = [
        refused(one.netns, *own, *flags(1), f"--data-root={data}"),
        refused(one.netns, *own, *flags(1), f"--exec-root={run}"),
        refused(one.netns, *own, *flags(1), f"--exec-root={run}", f"--pidfile={tmp_path}/pid"),
        refused(one.netns, *own, f"--bridge={bridge}"),
    ]
    assert said == [
        (1, [f"bascule daemon: cannot open {data}/bascule.db: another process has it open (pid {one.pid})"]),
        (1, [f"bascule daemon: {run}/bascule.pid: a daemon runs already (pid {one.pid})"]),
        (1, [f"bascule daemon: {run}: another daemon has it for its --exec-root"]),
        (1, [f"bascule daemon: {taken}: each needs a --bridge of its own"]),
    ]
    assert one.summary() == before
    # Its own networks are there by then.
    assert refused(one.netns, *own, *flags(1), f"--host=unix://{one.directory}/s") == (
        1,
        [f"bascule daemon: cannot listen on unix://{one.directory}/s: another daemon does"],
    )
    assert one.ask("GET", "/info")["Containers"] == 0


def pings(ground: DaemonGround, address: str, netns: str) -> bool:
    return " 0% packet loss" in ground.sh(f"ping -c1 -W2 {address} || true", netns)


@pytest.fixture
def neighbours(three: list[DaemonGround]) -> Iterator[dict[str, str]]:
    """Two machines on links of the daemons' host, by name: the paths of their namespaces."""
    host = three[0]
    made: dict[str, str] = {}
    try:
        for number, name in enumerate(("lan", "far"), 1):
            netns = f"{host.netns}-{name}"
            host.ip("netns", "add", netns)
            made[name] = f"/run/netns/{netns}"
            host.ip("-n", host.netns, "link", "add", name, "type", "veth", "peer", "eth0", "netns", netns)
            host.sh(f"ip addr add 198.51.{number}.1/24 dev {name}; ip link set {name} up")
            host.sh(f"ip addr add 198.51.{number}.2/24 dev eth0; ip link set eth0 up", made[name])
            host.sh(f"ip route add default via 198.51.{number}.1", made[name])
        yield made
    finally:
        for path in made.values():
            host.ip("netns", "del", Path(path).name)


def test_a_host_that_forwards_for_daemons_alone_does_for_each(
    three: list[DaemonGround], neighbours: dict[str, str]
) -> None:
    """The first of them has found that the host did not forward, and forwards only for what it knows."""
    first, second, _ = three
    lan, far = neighbours["lan"], neighbours["far"]
    closed = [ground.sh(f"nft list set inet bascule-bm{os.getpid()}-{n} closed") for n, ground in enumerate(three)]
    assert ["ipv4" in text for text in closed] == [True, False, False]
    boxes = []
    for number, ground in enumerate((first, second)):
        ports = {"80/tcp": [{"HostPort": f"{8080 + number}"}]}
        boxes.append(
            ground.sandbox(ground.run("box", "bridge", "sleep", "600", HostConfig={"PortBindings": ports}))
        )
    for number, path in enumerate(boxes):
        assert pings(second, "198.51.1.2", path)
        with ExitStack() as stack:
            stack.callback(Echo(path, 80).close)
            conn, ask = stream(lan, "198.51.1.1", 8080 + number)
            stack.enter_context(conn)
            assert ask()
        # Nobody else is let through, nor to what is not published.
        assert not pings(second, f"10.{80 + number}.0.2", lan)
    assert not pings(second, "198.51.2.2", lan)
    assert not pings(second, "198.51.1.2", far)
    # The two keep their containers from each other.
    assert not pings(second, "10.81.0.2", boxes[0])
    assert not pings(second, "10.80.0.2", boxes[1])
