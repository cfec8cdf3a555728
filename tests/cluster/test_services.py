"""Names that several containers on several hosts have together."""

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from typing import Self

import pytest
from tests.cluster.boxes import QUICK
from tests.cluster.daemons import HOSTS, Cluster, Container, command, docker
from tests.etcd_server import ETCD, REASON
from tests.root.ground import Inside, Refused, until

from bascule.kernel.namespaces import in_namespace
from bascule.model.addresses import ip_address
from bascule.wire.dns import A, query, read_message, to_wire

pytestmark = pytest.mark.skipif(not ETCD, reason=REASON)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """All three are members.  Tests leave it as they found it."""
    with Cluster(tmp_path_factory.mktemp("etcd"), *QUICK) as made:
        made.enter()
        yield made


@pytest.fixture
def network(cluster: Cluster) -> Iterator[str]:
    """Of both families; nothing is on it afterwards, and it is gone."""
    cluster.network("one", "app", "10.60.0.0/24", "fd60::/64")
    yield "app"
    for host in HOSTS:
        cluster.daemons[host].sweep()
    assert cluster.verified() == ""
    until(lambda: gone(cluster))


def gone(cluster: Cluster) -> bool:
    """Whether no network is left; a host may have to be asked again, while others let go of one."""
    cluster.daemons["one"].ask("POST", "/networks/prune")
    return not any(cluster.networks(host) for host in HOSTS)


def heard(asker: Container, name: str) -> list[str]:
    """The addresses of an answer."""
    return asker.asks(name).split()[1:]


def first(asker: Container, name: str) -> str:
    """The first address of an answer."""
    answer = Inside(asker.name, asker.path).send(query(to_wire(name), A, ident=4711))
    return str(ip_address(read_message(answer).answers[0].data))


def own(boxes: list[Container]) -> set[str]:
    return {str(box.addresses[0]) for box in boxes}


def test_an_alias_of_many_is_all_of_them_on_every_host_and_each_comes_first(cluster: Cluster, network: str) -> None:
    boxes = [cluster.run(host, f"{name}-{host}", network, aliases=("web",)) for host in HOSTS for name in "ab"]
    for asker in boxes:
        until(lambda asker=asker: set(heard(asker, "web")) == own(boxes))  # type: ignore[misc]
        assert set(heard(asker, "web.app")) == own(boxes)
        # Round robin: whoever takes the first address of each answer comes to all.
        firsts = {first(asker, "web") for _ in range(len(boxes) * 20)}
        assert firsts == own(boxes)


def test_the_names_of_the_dead_vanish_and_come_back(cluster: Cluster, network: str) -> None:
    boxes = {host: cluster.run(host, f"box-{host}", network, aliases=("web",)) for host in HOSTS}
    until(lambda: set(heard(boxes["one"], "web")) == own(list(boxes.values())))
    # A container that ends by itself, not one that somebody removes.
    cluster.daemons["two"].ask("POST", "/containers/box-two/kill")
    until(lambda: set(heard(boxes["one"], "web")) == own([boxes["one"], boxes["three"]]))
    assert not boxes["one"].asks("box-two").startswith("NOERROR")
    # A host that vanishes with its containers.
    cluster.cut("three")
    until(lambda: heard(boxes["one"], "web") == [str(boxes["one"].addresses[0])])
    assert not boxes["one"].asks("box-three").startswith("NOERROR")
    cluster.mend("three")
    until(lambda: set(heard(boxes["one"], "web")) == own([boxes["one"], boxes["three"]]))


# ---- one address for all


@dataclass
class Said:
    """What an endpoint answered: who it is and whom it saw."""

    name: str
    peer: str


