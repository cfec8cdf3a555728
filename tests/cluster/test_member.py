"""Several hosts as one, on a real etcd: what each knows of the others, and what is left when somebody goes."""

import itertools

import pytest
from tests.cluster.hosts import Host, until
from tests.etcd_server import ETCD, REASON, Member

from bascule.cluster import keys, told
from bascule.model.addresses import ip_address, ip_network
from bascule.model.cluster import Membership, Remote
from bascule.model.endpoint import EndpointSpec
from bascule.model.errors import BasculeError, Conflict, Failed, Forbidden
from bascule.model.network import Network
from bascule.model.sandbox import SandboxSpec
from bascule.model.thing import Fdb, Neigh
from bascule.store.etcdclient import Access, Etcd

pytestmark = pytest.mark.skipif(not ETCD, reason=REASON)
_count = itertools.count()


def verified(hosts: list[Host]) -> str:
    """What `verify` says on any of them, once everything has arrived."""
    until(lambda: all(host.clean() for host in hosts), lambda: str([h.engine.cluster.verify() for h in hosts]))
    return ""


def refusal(host: Host, network: str, *addresses: str) -> str:
    try:
        host.box("refused", network, *addresses)
    except BasculeError as why:
        return f"{type(why).__name__}: {why}"
    return "not refused"


def state(host: Host, node: str) -> str:
    """How *host* sees a node."""
    return next(seen.state for seen in host.engine.cluster.nodes() if seen.node.name == node)


def test_a_network_is_on_every_host_as_soon_as_it_is_made(hosts: list[Host]) -> None:
    one, two, three = hosts
    net = one.network("web")
    until(lambda: [h.overlays() for h in hosts] == [["web"]] * 3)
    there = two.engine.network("web")
    assert (there.id, there.scope, there.pools) == (net.id, "global", net.pools)
    assert net.tunnel is not None
    assert there.tunnel is not None
    assert (there.tunnel.vni, there.tunnel.local, there.tunnel.mtu) == (4096, two.address, 1450)
    three.network("db")
    until(lambda: [h.overlays() for h in hosts] == [["db", "web"]] * 3)
    two.engine.remove("web")
    until(lambda: [h.overlays() for h in hosts] == [["db"]] * 3)
    assert verified(hosts) == ""


def test_two_that_are_made_at_once_have_different_subnets_and_vnis(hosts: list[Host]) -> None:
    made = [host.network(f"net{n}-{host.name}") for n in range(4) for host in hosts]
    until(lambda: all(len(h.overlays()) == 12 for h in hosts))
    assert len({net.tunnel.vni for net in made if net.tunnel}) == 12
    assert len({net.pools[0].subnet for net in made}) == 12


def test_who_is_on_a_network_knows_who_is_on_it_elsewhere(hosts: list[Host]) -> None:
    one, two, three = hosts
    one.network("web", "10.1.0.0/24", "fd01::/64")
    until(lambda: all(h.overlays() == ["web"] for h in hosts))
    a, b = one.box("a", "web"), two.box("b", "web")
    assert [str(x) for ep in (a, b) for x in ep.addresses] == [
        "10.1.0.2/24",
        "fd01::2/64",
        "10.1.0.8/24",
        "fd01::10/64",
    ]
    until(lambda: (one.known("web"), two.known("web")) == ("a 10.1.0.2, b 10.1.0.8",) * 2)
    until(lambda: len(one.entries()) == 3 == len(two.entries()))
    assert one.entries()[0].endswith("dst 192.0.2.2 self permanent")
    # Nobody on the third host is on the network: it knows of it, and nothing else.
    assert (three.known("web"), three.entries()) == ("", [])
    assert "vx-" not in three.kernel.dump()
    two.unbox(b)
    until(lambda: one.known("web") == "a 10.1.0.2")
    until(lambda: one.entries() == [])
    assert "vx-" not in two.kernel.dump()
    assert verified(hosts) == ""


def test_who_comes_to_a_network_knows_at_once_who_is_on_it(hosts: list[Host]) -> None:
    one, two, _ = hosts
    one.network("web", "10.1.0.0/16")
    until(lambda: all(h.overlays() == ["web"] for h in hosts))
    for n in range(20):
        one.box(f"a{n}", "web")
    one.engine.cluster.verify()
    until(lambda: one.clean())
    two.box("b", "web")
    assert len(two.known("web").split(", ")) == 21
    assert len(two.entries()) == 40


