"""Addresses that other machines have, with a kernel in memory that knows whose they are."""

from collections.abc import Mapping
from ipaddress import ip_network

import pytest

from bascule.engine.engine import Engine
from bascule.kernel.fake import FakeKernel
from bascule.model.addresses import IPAddress, ip_address
from bascule.model.endpoint import EndpointSpec
from bascule.model.errors import Forbidden
from bascule.model.network import Network, NetworkSpec, PoolSpec
from bascule.model.sandbox import SandboxSpec
from bascule.store.memory import MemoryStore

MAC = "02:42:00:00:00:09"
STRICT = {"parent": "eth0", "bascule.duplicate_detection": "strict"}


def engine(owners: Mapping[str, str]) -> Engine:
    held: dict[IPAddress, str] = {ip_address(address): mac for address, mac in owners.items()}
    made = Engine(FakeKernel(links={"eth0": ""}, owners=held), MemoryStore())
    made.start()
    return made


def wire(made: Engine, options: Mapping[str, str], subnet: str = "10.7.0.0/24") -> Network:
    return made.create(NetworkSpec("wire", "macvlan", pools=(PoolSpec(ip_network(subnet)),), options=options))


def box(made: Engine, name: str = "box") -> str:
    return made.open(SandboxSpec(container=name * 8, name=name)).id


def test_a_strict_network_refuses_what_is_in_use_and_nothing_changes() -> None:
    made = engine({"10.7.0.9": MAC})
    wire(made, STRICT)
    sandbox, before = box(made), made.kernel.dump()
    with pytest.raises(Forbidden, match=rf"^address 10\.7\.0\.9 is in use on eth0 by {MAC}$"):
        made.connect("wire", sandbox, EndpointSpec(addresses=(ip_address("10.7.0.9"),)))
    assert (made.endpoints(), made.kernel.dump()) == ([], before)


def test_a_strict_network_gives_the_first_address_that_nobody_has() -> None:
    made = engine({f"10.7.0.{n}": MAC for n in range(2, 7)})
    wire(made, STRICT)
    assert str(made.connect("wire", box(made)).addresses[0].ip) == "10.7.0.7"


def test_when_others_have_all_of_a_network_that_is_said() -> None:
    made = engine({"10.7.0.2": MAC})
    wire(made, STRICT, "10.7.0.0/30")
    with pytest.raises(Exception, match="no available IPv4 addresses on this network's address pools: wire"):
        made.connect("wire", box(made))


def test_who_waits_for_an_answer_has_the_address_to_itself() -> None:
    made = engine({})
    net = wire(made, STRICT)
    first, second = box(made, "one"), box(made, "two")
    with made.duplicates.vetted(net, lambda: made._joining("wire", first, EndpointSpec())[1]) as free:
        assert list(map(str, free)) == ["10.7.0.2"]
        assert str(made.connect("wire", second).addresses[0].ip) == "10.7.0.3"
    assert made.duplicates.passed_over(net.id) == set()


@pytest.mark.parametrize(
    ("driver", "options"),
    [
        ("macvlan", {}),
        ("ipvlan", {"parent": "eth0", "ipvlan_mode": "l3"}),
        ("ipvlan", {"parent": "eth0", "ipvlan_mode": "l3s"}),
        ("macvlan", {"parent": "eth0", "bascule.duplicate_detection": "off"}),
    ],
)
def test_nobody_is_asked_where_there_is_nobody_or_it_is_off(driver: str, options: Mapping[str, str]) -> None:
    made = engine({"10.7.0.9": MAC})
    given = {"bascule.duplicate_detection": "strict", **options}
    pools = (PoolSpec(ip_network("10.7.0.0/24")),)
    made.create(NetworkSpec("wire", driver, pools=pools, options=given))
    end = made.connect("wire", box(made), EndpointSpec(addresses=(ip_address("10.7.0.9"),)))
    assert str(end.addresses[0].ip) == "10.7.0.9"


def test_a_dry_run_asks_nobody() -> None:
    made = engine({"10.7.0.2": MAC})
    wire(made, STRICT)
    sandbox = box(made)
    assert any("10.7.0.2/24" in line for line in made.rehearse(lambda other: other.connect("wire", sandbox)))


TAGGED = {"parent": "eth0.50", "bascule.host_access": "true"}


def test_a_vlan_is_there_to_be_asked_on_and_is_the_networks() -> None:
    made = engine({f"10.7.0.{n}": MAC for n in range(2, 5)})
    net = wire(made, TAGGED)
    assert not net.adopted
    assert str(net.pools[0].aux["bascule.host"]) == "10.7.0.5"
    assert str(made.connect("wire", box(made)).addresses[0].ip) == "10.7.0.6"
    made.close_sandbox(made.sandboxes()[0].id)
    made.remove("wire")
    assert "eth0.50" not in made.kernel.dump()


def test_a_vlan_goes_with_a_refusal_but_not_anothers() -> None:
    made = engine({"10.7.0.9": MAC})
    before = made.kernel.dump()
    pools = (PoolSpec(ip_network("10.7.0.0/24"), aux={"bascule.host": ip_address("10.7.0.9")}),)
    spec = NetworkSpec("wire", "macvlan", pools=pools, options=TAGGED)
    refusal = rf"^address 10\.7\.0\.9 \(bascule.host\) is in use on eth0\.50 by {MAC}$"
    with pytest.raises(Forbidden, match=refusal):
        made.create(spec)
    assert made.kernel.dump() == before
    other = made.create(NetworkSpec("other", "macvlan", options={"parent": "eth0.50"}))
    with pytest.raises(Forbidden, match=refusal):
        made.create(spec)
    assert not other.adopted
    assert "eth0.50" in made.kernel.dump()
    assert [net.name for net in made.networks()] == ["bridge", "host", "none", "other"]


def test_a_dry_run_of_a_network_with_the_hosts_own_link_asks_nobody() -> None:
    made = engine({"10.7.0.2": MAC})
    pools = (PoolSpec(ip_network("10.7.0.0/24")),)
    spec = NetworkSpec("wire", "macvlan", pools=pools, options={"parent": "eth0", "bascule.host_access": "true"})
    assert any("10.7.0.2/32" in line for line in made.rehearse(lambda other: other.create(spec)))
