"""What a container hears from 127.0.0.11, asked from inside a namespace."""

import os
import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.patience import FACTOR
from tests.root.dns_ground import (
    ASKER,
    OTHER,
    RESOLVER,
    SERVER,
    Box,
    box,
    member,
    resolver,
    sockets_in,
    until,
    upstream,
    view,
)

from bascule.dns.client import ResolverClient
from bascule.engine.names import Zone
from bascule.model.errors import Failed
from bascule.wire.dns import AAAA, MX, PTR, REFUSED, A, query, read_message, to_wire

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo make test-root")


@pytest.fixture
def one() -> Iterator[Box]:
    with box() as made:
        yield made


@pytest.fixture
def names(one: Box, tmp_path: Path) -> Iterator[ResolverClient]:
    with resolver(tmp_path, one) as client:
        client.serve(one.sandbox, view(one, "n1"))
        yield client


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize(
    ("name", "kind", "heard"),
    [
        ("web", A, "NOERROR 10.0.0.2"),
        ("WEB.App", A, "NOERROR 10.0.0.2"),
        ("www", AAAA, "NOERROR fd00::2"),
        ("db", AAAA, "NOERROR"),
        ("db", MX, "NOERROR"),
        ("2.0.0.10.in-addr.arpa", PTR, "NOERROR Web.app."),
        ("store", A, "NXDOMAIN"),
        ("store.back", A, "NXDOMAIN"),
        ("web.back", A, "SERVFAIL"),
        ("example.com", A, "SERVFAIL"),
        ("ghost", A, "SERVFAIL"),
    ],
)
def test_a_container_hears_the_names_of_its_networks(one: Box, name: str, kind: int, heard: str) -> None:
    assert [one.ask(name, kind), one.ask(name, kind), one.ask(name, kind, stream=True)] == [heard] * 3


def test_names_come_and_go_with_their_members(one: Box, names: ResolverClient) -> None:
    app = Zone("n1", "app")
    said = [one.ask("web"), one.ask("new")]
    names.join(app, member("e9", "new web", "10.0.0.9"))
    names.flush()
    said += [one.ask("web"), one.ask("new")]
    names.part("n1", "e1")
    names.flush()
    said += [one.ask("web"), one.ask("www")]
    names.publish(Zone("n1", "app", gone=True))
    said += [one.ask("new")]
    assert said == [
        "NOERROR 10.0.0.2",
        "SERVFAIL",
        "NOERROR 10.0.0.2 10.0.0.9",
        "NOERROR 10.0.0.9",
        "NOERROR 10.0.0.9",
        "SERVFAIL",
        "SERVFAIL",
    ]


def test_a_view_changes_without_the_sockets(one: Box, names: ResolverClient) -> None:
    before = one.ask("store")
    names.serve(one.sandbox, view(one, "n1", "n2", friend="10.9.9.9"))
    after = [one.ask("store"), one.ask("friend"), one.ask("web")]
    assert [before, *after] == ["NXDOMAIN", "NOERROR 10.0.1.2", "NOERROR 10.9.9.9", "NOERROR 10.0.0.2"]


def test_a_name_of_many_addresses_is_cut_where_it_must_be(one: Box, names: ResolverClient) -> None:
    members = tuple(member(f"e{n}", "many", f"10.0.2.{n}") for n in range(1, 101))
    names.publish(Zone("n1", "app", members))
    counts = [len(one.ask("many").split()) - 2, len(one.ask("many", edns=1232).split()) - 2]
    whole = ["NOERROR", *sorted(f"10.0.2.{n}" for n in range(1, 101))]
    assert counts == [30, 74]
    assert [one.ask("many", edns=4096).split(), one.ask("many", stream=True).split()] == [whole, whole]


def test_several_addresses_take_turns(one: Box, names: ResolverClient) -> None:
    names.join(Zone("n1", "app"), member("e9", "db", "10.0.0.9"))
    names.flush()
    asked = query(to_wire("db"), A)
    firsts = [read_message(one.send(asked)).answers[0].data[-1] for _ in range(4)]
    assert sorted(firsts[:2]) == [3, 9]
    assert firsts[2:] == firsts[:2]


