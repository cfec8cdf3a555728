"""The use cases, on a kernel in memory."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network
from itertools import combinations, count

import pytest

from bascule import (
    BasculeError,
    Conflict,
    Endpoint,
    EndpointSpec,
    Engine,
    Failed,
    FakeKernel,
    Forbidden,
    Invalid,
    MemoryStore,
    NetworkSpec,
    NotFound,
    PoolSpec,
    PortSpec,
    Sandbox,
    SandboxSpec,
    Settings,
)
from bascule.model.events import Event

IPV4, IPV6 = "com.docker.network.enable_ipv4", "com.docker.network.enable_ipv6"


def ids() -> Iterator[str]:
    return (f"{n:064x}"[::-1] for n in count(1))


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = ids()
    with Engine(FakeKernel(), MemoryStore(), Settings(exec_root="/x"), new_id=lambda: next(made)) as engine:
        yield engine


def box(engine: Engine, name: str = "c1", **more: object) -> Sandbox:
    return engine.open(SandboxSpec(container=name.ljust(64, "0"), name=name, **more))  # type: ignore[arg-type]


def subnet(text: str) -> PoolSpec:
    return PoolSpec(subnet=IPv4Network(text))


def addresses(ep: Endpoint) -> list[str]:
    return [str(a) for a in ep.addresses]


def state(engine: Engine) -> tuple[str, list[object], list[object], list[object]]:
    return (
        engine.kernel.dump(),
        list(engine.networks()),
        list(engine.endpoints()),
        list(engine.sandboxes()),
    )


def test_bridge_host_and_none_are_there_from_the_start(engine: Engine) -> None:
    assert [(n.name, n.driver) for n in engine.networks()] == [
        ("bridge", "bridge"),
        ("host", "host"),
        ("none", "null"),
    ]


@pytest.mark.parametrize("name", ["bridge", "host", "none"])
def test_a_predefined_network_cannot_be_removed(engine: Engine, name: str) -> None:
    with pytest.raises(Forbidden, match=f"^{name} is a pre-defined network and cannot be removed$"):
        engine.remove(name)


def test_there_is_never_a_second_host_network(engine: Engine) -> None:
    with pytest.raises(Forbidden, match='only one instance of "host" network is allowed'):
        engine.create(NetworkSpec("h2", driver="host"))


def test_networks_get_dockers_pools_in_their_order(engine: Engine) -> None:
    made = [engine.create(NetworkSpec(f"n{i}")) for i in range(3)]
    assert [str(n.pools[0].subnet) for n in made] == ["172.18.0.0/16", "172.19.0.0/16", "172.20.0.0/16"]


@pytest.mark.parametrize("user", [False, True])
def test_what_helps_against_an_overlap_is_there_for_who_is_told(user: bool) -> None:
    """The default bridge is made of the daemon's flags, and has no --opt."""
    kernel = FakeKernel(routes=[ip_network("10.9.0.0/16")])
    with (
        pytest.raises(Forbidden) as refusal,
        Engine(kernel, MemoryStore(), Settings(bip="" if user else "10.9.1.1/24")) as engine,
    ):
        engine.create(NetworkSpec("n", pools=(subnet("10.9.1.0/24"),)))
    ways = ("start the daemon with another --bip", "--opt bascule.allow_overlap=true to use it all the same")
    assert str(refusal.value) == (
        "invalid pool request: 10.9.1.0/24 overlaps with 10.9.0.0/16, which this host has an address in or a route"
        f" to ({ways[user]})"
    )


def test_what_the_host_routes_is_never_given_out() -> None:
    kernel = FakeKernel(routes=[ip_network("172.18.0.0/16")])
    with Engine(kernel, MemoryStore()) as engine:
        assert str(engine.create(NetworkSpec("n1")).pools[0].subnet) == "172.19.0.0/16"
        with pytest.raises(Forbidden, match=r"overlaps with 172\.18\.0\.0/16"):
            engine.create(NetworkSpec("n2", pools=(subnet("172.18.5.0/24"),)))


def test_creating_and_removing_leaves_the_kernel_as_it_was(engine: Engine) -> None:
    before = state(engine)
    engine.create(NetworkSpec("web", ipv6=True))
    engine.remove("web")
    assert state(engine) == before


