"""Connections to one address are divided among several, in a namespace of the kernel's."""

import socket
from collections.abc import Iterator

import pytest
from tests.root.overlay_world import Wire

from bascule.kernel.balance import Balancer
from bascule.kernel.namespaces import in_namespace
from bascule.model.addresses import IPAddress, ip_address

FRONT, FRONT6 = ip_address("192.0.2.200"), ip_address("2001:db8::200")
PORT = 7000
NAMES = ("ann", "bob", "cy")


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire("asker", "ann", "bob", "cy") as made:
        yield made


def who(wire: Wire, front: IPAddress) -> set[IPAddress]:
    """Whom flows of datagrams to *front* come to, in forty tries."""

    def served(name: str) -> socket.socket:
        made = socket.socket(socket.AF_INET if front.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
        made.bind((str(wire.address(name, front.version)), PORT))
        made.setblocking(False)
        return made

    servers = {name: in_namespace(wire.path(name), lambda name=name: served(name)) for name in NAMES}  # type: ignore[misc]

    def ask() -> None:
        for _ in range(40):
            with socket.socket(
                socket.AF_INET if front.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM
            ) as sock:
                sock.connect((str(front), PORT))
                sock.send(b"who?")

    # Their MACs are known before, so that what is sent has arrived when it is sent.
    for name in NAMES:
        wire.sh("asker", f"ping -c1 -W2 {wire.address(name, front.version)}")
    in_namespace(wire.path("asker"), ask)
    found = set()
    for name, server in servers.items():
        with server:
            try:
                server.recv(10)
                found.add(wire.address(name, front.version))
            except BlockingIOError:
                continue  # Nobody asked it.
    return found


def test_who_comes_is_asked_and_who_goes_is_not(wire: Wire) -> None:
    balancer, key = Balancer(), wire.path("asker")
    for front in (FRONT, FRONT6):
        a, b, c = (wire.address(name, front.version) for name in NAMES)
        for members in ([a, b], [a, b, c], [c, b], [c], [a, b, c]):
            balancer.share(key, {front: members})
            assert who(wire, front) == set(members)
            assert balancer.faults(key, {front: members}) == []


def test_with_nobody_to_divide_among_nothing_is_left(wire: Wire) -> None:
    balancer, key = Balancer(), wire.path("asker")
    balancer.share(key, {FRONT: [wire.address("ann")]})
    balancer.share(key, {FRONT: []})
    assert wire.sh("asker", "nft list ruleset") == ""


def test_what_somebody_changed_there_is_found_and_put_back(wire: Wire) -> None:
    balancer, key = Balancer(), wire.path("asker")
    shares = {FRONT: [wire.address("ann"), wire.address("bob")]}
    balancer.share(key, shares)
    wire.sh("asker", "nft delete element inet bascule-services members_ip '{ 192.0.2.200 . 1 }'")
    assert balancer.faults(key, shares) == ["missing: members_ip { 192.0.2.200 . 1 : 192.0.2.3 }"]
    balancer.renew(key, shares)
    assert balancer.faults(key, shares) == []
    wire.sh("asker", "nft flush ruleset")
    assert len(balancer.faults(key, shares)) == 3
    # A change that meets what it did not leave writes all of it.
    balancer.share(key, {FRONT: [wire.address("cy")]})
    assert balancer.faults(key, {FRONT: [wire.address("cy")]}) == []
    assert who(wire, FRONT) == {wire.address("cy")}


def test_another_daemon_says_it_again_and_rules_of_others_stay(wire: Wire) -> None:
    key, shares = wire.path("asker"), {FRONT: [wire.address("ann"), wire.address("bob")]}
    wire.sh("asker", "nft add table inet theirs")
    Balancer().share(key, shares)
    again = Balancer()
    again.share(key, shares)
    assert again.faults(key, shares) == []
    again.share(key, {})
    assert wire.sh("asker", "nft list ruleset") == "table inet theirs {\n}"


def test_a_namespace_with_nothing_to_divide_is_looked_at_once(wire: Wire) -> None:
    balancer, key = Balancer(), wire.path("asker")
    Balancer().share(key, {FRONT: [wire.address("ann")]})
    # What an earlier daemon left is found, and goes.
    assert len(balancer.faults(key, {})) == 2
    balancer.renew(key, {})
    assert [balancer.faults(key, {}) for _ in range(2)] == [[], []]
    balancer.share(key, {FRONT: [wire.address("bob")]})
    assert who(wire, FRONT) == {wire.address("bob")}
    assert balancer.faults(key, {FRONT: [wire.address("bob")]}) == []
