"""Encrypted networks on several hosts, on a real etcd: which way, from when on, and with whose secrets."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.cluster.hosts import Host, until
from tests.etcd_server import ETCD, REASON, Member

from bascule.cluster import keys
from bascule.drivers import sealed
from bascule.model.addresses import ip_address, ip_interface
from bascule.model.cluster import Node, Ring, Seal
from bascule.model.codec import encode
from bascule.model.errors import Failed
from bascule.model.thing import Address, Dummy
from bascule.store.etcd import EtcdStore
from bascule.store.etcdclient import Access, Etcd

pytestmark = pytest.mark.skipif(not ETCD, reason=REASON)
CLOSED = "nft add element inet bascule sealed '{ 0x1000 }'"


@pytest.fixture
def hosts(etcd: Member, request: pytest.FixtureRequest) -> Iterator[list[Host]]:
    """Two hosts; each has what the test's parameter says, or both ciphers."""
    seals: list[tuple[Seal, ...]] = getattr(request, "param", [("wireguard", "esp")] * 2)
    made = [Host(number, etcd.url, seals=seals[number - 1]) for number in (1, 2)]
    try:
        for host in made:
            host.enter(found=host is made[0])
        until(lambda: all(len(h.store.all(Node)) == 2 for h in made))
        yield made
    finally:
        for host in made:
            host.stop()


def lines(host: Host, *words: str) -> list[str]:
    return [line for line in host.kernel.dump().splitlines() if all(word in line for word in words)]


def spis(host: Host, word: str) -> list[str]:
    """Those in the lines with *word*."""
    return [line.split(" spi ")[1].split()[0] for line in lines(host, word) if " spi " in line]


@pytest.fixture
def shared(etcd: Member) -> Iterator[EtcdStore]:
    """What all hosts have of the cluster's store, as it is."""
    client = Etcd(Access((etcd.url,)))
    store = EtcdStore(client, keys.SHARED)
    yield store
    store.close()
    client.close()


def test_cleartext_is_out_on_every_host_from_the_networks_creation_to_its_end(hosts: list[Host]) -> None:
    one, two = hosts
    net = one.network("web", options={"encrypted": ""})
    assert CLOSED in one.kernel.dump()
    until(lambda: CLOSED in two.kernel.dump())
    # Nobody is on it, and it is closed all the same.
    assert lines(two, "vx-") == []
    assert net.tunnel
    assert (net.tunnel.seal, net.tunnel.mtu) == ("wireguard", 1370)
    two.engine.remove("web")
    until(lambda: lines(one, "sealed") + lines(one, "bascule-wg") == [])
    assert lines(two, "sealed") + lines(two, "bascule-wg") == []


def test_each_knows_the_others_key_and_nobody_anothers_secret(hosts: list[Host], shared: EtcdStore) -> None:
    one, two = hosts
    one.network("web", options={"encrypted": ""})
    until(lambda: all(lines(host, "wg set", " peer ") for host in hosts))
    keys = {node.name: node.key for node in one.store.all(Node)}
    assert lines(one, " peer ")[0].startswith(f"wg set bascule-wg peer {keys['host2']} endpoint 192.0.2.2:51789 ")
    assert lines(two, " peer ")[0].startswith(f"wg set bascule-wg peer {keys['host1']} endpoint 192.0.2.1:51789 ")
    for host in hosts:
        me = host.engine.shared.membership()
        assert me is not None
        assert me.secret
        assert [node for node in shared.all(Node) if me.secret in encode(node)] == []


def test_endpoints_are_reached_by_the_encrypted_way(hosts: list[Host]) -> None:
    one, two = hosts
    one.network("web", options={"encrypted": ""})
    until(lambda: two.overlays() == ["web"])
    one.box("a", "web")
    two.box("b", "web")
    nodes = {node.name: node.id for node in one.store.all(Node)}
    until(lambda: bool(lines(one, "bridge fdb")))
    assert f"dst {sealed.inside('wireguard', nodes['host2'])} " in lines(one, "bridge fdb")[0]
    assert f" local {sealed.inside('wireguard', nodes['host1'])} " in lines(one, "type vxlan")[0]
    until(lambda: all(host.clean() for host in hosts), lambda: str([h.engine.cluster.verify() for h in hosts]))


