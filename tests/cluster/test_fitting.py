"""Hosts whose links carry different sizes of packets, on a real etcd: what is too large is found, and told."""

import logging
from collections.abc import Iterator

import pytest
from tests.cluster.hosts import Host, until
from tests.etcd_server import ETCD, REASON, Member

from bascule.model.addresses import ip_address, ip_interface
from bascule.model.thing import Address, Dummy, Thing

pytestmark = pytest.mark.skipif(not ETCD, reason=REASON)
PLAIN = "packets of its MTU, 1450, are too large for host3 (link with MTU 1400): 1350 would fit"
SEALED = "packets of its MTU, 1370, are too large for host3 (link with MTU 1400): 1270 would fit"


@pytest.fixture
def hosts(etcd: Member) -> Iterator[list[Host]]:
    """Two whose links carry 1500 bytes, and one, which has not joined, whose carries 1400."""
    made = [Host(number, etcd.url, mtu=mtu) for number, mtu in ((1, 1500), (2, 1500), (3, 1400))]
    try:
        for host in made[:2]:
            host.enter(found=host is made[0])
        made[0].network("web")
        made[0].network("secret", options={"encrypted": ""})
        until(lambda: made[1].overlays() == ["secret", "web"])
        yield made
    finally:
        for host in made:
            host.stop()


def told(host: Host) -> list[str]:
    return list(host.engine.cluster.status().warnings)


def statuses(host: Host) -> list[str]:
    """What `network inspect` shows."""
    return [host.engine.status(host.engine.network(name)).get("bascule.mtu", "") for name in ("web", "secret")]


def test_a_network_that_is_too_large_for_a_host_that_joins_is_told_everywhere(
    hosts: list[Host], caplog: pytest.LogCaptureFixture
) -> None:
    one, _, three = hosts
    until(lambda: all(host.clean() for host in hosts[:2]))
    assert statuses(one) == ["", ""]
    with caplog.at_level(logging.WARNING, "bascule.cluster"):
        three.enter()
        until(lambda: all(statuses(host) == [PLAIN, SEALED] for host in hosts))
        # Each host says it once, and not with every turn.
        until(lambda: caplog.messages.count(f"network web: {PLAIN}") == 3)
        one.network("more")
        until(lambda: all("more" in host.overlays() for host in hosts))
        assert caplog.messages.count(f"network web: {PLAIN}") == 3
    wanted = {f"network web: {PLAIN}", f"network secret: {SEALED}"}
    for host in hosts:
        assert set(told(host)) == wanted
        assert sorted(line.partition("): ")[2] for line in host.engine.cluster.verify()) == sorted([PLAIN, SEALED])
    # What is made now is made for the smallest.
    assert [host.engine.network("more").tunnel.mtu for host in hosts] == [1350] * 3  # type: ignore[union-attr]


def test_a_link_that_is_changed_is_measured_anew(hosts: list[Host]) -> None:
    one, two, three = hosts
    three.kernel.mtu = 1500
    three.enter()
    until(lambda: all(set(host.overlays()) == {"web", "secret"} for host in hosts))
    three.box("c", "secret")
    two.box("b", "secret")
    until(lambda: all(host.clean() for host in hosts), lambda: str([h.engine.cluster.verify() for h in hosts]))
    assert "ip link add bascule-wg mtu 1440 " in three.kernel.dump()
    # While its daemon is away, and while it is there.
    three.stop()
    three.kernel.mtu = 1400
    three.start()
    until(lambda: all(statuses(host) == [PLAIN, SEALED] for host in hosts))
    until(lambda: all(len(host.engine.cluster.verify()) == 2 for host in hosts), lambda: str(three.kernel.dump()))
    assert "ip link add bascule-wg mtu 1340 " in three.kernel.dump()
    assert len([line for line in three.kernel.dump().splitlines() if "wg set" in line and " peer " in line]) == 2
    three.kernel.mtu = 1500
    until(lambda: all(host.clean() for host in hosts), lambda: str([h.engine.cluster.verify() for h in hosts]))
    assert statuses(one) == ["", ""]
    assert told(one) == []


def test_a_way_between_two_that_carries_less_than_their_links_is_told(hosts: list[Host]) -> None:
    one, two, _ = hosts
    one.box("a", "secret")
    two.box("b", "secret")
    until(lambda: all(host.clean() for host in hosts[:2]))
    one.kernel.paths[two.address] = 1480
    said = "packets of its MTU, 1370, are too large for host2 (path with MTU 1480): 1350 would fit"
    until(lambda: statuses(one)[1] == said)
    # It is another matter the other way, and with networks that nobody of both is on.
    assert told(two) == []
    one.kernel.paths.clear()
    until(lambda: all(host.clean() for host in hosts[:2]))
    assert told(one) == []


def test_hosts_that_are_told_of_are_not_endless(etcd: Member) -> None:
    first = Host(1, etcd.url, mtu=9000)
    others = [Host(number, etcd.url, mtu=1500 + number) for number in range(2, 9)]
    try:
        first.enter(found=True)
        first.network("web")
        for host in others:
            host.enter()
        until(lambda: "and 2 more: 1452 would fit" in "".join(told(first)), lambda: str(told(first)))
    finally:
        for host in (first, *others):
            host.stop()


def test_a_host_that_lost_its_address_says_so(hosts: list[Host]) -> None:
    one, two = hosts[:2]
    end: list[Thing] = [Dummy("eth9"), Address("eth9", ip_interface("192.0.2.99/24"))]
    two.kernel.add(end)
    two.engine.cluster.move(ip_address("192.0.2.99"))
    until(lambda: one.clean() and two.clean())
    two.kernel.remove(end[::-1])
    said = "no link of this host has the address 192.0.2.99, at which its tunnels end"
    assert [line.partition(":")[0] for line in two.engine.cluster.status().warnings] == [said]
    assert any(said in line for line in two.engine.cluster.verify())
    two.kernel.add(end)
    assert two.engine.cluster.status().warnings == ()
    until(two.clean)