@pytest.mark.usefixtures("names")
def test_queries_over_one_connection_may_be_many(one: Box) -> None:
    packet = query(to_wire("web"), A, ident=1)
    with one.socket(socket.SOCK_STREAM) as sock:
        sock.connect(RESOLVER)
        sock.sendall((len(packet).to_bytes(2) + packet) * 500)
        whole = b""
        while len(whole) < 500 * (2 + len(packet) + 16):
            whole += sock.recv(65535)
    assert len(whole) == 500 * (2 + len(packet) + 16)


def cpu(pid: int) -> int:
    """Ticks of processor time that a process had."""
    return sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))


def test_garbage_harms_nobody(one: Box, names: ResolverClient) -> None:
    """S10: random and damaged packets over UDP and TCP; the process lives, answers, and rests afterwards."""
    chance = random.Random(20240601)
    pid = names.pid
    good = query(to_wire("web"), A, edns=1232)
    with one.socket() as sock:
        for _ in range(2000):
            damaged = bytearray(good if chance.random() < 0.7 else chance.randbytes(chance.randrange(80)))
            for _ in range(chance.randrange(4) if damaged else 0):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            sock.sendto(damaged[: chance.randrange(len(damaged) + 1)], RESOLVER)
    for _ in range(100):
        with one.socket(socket.SOCK_STREAM) as sock:
            sock.connect(RESOLVER)
            sock.sendall(chance.randbytes(chance.randrange(3000)))
    assert one.ask("web") == "NOERROR 10.0.0.2"
    assert names.pid == pid
    before = cpu(pid)
    assert [one.ask("web") for _ in range(20)] == ["NOERROR 10.0.0.2"] * 20
    assert cpu(pid) - before < 20


@pytest.mark.usefixtures("names")
def test_slow_clients_keep_nobody_waiting(one: Box) -> None:
    """S10: more connections than there may be, each with half a query."""
    with ExitStack() as stack:
        for _ in range(100):
            sock = stack.enter_context(one.socket(socket.SOCK_STREAM))
            sock.connect(RESOLVER)
            sock.send(b"\0")
        assert [one.ask("web", stream=True), one.ask("web")] == ["NOERROR 10.0.0.2"] * 2


def test_an_internal_sandbox_has_nothing_to_ask_others_by(one: Box, names: ResolverClient) -> None:
    """S4: no query leaves, because there is no socket that it could leave by."""
    with upstream(one) as server:
        names.serve(one.sandbox, view(one, "n1", upstream=(SERVER,)))
        open_then = one.ask("example.com")
        asked = len(server.heard)
        names.serve(one.sandbox, view(one, "n1"))
        until(lambda: sockets_in(one) == ["127.0.0.11:53"])
        shut = [one.ask("example.com"), one.ask("example.org"), one.ask("ghost", stream=True)]
        assert (open_then, shut, len(server.heard)) == ("NOERROR 192.0.2.1", ["SERVFAIL"] * 3, asked)


def test_what_is_not_ours_is_asked_from_the_containers_own_namespace(one: Box, names: ResolverClient) -> None:
    with upstream(one) as server:
        names.serve(one.sandbox, view(one, "n1", upstream=(SERVER,)))
        said = [one.ask(n) for n in ("example.com", "nx.example", "servfail.example", "ghost", "long.example")]
        said.append(one.ask("long.example", stream=True))
        assert said == [
            "NOERROR 192.0.2.1",
            "NXDOMAIN",
            "SERVFAIL",
            "NOERROR 192.0.2.1",
            "NOERROR TC",
            "NOERROR 192.0.2.1",
        ]
        assert server.names() == [
            "example.com.",
            "nx.example.",
            "servfail.example.",
            "ghost.",
            "long.example.",
            "+long.example.",
        ]
        assert {address for _, (address, _) in server.heard} == {ASKER}
        # S12: each left by another port.
        assert len({port for _, (_, port) in server.heard}) >= 5


def test_names_of_ours_are_never_asked_elsewhere(one: Box, names: ResolverClient) -> None:
    """S11: neither what the asker sees, nor what he may not see, nor what only looks like ours."""
    names.publish(Zone("n3", "proj_default"))
    with upstream(one) as server:
        names.serve(one.sandbox, view(one, "n1", upstream=(SERVER,)))
        for name in ("web", "web.app", "store", "store.back", "ghost.proj_default", "2.1.0.10.in-addr.arpa"):
            for kind in (A, AAAA, MX, PTR):
                one.ask(name, kind)
                one.ask(name, kind, stream=True)
        # The one thing that goes out: an A query for a reverse name is about no address.
        assert set(server.names()) <= {"2.1.0.10.in-addr.arpa.", "+2.1.0.10.in-addr.arpa."}