def test_addresses_that_are_asked_for(hosts: list[Host]) -> None:
    one, two, _ = hosts
    one.network("web", "10.1.0.0/24")
    until(lambda: two.overlays() == ["web"])
    assert str(one.box("a", "web", "10.1.0.77").addresses[0]) == "10.1.0.77/24"
    assert refusal(two, "web", "10.1.0.77") == "Held: Address already in use"
    assert refusal(one, "web", "10.1.0.77") == "Forbidden: Address already in use"
    one.box("c", "web")
    assert refusal(two, "web", "10.1.0.3").startswith("Forbidden: Address 10.1.0.3 is not this host's to give")
    assert "no configured subnet" in refusal(two, "web", "10.9.0.1")
    assert str(two.box("b", "web", "10.1.0.78").addresses[0]) == "10.1.0.78/24"


def test_a_dry_run_says_what_only_the_cluster_knows(hosts: list[Host]) -> None:
    one, two, _ = hosts
    one.network("web", "10.1.0.0/24")
    until(lambda: two.overlays() == ["web"])
    box = two.engine.open(SandboxSpec(container="b" * 64, name="b"))
    for spec in (EndpointSpec(), EndpointSpec(addresses=(ip_address("10.1.0.9"),))):
        with pytest.raises(Failed, match="this host's to give") as refusal:
            two.engine.plan_connect("web", box.id, spec)
        assert str(refusal.value).endswith("is not asked by a dry run")
    two.engine.connect("web", box.id)
    other = two.engine.open(SandboxSpec(container="c" * 64, name="c"))
    assert "ip addr add 10.1.0.3/24 dev eth0" in "\n".join(two.engine.plan_connect("web", other.id))


def test_an_address_moves_to_another_host(hosts: list[Host]) -> None:
    one, two, three = hosts
    one.network("web", "10.1.0.0/24")
    until(lambda: all(h.overlays() == ["web"] for h in hosts))
    one.box("asker", "web")
    for _ in range(3):
        for host in (two, three):
            # At once: that the other host has let go of it need not have arrived.
            ep = host.box("mover", "web", "10.1.0.99")
            until(lambda host=host: any(str(host.address) in line for line in one.entries()))  # type: ignore[misc]
            assert "mover 10.1.0.99" in one.known("web")
            host.unbox(ep)
    until(lambda: one.known("web") == "asker 10.1.0.2")
    assert verified(hosts) == ""


def test_who_is_given_an_address_forgets_at_once_who_had_it(hosts: list[Host]) -> None:
    """Its kernel would answer for him, and its bridge look for the address at the tunnel."""
    one, two, _ = hosts
    net = one.network("web", "10.1.0.0/24")
    until(lambda: two.overlays() == ["web"])
    one.box("a", "web")
    two.box("b", "web", "10.1.0.99")
    until(lambda: "b 10.1.0.99" in one.known("web"))
    # As when the store gives it the address, and has not told it yet that the other one is gone.
    one.engine.shared.grant(net.id, [ip_network("10.1.0.99/32")])
    assert one.known("web") == "a 10.1.0.2"
    assert one.entries() == []
    until(lambda: "endpoints: wrong: b: 10.1.0.99 is this host's to give" in one.engine.cluster.verify())
    assert one.known("web") == "a 10.1.0.2"


def test_a_network_in_use_elsewhere_is_not_removed(hosts: list[Host]) -> None:
    one, two, _ = hosts
    one.network("web")
    until(lambda: two.overlays() == ["web"])
    ep = two.box("b", "web")
    with pytest.raises(BasculeError, match="network web has active endpoints on host2"):
        one.engine.remove("web")
    two.unbox(ep)
    until(lambda: one.clean())
    one.engine.remove("web")
    until(lambda: all(h.overlays() == [] for h in hosts))
    assert verified(hosts) == ""


def test_a_node_that_dies_is_taken_out_after_a_while_and_comes_back(hosts: list[Host]) -> None:
    one, two, _ = hosts
    met(one, two)
    two.stop()
    until(lambda: state(one, "host2") == "suspect")
    assert one.known("web") == "a 10.1.0.2, b 10.1.0.8"
    until(lambda: state(one, "host2") == "down")
    until(lambda: one.known("web") == "a 10.1.0.2")
    assert one.entries() == []
    two.start()
    until(lambda: one.known("web") == "a 10.1.0.2, b 10.1.0.8")
    until(lambda: state(one, "host2") == "ready")
    assert verified(hosts) == ""