def test_the_plan_is_what_create_does(engine: Engine) -> None:
    spec = NetworkSpec("web", pools=(subnet("10.9.0.0/24"),))
    planned = [type(thing).__name__ for thing in engine.plan(spec)]
    before = engine.kernel.dump()
    net = engine.create(spec)
    made = [line for line in engine.kernel.dump().splitlines() if line not in before.splitlines()]
    assert "Bridge" in planned
    assert any(net.link in line for line in made)


def test_a_network_is_found_by_id_name_and_prefix(engine: Engine) -> None:
    net = engine.create(NetworkSpec("web"))
    assert engine.network(net.id) == engine.network("web") == engine.network(net.id[:12]) == net


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 300])
def test_a_name_that_cannot_be_is_refused(engine: Engine, name: str) -> None:
    with pytest.raises(Invalid, match="invalid name"):
        engine.create(NetworkSpec(name))


def test_a_duplicate_name_is_a_conflict(engine: Engine) -> None:
    engine.create(NetworkSpec("n1"))
    with pytest.raises(Conflict, match=r"^network with name n1 already exists$"):
        engine.create(NetworkSpec("n1"))


def test_an_overlap_with_another_network_is_refused(engine: Engine) -> None:
    engine.create(NetworkSpec("n1", pools=(subnet("10.0.0.0/24"),)))
    with pytest.raises(
        Forbidden, match=r"^invalid pool request: Pool overlaps with other one on this address space$"
    ):
        engine.create(NetworkSpec("n2", pools=(subnet("10.0.0.128/25"),)))


def test_an_unknown_network_is_not_found(engine: Engine) -> None:
    with pytest.raises(NotFound, match=r"^network zzz not found$"):
        engine.remove("zzz")


def test_a_network_in_use_names_who_uses_it(engine: Engine) -> None:
    engine.create(NetworkSpec("n1"))
    ep = engine.connect("n1", box(engine).id)
    with pytest.raises(Forbidden) as refusal:
        engine.remove("n1")
    assert str(refusal.value) == (
        f'error while removing network: network n1 has active endpoints (name:"c1" id:"{ep.id[:12]}")'
    )


def test_two_endpoints_get_addresses_behind_one_another(engine: Engine) -> None:
    engine.create(NetworkSpec("n1", pools=(subnet("10.0.0.0/24"),)))
    first = engine.connect("n1", box(engine, "a").id)
    second = engine.connect("n1", box(engine, "b").id)
    assert [addresses(first), addresses(second)] == [["10.0.0.2/24"], ["10.0.0.3/24"]]


def test_an_address_just_given_back_is_not_the_next_one(engine: Engine) -> None:
    engine.create(NetworkSpec("n1", pools=(subnet("10.0.0.0/24"),)))
    sandbox = box(engine)
    engine.connect("n1", sandbox.id)
    engine.disconnect("n1", sandbox.id)
    assert addresses(engine.connect("n1", sandbox.id)) == ["10.0.0.3/24"]


def test_a_full_subnet_says_so(engine: Engine) -> None:
    net = engine.create(NetworkSpec("n1", pools=(subnet("10.0.0.0/30"),)))
    engine.connect("n1", box(engine, "a").id)
    before = state(engine)
    other = box(engine, "b")
    with pytest.raises(Failed) as refusal:
        engine.connect("n1", other.id)
    assert str(refusal.value) == f"no available IPv4 addresses on this network's address pools: n1 ({net.id})"
    engine.close_sandbox(other.id)
    assert state(engine) == before


def test_a_static_address_is_kept_and_not_given_twice(engine: Engine) -> None:
    engine.create(NetworkSpec("n1", pools=(subnet("10.0.0.0/24"),)))
    spec = EndpointSpec(addresses=(IPv4Address("10.0.0.9"),))
    assert addresses(engine.connect("n1", box(engine, "a").id, spec)) == ["10.0.0.9/24"]
    with pytest.raises(Forbidden, match=r"^Address already in use$"):
        engine.connect("n1", box(engine, "b").id, spec)


