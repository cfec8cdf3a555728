"""Networks of the cluster are removed, or nothing changes."""

from collections.abc import Mapping, Sequence

import pytest
from tests.cluster.hosts import Host, until
from tests.etcd_server import ETCD, REASON, Member

from bascule.cluster import blocks, keys, networks
from bascule.cluster.commons import Commons, Timing, access
from bascule.model.errors import Unavailable
from bascule.model.network import NetworkSpec
from bascule.store.etcdclient import Etcd

pytestmark = pytest.mark.skipif(not ETCD, reason=REASON)


class Overtaken(Etcd):
    """Whenever a network is to be removed, somebody else takes a block of it first."""

    def transact(
        self,
        put: Mapping[str, str],
        delete: Sequence[str] = (),
        expected: Mapping[str, int] | None = None,
        lease: int = 0,
    ) -> int | None:
        for key in delete:
            if key.startswith(f"{keys.SHARED}network/"):
                super().transact({keys.block_ledger(key.rpartition("/")[2]): "taken"})
        return super().transact(put, delete, expected, lease)


def test_a_removal_that_comes_too_late_takes_no_addresses_away(hosts: list[Host]) -> None:
    one = hosts[0]
    net = one.network("web", "10.1.0.0/24")
    one.box("a", "web")
    me = one.engine.shared.membership()
    assert me is not None
    etcd = Overtaken(access(me.store))
    there = blocks.of(etcd, me.id)
    assert there
    common = Commons(etcd, me, Timing(), lambda: None, lambda _: True)
    with pytest.raises(Unavailable):
        networks.withdraw(common, net)
    assert blocks.of(etcd, me.id) == there
    common.close()
    etcd.close()


def test_while_the_store_is_away_a_hosts_own_networks_are_pruned(etcd: Member, hosts: list[Host]) -> None:
    one = hosts[0]
    one.network("app", "10.1.0.0/24")
    one.engine.create(NetworkSpec("own"))
    until(lambda: hosts[1].overlays() == ["app"])
    etcd.kill()
    assert [net.name for net in one.engine.prune(lambda _: True)] == ["own"]
    with pytest.raises(Unavailable):
        one.engine.prune(lambda _: True)
    assert one.overlays() == ["app"]