class Serving:
    """Each box answers connections to *port* with its name and the asker's address, until the asker ends, and
    datagrams with the same."""

    def __init__(self, *boxes: Container, port: int = 80) -> None:
        self._port = port
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._lines: list[Line] = []
        for box in boxes:
            self.add(box)

    def add(self, box: Container) -> None:
        def opened() -> tuple[socket.socket, socket.socket]:
            stream = socket.create_server(
                ("::", self._port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=512
            )
            datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            datagrams.bind((str(box.addresses[0]), self._port))
            return stream, datagrams

        stream, datagrams = in_namespace(box.path, opened)
        self._sockets += [stream, datagrams]
        for work, sock in ((self._accept, stream), (self._answer, datagrams)):
            thread = threading.Thread(target=work, args=(sock, box.name), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _accept(self, stream: socket.socket, name: str) -> None:
        while True:
            try:
                talk, peer = stream.accept()
            except OSError:
                return  # It is over.
            threading.Thread(target=self._talk, args=(talk, name, peer[0]), daemon=True).start()

    @staticmethod
    def _talk(talk: socket.socket, name: str, peer: str) -> None:
        with talk:
            try:
                while talk.recv(100):
                    talk.sendall(f"{name} {peer.removeprefix('::ffff:')}\n".encode())
            except OSError:
                return  # The asker or its network went.

    @staticmethod
    def _answer(datagrams: socket.socket, name: str) -> None:
        while True:
            try:
                _, peer = datagrams.recvfrom(100)
                if peer is None:
                    return  # It is over.
                datagrams.sendto(f"{name} {peer[0]}\n".encode(), peer)
            except OSError:
                return  # The network went.

    def line(self, path: str, to: str, port: int = 80, kind: int = socket.SOCK_STREAM) -> "Line":
        """One that is closed with us."""
        made = Line(path, to, port, kind)
        self._lines.append(made)
        return made

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for line in self._lines:
            line.close()
        for sock in self._sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join()


class Line:
    """A connection, or a flow of datagrams, from the namespace at *path*."""

    def __init__(self, path: str, to: str, port: int = 80, kind: int = socket.SOCK_STREAM) -> None:
        version = socket.AF_INET6 if ":" in to else socket.AF_INET

        def opened() -> socket.socket:
            made = socket.socket(version, kind)
            made.settimeout(3)
            try:
                made.connect((to, port))
            except OSError:
                made.close()
                raise
            return made

        self._socket = in_namespace(path, opened)

    def says(self) -> Said:
        self._socket.sendall(b"who?")
        return Said(*self._socket.recv(100).decode().split())

    def close(self) -> None:
        self._socket.close()


def asked(path: str, to: str, port: int = 80, kind: int = socket.SOCK_STREAM) -> Said:
    line = Line(path, to, port, kind)
    try:
        return line.says()
    finally:
        line.close()


def served(cluster: Cluster, host: str, name: str, network: str, **more: str) -> Container:
    """A container that belongs to the service `web`; *more* are its options."""
    options = {"bascule.service": "web", **{f"bascule.service.{key}": value for key, value in more.items()}}
    daemon = cluster.daemons[host]
    end = {network: {"DriverOpts": options}}
    daemon.run(name, network, "sleep", "1000", NetworkingConfig={"EndpointsConfig": end})
    return Container(daemon, name, network)


def among(path: str, to: str, *, port: int = 80) -> set[str]:
    """Who answers when many ask."""
    return {asked(path, to, port).name for _ in range(30)}


def among_now(path: str, to: str, port: int) -> set[str]:
    """The same while things change: who asks somebody who is gone by now has no answer."""
    try:
        return among(path, to, port=port)
    except OSError as why:
        return {str(why)}


def reached(path: str, to: str, boxes: list[Container], *, port: int = 80) -> None:
    """These and nobody else answer, soon."""
    until(lambda: among_now(path, to, port) == {box.name for box in boxes}, lambda: str(among_now(path, to, port)))


def test_one_address_stands_for_the_endpoints_of_all_hosts(cluster: Cluster, network: str) -> None:
    asker = cluster.run("one", "asker", network)
    assert not asker.asks("web").startswith("NOERROR")
    boxes = [served(cluster, host, f"web-{host}", network) for host in HOSTS]
    until(lambda: asker.asks("web") == "NOERROR 10.60.0.254")
    until(lambda: set(heard(asker, "tasks.web")) == own(boxes))
    with Serving(*boxes):
        reached(asker.path, "10.60.0.254", boxes)
        # Both families, and everything that has no ports.
        reached(asker.path, "fd60::ffff:ffff:ffff:ffff", boxes)
        assert asker.ping(ip_address("10.60.0.254")) == "1/1"
        # Whoever is in it asks it too, and may get itself.
        for box in boxes:
            reached(box.path, "10.60.0.254", boxes)
        said = asked(asker.path, "10.60.0.254")
        assert said.peer == str(asker.addresses[0])
        assert asked(asker.path, "10.60.0.254", kind=socket.SOCK_DGRAM).peer == str(asker.addresses[0])
    for box in boxes:
        box.daemon.ask("DELETE", f"/containers/{box.name}?force=1")
    until(lambda: not asker.asks("web").startswith("NOERROR"))
    assert cluster.verified() == ""


def test_connections_are_divided_evenly(cluster: Cluster, network: str) -> None:
    boxes = [served(cluster, host, f"{name}-{host}", network) for host in HOSTS for name in ("a", "b")]
    asker = cluster.run("two", "asker", network)
    with Serving(*boxes):
        reached(asker.path, "10.60.0.254", boxes)
        count = Counter(asked(asker.path, "10.60.0.254").name for _ in range(600))
    # A hundred each; six standard deviations are 55.
    assert {box.name for box in boxes} == set(count)
    assert all(45 <= times <= 155 for times in count.values()), count


def test_who_dies_leaves_and_who_comes_joins_and_what_runs_goes_on(cluster: Cluster, network: str) -> None:
    asker = cluster.run("one", "asker", network)
    boxes = {host: served(cluster, host, f"web-{host}", network) for host in HOSTS}
    with Serving(*boxes.values()) as serving:
        reached(asker.path, "10.60.0.254", list(boxes.values()))
        lines = [serving.line(asker.path, "10.60.0.254") for _ in range(30)]
        flows = [serving.line(asker.path, "10.60.0.254", kind=socket.SOCK_DGRAM) for _ in range(30)]
        before = [line.says().name for line in lines]
        assert {flow.says().name for flow in flows} == {box.name for box in boxes.values()}
        cluster.daemons["two"].ask("POST", "/containers/web-two/kill")
        reached(asker.path, "10.60.0.254", [boxes["one"], boxes["three"]])
        # Datagrams are with the living at once, although their flow has not ended.
        assert {flow.says().name for flow in flows} == {"web-one", "web-three"}
        more = served(cluster, "two", "web-more", network)
        serving.add(more)
        reached(asker.path, "10.60.0.254", [boxes["one"], boxes["three"], more])
        # Nobody's connection has moved to another.
        for line, name in zip(lines, before, strict=True):
            assert name == "web-two" or line.says().name == name
        cluster.cut("three")
        reached(asker.path, "10.60.0.254", [boxes["one"], more])
        cluster.mend("three")
        reached(asker.path, "10.60.0.254", [boxes["one"], more, boxes["three"]])


def test_dockers_command_line_and_ours_say_it(cluster: Cluster, network: str) -> None:
    boxes = [cluster.run("one", "by-docker", network), cluster.run("two", "by-ours", network)]
    asker = cluster.run("three", "asker", network)
    for box, say in zip(boxes, (docker, command), strict=True):
        say(box.daemon, "network", "disconnect", network, box.name)
        say(box.daemon, "network", "connect", "--driver-opt", "bascule.service=web", network, box.name)
    boxes = [Container(box.daemon, box.name, network) for box in boxes]
    words = f"run -d --name run --network name={network},driver-opt=bascule.service=web host sleep 1000"
    command(cluster.daemons["three"], *words.split())
    boxes.append(Container(cluster.daemons["three"], "run", network))
    with Serving(*boxes):
        reached(asker.path, "10.60.0.254", boxes)
    with pytest.raises(AssertionError, match="every endpoint says the same or nothing"):
        docker(
            boxes[0].daemon,
            *(w.replace("=web", "=web,driver-opt=bascule.service.mode=dnsrr") for w in words.split()),
        )


# ---- published ports


def test_every_host_publishes_a_services_ports(cluster: Cluster, network: str) -> None:
    boxes = [served(cluster, host, f"web-{host}", network, publish="8080:80") for host in ("one", "two")]
    with Serving(*boxes) as serving:
        for asker, host in product(HOSTS, HOSTS):
            # From another machine, and from the host itself.  The third host has no endpoint.
            reached(cluster.wire.path(asker), str(cluster.wire.address(host)), boxes, port=8080)
        reached(cluster.wire.path("three"), "127.0.0.1", boxes, port=8080)
        line = serving.line(cluster.wire.path("one"), str(cluster.wire.address("three")), 8080)
        name = line.says().name
        # A host that has none gets one, and one that had loses it: what runs goes on.
        boxes.append(served(cluster, "three", "web-three", network))
        serving.add(boxes[-1])
        reached(cluster.wire.path("one"), str(cluster.wire.address("three")), boxes, port=8080)
        gone = next(box for box in boxes if box.name != name)
        gone.daemon.ask("DELETE", f"/containers/{gone.name}?force=1")
        boxes.remove(gone)
        for host in HOSTS:
            reached(cluster.wire.path("one"), str(cluster.wire.address(host)), boxes, port=8080)
        assert line.says().name == name
        assert cluster.verified() == ""
    # The host's way to what it publishes leads to the published ports and to no others.
    entry = way_in(cluster, "one")
    with Serving(*boxes), Serving(*boxes, port=81):
        reached(cluster.wire.path("one"), entry, boxes)
        with pytest.raises(TimeoutError):
            asked(cluster.wire.path("one"), entry, 81)
    for box in boxes:
        box.daemon.ask("DELETE", f"/containers/{box.name}?force=1")
    until(lambda: all(refused(cluster, host, 8080) for host in HOSTS))


def way_in(cluster: Cluster, host: str) -> str:
    """The address of the entry of `web` on that host, on the bridge network."""
    told = cluster.daemons[host].ask("GET", "/networks/bascule_gwbridge")["Containers"]
    return next(str(end["IPv4Address"]).partition("/")[0] for end in told.values() if end["Name"] == "service:web")


def refused(cluster: Cluster, host: str, port: int) -> bool:
    """Whether nobody listens on that port of the host."""
    try:
        asked(cluster.wire.path("one"), str(cluster.wire.address(host)), port)
    except ConnectionRefusedError:
        return True
    return False


def test_a_port_that_keeps_the_source_is_answered_by_its_own_host(cluster: Cluster, network: str) -> None:
    boxes = {
        host: served(cluster, host, f"web-{host}", network, publish="8081:80", source="keep")
        for host in ("one", "two")
    }
    with Serving(*boxes.values()):
        for host, box in boxes.items():
            said = asked(cluster.wire.path("three"), str(cluster.wire.address(host)), 8081)
            assert (said.name, said.peer) == (box.name, str(cluster.wire.address("three")))
        assert refused(cluster, "three", 8081)
        # One of a host answers: a second one has nothing to be published by.
        with pytest.raises(Refused, match="8081 failed: port is already allocated"):
            served(cluster, "one", "web-more", network)
        asker = cluster.run("three", "asker", network)
        reached(asker.path, "10.60.0.254", list(boxes.values()))
        # Taken off the network, it is published no more, and what it publishes itself stays.
        cluster.daemons["one"].ask(
            "POST", f"/networks/{network}/disconnect", {"Container": "web-one", "Force": True}
        )
        assert refused(cluster, "one", 8081)


def test_a_daemon_that_comes_back_finds_services_as_they_are(cluster: Cluster, network: str) -> None:
    boxes = [served(cluster, host, f"web-{host}", network, publish="8080:80") for host in ("one", "two")]
    asker = cluster.run("one", "asker", network)
    with Serving(*boxes) as serving:
        reached(asker.path, "10.60.0.254", boxes)
        reached(cluster.wire.path("two"), str(cluster.wire.address("three")), boxes, port=8080)
        line = serving.line(asker.path, "10.60.0.254")
        name = line.says().name
        for host in HOSTS:
            cluster.daemons[host].kill()
        assert among(asker.path, "10.60.0.254") == {box.name for box in boxes}
        for host in HOSTS:
            cluster.daemons[host].start()
        boxes.append(served(cluster, "three", "web-three", network))
        serving.add(boxes[-1])
        reached(asker.path, "10.60.0.254", boxes)
        reached(cluster.wire.path("two"), str(cluster.wire.address("three")), boxes, port=8080)
        assert line.says().name == name
        # Somebody in the container flushes its rules: they are back with the next look.
        asker.sh("nft flush ruleset")
        assert cluster.verified() == ""
        reached(asker.path, "10.60.0.254", boxes)