def test_connecting_twice_is_refused(engine: Engine) -> None:
    engine.create(NetworkSpec("n1"))
    sandbox = box(engine)
    engine.connect("n1", sandbox.id)
    with pytest.raises(Forbidden, match=r"^endpoint with name c1 already exists in network n1$"):
        engine.connect("n1", sandbox.id)


def test_the_default_route_goes_to_the_highest_priority_then_the_first_name(engine: Engine) -> None:
    for name in ("b", "a", "z"):
        engine.create(NetworkSpec(name))
    sandbox = box(engine)

    def gateway() -> str:
        (ep,) = (e for e in engine.endpoints(sandbox=sandbox.id) if 4 in e.default_for)
        return engine.network(ep.network).name

    engine.connect("b", sandbox.id)
    assert gateway() == "b"
    engine.connect("a", sandbox.id)
    assert gateway() == "a"
    engine.connect("z", sandbox.id, EndpointSpec(gw_priority=5))
    assert gateway() == "z"
    engine.disconnect("z", sandbox.id)
    assert gateway() == "a"
    assert engine.kernel.dump().count("default") == 1


def test_interface_names_stay_with_their_place(engine: Engine) -> None:
    for name in ("a", "b"):
        engine.create(NetworkSpec(name))
    sandbox = box(engine)
    assert engine.connect("a", sandbox.id).ifname == "eth0"
    assert engine.connect("b", sandbox.id).ifname == "eth1"
    engine.disconnect("a", sandbox.id)
    assert engine.connect("a", sandbox.id).ifname == "eth0"


def test_published_ports_follow_the_gateway_and_keep_their_numbers(engine: Engine) -> None:
    for name in ("a", "b"):
        engine.create(NetworkSpec(name))
    sandbox = box(engine, ports=(PortSpec(80, host=ip_address("127.0.0.1")),))
    first = engine.connect("b", sandbox.id)
    assert len(first.ports) == 1
    second = engine.connect("a", sandbox.id)
    assert second.ports == first.ports
    assert engine.endpoints(network=engine.network("b").id)[0].ports == ()


def test_an_option_of_ours_that_no_endpoint_has_is_refused(engine: Engine) -> None:
    engine.create(NetworkSpec("web"))
    box = engine.open(SandboxSpec(container="1" * 64, name="box"))
    wanted = r"^unknown option bascule\.sevice: there is bascule\.service, "
    with pytest.raises(Invalid, match=wanted):
        engine.connect("web", box.id, EndpointSpec(options={"bascule.sevice": "shop"}))
    assert engine.endpoints(sandbox=box.id) == []


def test_a_taken_host_port_is_refused_and_names_its_holder(engine: Engine) -> None:
    engine.create(NetworkSpec("a"))
    port = (PortSpec(80, host_ports=(8080, 8080)),)
    engine.connect("a", box(engine, "one", ports=port).id)
    other = box(engine, "two", ports=port)
    before = state(engine)
    with pytest.raises(Failed) as refusal:
        engine.connect("a", other.id)
    assert "Bind for 0.0.0.0:8080 failed: port is already allocated" in str(refusal.value)
    assert 'container "one"' in str(refusal.value)
    assert state(engine) == before


def test_a_rehearsal_tells_the_lines_and_changes_nothing() -> None:
    engine = Engine(FakeKernel(), MemoryStore(), Settings(exec_root="/x"))
    engine.start()
    engine.create(NetworkSpec("n"))
    engine.create(NetworkSpec("dhcp", ipam_driver="dhcp"))
    before = engine.kernel.dump()

    def work(other: Engine) -> None:
        box = other.open(SandboxSpec(container="c" * 64, name="box"))
        for net in ("n", "dhcp"):
            other.connect(net, box.id)
        other.close_sandbox(box.id)

    lines = engine.rehearse(work)
    # No server is asked for an address.
    assert [line.split(" addr ")[1] for line in lines if " addr " in line] == [
        "add 172.18.0.2/16 dev eth0",
        "del 172.18.0.2/16 dev eth0",
    ]
    assert (lines[0].split()[0], lines[-1].split()[0]) == ("mkdir", "umount")
    assert (engine.kernel.dump(), engine.sandboxes(), engine.endpoints()) == (before, [], [])