def test_a_network_hides_no_name_of_the_internet(one: Box, names: ResolverClient) -> None:
    """On a network called app, cash.app is what the Internet says it is, as in Docker."""
    with upstream(one) as server:
        names.serve(one.sandbox, view(one, "n1", upstream=(SERVER,)))
        assert [one.ask("cash.app"), one.ask("web.app")] == ["NOERROR 192.0.2.1", "NOERROR 10.0.0.2"]
        assert server.names() == ["cash.app."]


def test_where_no_server_listens_the_next_is_asked_at_once(one: Box, names: ResolverClient) -> None:
    with upstream(one) as server:
        names.serve(one.sandbox, view(one, "n1", upstream=("10.99.0.1", OTHER, SERVER)))
        said = [one.ask("example.com"), one.ask("example.com", stream=True)]
    assert (said, server.names()) == (["NOERROR 192.0.2.1"] * 2, ["example.com.", "+example.com."])


def test_without_a_route_a_thousand_questions_are_all_told(one: Box, names: ResolverClient) -> None:
    names.serve(one.sandbox, view(one, "n1", upstream=("10.99.0.1",)))
    packet = query(to_wire("example.com"), A, ident=4711)
    with one.socket(socket.SOCK_STREAM) as sock:
        sock.connect(RESOLVER)
        sock.sendall((len(packet).to_bytes(2) + packet) * 1000)
        whole = b""
        while len(whole) < 1000 * (2 + len(packet)):
            whole += sock.recv(65535)
    assert one.ask("web") == "NOERROR 10.0.0.2"


@pytest.mark.skipif(FACTOR > 1, reason="emulated, a thousand questions take longer than the first may wait")
def test_more_open_questions_than_may_be_are_refused(one: Box, names: ResolverClient) -> None:
    with upstream(one):
        names.serve(one.sandbox, view(one, "n1", upstream=(SERVER,)))
        with one.socket() as sock:
            for ident in range(1030):
                sock.sendto(query(to_wire("silent.example"), A, ident=ident), RESOLVER)
            refused = [read_message(sock.recv(512)) for _ in range(6)]
        # The first 1,024 wait for their answers; names of ours are answered all the while.
        assert [(m.ident, m.rcode) for m in refused] == [(n, REFUSED) for n in range(1024, 1030)]
        assert one.ask("web") == "NOERROR 10.0.0.2"


def test_a_server_on_the_hosts_loopback_is_asked_from_the_host(one: Box, names: ResolverClient) -> None:
    address = f"127.{os.getpid() >> 16 & 255}.{os.getpid() >> 8 & 255}.{os.getpid() & 255 or 1}"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((address, 53))
        server.settimeout(10)
        names.serve(one.sandbox, view(one, "n1", upstream=(address,)))
        with one.socket() as asker:
            asker.sendto(query(to_wire("example.com"), A), RESOLVER)
            data, sender = server.recvfrom(4096)
            assert sender[0].startswith("127.")
            server.sendto(data[:2] + b"\x81\x83" + data[4:], sender)
            assert read_message(asker.recv(4096)).rcode == 3


def test_nothing_is_served_where_it_must_not_be(one: Box, names: ResolverClient) -> None:
    """S12: in the host's own namespace, where nobody is, and where somebody else is already."""
    with one.socket(bind=("127.0.0.11", 5353)), box() as taken:
        for key, why in (
            ("/proc/self/ns/net", "host's own"),
            ("/run/netns/none", "no such"),
            ("/etc/passwd", "not a"),
        ):
            with pytest.raises(Failed, match=why):
                names.serve(type(one.sandbox)("x", "x", "x", key, 0), view(Box("x"), "n1"))
        with taken.socket(bind=RESOLVER), pytest.raises(Failed, match="Address already in use"):
            names.serve(taken.sandbox, view(taken, "n1"))
    assert one.ask("web") == "NOERROR 10.0.0.2"
