"""LinuxKernel, seen by `ip`, by `ping`, and by other processes."""

import errno
import gc
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

import pytest
from tests.root.conftest import Host

from bascule.kernel import namespaces
from bascule.kernel.adding import Adding, Numbers, Wired
from bascule.kernel.linux import GROUP, LinuxKernel
from bascule.kernel.place import Places
from bascule.model.errors import KernelError
from bascule.model.links import (
    Address,
    Bridge,
    Dummy,
    Fdb,
    Macvlan,
    Namespace,
    Neigh,
    Route,
    Sysctl,
    Up,
    Veth,
    Vxlan,
)
from bascule.model.thing import Thing

BRIDGE = Bridge("br0", mac="02:00:00:00:00:01")
NETWORK: list[Thing] = [
    BRIDGE,
    Address("br0", ip_interface("10.7.0.1/24")),
    Address("br0", ip_interface("fd07::1/64")),
]


def attach(host: Host, name: str = "c1", number: int = 2) -> list[Thing]:
    ns = host.container(name)
    return [
        Namespace(ns),
        Veth(f"v{name}", "eth0", ns, mac=f"02:00:00:00:00:{number:02x}", master="br0"),
        Address("eth0", ip_interface(f"10.7.0.{number}/24"), ns),
        Address("eth0", ip_interface(f"fd07::{number:x}/64"), ns),
        Up("eth0", ns),
        Route("eth0", None, ip_address("10.7.0.1"), ns=ns),
        Route("eth0", None, ip_address("fd07::1"), ns=ns),
    ]


def ip(host: Host, arguments: str, ns: str = "") -> Any:
    return json.loads(host.sh(f"ip -j -d {arguments}", ns) or "[]")


def made(kernel: LinuxKernel, things: list[Thing]) -> None:
    assert kernel.add(things) == ["made"] * len(things)


# ---- what is made


def test_a_container_on_a_bridge_reaches_its_gateway(host: Host, kernel: LinuxKernel) -> None:
    made(kernel, [*NETWORK, *attach(host)])
    host.sh("ping -c1 -W2 10.7.0.1 && ping -c1 -W2 fd07::1", host.container("c1"))


def test_ip_sees_the_pair_that_was_stated(host: Host, kernel: LinuxKernel) -> None:
    made(kernel, [*NETWORK, *attach(host)])
    (near,), (far,) = ip(host, "link show vc1"), ip(host, "link show eth0", host.container("c1"))
    asked = ("ifname", "master", "mtu", "operstate", "num_tx_queues", "num_rx_queues", "inet6_addr_gen_mode")
    assert [near[key] for key in asked] == ["vc1", "br0", 1500, "UP", 1, 1, "none"]
    assert [far[key] for key in ("ifname", "address", "num_tx_queues")] == ["eth0", "02:00:00:00:00:02", 1]