def test_a_sandbox_that_closes_takes_everything_along(engine: Engine) -> None:
    engine.create(NetworkSpec("a"))
    before = state(engine)
    sandbox = box(engine, ports=(PortSpec(80),))
    engine.connect("a", sandbox.id)
    engine.close_sandbox(sandbox.id)
    assert state(engine) == before
    engine.close_sandbox(sandbox.id)


@pytest.mark.parametrize(
    ("name", "spec", "error"),
    [
        ("host", EndpointSpec(), "cannot connect container to host network"),
        ("none", EndpointSpec(), "private \\(none\\) mode"),
        ("bridge", EndpointSpec(aliases=("x",)), "network-scoped alias is supported only for containers in user"),
        ("n1", EndpointSpec(addresses=(ip_address("1.2.3.4"),)), "no configured subnet or ip-range contain"),
        ("n1", EndpointSpec(link_local=(ip_address("10.1.1.1"),)), "invalid link local IP address: 10.1.1.1"),
        ("n1", EndpointSpec(mac="zz"), "invalid MAC"),
    ],
)
def test_an_endpoint_that_cannot_be_changes_nothing(
    engine: Engine, name: str, spec: EndpointSpec, error: str
) -> None:
    engine.create(NetworkSpec("n1", pools=(subnet("10.0.0.0/24"),)))
    sandbox = box(engine)
    before = state(engine)
    with pytest.raises(BasculeError, match=error):
        engine.connect(name, sandbox.id, spec)
    assert state(engine) == before


def test_a_refusal_of_the_kernel_leaves_nothing_behind() -> None:
    kernel = FakeKernel(refuse=lambda thing: "172.18.0.1" in str(thing))
    with Engine(kernel, MemoryStore()) as engine:
        before = state(engine)
        with pytest.raises(BasculeError):
            engine.create(NetworkSpec("n1"))
        assert state(engine) == before


def test_everything_is_true_again_after_a_restart() -> None:
    store = MemoryStore()
    first = FakeKernel()
    engine = Engine(first, store)
    engine.start()
    engine.create(NetworkSpec("a", ipv6=True))
    sandbox = box(engine, ports=(PortSpec(80),))
    engine.connect("a", sandbox.id)
    expected = first.dump()
    again = Engine(first, store)
    again.start()
    assert first.dump() == expected


def test_a_namespace_lost_in_a_reboot_takes_its_endpoints_along() -> None:
    store = MemoryStore()
    engine = Engine(FakeKernel(), store)
    engine.start()
    engine.create(NetworkSpec("a"))
    engine.connect("a", box(engine).id)
    rebooted = Engine(FakeKernel(), store)
    rebooted.start()
    assert rebooted.endpoints() == []
    assert rebooted.sandboxes() == []
    assert rebooted.network("a").link in rebooted.kernel.dump()


def test_each_change_is_told_once_and_in_order(engine: Engine) -> None:
    heard: list[Event] = []
    engine.events.subscribe(heard.append)
    engine.create(NetworkSpec("a"))
    sandbox = box(engine)
    engine.connect("a", sandbox.id)
    engine.disconnect("a", sandbox.id)
    engine.remove("a")
    assert [(e.type, e.action, e.attributes["name"]) for e in heard] == [
        ("network", "create", "a"),
        ("network", "connect", "a"),
        ("network", "disconnect", "a"),
        ("network", "destroy", "a"),
    ]
    assert heard[1].attributes["container"] == sandbox.container


def test_prune_takes_only_what_nobody_uses(engine: Engine) -> None:
    for name in ("idle", "used"):
        engine.create(NetworkSpec(name))
    engine.create(NetworkSpec("config", config_only=True))
    engine.connect("used", box(engine).id)
    assert [n.name for n in engine.prune(lambda _: True)] == ["idle"]
    assert [n.name for n in engine.networks()] == ["bridge", "host", "none", "used", "config"]


def test_a_network_from_a_configuration_has_its_subnet_and_holds_it(engine: Engine) -> None:
    engine.create(NetworkSpec("co", config_only=True, pools=(subnet("10.8.0.0/24"),)))
    net = engine.create(NetworkSpec("cf", config_from="co"))
    assert str(net.pools[0].subnet) == "10.8.0.0/24"
    with pytest.raises(Forbidden, match='configuration network "co" is in use'):
        engine.remove("co")


