"""A host ceases to be one of a cluster: while the store answers, and while it does not."""

import pytest
from tests.cluster.hosts import Host, until
from tests.etcd_server import ETCD, REASON, Member

from bascule.model.cluster import StoreAccess
from bascule.model.errors import Conflict, Unavailable

pytestmark = pytest.mark.skipif(not ETCD, reason=REASON)


def test_by_force_a_host_leaves_a_store_that_does_not_answer(etcd: Member, hosts: list[Host]) -> None:
    two = hosts[1]
    hosts[0].network("web", "10.1.0.0/24")
    until(lambda: two.overlays() == ["web"])
    two.box("b", "web")
    etcd.kill()
    two.engine.cluster.leave(force=True)
    assert two.overlays() == []
    assert "vx-" not in two.kernel.dump()
    with pytest.raises(Unavailable, match="in no cluster"):
        two.engine.cluster.status()


def test_a_host_that_cannot_leave_goes_on_being_a_member(etcd: Member, hosts: list[Host]) -> None:
    one, two, _ = hosts
    one.network("web", "10.1.0.0/24")
    one.box("a", "web")
    until(lambda: two.overlays() == ["web"])
    etcd.kill()
    with pytest.raises(Unavailable):
        two.engine.cluster.leave()
    etcd.start()
    etcd.wait()
    until(lambda: not two.engine.cluster.status().store)
    two.box("b", "web")
    until(lambda: "b" in one.known("web"))
    until(lambda: one.clean() and two.clean())


def test_a_node_that_will_not_come_back_is_removed_and_makes_room(hosts: list[Host]) -> None:
    one, two, three = hosts
    one.network("web", "10.1.0.0/24")
    until(lambda: two.overlays() == ["web"])
    one.box("a", "web")
    two.box("b", "web")
    until(lambda: "b" in one.known("web"))
    ident = node(one, "host2")
    with pytest.raises(Conflict, match="node host2 is ready, not down"):
        one.engine.cluster.remove(ident)
    with pytest.raises(Conflict, match='node host1 is this one: use "bascule cluster leave"'):
        one.engine.cluster.remove(node(one, "host1"), force=True)
    two.stop()
    until(lambda: "b" not in one.known("web"))
    one.engine.cluster.remove(ident)
    until(lambda: names(one) == names(three) == ["host1", "host3"])
    until(lambda: one.clean() and three.clean())
    # Its name and its address are nobody's, and so are the addresses that it had.
    again = Host(2, one.url)
    again.enter()
    until(lambda: again.overlays() == ["web"])
    again.box("c", "web")
    until(lambda: one.known("web") == "a 10.1.0.2, c 10.1.0.8")
    again.stop()


def test_a_removed_node_that_comes_back_is_none_and_says_so(hosts: list[Host]) -> None:
    one, two, _ = hosts
    one.network("web", "10.1.0.0/24")
    until(lambda: two.overlays() == ["web"])
    two.box("b", "web")
    # Not even one that lives: it may be cut off from everybody but the store.
    one.engine.cluster.remove(node(one, "host2"), force=True)
    until(lambda: "this node was removed from the cluster" in two.engine.cluster.status().store)
    two.stop()
    two.start()
    until(lambda: "this node was removed from the cluster" in two.engine.cluster.status().store)
    assert any("this node was removed from the cluster" in line for line in two.engine.cluster.verify())
    until(one.clean, lambda: str(one.engine.cluster.verify()))
    two.engine.cluster.leave(force=True)
    two.enter()
    until(lambda: two.overlays() == ["web"])
    until(lambda: one.clean() and two.clean())


def node(host: Host, name: str) -> str:
    return next(seen.node.id for seen in host.engine.cluster.nodes() if seen.node.name == name)


def names(host: Host) -> list[str]:
    return [seen.node.name for seen in host.engine.cluster.nodes()]


def test_a_daemon_that_is_told_how_to_ask_remembers_where(hosts: list[Host]) -> None:
    two = hosts[1]
    two.stop()
    two.start(StoreAccess(ca="/new.pem"))
    assert two.engine.cluster.status().membership.store == StoreAccess((two.url,), ca="/new.pem")