def test_ip_sees_the_addresses_and_routes_that_were_stated(host: Host, kernel: LinuxKernel) -> None:
    made(kernel, [*NETWORK, *attach(host), Route("br0", ip_network("10.9.0.0/16"))])
    (link,) = ip(host, "addr show eth0", host.container("c1"))
    own = [f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"] if a["scope"] == "global"]
    routes = ip(host, "-4 route", host.container("c1")) + ip(host, "-6 route", host.container("c1"))
    assert own == ["10.7.0.2/24", "fd07::2/64"]
    assert [r["gateway"] for r in routes if r["dst"] == "default"] == ["10.7.0.1", "fd07::1"]
    assert [r["scope"] for r in ip(host, "-4 route show 10.9.0.0/16")] == ["link"]


def test_no_link_of_ours_on_the_host_has_an_ipv6_address_that_nobody_stated(
    host: Host, kernel: LinuxKernel
) -> None:
    made(kernel, [BRIDGE, *attach(host)[:2], Up("eth0", host.container("c1"))])
    host.sh("ping -c1 -W0.2 ff02::1%eth0 || true", host.container("c1"))
    assert host.sh("ip -6 addr show dev br0; ip -6 addr show dev vc1") == ""


def test_a_bridge_keeps_its_mtu_when_its_last_port_leaves(host: Host, kernel: LinuxKernel) -> None:
    pair = attach(host)[:2]
    made(kernel, [replace(BRIDGE, mtu=9000), *pair])
    assert kernel.remove([pair[1]]) == []
    kernel.settle()
    assert ip(host, "link show br0")[0]["mtu"] == 9000


def test_the_lines_of_a_dry_run_make_the_same_state(host: Host, kernel: LinuxKernel) -> None:
    things = [
        *NETWORK,
        *attach(host),
        Dummy("d0", "ifb"),
        Macvlan("eth1", "d0", mac="02:00:00:00:00:09", ns=host.container("c1")),
        # A bridge lowers its MTU to its ports'.
        Vxlan("vx0", 7, local=ip_address("10.7.0.1"), mtu=1500, mac="02:00:00:00:00:0a", master="br0"),
        Fdb("vx0", "02:00:00:00:00:0b", ip_address("192.0.2.1")),
        Neigh("vx0", ip_address("10.7.0.9"), "02:00:00:00:00:0b"),
        Sysctl("net/ipv4/conf/eth0/arp_notify", "1", host.container("c1")),
    ]
    for thing in things:
        host.sh(str(thing))
    assert kernel.missing(things) == []


def test_what_is_dumped_can_be_typed_again(host: Host, kernel: LinuxKernel) -> None:
    made(kernel, [*NETWORK, *attach(host)])
    before = kernel.dump()
    lines = sorted(before.splitlines(), key=_typing_order)
    kernel.remove([*NETWORK, *attach(host)][::-1])
    kernel.settle()
    assert kernel.dump() == ""
    for line in lines:
        host.sh(line)
    # The kernel's mark on the links is all that a person does not type.
    host.sh(f"ip link set br0 group {GROUP}; ip link set vc1 group {GROUP}")
    assert kernel.dump() == before


def _typing_order(line: str) -> int:
    return next(i for i, word in enumerate(("touch", "br0 addr", "link add", "addr add", "up", "")) if word in line)


def test_a_vxlans_entries_come_and_go(host: Host, kernel: LinuxKernel) -> None:
    everybody = "00:00:00:00:00:00"
    things: list[Thing] = [
        Vxlan("vx0", 7, local=ip_address("192.0.2.9")),
        Fdb("vx0", "02:00:00:00:00:0b", ip_address("192.0.2.1")),
        Fdb("vx0", everybody, ip_address("192.0.2.1")),
        Fdb("vx0", everybody, ip_address("192.0.2.2")),
    ]
    made(kernel, things)
    assert kernel.add(things) == ["held"] * 4
    (other,) = kernel.add([Fdb("vx0", "02:00:00:00:00:0b", ip_address("192.0.2.2"))])
    assert isinstance(other, KernelError)
    assert other.errno == errno.EEXIST
    assert kernel.remove([things[2]]) == []
    assert kernel.missing(things) == [things[2]]
    shown = host.sh("bridge fdb show dev vx0")
    assert sorted(line.split()[0] + " " + line.split()[2] for line in shown.splitlines()) == [
        "00:00:00:00:00:00 192.0.2.2",
        "02:00:00:00:00:0b 192.0.2.1",
    ]


def test_macvlans_of_one_parent_reach_each_other_and_their_names_are_free_at_once(
    host: Host, kernel: LinuxKernel
) -> None:
    ends: list[Thing] = []
    for number in (1, 2):
        ns = host.container(f"m{number}")
        ends += [
            Namespace(ns),
            Macvlan("eth0", "d0", mac=f"02:00:00:00:00:{number:02x}", ns=ns),
            Address("eth0", ip_interface(f"10.8.0.{number}/24"), ns),
            Up("eth0", ns),
        ]
    made(kernel, [Dummy("d0", "ifb"), *ends])
    host.sh("ping -c1 -W2 10.8.0.2", host.container("m1"))
    for _ in range(3):
        assert kernel.remove([ends[1]]) == []
        assert kernel.missing(ends) == ends[1:4]
        made(kernel, ends[1:4])
    host.sh("ping -c1 -W2 10.8.0.2", host.container("m1"))
    kernel.settle()
    assert "gone-" not in host.sh("ip link", host.container("m1"))


# ---- what is removed


def test_a_removed_pair_is_down_unplugged_and_nameless_before_it_is_gone(host: Host, kernel: LinuxKernel) -> None:
    made(kernel, [*NETWORK, *attach(host)])
    # While somebody else's big deletion keeps the kernel busy ours may be seen between the two.
    kernel.remove(attach(host)[:0:-1])
    assert "vc1" not in host.sh("ip link")
    assert "eth0" not in host.sh("ip link", host.container("c1"))
    left = [link for link in ip(host, "link") if link["ifname"].startswith("gone-")]
    assert [("UP" in link["flags"], link.get("master")) for link in left] in ([], [(False, None)])
    kernel.settle()
    assert "gone-" not in host.sh("ip link") + host.sh("ip link", host.container("c1"))


def test_sixty_pairs_are_deleted_together(host: Host, kernel: LinuxKernel) -> None:
    pairs = [Veth(f"v{i}", f"p{i}", host.container("c1"), master="br0") for i in range(60)]
    made(kernel, [*NETWORK, Namespace(host.container("c1")), *pairs])
    assert kernel.remove(pairs) == []
    assert kernel.missing(pairs) == pairs
    kernel.settle()
    assert len(ip(host, "link")) == 2


def test_somebody_elses_link_of_the_same_name_is_left_alone(host: Host, kernel: LinuxKernel) -> None:
    host.sh("ip link add br0 type bridge; ip link add vc1 type veth peer name eth0")
    assert kernel.remove([Veth("vc1", "eth0", ""), BRIDGE]) == []
    assert kernel.sweep([]) == []
    kernel.settle()
    assert {"br0", "vc1", "eth0"} <= set(kernel.links())


def test_the_trash_of_an_engine_that_died_is_swept_by_the_next(host: Host, kernel: LinuxKernel) -> None:
    ns = host.container("c1")
    made(kernel, [*NETWORK, *attach(host), Dummy("d0", "ifb"), Macvlan("eth1", "d0", ns=ns)])
    # As a crash in the middle of a removal leaves them.
    host.sh(f"ip link set vc1 down nomaster; ip link set vc1 name gone-1; ip link set gone-1 group {GROUP + 1}")
    host.sh(f"ip link set eth1 name gone-2; ip link set gone-2 group {GROUP + 1}", ns)
    after = host.inside(lambda: LinuxKernel(namespaces=str(host.containers)))
    assert after.sweep([*NETWORK, Namespace(ns), Dummy("d0", "ifb")]) == ["eth0"]
    after.close()
    assert sorted(kernel.links()) == ["br0", "d0", "lo"]
    assert [link["ifname"] for link in ip(host, "link", ns)] == ["lo"]


def test_links_of_a_kept_namespace_that_nobody_states_are_swept(host: Host, kernel: LinuxKernel) -> None:
    ns = host.container("c1")
    kept: list[Thing] = [Namespace(ns), Dummy("d0", "ifb")]
    made(kernel, [*kept, Macvlan("eth0", "d0", ns=ns)])
    assert kernel.sweep(kept) == ["eth0"]
    kernel.settle()
    assert [link["ifname"] for link in ip(host, "link", ns)] == ["lo"]


def test_a_file_that_is_no_namespace_is_swept_too(host: Host, kernel: LinuxKernel) -> None:
    (host.containers / "left").touch()
    assert kernel.sweep([]) == [host.container("left")]
    assert list(host.containers.iterdir()) == []


# ---- who else changes things


def test_what_somebody_changed_is_missing(host: Host, kernel: LinuxKernel) -> None:
    things = [*NETWORK, *attach(host)]
    made(kernel, things)
    ns = host.container("c1")
    changes: list[tuple[str, str, list[Thing]]] = [
        # A link that goes down loses its IPv6 addresses.
        ("ip link set br0 down", "", [BRIDGE, NETWORK[2]]),
        ("ip link set vc1 nomaster", "", [things[4]]),
        ("ip link set vc1 mtu 1400", "", [things[4]]),
        # What a container does to its own link is its business.
        ("ip link set eth0 mtu 1300 address 02:00:00:00:00:77", ns, []),
        ("ip addr del 10.7.0.2/24 dev eth0", ns, [things[5], things[8]]),
        ("ip addr del 10.7.0.1/24 dev br0", "", [NETWORK[1]]),
    ]
    gone: set[Thing] = set()
    for command, where, expected in changes:
        host.sh(command, where)
        gone.update(expected)
        assert [t for t in kernel.missing(things) if t not in gone] == []
        assert set(expected) <= set(kernel.missing(things)), command


def test_links_of_ours_that_somebody_took_down_or_out_are_put_back(host: Host, kernel: LinuxKernel) -> None:
    things = [*NETWORK, *attach(host)]
    made(kernel, things)
    host.sh("ip link set vc1 nomaster; ip link set vc1 down; ip link set br0 down")
    lost = kernel.missing(things)
    assert lost == [BRIDGE, NETWORK[2], things[4]]
    made(kernel, lost)
    assert kernel.missing(things) == []
    host.sh("ping -c1 -W2 10.7.0.1 && ping -c1 -W2 fd07::1", host.container("c1"))


def test_a_macvlan_is_set_right_on_the_host_and_left_alone_in_a_container(host: Host, kernel: LinuxKernel) -> None:
    ns = host.container("c1")
    host.sh("ip link add p0 type veth peer p1; ip link set p0 up; ip link set p1 up")
    ours = Macvlan("mv0", "p0", mac="02:00:00:00:00:08", mtu=1400)
    made(kernel, [Namespace(ns), ours, Macvlan("eth0", "p0", mac="02:00:00:00:00:09", ns=ns)])
    things = [ours, Macvlan("eth0", "p0", mac="02:00:00:00:00:09", ns=ns)]
    change = "mtu 1300 address 02:00:00:00:00:7"
    host.sh(f"ip link set mv0 {change}7")
    host.sh(f"ip link set eth0 {change}8", ns)
    assert kernel.missing(things) == [ours]
    assert kernel.add(things) == ["made", "held"]
    (found,) = ip(host, "link show mv0")
    assert (found["mtu"], found["address"]) == (1400, "02:00:00:00:00:08")
    (found,) = ip(host, "link show eth0", ns)
    assert (found["mtu"], found["address"]) == (1300, "02:00:00:00:00:78")


def test_the_name_of_a_containers_link_is_its_business(host: Host, kernel: LinuxKernel) -> None:
    things = [*NETWORK, *attach(host)]
    made(kernel, things)
    ns = host.container("c1")
    host.sh("ip link set eth0 down; ip link set eth0 name mine; ip link set mine up", ns)
    assert kernel.missing(things[:5]) == []
    assert kernel.sweep(things) == []
    assert kernel.below(ns, "mine") == ip(host, "link show vc1")[0]["ifindex"]
    host.sh("ping -c1 -W2 10.7.0.1", ns)


def test_a_bridge_that_somebody_made_again_has_a_new_index(host: Host, kernel: LinuxKernel) -> None:
    made(kernel, NETWORK)
    host.sh("ip link del br0 && ip link add br0 type bridge && ip link set br0 up")
    made(kernel, [NETWORK[1], *attach(host)])
    host.sh("ping -c1 -W2 10.7.0.1", host.container("c1"))


def test_a_held_link_has_an_index_of_its_own(host: Host, kernel: LinuxKernel) -> None:
    made(kernel, [BRIDGE])
    after = host.inside(lambda: LinuxKernel(namespaces=str(host.containers)))
    assert after.add([*NETWORK, *attach(host)]) == ["held", *["made"] * 9]
    assert after.missing([*NETWORK, *attach(host)]) == []
    after.close()


def test_a_number_that_somebody_has_is_chosen_again(host: Host) -> None:
    host.sh("ip link add x1 index 5000 type bridge; ip link add x2 index 5003 type bridge")
    places = host.inside(Places)
    namespaces.make(host.container("c1"), lambda: None)
    run: list[Wired] = [
        BRIDGE,
        Veth("v1", "eth0", host.container("c1"), master="br0"),
        Up("eth0", host.container("c1")),
    ]
    assert Adding(places, Numbers(5000), GROUP, set(), run).outcomes() == ["made"] * 3
    taken = host.inside(Places)
    more: list[Wired] = [Veth("v2", "eth1", host.container("c1"), master="br0"), Up("eth1", host.container("c1"))]
    number = ip(host, "link show eth0", host.container("c1"))[0]["ifindex"]
    assert Adding(taken, Numbers(number - 1), GROUP, set(), more).outcomes() == ["made"] * 2


def test_a_path_that_became_another_namespace_is_entered_anew(host: Host, kernel: LinuxKernel) -> None:
    ns = host.container("c1")
    made(kernel, [*NETWORK, *attach(host)])
    namespaces.drop(ns)
    namespaces.make(ns, lambda: None)
    inside = [thing for thing in attach(host) if not isinstance(thing, Namespace | Veth)]
    assert kernel.missing(inside) == inside
    kernel.remove(attach(host)[1:2])
    made(kernel, attach(host)[1:])


@pytest.mark.parametrize("kind", ["file", "fifo", "another kind of namespace", "nothing"])
def test_a_path_that_is_no_network_namespace_is_refused(host: Host, kernel: LinuxKernel, kind: str) -> None:
    path = "/proc/self/ns/mnt" if kind == "another kind of namespace" else host.container("odd")
    match kind:
        case "file":
            os.close(os.open(path, os.O_CREAT))
        case "fifo":
            os.mkfifo(path)
    (outcome,) = kernel.add([Up("lo", path)])
    assert isinstance(outcome, KernelError)
    assert outcome.errno == (errno.ENOENT if kind == "nothing" else errno.EINVAL)


def test_a_key_outside_of_the_namespace_is_refused(kernel: LinuxKernel) -> None:
    for key in ("kernel/hostname", "net/../kernel/hostname", "net//ipv4/ip_forward", "/etc/passwd"):
        (outcome,) = kernel.add([Sysctl(key, "1")])
        assert isinstance(outcome, KernelError)
        assert outcome.errno == errno.EINVAL


def test_the_kernels_own_words_are_in_the_refusal(kernel: LinuxKernel) -> None:
    (outcome,) = kernel.add([Vxlan("vx0", 1 << 24)])
    assert str(outcome).startswith("ip link add vx0 ")
    assert isinstance(outcome, KernelError)
    assert outcome.text != ""


# ---- many at once


def test_lists_are_whole_while_links_come_and_go(host: Host, kernel: LinuxKernel) -> None:
    made(kernel, [Dummy(f"d{i}", "ifb") for i in range(30)])
    stop = threading.Event()
    other = host.inside(lambda: LinuxKernel(namespaces=str(host.containers), group=GROUP + 2))

    def churn() -> None:
        while not stop.is_set():
            other.add([Bridge(f"x{i}") for i in range(8)])
            other.remove([Bridge(f"x{i}") for i in range(8)])

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(30):
            assert {f"d{i}" for i in range(30)} <= set(kernel.links())
    finally:
        stop.set()
        thread.join()
        other.close()


def test_threads_attach_and_detach_side_by_side(host: Host, kernel: LinuxKernel) -> None:
    made(kernel, NETWORK)
    wrong: list[object] = []

    def work(first: int) -> None:
        for number in range(first, first + 12):
            things = attach(host, f"c{number}", number)
            wrong.extend(outcome for outcome in kernel.add(things) if outcome != "made")
            if number % 2:
                wrong.extend(kernel.remove(things[::-1]))

    threads = [threading.Thread(target=work, args=(first,)) for first in (10, 30, 50, 70)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    stay = [t for first in (10, 30, 50, 70) for n in range(first, first + 12, 2) for t in attach(host, f"c{n}", n)]
    assert kernel.missing(stay) == []
    kernel.settle()
    assert len(kernel.links()) == 2 + 24


@pytest.fixture
def _tidy() -> Iterator[None]:
    gc.collect()
    before = sorted(os.listdir("/proc/self/fd"))
    threads = threading.active_count()
    yield
    gc.collect()
    assert (sorted(os.listdir("/proc/self/fd")), threading.active_count()) == (before, threads)


@pytest.mark.usefixtures("_tidy")
def test_a_closed_kernel_holds_nothing_and_what_it_made_stays(host: Host) -> None:
    kernel = host.inside(lambda: LinuxKernel(namespaces=str(host.containers)))
    things = [*NETWORK, *attach(host)]
    made(kernel, things)
    kernel.remove(things[:3:-1])
    kernel.close()
    del kernel
    assert [link["ifname"] for link in ip(host, "link")] == ["lo", "br0"]


def test_nobodys_thread_is_left_in_another_namespace(host: Host, kernel: LinuxKernel) -> None:
    before = os.readlink("/proc/thread-self/ns/net")
    kernel.add([*NETWORK, *attach(host), Sysctl("net/ipv4/conf/eth0/arp_notify", "1", host.container("c1"))])
    kernel.remove([*NETWORK, *attach(host)])
    tasks = {os.readlink(f"/proc/self/task/{task}/ns/net") for task in os.listdir("/proc/self/task")}
    assert tasks == {before}