@pytest.mark.parametrize("hosts", [[("wireguard", "esp"), ("esp",)]], indirect=True)
@pytest.mark.parametrize("when", [0, 1 << 62])
def test_it_is_what_both_have_and_nothing_is_lost_when_secrets_turn(
    hosts: list[Host], shared: EtcdStore, when: int
) -> None:
    one, two = hosts
    net = one.network("web", options={"encrypted": ""})
    assert net.tunnel
    assert net.tunnel.seal == "esp"
    until(lambda: two.overlays() == ["web"])
    one.box("a", "web")
    two.box("b", "web")
    until(lambda: all(len(spis(host, "xfrm policy")) == 1 for host in hosts))
    before = spis(one, "xfrm policy")
    assert set(before) <= set(spis(two, "src 192.0.2.1 dst 192.0.2.2"))
    shared.refresh()
    (ring,) = shared.all(Ring)
    # It has not turned since 1970, or will have in 2116: whoever speaks for all sees to that.
    assert shared.attempt(put=[replace(ring, turned=when)], unchanged=[ring])
    until(lambda: spis(one, "xfrm policy") != before)
    until(lambda: set(spis(one, "xfrm policy")) <= set(spis(two, "src 192.0.2.1 dst 192.0.2.2")))
    # What is on its way is understood still.
    assert set(before) <= set(spis(two, "src 192.0.2.1 dst 192.0.2.2"))
    assert all(len(lines(host, "xfrm state")) == 4 and len(lines(host, "xfrm policy")) == 2 for host in hosts)
    until(lambda: all(host.clean() for host in hosts), lambda: str([h.engine.cluster.verify() for h in hosts]))


@pytest.mark.parametrize("hosts", [[("wireguard", "esp"), ()]], indirect=True)
def test_it_is_refused_where_a_host_cannot_encrypt(hosts: list[Host]) -> None:
    one, two = hosts
    for host, options in itertools.product(hosts, ({"encrypted": ""}, {"bascule.encryption": "esp"})):
        with pytest.raises(Failed, match=r"network web cannot be encrypted: the kernel does not have .* on host2"):
            host.network("web", options=options)
    assert (one.overlays(), two.overlays()) == ([], [])
    assert lines(one, "sealed") == []


def test_whoever_joins_and_cannot_encrypt_has_no_endpoint_on_it(hosts: list[Host], etcd: Member) -> None:
    one, _ = hosts
    one.network("web", options={"encrypted": ""})
    three = Host(3, etcd.url, seals=("esp",))
    try:
        three.enter()
        until(lambda: three.overlays() == ["web"])
        with pytest.raises(
            Failed, match="network web is encrypted with wireguard, which this host's kernel does not"
        ):
            three.box("c", "web")
        assert CLOSED in three.kernel.dump()
        assert lines(three, "vx-") == []
    finally:
        three.stop()


@pytest.mark.parametrize("seal", ["wireguard", "esp"])
def test_who_moves_to_another_address_is_found_there(hosts: list[Host], seal: Seal) -> None:
    one, two = hosts
    one.network("web", options={"bascule.encryption": seal})
    until(lambda: two.overlays() == ["web"])
    one.box("a", "web")
    two.box("b", "web")
    until(lambda: all(host.clean() for host in hosts))
    moved = ip_address("192.0.2.99")
    two.kernel.add([Dummy("eth9"), Address("eth9", ip_interface("192.0.2.99/24"))])
    two.engine.cluster.move(moved)
    until(lambda: all(host.clean() for host in hosts), lambda: str([h.engine.cluster.verify() for h in hosts]))
    word = " peer " if seal == "wireguard" else "ip xfrm"
    assert lines(one, word) != []
    assert [
        line for line in lines(one, word) + lines(two, word) if "192.0.2.2 " in line or "192.0.2.2:" in line
    ] == []
    # The tunnel ends where it did, inside.
    nodes = {node.name: node.id for node in one.store.all(Node)}
    assert f" local {sealed.inside(seal, nodes['host2'])} " in lines(two, "type vxlan")[0]