def test_a_network_may_have_ipv6_alone(engine: Engine) -> None:
    engine.create(NetworkSpec("six", ipv4=False, ipv6=True))
    ep = engine.connect("six", box(engine).id)
    assert [a.version for a in ep.addresses] == [6]
    assert ep.default_for == (6,)


@pytest.mark.parametrize(
    ("defaults", "spec", "families"),
    [
        ({}, NetworkSpec("n"), "4"),
        ({}, NetworkSpec("n", options={IPV6: "true"}), "4 6"),
        ({}, NetworkSpec("n", options={IPV4: "0", IPV6: "1"}), "6"),
        ({}, NetworkSpec("n", ipv6=False, options={IPV6: "true"}), "4"),
        ({}, NetworkSpec("n", ipv4=True, options={IPV4: "zz"}), "4"),
        ({IPV6: "true"}, NetworkSpec("n"), "4 6"),
        ({IPV6: "true"}, NetworkSpec("n", ipv6=False), "4"),
        ({IPV6: "true"}, NetworkSpec("n", options={IPV6: "false"}), "4"),
    ],
)
def test_families_are_what_was_said_else_what_the_options_say(
    defaults: dict[str, str], spec: NetworkSpec, families: str
) -> None:
    settings = Settings(default_options={"bridge": defaults})
    with Engine(FakeKernel(), MemoryStore(), settings) as engine:
        made = engine.create(spec)
        assert " ".join(str(p.family) for p in made.pools) == families
        assert (made.ipv4, made.ipv6) == ("4" in families, "6" in families)
        assert not engine.network("bridge").ipv6


@pytest.mark.parametrize(("key", "version"), [(IPV4, 4), (IPV6, 6)])
def test_a_family_that_is_neither_on_nor_off_is_refused(engine: Engine, key: str, version: int) -> None:
    with pytest.raises(Invalid, match=f'^driver-opt "com.docker.network.enable_ipv{version}" is not a valid bool$'):
        engine.create(NetworkSpec("n", options={key: "zz"}))
    with pytest.raises(Invalid, match=r"^IPv4 or IPv6 must be enabled$"):
        engine.create(NetworkSpec("n", options={IPV4: "false"}))


def test_networks_made_at_once_have_names_and_subnets_of_their_own(engine: Engine) -> None:
    """Of twenty who want the same name one gets it; no two subnets overlap."""
    names = [f"n{n % 25}" for n in range(45)]

    def made(name: str) -> str:
        try:
            return str(engine.create(NetworkSpec(name)).pools[0].subnet)
        except Conflict as refusal:
            return str(refusal)

    with ThreadPoolExecutor(45) as pool:
        told = list(pool.map(made, names))
    subnets = [ip_network(text) for text in told if "already exists" not in text]
    assert (len(subnets), sorted(n.name for n in engine.networks() if not n.predefined)) == (25, sorted({*names}))
    assert not [(a, b) for a, b in combinations(subnets, 2) if a.overlaps(b)]


def test_another_subnet_is_refused_under_containers_and_nothing_has_changed(engine: Engine) -> None:
    engine.connect("bridge", box(engine).id)
    before = state(engine)
    for settings, asked in (
        (Settings(exec_root="/x", bip="10.96.0.1/24"), "10.96.0.0/24 on bascule0"),
        (Settings(exec_root="/x", bridge="bb1", mtu=1400), "172.17.0.0/16 on bb1"),
    ):
        with pytest.raises(Failed) as refusal:
            Engine(engine.kernel, engine.store, settings).start()
        assert str(refusal.value) == (
            f"the default network is 172.17.0.0/16 on bascule0 and cannot become {asked} under its containers (c1):"
            " start with --bridge=bascule0, stop them, then change it"
        )
        assert state(engine) == before


def test_a_subnet_that_another_network_has_is_refused_to_the_default_one(engine: Engine) -> None:
    engine.create(NetworkSpec("n", pools=(subnet("10.96.0.0/16"),)))
    before = state(engine)
    with pytest.raises(Forbidden, match="Pool overlaps with other one"):
        Engine(engine.kernel, engine.store, Settings(exec_root="/x", bip="10.96.0.1/24")).start()
    assert state(engine) == before
