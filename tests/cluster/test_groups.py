"""What is for a group reaches all hosts of a network where that was asked for."""

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial

import pytest
from tests.cluster.daemons import Cluster, Container
from tests.etcd_server import ETCD, REASON
from tests.root.ground import until

from bascule.kernel.namespaces import in_namespace

pytestmark = pytest.mark.skipif(not ETCD, reason=REASON)
GROUP, PORT, HOSTS = "239.1.2.3", 5000, ("one", "two", "three")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("etcd"), etcds=1) as made:
        made.enter()
        yield made


def trio(cluster: Cluster, name: str, subnet: str, **more: object) -> list[Container]:
    """A container on each host, which all know of one another."""
    cluster.network("one", name, subnet, **more)
    boxes = [cluster.run(host, f"{name}-{host}", name) for host in HOSTS]
    until(lambda: all(one.ping(other.addresses[0]) == "1/1" for one in boxes for other in boxes))
    return boxes


def member(box: Container) -> socket.socket:
    """A socket that hears the group, and what is for everybody."""
    made = in_namespace(box.path, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    made.bind(("", PORT))
    joined = struct.pack("4s4s", socket.inet_aton(GROUP), box.addresses[0].packed)
    made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, joined)
    made.setblocking(False)
    return made


def say(box: Container, to: str, words: bytes) -> None:
    with in_namespace(box.path, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, box.addresses[0].packed)
        made.bind((str(box.addresses[0]), 0))
        made.sendto(words, (to, PORT))


def until_all_have(members: list[socket.socket], words: bytes, say_it: Callable[[], None]) -> list[set[bytes]]:
    """What each of *members* has heard until all have heard *words*, which *say_it* says again and again."""
    told: list[set[bytes]] = [set() for _ in members]

    def so() -> bool:
        say_it()
        for one, known in zip(members, told, strict=True):
            with suppress(BlockingIOError):
                while True:
                    known.add(one.recv(100))
        return all(words in known for known in told)

    until(so)
    return told


def test_groups_are_heard_on_all_hosts_where_that_was_asked_for(cluster: Cluster) -> None:
    boxes = trio(cluster, "band", "10.60.0.0/24", Options={"bascule.multicast": "true"})
    with ExitStack() as stack:
        members = [stack.enter_context(member(box)) for box in boxes]
        for box in boxes:
            tune = f"tune of {box.name}".encode()
            until_all_have(members, tune, partial(say, box, GROUP, tune))
    leave(cluster)


def test_groups_stay_on_their_host_otherwise(cluster: Cluster) -> None:
    boxes = trio(cluster, "solo", "10.61.0.0/24")
    with ExitStack() as stack:
        members = [stack.enter_context(member(box)) for box in boxes]
        say(boxes[0], GROUP, b"tune")
        say(boxes[0], "10.61.0.255", b"everybody")

        def behind_it() -> None:
            for box in boxes:
                say(boxes[0], str(box.addresses[0]), b"last")

        told = until_all_have(members, b"last", behind_it)
        # Said before what has arrived, the others would have arrived by now.
        assert [known - {b"last"} for known in told] == [{b"tune", b"everybody"}, set(), set()]
    leave(cluster)


def leave(cluster: Cluster) -> None:
    for host in HOSTS:
        cluster.daemons[host].sweep()
    assert cluster.verified() == ""