def test_a_node_that_leaves_is_gone_at_once(hosts: list[Host]) -> None:
    one, two, _ = hosts
    one.network("web", "10.1.0.0/24")
    until(lambda: two.overlays() == ["web"])
    one.box("a", "web")
    ep = two.box("b", "web")
    with pytest.raises(BasculeError, match="this node has containers on networks of the cluster: b"):
        two.engine.cluster.leave()
    until(lambda: "b" in one.known("web"))
    two.engine.cluster.leave(force=True)
    until(lambda: one.known("web") == "a 10.1.0.2")
    until(lambda: [n.node.name for n in one.engine.cluster.nodes()] == ["host1", "host3"])
    assert (two.overlays(), two.engine.endpoints(sandbox=ep.sandbox)) == ([], [])
    assert "vx-" not in two.kernel.dump()
    assert "vtep" not in two.kernel.dump()
    two.enter()
    until(lambda: two.overlays() == ["web"])
    two.box("c", "web")
    until(lambda: one.known("web") == "a 10.1.0.2, c 10.1.0.9")
    assert verified(hosts) == ""


def test_a_store_that_is_away_takes_nothing_from_anybody(etcd: Member, hosts: list[Host]) -> None:
    one, two, _ = hosts
    one.network("web", "10.1.0.0/24")
    until(lambda: two.overlays() == ["web"])
    a, _ = one.box("a", "web"), two.box("b", "web")
    until(lambda: one.known("web") == "a 10.1.0.2, b 10.1.0.8")
    before = one.entries()
    etcd.kill()
    # A restart in the middle of it: everything is there, and this host gives addresses out of its own block.
    one.stop()
    one.start()
    assert (one.known("web"), one.entries()) == ("a 10.1.0.2, b 10.1.0.8", before)
    assert str(one.box("c", "web").addresses[0]) == "10.1.0.3/24"
    one.unbox(a)
    assert any("store" in line for line in one.engine.cluster.verify())
    etcd.start()
    etcd.wait()
    until(lambda: two.known("web") == "b 10.1.0.8, c 10.1.0.3")
    assert verified(hosts) == ""


def test_a_store_that_was_wiped_is_not_believed_and_is_rebuilt(etcd: Member, hosts: list[Host]) -> None:
    one, two, _ = hosts
    met(one, two)
    before = one.entries()
    etcd.wipe()
    etcd.start()
    etcd.wait()
    until(lambda: any("it is not the store that it was" in line for line in one.engine.cluster.verify()))
    assert (one.known("web"), one.entries(), one.overlays()) == ("a 10.1.0.2, b 10.1.0.8", before, ["web"])
    # A network that the one who rebuilds is not on is there with its endpoints, because others say so.
    done = hosts[2].engine.cluster.rebuild()
    assert (done.there, done.missing) == (("host1", "host2", "host3"), ())
    assert verified(hosts) == ""
    assert (one.known("web"), one.entries(), one.overlays()) == ("a 10.1.0.2, b 10.1.0.8", before, ["web"])
    two.box("c", "web")
    until(lambda: one.known("web") == "a 10.1.0.2, b 10.1.0.8, c 10.1.0.9")
    hosts[2].network("later")
    until(lambda: one.overlays() == ["later", "web"])
    with pytest.raises(BasculeError, match="there is nothing to rebuild"):
        one.engine.cluster.rebuild()


def test_what_another_host_says_is_checked(hosts: list[Host]) -> None:
    """S18: a member that says what cannot be is not believed."""
    one, two, three = hosts
    net = one.network("web", "10.1.0.0/24")
    until(lambda: all(h.overlays() == ["web"] for h in hosts))
    one.box("a", "web")
    lie(three, net, via=two)
    lie(three, net, address="10.2.0.9")
    lie(three, net, address="10.1.0.2")
    lie(three, net, mac="ff:ff:ff:ff:ff:ff")
    lie(three, net, address="10.1.0.1")
    lie(three, net, address="10.1.0.3")
    lie(three, net, address="10.1.0.203", name="no\x1b[2Jname")
    lie(three, net, address="10.1.0.200")
    until(lambda: one.known("web") == "a 10.1.0.2, liar 10.1.0.200")
    assert len(one.entries()) == 2
    assert sum("wrong" in line for line in one.engine.cluster.verify()) == 7
    assert all(line.isprintable() for line in one.engine.cluster.verify())


def met(one: Host, two: Host) -> None:
    """A network `web` has `a` on one of them and `b` on the other, and the first knows of both."""
    one.network("web", "10.1.0.0/24")
    until(lambda: two.overlays() == ["web"])
    one.box("a", "web")
    two.box("b", "web")
    until(lambda: one.known("web") == "a 10.1.0.2, b 10.1.0.8")


