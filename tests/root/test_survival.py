"""What runs between containers, and through a published port, runs on: over a stop, a crash and a reload of the
daemon, and over somebody else's flush of the rule set."""

import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.patience import FACTOR, patient
from tests.root.ground import DEADLINE, DaemonGround, Inside, compared, until

from bascule.kernel.namespaces import in_namespace

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo make test-root")

HOST, NEIGHBOUR = "192.0.2.1", "192.0.2.2"
ENOUGH = 50
"""So many answers show that it runs on."""


class Pump:
    """Asks for an answer without pause; `count` rises with each, and `failed` tells of the first that was wrong."""

    def __init__(self, ask: Callable[[], bool]) -> None:
        self.count = 0
        self.failed = ""
        self._ask = ask
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._ends.is_set() and not self.failed:
            try:
                if not self._ask():
                    self.failed = "a wrong answer"
            except OSError as why:
                self.failed = f"{why!r} after {self.count} answers"
            self.count += 1
            if FACTOR > 1:
                # Or nobody else would get a processor that is a program.
                self._ends.wait(0.02 * FACTOR)

    def end(self) -> None:
        self._ends.set()
        self._thread.join()


class Echo:
    """Answers on a TCP port of the namespace at *path* with what it is sent."""

    def __init__(self, path: str, port: int) -> None:
        self._listener = in_namespace(path, lambda: socket.create_server(("", port)))
        self._thread = threading.Thread(target=self._listen)
        self._served: list[threading.Thread] = []
        self._thread.start()

    def _listen(self) -> None:
        while True:
            try:
                conn, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(conn,))
            self._served.append(thread)
            thread.start()

    @staticmethod
    def _serve(conn: socket.socket) -> None:
        with conn:
            conn.settimeout(DEADLINE)
            try:
                while data := conn.recv(65536):
                    conn.sendall(data)
            except OSError:
                # Whoever asked says so.
                return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in (self._thread, *self._served):
            thread.join()


def stream(path: str, to: str, port: int) -> tuple[socket.socket, Callable[[], bool]]:
    """One connection from the namespace at *path*, and a question that it answers."""
    conn = in_namespace(path, lambda: socket.create_connection((to, port), DEADLINE))
    data = os.urandom(2000)

    def ask() -> bool:
        conn.sendall(data)
        heard = b""
        while len(heard) < len(data) and (more := conn.recv(65536)):
            heard += more
        return heard == data

    return conn, ask


