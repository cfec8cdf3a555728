"""Services in the store, on a real etcd: who makes them, who takes them away, and who hears of it."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.cluster.hosts import Host, until
from tests.cluster.test_member import verified
from tests.etcd_server import ETCD, REASON, Member

from bascule.model.errors import BasculeError, Conflict
from bascule.model.service import Service

pytestmark = pytest.mark.skipif(not ETCD, reason=REASON)


def services(host: Host) -> list[str]:
    """What it knows: "web vip 10.1.0.254 of 2"."""
    return sorted(
        " ".join([one.name, one.mode, *map(str, one.addresses), "of", str(len(one.nodes))])
        for one in host.store.all(Service)
    )


def known(hosts: list[Host], *wanted: str) -> None:
    until(lambda: all(services(host) == list(wanted) for host in hosts), lambda: str([services(h) for h in hosts]))


def test_the_first_endpoint_makes_a_service_and_the_last_takes_it_away(hosts: list[Host]) -> None:
    one, two, _ = hosts
    net = one.network("app", "10.1.0.0/24", "fd01::/64")
    until(lambda: two.overlays() == ["app"])
    a = one.serve("a", "app")
    known(hosts, "web vip 10.1.0.254 fd01::ffff:ffff:ffff:ffff of 1")
    b = two.serve("b", "app")
    known(hosts, "web vip 10.1.0.254 fd01::ffff:ffff:ffff:ffff of 2")
    asker = one.box("asker", "app")
    wanted = {
        "10.1.0.254": ["10.1.0.2", "10.1.0.8"],
        "fd01::ffff:ffff:ffff:ffff": ["fd01::10", "fd01::2"],
    }
    until(lambda: one.asks(asker) == wanted == two.asks(b), lambda: f"{one.asks(asker)} {two.asks(b)}")
    name = f"service {net.id}.web"
    until(lambda: two.names.zones[net.id][name].names == ("web",))
    assert verified(hosts) == ""
    one.unbox(a)
    known(hosts, "web vip 10.1.0.254 fd01::ffff:ffff:ffff:ffff of 1")
    until(lambda: one.asks(asker)["10.1.0.254"] == ["10.1.0.8"])
    two.unbox(b)
    known(hosts)
    until(lambda: one.asks(asker) == {} and name not in one.names.zones[net.id])
    assert verified(hosts) == ""
    one.unbox(asker)
    one.engine.remove("app")


def test_two_that_come_first_at_once_are_in_one_service(hosts: list[Host]) -> None:
    hosts[0].network("app", "10.1.0.0/24")
    until(lambda: all(host.overlays() == ["app"] for host in hosts))
    with ThreadPoolExecutor() as pool:
        made = [pool.submit(host.serve, f"{host.name}{n}", "app", f"web{n}") for n in (1, 2) for host in hosts]
        ends = [one.result() for one in made]
    until(lambda: [len(services(host)) for host in hosts] == [2, 2, 2])
    addresses = {address for one in hosts[0].store.all(Service) for address in one.addresses}
    assert {str(address) for address in addresses} == {"10.1.0.253", "10.1.0.254"}
    until(lambda: [len(one.nodes) for one in hosts[0].store.all(Service)] == [3, 3])
    assert len({ep.addresses for ep in ends}) == 6
    assert verified(hosts) == ""


def test_a_service_is_one_thing_for_all_that_belong_to_it(hosts: list[Host]) -> None:
    one, two, _ = hosts
    one.network("app", "10.1.0.0/24")
    until(lambda: two.overlays() == ["app"])
    one.serve("a", "app", publish="8080:80", source="keep")
    for more in ({"mode": "dnsrr"}, {"publish": "8081:80"}, {"source": "any"}):
        with pytest.raises(Conflict, match="every endpoint says the same or nothing"):
            two.serve("b", "app", **more)
    with pytest.raises(Conflict, match="port 8080/tcp is published by service web already"):
        two.serve("c", "app", "other", publish="8080:90")
    two.serve("d", "app")
    assert services(two) == ["web vip 10.1.0.254 of 2"]
    # Who was refused has left nothing.
    assert verified(hosts) == ""


def test_round_robin_by_name_has_no_address_of_its_own(hosts: list[Host]) -> None:
    one, two, _ = hosts
    net = one.network("app", "10.1.0.0/24")
    until(lambda: two.overlays() == ["app"])
    a = one.serve("a", "app", mode="dnsrr")
    two.serve("b", "app", mode="dnsrr")
    until(lambda: len(one.names.zones[net.id]) == 2)
    assert all({"web", "tasks.web"} <= set(m.names) for m in one.names.zones[net.id].values())
    assert services(one) == ["web dnsrr of 2"]
    assert one.asks(a) == {}


def test_a_host_that_dies_is_in_no_service(hosts: list[Host]) -> None:
    one, two, three = hosts
    one.network("app", "10.1.0.0/24")
    until(lambda: two.overlays() == ["app"])
    a = one.serve("a", "app")
    two.serve("b", "app")
    two.serve("c", "app", "lonely")
    known([one, three], "lonely vip 10.1.0.253 of 1", "web vip 10.1.0.254 of 2")
    two.stop()
    known([one, three], "web vip 10.1.0.254 of 1")
    until(lambda: one.asks(a) == {"10.1.0.254": ["10.1.0.2"]})
    two.start()
    known(hosts, "lonely vip 10.1.0.253 of 1", "web vip 10.1.0.254 of 2")
    assert verified(hosts) == ""


def test_who_is_in_a_service_already_needs_no_store_for_another_endpoint(hosts: list[Host], etcd: Member) -> None:
    one = hosts[0]
    one.network("app", "10.1.0.0/24")
    one.serve("a", "app")
    etcd.kill()
    b = one.serve("b", "app")
    assert one.asks(b) == {"10.1.0.254": ["10.1.0.2", "10.1.0.3"]}
    with pytest.raises(BasculeError, match="store"):
        one.serve("c", "app", "other")
    etcd.revive()
    until(lambda: one.clean(), lambda: str(one.engine.cluster.verify()))


def test_a_store_that_was_lost_has_its_services_again(hosts: list[Host], etcd: Member) -> None:
    one, two, three = hosts
    one.network("app", "10.1.0.0/24")
    until(lambda: two.overlays() == ["app"])
    one.serve("a", "app", publish="8080:80", source="keep")
    two.serve("b", "app")
    two.serve("c", "app", "second")
    wanted = ("second vip 10.1.0.253 of 1", "web vip 10.1.0.254 of 2")
    known(hosts, *wanted)
    before = three.store.all(Service)
    etcd.wipe()
    etcd.start()
    etcd.wait()
    until(lambda: any("it is not the store that it was" in line for line in one.engine.cluster.verify()))
    # By one who has no endpoint of them, as they were: ports that only the first said are there.
    three.engine.cluster.rebuild()
    assert verified(hosts) == ""
    known(hosts, *wanted)
    assert sorted(three.store.all(Service), key=lambda s: s.id) == sorted(before, key=lambda s: s.id)
    two.serve("d", "app", "third")
    known(hosts, wanted[0], "third vip 10.1.0.252 of 1", wanted[1])