def lie(
    host: Host,
    net: Network,
    *,
    via: Host | None = None,
    address: str = "10.1.0.201",
    mac: str = "02:00:00:00:00:66",
    name: str = "liar",
) -> None:
    """*host* tells of an endpoint that it need not have."""
    me = host.engine.store.all(Membership)[0]
    ident = f"{next(_count):064x}"
    where = (via or host).address
    lie = Remote(ident, net.id, me.id, 1, 1, name, where, (ip_address(address),), mac, ("liar",))
    etcd = Etcd(Access((host.url,)))
    store = told.store(etcd, net.id, me.id)
    store.commit(put=[lie])
    store.close()
    etcd.close()


def test_a_store_that_is_another_clusters_by_now_is_not_rebuilt(etcd: Member, hosts: list[Host]) -> None:
    everything = Etcd(Access((etcd.url,)))
    everything.transact({}, [item.key for item in everything.list(keys.ROOT).items])
    four = Host(4, etcd.url)
    four.enter(found=True)
    until(lambda: state(four, "host4") == "ready")
    before = everything.list(keys.ROOT).items
    with pytest.raises(Conflict, match="the cluster's store is another cluster's now"):
        hosts[0].engine.cluster.rebuild()
    assert {item.key: item.value for item in everything.list(keys.ROOT).items} == {
        item.key: item.value for item in before
    }
    until(lambda: "it is not the store that it was" in hosts[1].engine.cluster.status().store)
    four.stop()
    everything.close()


def test_a_store_that_does_not_answer_is_told_before_anybody_is_suspected(etcd: Member) -> None:
    one = Host(1, etcd.url, lease=9)
    one.enter(found=True)
    until(lambda: state(one, "host1") == "ready" and one.engine.cluster.status().store == "")
    etcd.kill()
    until(lambda: "cluster store" in one.engine.cluster.status().store)
    # Nobody is unknown yet.
    assert state(one, "host1") == "ready"
    etcd.start()
    etcd.wait()
    until(lambda: one.engine.cluster.status().store == "")
    one.stop()


def test_a_host_whose_address_is_of_the_other_family_is_refused(hosts: list[Host], etcd: Member) -> None:
    one = hosts[0]
    stranger = Host(4, etcd.url)
    stranger.address = other = ip_address("2001:db8::4")
    said = "tunnels of the cluster are over IPv4, as node host[123] is at 192.0.2.[123]: 2001:db8::[24] cannot"
    with pytest.raises(Conflict, match=said):
        stranger.enter()
    assert stranger.store.all(Membership) == []
    with pytest.raises(Conflict, match=said):
        hosts[1].engine.cluster.move(ip_address("2001:db8::2"))
    assert other not in {seen.node.address for seen in one.engine.cluster.nodes()}
    assert verified(hosts) == ""


def test_a_mac_is_one_endpoints(hosts: list[Host]) -> None:
    one, two, three = hosts
    net = one.network("web", "10.1.0.0/24")
    until(lambda: all(h.overlays() == ["web"] for h in hosts))
    a = one.box("a", "web")
    two.box("b", "web")
    until(lambda: two.known("web").startswith("a "))
    with pytest.raises(Forbidden, match=f"^network web: {a.mac} is the MAC of a$"):
        two.box("c", "web", mac=a.mac)
    # Who says it all the same is left out, for as long as the first one is there.
    lie(three, net, mac=a.mac, address="10.1.0.200")
    until(lambda: any(f"liar: {a.mac} is the MAC of a" in line for line in two.engine.cluster.verify()))
    assert two.known("web") == "a 10.1.0.2, b 10.1.0.8"
    one.unbox(a)
    until(lambda: two.known("web") == "b 10.1.0.8, liar 10.1.0.200")


def test_what_the_kernel_refuses_keeps_nothing_else_from_being_put_right(hosts: list[Host]) -> None:
    one, two, _ = hosts
    met(one, two)
    (fdb, neigh) = (thing for thing in one.engine.shared.things() if isinstance(thing, Fdb | Neigh))
    one.kernel.remove([fdb, neigh])
    one.kernel.refuse = lambda thing: thing == fdb
    until(lambda: one.entries() == [str(neigh)])
    one.kernel.refuse = lambda _: False
    until(lambda: one.entries() == [str(fdb), str(neigh)])