class World:
    """A daemon with two containers on a network, one with a published port, and a neighbour of its host."""

    def __init__(self, ground: DaemonGround) -> None:
        self.ground = ground
        self.host = f"/run/netns/{ground.netns}"
        self.neighbour = f"/run/netns/{ground.netns}n"
        ground.ip("netns", "add", f"{ground.netns}n")
        ground.ip(
            "-n", ground.netns, "link", "add", "up0", "type", "veth", "peer", "up0", "netns", f"{ground.netns}n"
        )
        for netns, address in ((ground.netns, HOST), (f"{ground.netns}n", NEIGHBOUR)):
            ground.ip("-n", netns, "addr", "add", f"{address}/24", "dev", "up0")
            ground.ip("-n", netns, "link", "set", "up0", "up")
        ground.ask("POST", "/networks/create", {"Name": "n", "IPAM": {"Config": [{"Subnet": "10.77.0.0/24"}]}})
        ports = {"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}
        ground.run("web", "n", "sleep", "600", HostConfig=ports)
        ground.run("client", "n", "sleep", "600")
        self.web, self.client = (ground.sandbox(name) for name in ("web", "client"))

    def ways(self) -> dict[str, tuple[str, str, int]]:
        """From where to which address and port one may connect."""
        return {
            "container to container": (self.client, "10.77.0.2", 80),
            "host to the published port": (self.host, HOST, 8080),
            "host by loopback": (self.host, "127.0.0.1", 8080),
            "host by loopback of IPv6": (self.host, "::1", 8080),
            "neighbour to the published port": (self.neighbour, HOST, 8080),
            "container to the neighbour": (self.client, NEIGHBOUR, 7000),
        }

    def reached(self) -> list[str]:
        """The ways by which a new connection comes through."""
        found = []
        for name, way in self.ways().items():
            conn, ask = stream(*way)
            with conn:
                found += [name] if ask() else []
        return found


@contextmanager
def everything(world: World) -> Iterator[dict[str, Pump]]:
    """Streams by every way, and questions for a name; none has failed when it is left."""
    with ExitStack() as stack:
        for path, port in ((world.web, 80), (world.neighbour, 7000)):
            stack.callback(Echo(path, port).close)
        asks = {}
        for name, way in world.ways().items():
            conn, asks[name] = stream(*way)
            stack.enter_context(conn)
        asker = Inside("client", world.client)
        asks["names"] = lambda: asker.ask("web") == "NOERROR 10.77.0.2"
        pumps = {}
        for name, ask in asks.items():
            pumps[name] = Pump(ask)
            stack.callback(pumps[name].end)
        with pings(world):
            run_on(pumps)
            yield pumps
            run_on(pumps)


def run_on(pumps: dict[str, Pump]) -> None:
    enough = {name: pump.count + ENOUGH for name, pump in pumps.items()}

    def failures() -> dict[str, str]:
        return {name: pump.failed for name, pump in pumps.items() if pump.failed}

    def stuck() -> str:
        return f"no answer any more: {[name for name, pump in pumps.items() if pump.count < enough[name]]}"

    until(lambda: bool(failures()) or all(pump.count >= enough[name] for name, pump in pumps.items()), stuck)
    assert failures() == {}


@contextmanager
def pings(world: World) -> Iterator[None]:
    """Pings between the containers, a hundred a second, none of them lost."""
    words = ["nsenter", f"--net={world.client}", "ping", "-q", "-i", str(0.01 * FACTOR), "10.77.0.2"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as ping:
        try:
            yield
        finally:
            ping.send_signal(signal.SIGINT)
            said, _ = ping.communicate()
    found = re.search(r"(\d+) packets transmitted, (\d+) received", said)
    assert found, said
    # The last one may be on its way.
    assert int(found[1]) - int(found[2]) <= 1, said


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    ground = DaemonGround(Path(f"/dev/shm/bsurvival-{os.getpid()}"), f"--bridge=bs{os.getpid()}")
    try:
        ground.start()
        yield World(ground)
    finally:
        ground.close()
        ground.ip("netns", "del", f"{ground.netns}n")


def stop_and_start(ground: DaemonGround) -> None:
    ground.stop()
    ground.start()


def kill_and_start(ground: DaemonGround) -> None:
    ground.kill()
    ground.start()


def reload(ground: DaemonGround) -> None:
    heard = ground.count("configuration reloaded")
    ground.send(signal.SIGHUP)
    until(lambda: ground.count("configuration reloaded") > heard, ground.said)


def flush(ground: DaemonGround) -> None:
    whole = ground.rules()
    ground.sh("nft flush ruleset")
    flushed = time.monotonic()
    until(lambda: ground.rules() == whole, ground.rules)
    assert time.monotonic() - flushed < patient(1)


@pytest.mark.parametrize("harm", [stop_and_start, kill_and_start, reload, flush])
def test_traffic_and_names_run_on_over(world: World, harm: Callable[[DaemonGround], None]) -> None:
    before = world.ground.rules()
    with everything(world) as pumps:
        for _ in range(3):
            harm(world.ground)
            run_on(pumps)
            assert world.reached() == list(world.ways())
    assert world.ground.rules() == before


DRIFTS = {
    "a port is deleted": "ip link del $port",
    "a port leaves its bridge": "ip link set $port nomaster",
    "the bridge is deleted": "ip link del $bridge",
    "the bridge is down": "ip link set $bridge down",
    "the bridge has no address": "ip addr flush dev $bridge",
    "the container has no address": "nsenter --net=$web ip addr flush dev eth0",
    "the container has no route": "nsenter --net=$web ip route del default",
    "the container's link is down": "nsenter --net=$web ip link set eth0 down",
}


@pytest.mark.parametrize("repair", [reload, stop_and_start])
@pytest.mark.parametrize("drift", DRIFTS)
def test_what_somebody_took_away_is_put_back(
    world: World, drift: str, repair: Callable[[DaemonGround], None]
) -> None:
    ground = world.ground
    before = ground.summary()
    rows = ground.rows()
    port = next(body["link"] for kind, body in rows if kind == "endpoint" and body["name"] == "web")
    bridge = next(body["link"] for kind, body in rows if kind == "network" and body["name"] == "n")
    ground.sh(f"port={port} bridge={bridge} web={world.web}; {DRIFTS[drift]}")
    assert ground.summary() != before
    repair(ground)
    until(lambda: ground.summary() == before, lambda: compared(before, ground.summary()))
    with ExitStack() as stack:
        for path, number in ((world.web, 80), (world.neighbour, 7000)):
            stack.callback(Echo(path, number).close)
        assert world.reached() == list(world.ways())


def sockets(pid: int) -> set[str]:
    return {
        link
        for fd in os.listdir(f"/proc/{pid}/fd")
        if (link := os.readlink(f"/proc/{pid}/fd/{fd}"))[:7] == "socket:"
    }


def test_no_socket_of_the_daemon_goes_along_into_what_it_starts(world: World) -> None:
    """It would outlive the daemon there, and what the kernel ties to it: the firewall's table."""
    own = sockets(world.ground.pid)
    others = {
        pid: words for pid, words in world.ground.processes().items() if "bascule" in words or "conmon" in words
    }
    assert [words.split()[0] for pid, words in others.items() if sockets(pid) & own] == []
    assert len(others) >= 3


def test_a_container_whose_namespace_somebody_unmounted_lives_and_can_be_started_anew(world: World) -> None:
    ground = world.ground
    ground.run("lost", "n", "sleep", "600")
    subprocess.run(["umount", ground.sandbox("lost")], check=True)
    kill_and_start(ground)
    found = ground.ask("GET", "/containers/lost/json")
    assert (found["State"]["Status"], list(found["NetworkSettings"]["Networks"])) == ("running", ["n"])
    ground.ask("POST", "/containers/lost/restart?signal=KILL")
    with ExitStack() as stack:
        stack.callback(Echo(ground.sandbox("lost"), 90).close)
        address = ground.ask("GET", "/containers/lost/json")["NetworkSettings"]["Networks"]["n"]["IPAddress"]
        conn, ask = stream(world.client, address, 90)
        stack.enter_context(conn)
        assert ask()
    ground.ask("DELETE", "/containers/lost?force=1")


@pytest.fixture
def rebooted() -> Iterator[DaemonGround]:
    made = DaemonGround(Path(f"/dev/shm/breboot-{os.getpid()}"), f"--bridge=br{os.getpid()}")
    try:
        made.start()
        yield made
    finally:
        made.close()


def made(ground: DaemonGround, name: str, policy: str, mode: str, **more: object) -> None:
    """A container that is not started."""
    host = {"NetworkMode": mode, "RestartPolicy": {"Name": policy}, **more}
    body = {"Image": "host", "Cmd": ["sleep", "600"], "HostConfig": host}
    ground.ask("POST", f"/containers/create?name={name}", body)


def status(ground: DaemonGround, name: str) -> str:
    told = ground.ask("GET", f"/containers/{name}/json")
    return f"{told['State']['Status']} {told['RestartCount']}"


def test_after_a_reboot_containers_come_up_behind_those_that_they_need(rebooted: DaemonGround) -> None:
    # In the order in which they are in the store each comes before the one that it needs.
    made(rebooted, "joins-joined", "always", "container:joins")
    made(rebooted, "joins", "unless-stopped", "container:base")
    made(rebooted, "base", "always", "bridge")
    made(rebooted, "linked", "always", "bridge", Links=["base:b"])
    order = ("base", "joins", "joins-joined", "linked")
    for name in order:
        rebooted.ask("POST", f"/containers/{name}/start")
    rebooted.reboot()
    rebooted.start()
    # None was tried in vain, and all run before the daemon listens.
    assert {name: status(rebooted, name) for name in order} == dict.fromkeys(order, "running 1"), rebooted.said()
    assert rebooted.count("could not") == 0
    spaces = {
        os.readlink(f"/proc/{rebooted.ask('GET', f'/containers/{name}/json')['State']['Pid']}/ns/net")
        for name in order[:3]
    }
    assert len(spaces) == 1


def test_what_could_not_come_up_with_the_daemon_is_tried_again(rebooted: DaemonGround) -> None:
    made(rebooted, "base", "no", "bridge")
    made(rebooted, "joins", "always", "container:base")
    made(rebooted, "stops", "always", "container:base")
    made(rebooted, "tries", "on-failure", "container:base")
    for name in ("base", "joins", "stops", "tries"):
        rebooted.ask("POST", f"/containers/{name}/start")
    rebooted.ask(
        "POST", "/containers/tries/update", {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2}}
    )
    rebooted.reboot()
    rebooted.start()
    until(lambda: status(rebooted, "tries") == "exited 2", rebooted.said)
    until(lambda: rebooted.count("could not restart container joins, again in ") >= 3, rebooted.said)
    assert status(rebooted, "base") == "exited 0"
    rebooted.ask("POST", "/containers/stops/stop")
    rebooted.ask("POST", "/containers/base/start")
    until(lambda: status(rebooted, "joins").startswith("running"), rebooted.said)
    assert status(rebooted, "stops").startswith("exited")
