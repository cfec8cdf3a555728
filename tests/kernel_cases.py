"""What every kernel promises (kernel/protocol.py), as cases that the fake and Linux are both held to.

A case takes a kernel on an empty host (a network namespace of the test's own, where it is Linux) and a path at
which a namespace may be made, in the directory that the kernel sweeps.  Names repeat from case to case, so no two
cases share a host.
"""

import base64
import errno
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from tests.patience import patient

from bascule.drivers import overlay
from bascule.kernel.apply import bring_up, repair, shift, take_down
from bascule.kernel.protocol import Kernel, Outcome
from bascule.model.addresses import ip_address, ip_interface, ip_network
from bascule.model.cluster import Remote, Seal, Tunnel
from bascule.model.endpoint import Endpoint
from bascule.model.errors import Failed, KernelError
from bascule.model.firewall import Rule
from bascule.model.network import Network
from bascule.model.sealing import NUMBER, Identity, Peer, XfrmPolicy, XfrmState
from bascule.model.spans import network
from bascule.model.thing import (
    Address,
    Apart,
    Bridge,
    Closed,
    Dummy,
    Fdb,
    Forward,
    Lawful,
    Macvlan,
    Masquerade,
    Namespace,
    Neigh,
    Open,
    Port,
    Publish,
    Route,
    Sealed,
    Sealer,
    Sysctl,
    Thing,
    Together,
    Underlay,
    Up,
    Veth,
    Vtep,
    Vxlan,
    WireGuard,
    Xfrm,
)

Case = Callable[[Kernel, str], None]

BRIDGE = Bridge("br-case", mac="02:00:00:00:00:01")
GATEWAY = Address("br-case", ip_interface("10.99.0.1/24"))
GATEWAY6 = Address("br-case", ip_interface("fd99::1/64"))
NETWORK: tuple[Thing, ...] = (BRIDGE, GATEWAY, GATEWAY6)
TOGETHER = Together("br-case")
RULES: tuple[Rule, ...] = (TOGETHER, Forward("br-case", 4), Masquerade("br-case", 4))
FAR = ip_address("192.0.2.7")
PUBLISH = Publish("tcp", ip_address("0.0.0.0"), 8080, ip_address("10.99.0.2"), 80)


def pair(box: str, number: int = 2) -> Veth:
    return Veth(f"bv-case{number}", f"eth{number}", box, mac=f"02:00:00:00:01:{number:02x}", master="br-case")


def endpoint(box: str, number: int = 2) -> list[Thing]:
    """An endpoint of both families, as the bridge driver would state it."""
    veth = pair(box, number)
    own, own6 = ip_interface(f"10.99.0.{number}/24"), ip_interface(f"fd99::{number:x}/64")
    return [
        Port(veth.name),
        Lawful(veth.name, veth.mac, (own.ip, own6.ip)),
        veth,
        Address(veth.peer, own, box),
        Address(veth.peer, own6, box),
        Up(veth.peer, box),
    ]


def default_routes(box: str, number: int = 2) -> list[Thing]:
    gateways = (GATEWAY.address.ip, GATEWAY6.address.ip)
    return [Route(f"eth{number}", None, via, via.version, box) for via in gateways]


def whole(box: str) -> list[Thing]:
    """A namespace with an endpoint on a network, in the order in which it can be made."""
    return [Namespace(box), *RULES, *NETWORK, *endpoint(box), *default_routes(box)]


def told(outcomes: Sequence[Outcome]) -> str:
    """Outcomes as words: made, held, or the name of the errno."""
    return " ".join(o if isinstance(o, str) else errno.errorcode[o.errno] for o in outcomes)


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether it comes to hold: a namespace's links are unmade by a worker of the kernel that nobody can ask."""
    deadline = time.monotonic() + patient(10)
    while not (held := holds()) and time.monotonic() < deadline:
        os.sched_yield()
    return held


# ---- made, held, gone


def what_is_added_is_made_and_then_held(kernel: Kernel, box: str) -> None:
    things = whole(box)
    assert told(kernel.add(things)) == " ".join(["made"] * len(things))
    assert kernel.missing(things) == []
    assert told(kernel.add(things)) == " ".join(["held"] * len(things))


def what_was_never_added_is_missing_in_order(kernel: Kernel, box: str) -> None:
    things = whole(box)
    assert kernel.missing(things) == things


def only_what_does_not_hold_is_missing(kernel: Kernel, box: str) -> None:
    kernel.add(whole(box))
    gone: list[Thing] = [PUBLISH, Neigh("br-case", ip_address("10.99.0.9"), "02:00:00:00:00:09")]
    assert kernel.missing([gone[0], *whole(box), gone[1]]) == gone


def what_is_removed_backwards_leaves_nothing(kernel: Kernel, box: str) -> None:
    kernel.guard([])
    before = kernel.dump()
    kernel.add(whole(box))
    assert kernel.remove(whole(box)[::-1]) == []
    assert kernel.missing(whole(box)) == whole(box)
    kernel.settle()
    assert kernel.dump() == before


def removing_what_is_gone_is_no_error(kernel: Kernel, box: str) -> None:
    assert kernel.remove(whole(box)[::-1]) == []
    kernel.add(whole(box))
    kernel.remove(whole(box)[::-1])
    assert kernel.remove(whole(box)[::-1]) == []


def names_can_be_used_again_at_once(kernel: Kernel, box: str) -> None:
    for _ in range(3):
        assert "E" not in told(kernel.add(whole(box)))
        assert kernel.missing(whole(box)) == []
        assert kernel.remove(whole(box)[::-1]) == []
    assert kernel.missing(whole(box)) == whole(box)


def the_same_state_has_the_same_dump(kernel: Kernel, box: str) -> None:
    kernel.add(whole(box))
    before = kernel.dump()
    kernel.remove(endpoint(box)[::-1])
    assert kernel.dump() != before
    kernel.add([*endpoint(box), *default_routes(box)])
    kernel.settle()
    assert kernel.dump() == before


def nothing_to_do_is_done(kernel: Kernel, box: str) -> None:  # noqa: ARG001 -- a case.
    assert (kernel.add([]), kernel.remove([]), kernel.missing([])) == ([], [], [])


def many_endpoints_are_made_and_removed_in_one_call(kernel: Kernel, box: str) -> None:
    many = [thing for number in range(2, 42) for thing in endpoint(box, number)]
    kernel.add([Namespace(box), *NETWORK])
    assert told(kernel.add(many)) == " ".join(["made"] * len(many))
    assert kernel.missing(many) == []
    assert kernel.remove(many[::-1]) == []
    assert kernel.missing(many) == many


# ---- what hangs together


def a_pair_goes_with_either_end(kernel: Kernel, box: str) -> None:
    kernel.add(whole(box))
    assert kernel.remove([pair(box)]) == []
    addresses = [thing for thing in whole(box) if isinstance(thing, Address | Up) and thing.ns == box]
    assert kernel.missing([pair(box), *addresses]) == [pair(box), *addresses]


def a_namespace_takes_its_links_along(kernel: Kernel, box: str) -> None:
    kernel.add(whole(box))
    assert kernel.remove([Namespace(box)]) == []
    assert kernel.missing([Namespace(box)]) == [Namespace(box)]
    assert eventually(lambda: "bv-case2" not in kernel.links())


def a_namespace_made_again_is_empty(kernel: Kernel, box: str) -> None:
    kernel.add(whole(box))
    kernel.remove([Namespace(box)])
    kernel.add([Namespace(box)])
    inside = [thing for thing in whole(box) if isinstance(thing, Address | Up | Route) and thing.ns == box]
    assert kernel.missing(inside) == inside
    assert eventually(lambda: "bv-case2" not in kernel.links())
    assert "E" not in told(kernel.add(endpoint(box)))


def a_bridge_that_goes_leaves_its_ports(kernel: Kernel, box: str) -> None:
    kernel.add(whole(box))
    assert kernel.remove([BRIDGE]) == []
    assert "bv-case2" in kernel.links()
    assert kernel.missing([GATEWAY]) == [GATEWAY]


def a_pair_with_both_ends_here(kernel: Kernel, box: str) -> None:  # noqa: ARG001 -- a case.
    veth = Veth("bv-a", "bv-b", "")
    # Linux has no path for "here", and needs none.
    kernel.add([BRIDGE])
    assert told(kernel.add([replace(veth, master="br-case"), Up("bv-b")])) == "made made"
    assert {"bv-a", "bv-b"} <= set(kernel.links())


# ---- refusals


def what_linux_refuses_is_refused_with_its_errno(kernel: Kernel, box: str) -> None:
    kernel.add([Namespace(box), *NETWORK, pair(box)])
    near, far = ip_address("10.99.0.1"), ip_address("10.98.0.1")
    mac = "02:00:00:00:00:09"
    asked: list[tuple[Thing, str]] = [
        (Address("nosuch", ip_interface("10.0.0.1/24")), "ENODEV"),
        (Up("nosuch"), "ENODEV"),
        (Route("nosuch", ip_network("10.1.0.0/24")), "ENODEV"),
        (Neigh("nosuch", near, mac), "ENODEV"),
        (Sysctl("net/ipv4/conf/nosuch/route_localnet", "1"), "ENOENT"),
        (Address("eth0", ip_interface("10.0.0.1/24"), box + "-nosuch"), "ENOENT"),
        (replace(pair(box), name="bv-new", peer="eth9", master="nosuch"), "ENODEV"),
        (
            replace(pair(box), name="bv-new", peer="eth9", master="bv-case2"),
            "ENOTSUP",
        ),  # Linux has one number for it and EOPNOTSUPP.
        (replace(pair(box), name="bv-new", peer="eth9", peer_ns=box + "-nosuch"), "ENOENT"),
        (replace(pair(box), name="bv-new"), "EEXIST"),
        (replace(BRIDGE, name="bv-case2"), "EEXIST"),
        (Bridge("br-much-too-long-a-name"), "ERANGE"),
        (Bridge("br-new", mtu=99999), "EINVAL"),
        (Route("eth2", ip_network("10.1.0.0/24"), ns=box), "ENETDOWN"),
        (Route("br-case", ip_network("10.1.0.0/24"), far), "ENETUNREACH"),
        (Route("br-case", ip_network("fd98::/64"), ip_address("fd98::1")), "EHOSTUNREACH"),
        (Address("br-case", ip_interface("fd99::1/48")), "EEXIST"),
    ]
    before = kernel.dump()
    given = "\n".join(f"{thing}: {told(kernel.add([thing]))}" for thing, _ in asked)
    assert given == "\n".join(f"{thing}: {name}" for thing, name in asked)
    assert kernel.dump() == before


def a_link_of_ours_with_other_values_is_set_right(kernel: Kernel, box: str) -> None:
    kernel.add([Namespace(box), *NETWORK, pair(box)])
    before = kernel.dump()
    fresh: list[Thing] = [replace(BRIDGE, mtu=1400, mac="02:00:00:00:00:77"), replace(pair(box), mtu=1400)]
    assert kernel.missing([*fresh, *NETWORK[1:]]) == fresh
    assert told(kernel.add(fresh)) == "made made"
    assert kernel.missing([*fresh, *NETWORK[1:]]) == []
    assert told(kernel.add([BRIDGE, pair(box)])) == "made made"
    assert kernel.dump() == before


def a_far_end_keeps_the_name_and_the_mac_that_it_has_there(kernel: Kernel, box: str) -> None:
    kernel.add([Namespace(box), *NETWORK, pair(box)])
    others = [replace(pair(box), mac="02:00:00:00:00:78"), replace(pair(box), peer="eth9")]
    before = kernel.dump()
    assert kernel.missing(others) == []
    assert told(kernel.add(others)) == "held held"
    assert kernel.dump() == before


def a_pair_is_told_from_its_far_end(kernel: Kernel, box: str) -> None:
    kernel.add([Namespace(box), *NETWORK, pair(box)])
    assert kernel.below(box, "eth2") == kernel.host_links()["bv-case2"].index != 0
    assert kernel.below(box, "nosuch") == 0


def a_refusal_names_the_thing(kernel: Kernel, box: str) -> None:  # noqa: ARG001 -- a case.
    (refusal,) = kernel.add([Up("nosuch")])
    assert isinstance(refusal, KernelError)
    assert (refusal.what, str(refusal).endswith("no such device")) == ("ip link set nosuch up", True)


def a_refusal_does_not_stop_what_is_behind_it(kernel: Kernel, box: str) -> None:
    things = [Namespace(box), BRIDGE, Up("nosuch"), GATEWAY, *endpoint(box)]
    assert told(kernel.add(things)) == "made made ENODEV made" + " made" * len(endpoint(box))


def a_second_route_to_a_place_is_refused(kernel: Kernel, box: str) -> None:
    kernel.add(whole(box))
    others = [
        Route("eth2", None, ip_address("10.99.0.7"), ns=box),
        Route("eth2", None, ip_address("fd99::7"), ns=box),
    ]
    assert told(kernel.add(others)) == "EEXIST EEXIST"
    assert kernel.missing(default_routes(box)) == []


def an_element_with_another_value_is_refused_and_the_old_one_stays(kernel: Kernel, box: str) -> None:  # noqa: ARG001
    kernel.add([PUBLISH])
    other = replace(PUBLISH, to=ip_address("10.99.0.3"))
    assert told(kernel.add([other])) == "EEXIST"
    assert kernel.missing([PUBLISH, other]) == [other]
    assert kernel.remove([other]) == []
    assert kernel.missing([PUBLISH]) == []


def rules_are_made_together_or_not_at_all(kernel: Kernel, box: str) -> None:  # noqa: ARG001 -- a case.
    kernel.add([PUBLISH, TOGETHER])
    fresh = Open(ip_address("10.99.0.2"), "tcp", 80)
    batch: list[Thing] = [TOGETHER, fresh, replace(PUBLISH, to=ip_address("10.99.0.3"))]
    assert told(kernel.add(batch)) == "held EEXIST EEXIST"
    assert kernel.missing([PUBLISH, TOGETHER, fresh]) == [fresh]


# ---- the firewall


def guard_leaves_exactly_what_it_is_told(kernel: Kernel, box: str) -> None:  # noqa: ARG001 -- a case.
    kernel.add([*RULES, PUBLISH])
    kernel.guard([TOGETHER, Port("bv-x")])
    assert kernel.missing([*RULES, PUBLISH, Port("bv-x")]) == [*RULES[1:], PUBLISH]
    kernel.add([PUBLISH])
    assert kernel.missing([TOGETHER, PUBLISH]) == []
    kernel.guard([])
    assert kernel.missing([TOGETHER, PUBLISH]) == [TOGETHER, PUBLISH]


def every_kind_of_rule_comes_and_goes(kernel: Kernel, box: str) -> None:  # noqa: ARG001 -- a case.
    six = ip_address("fd99::2")
    rules: list[Thing] = [
        *RULES,
        PUBLISH,
        Forward("br-case", 6, "routed"),
        Masquerade("br-case", 6, ip_address("2001:db8::1")),
        Publish("udp", ip_address("::1"), 53, six, 5353),
        Open(six, "tcp", 443),
        Port("bv-x"),
        Lawful("bv-x", "02:00:00:00:00:09", (ip_address("10.99.0.2"), six), advertise=True),
        Apart("bv-x"),
        Closed(6),
        Underlay(4789),
        Vtep(FAR),
        Vtep(six),
        Sealed(4096),
        Sealer("bascule-wg"),
    ]
    assert told(kernel.add(rules)) == " ".join(["made"] * len(rules))
    assert kernel.missing(rules) == []
    assert kernel.remove(rules[::-1]) == []
    assert kernel.missing(rules) == rules


# ---- what encrypts

WIREGUARD = WireGuard("wg-case", 1400)
KEY = base64.b64encode(b"\x08" + bytes(30) + b"\x40").decode()
IDENTITY = Identity("wg-case", 51000, KEY)
INSIDE, BEYOND, FARTHER, FARTHEST = (ip_address(f"fd98::{n}") for n in (1, 2, 3, 4))
HERE, THERE = ip_address("192.0.2.1"), ip_address("192.0.2.2")
PEER = Peer("wg-case", base64.b64encode(b"\x01" * 32).decode(), THERE, 51000, BEYOND)
XFRM = Xfrm("xf-case", NUMBER)
OUT, IN = XfrmState(HERE, THERE, 0x1000, NUMBER, "0a" * 36), XfrmState(THERE, HERE, 0x1001, NUMBER, "0b" * 36)
POLICY = XfrmPolicy("out", INSIDE, BEYOND, HERE, THERE, NUMBER, 0x1000)
LET_IN = XfrmPolicy("in", BEYOND, INSIDE, THERE, HERE, NUMBER)
IPSEC: tuple[Thing, ...] = (XFRM, OUT, IN, POLICY, LET_IN)


def able(kernel: Kernel, seal: Seal) -> None:
    if seal not in kernel.seals():
        pytest.skip(f"this kernel has no {seal}: make test-vm")


def a_wireguard_link_has_its_identity_and_peers(kernel: Kernel, box: str) -> None:  # noqa: ARG001 -- a case.
    able(kernel, "wireguard")
    assert told(kernel.add([IDENTITY])) == "ENODEV"
    other = replace(PEER, key=KEY, host=ip_address("2001:db8::9"), inside=FARTHEST)
    things: list[Thing] = [WIREGUARD, IDENTITY, PEER, other]
    assert told(kernel.add(things)) == "made made made made"
    assert kernel.missing(things) == []
    assert told(kernel.add(things)) == "held held held held"
    moved = replace(PEER, host=FAR, inside=FARTHER)
    assert told(kernel.add([moved])) == "made"
    assert kernel.missing([*things, moved]) == [PEER]
    assert kernel.remove([moved]) == []
    assert kernel.missing([*things, moved]) == [PEER, moved]
    assert kernel.remove([WIREGUARD]) == []
    assert kernel.missing(things) == things


def associations_and_policies_come_and_go(kernel: Kernel, box: str) -> None:  # noqa: ARG001 -- a case.
    able(kernel, "esp")
    assert told(kernel.add(IPSEC)) == "made made made made made"
    assert kernel.missing(IPSEC) == []
    assert told(kernel.add(IPSEC)) == "held held held held held"
    assert told(kernel.add([replace(OUT, key="0c" * 36)])) == "EEXIST"
    assert kernel.remove(IPSEC[::-1]) == []
    assert kernel.missing(IPSEC) == list(IPSEC)
    assert kernel.remove(IPSEC[::-1]) == []


def a_policy_that_took_anothers_place_stays_when_that_one_is_removed(kernel: Kernel, box: str) -> None:  # noqa: ARG001
    able(kernel, "esp")
    new = replace(POLICY, spi=0x1002)
    assert told(kernel.add([XFRM, POLICY, new])) == "made made made"
    assert kernel.missing([POLICY, new]) == [POLICY]
    assert kernel.remove([POLICY]) == []
    assert kernel.missing([POLICY, new]) == [POLICY]


def whatever_encrypts_and_is_not_stated_is_a_stray_and_is_swept(kernel: Kernel, box: str) -> None:  # noqa: ARG001
    for seal, things in (("esp", IPSEC), ("wireguard", (WIREGUARD, IDENTITY, PEER))):
        able(kernel, "esp" if seal == "esp" else "wireguard")
        kernel.add(things)
        kept = things[:2]
        assert {str(t) for t in kernel.strays(kept)} == {str(t) for t in things[2:]}
        assert sorted(kernel.sweep(kept)) == sorted(str(t) for t in things[2:])
        assert kernel.missing(things) == list(things[2:])
        kernel.sweep([])
        assert kernel.missing(things) == list(things)


# ---- sysctls, neighbours, forwarding entries


def a_sysctl_has_its_value_and_goes_with_its_link(kernel: Kernel, box: str) -> None:  # noqa: ARG001 -- a case.
    on = Sysctl("net/ipv4/conf/br-case/route_localnet", "1")
    kernel.add([BRIDGE])
    assert told(kernel.add([on])) == "made"
    assert told(kernel.add([on])) == "held"
    assert kernel.missing([on, replace(on, value="0")]) == [replace(on, value="0")]
    assert kernel.remove([on]) == []
    assert kernel.missing([on]) == []
    kernel.remove([BRIDGE])
    assert kernel.missing([on]) == [on]


def a_neighbour_is_replaced(kernel: Kernel, box: str) -> None:  # noqa: ARG001 -- a case.
    old = Neigh("br-case", ip_address("10.99.0.9"), "02:00:00:00:00:09")
    new = replace(old, mac="02:00:00:00:00:0a")
    kernel.add(NETWORK)
    assert told(kernel.add([old, old, new])) == "made held made"
    assert kernel.missing([old, new]) == [old]
    assert kernel.remove([new]) == []
    assert kernel.missing([new]) == [new]


def a_vxlan_is_a_port_of_its_bridge(kernel: Kernel, box: str) -> None:
    vxlan = Vxlan("vx-case", 4711, local=ip_address("10.99.0.1"), mac="02:00:00:00:00:0b", master="br-case")
    kernel.add([Namespace(box), *NETWORK])
    assert told(kernel.add([vxlan])) == "made"
    assert told(kernel.add([vxlan])) == "held"
    assert kernel.links()["vx-case"] == "vxlan"
    one, all_ = Fdb("vx-case", "02:00:00:00:00:0c", FAR), Fdb("vx-case", "00:00:00:00:00:00", FAR)
    others = [replace(entry, dst=ip_address("192.0.2.8")) for entry in (one, all_)]
    assert told(kernel.add([one, all_, *others, one])) == "made made EEXIST made held"
    assert kernel.missing([one, all_, *others]) == [others[0]]
    assert kernel.remove([one, others[1]]) == []
    assert kernel.missing([one, all_, *others]) == [one, *others]
    assert kernel.remove([vxlan]) == []
    assert kernel.missing([vxlan]) == [vxlan]


def an_overlay_network_comes_and_goes_with_what_is_on_other_hosts(kernel: Kernel, box: str) -> None:
    own, far = ip_interface("10.98.0.2/24"), ip_interface("fd98::9/64")
    tunnel = Tunnel(4096, 1450, local=FAR, mac="02:00:00:00:00:0b")
    net = Network("ca5e", "case", "overlay", 1, ipv6=True, link="br-over", tunnel=tunnel)
    ep = Endpoint(
        "e1", net.id, "s1", "e1", 1, (own,), mac="02:00:00:00:01:02", link="bv-e1", ifname="eth0", key=box
    )
    there = [
        Remote(
            f"r{n}",
            net.id,
            "n2",
            1,
            1,
            f"r{n}",
            FAR + 1,
            (far.ip + n,),
            f"02:00:00:00:02:{n:02x}",
        )
        for n in range(3)
    ]
    remote = [thing for one in there for thing in overlay.remote(net, one)]
    things: list[Thing] = [*overlay.network(net), *overlay.endpoint(net, ep), *remote]
    kernel.guard([])
    kernel.add([Namespace(box)])
    before = kernel.dump()
    assert told(kernel.add(things)) == " ".join(["made"] * len(things))
    assert kernel.missing(things) == []
    # One of them moves to another host.
    moved = replace(there[0], via=FAR + 2)
    shift(kernel, overlay.remote(net, there[0]), overlay.remote(net, moved))
    assert kernel.missing(overlay.remote(net, moved)) == []
    assert kernel.missing(overlay.remote(net, there[0])) == overlay.remote(net, there[0])[:1]
    shift(kernel, overlay.remote(net, moved), overlay.remote(net, there[0]))
    assert kernel.strays(things) == []
    assert set(kernel.strays([t for t in things if t not in remote[:2]])) == set(remote[:2])
    assert kernel.remove(remote[::-1]) == []
    assert kernel.missing(things) == remote
    assert kernel.remove([thing for thing in things[::-1] if thing not in remote]) == []
    kernel.settle()
    assert kernel.dump() == before


# ---- sweeping, and what the host has


def sweep_removes_what_is_not_kept_and_tells_it(kernel: Kernel, box: str) -> None:
    other = box + "2"
    kernel.add([*whole(box), Namespace(other), Bridge("br-old"), pair(other, 3)])
    swept = kernel.sweep(whole(box))
    assert kernel.missing([*whole(box), Bridge("br-old"), Namespace(other), pair(other, 3)]) == [
        Bridge("br-old"),
        Namespace(other),
        pair(other, 3),
    ]
    for gone in ("br-old", "bv-case3", other):
        assert any(gone in line for line in swept), (gone, swept)
    assert kernel.sweep(whole(box)) == []


def sweep_leaves_exactly_what_is_stated_on_links_that_are_ours_alone(kernel: Kernel, box: str) -> None:  # noqa: ARG001
    shim: list[Thing] = [*NETWORK, Macvlan("bh-case", "br-case"), Up("bh-case")]
    stays, goes = (Route("bh-case", ip_network(f"10.98.0.{n}/32")) for n in (1, 2))
    others = Route("br-case", ip_network("10.97.0.0/16"), ip_address("10.99.0.9"))
    kernel.add([*shim, stays, goes, others])
    assert kernel.sweep([*shim, stays]) == [str(goes)]
    assert kernel.missing([*shim, stays, goes, others]) == [goes]
    assert kernel.sweep([*shim, stays]) == []


def routes_are_what_the_host_has_an_address_in_or_a_route_to(kernel: Kernel, box: str) -> None:  # noqa: ARG001
    before = set(kernel.routes())
    kernel.add([*NETWORK, Route("br-case", ip_network("10.97.0.0/16"), ip_address("10.99.0.9"))])
    kernel.add([Route("br-case", None, ip_address("10.99.0.9"))])
    found = sorted(str(network(one)) for one in set(kernel.routes()) - before)
    assert found == ["10.97.0.0/16", "10.99.0.0/24", "fd99::/64"]


def routes_of_a_namespace_are_not_the_hosts(kernel: Kernel, box: str) -> None:
    kernel.add(whole(box))
    before = set(kernel.routes())
    kernel.add([Address("eth2", ip_interface("10.96.0.1/24"), box)])
    assert set(kernel.routes()) == before


def the_link_below_a_tunnel_has_an_mtu(kernel: Kernel, box: str) -> None:  # noqa: ARG001 -- a case.
    kernel.add(NETWORK)
    assert kernel.underlay(GATEWAY.address.ip) == 1500
    with pytest.raises(Failed, match=r"no link of this host has the address 192\.0\.2\.7"):
        kernel.underlay(FAR)


def links_are_told_by_kind(kernel: Kernel, box: str) -> None:
    kernel.add(whole(box))
    links = kernel.links()
    assert (links["lo"], links["br-case"], links["bv-case2"]) == ("", "bridge", "veth")
    assert "eth2" not in links


def links_are_told_as_they_are(kernel: Kernel, box: str) -> None:
    dummy = Dummy("dm-case")
    kernel.add([Namespace(box), dummy, BRIDGE, Macvlan("eth0", "dm-case", ns=box)])
    links = kernel.host_links()
    assert {name: link.name for name, link in links.items()} == {name: name for name in links}
    assert (links["br-case"].kind, links["br-case"].up, links["br-case"].mtu) == ("bridge", True, 1500)
    assert (links["dm-case"].up, links["dm-case"].carries, links["dm-case"].parent) == (True, True, 0)
    assert kernel.below(box, "eth0") == links["dm-case"].index != links["br-case"].index
    assert (kernel.below(box, "eth1"), kernel.below(f"{box}-not", "eth0")) == (0, 0)


def a_port_cannot_be_had_on_an_address_that_is_not_the_hosts(kernel: Kernel, box: str) -> None:  # noqa: ARG001
    kernel.add(NETWORK)
    for own in ("0.0.0.0", "127.0.0.1", "10.99.0.1"):
        assert kernel.port_holder("tcp", ip_address(own), 47111) is None
    with pytest.raises(Failed, match="cannot assign requested address"):
        kernel.port_holder("tcp", ip_address("203.0.113.1"), 47111)


def flows_of_nobody_are_forgotten(kernel: Kernel, box: str) -> None:  # noqa: ARG001 -- a case.
    kernel.forget_flows([])
    kernel.forget_flows([ip_address("10.99.0.2"), ip_address("fd99::2")])


# ---- apply


def a_refusal_leaves_nothing_behind(kernel: Kernel, box: str) -> None:
    kernel.guard([])
    before = kernel.dump()
    with pytest.raises(KernelError, match="ip link set nosuch up"):
        bring_up(kernel, [*whole(box), Up("nosuch")])
    kernel.settle()
    assert kernel.dump() == before


def a_refusal_leaves_what_held_before(kernel: Kernel, box: str) -> None:
    bring_up(kernel, whole(box))
    before = kernel.dump()
    with pytest.raises(KernelError):
        bring_up(kernel, [*whole(box), *endpoint(box, 3), Up("nosuch")])
    kernel.settle()
    assert kernel.dump() == before


def taking_down_is_bringing_up_backwards(kernel: Kernel, box: str) -> None:
    kernel.guard([])
    before = kernel.dump()
    bring_up(kernel, whole(box))
    take_down(kernel, whole(box))
    take_down(kernel, whole(box))
    kernel.settle()
    assert kernel.dump() == before


def what_somebody_removed_is_repaired(kernel: Kernel, box: str) -> None:
    bring_up(kernel, whole(box))
    before = kernel.dump()
    kernel.remove([pair(box), GATEWAY])
    expected = [GATEWAY, *[t for t in [*endpoint(box), *default_routes(box)] if not isinstance(t, Port | Lawful)]]
    assert repair(kernel, whole(box)) == expected
    kernel.settle()
    assert kernel.dump() == before


def a_default_route_is_shifted_to_another_link(kernel: Kernel, box: str) -> None:
    bring_up(kernel, [*whole(box), *endpoint(box, 3)])
    shift(kernel, default_routes(box, 2), default_routes(box, 3))
    assert kernel.missing([*default_routes(box, 2), *default_routes(box, 3)]) == default_routes(box, 2)


def the_last_ipv4_address_takes_the_routes_of_its_link_along(kernel: Kernel, box: str) -> None:
    """It is the kernel that does so; IPv6's stay."""
    second = Address("eth2", ip_interface("10.98.0.2/24"), box)
    kernel.add([*whole(box), second])
    assert kernel.remove([Address("eth2", ip_interface("10.99.0.2/24"), box)]) == []
    assert kernel.missing(default_routes(box)) == []
    assert kernel.remove([second]) == []
    assert kernel.missing(default_routes(box)) == default_routes(box)[:1]


def an_address_is_shifted_and_the_way_out_holds(kernel: Kernel, box: str) -> None:
    bring_up(kernel, whole(box))
    old: list[Thing] = [*endpoint(box), *default_routes(box)]
    for now in ("10.99.0.9/24", "10.99.0.9/16", "10.98.0.9/32", "10.99.0.3/24"):
        far = now.endswith("/32")
        onto: list[Thing] = [Route("eth2", ip_network("10.99.0.1/32"), ns=box)] if far else []
        new = [
            replace(t, address=ip_interface(now)) if isinstance(t, Address) and t.address.version == 4 else t
            for t in [*endpoint(box), *onto, *default_routes(box)]
        ]
        before = kernel.dump()
        with pytest.raises(KernelError):
            shift(kernel, old, [*new, Up("nosuch")])
        assert kernel.dump() == before
        shift(kernel, old, new)
        assert kernel.missing(new) == []
        assert kernel.missing(old) == [t for t in old if t not in new]
        old = new
    six = [
        replace(t, address=ip_interface("fd99::9/64")) if isinstance(t, Address) and t.address.version == 6 else t
        for t in old
    ]
    shift(kernel, old, six)
    assert kernel.missing(six) == []


def a_router_beyond_the_subnet_needs_a_route_of_its_own(kernel: Kernel, box: str) -> None:
    kernel.add([Namespace(box), *NETWORK, *endpoint(box)])
    for far, errno_name in ((FAR, "ENETUNREACH"), (ip_address("fd98::1"), "EHOSTUNREACH")):
        onto, out = Route("eth2", ip_network(far), ns=box), Route("eth2", None, far, far.version, box)
        assert told(kernel.add([out, onto, out])) == f"{errno_name} made made"
        assert kernel.missing([onto, out]) == []
        assert kernel.remove([out, onto]) == []
        assert kernel.missing([onto, out]) == [onto, out]


def neighbours_are_told_whatever_is_there(kernel: Kernel, box: str) -> None:
    kernel.add(whole(box))
    own = [thing.address.ip for thing in endpoint(box) if isinstance(thing, Address)]
    kernel.announce(box, "eth2", own)
    kernel.announce(box, "nosuch", own)
    kernel.announce(f"{box}-nosuch", "eth2", own)


def a_shift_that_is_refused_leaves_the_old(kernel: Kernel, box: str) -> None:
    bring_up(kernel, whole(box))
    before = kernel.dump()
    old = [*endpoint(box), *default_routes(box)]
    with pytest.raises(KernelError):
        shift(kernel, old, [*endpoint(box, 3), Up("nosuch")])
    kernel.settle()
    assert kernel.dump() == before


def a_macvlan_is_born_in_its_namespace_and_goes_from_it(kernel: Kernel, box: str) -> None:
    link = Macvlan("eth7", "br-case", mac="02:00:00:00:07:07", ns=box)
    things = [Namespace(box), *NETWORK, link, Address("eth7", ip_interface("10.99.0.7/24"), box), Up("eth7", box)]
    assert kernel.add(things) == ["made"] * len(things)
    assert kernel.add(things) == ["held"] * len(things)
    assert kernel.missing(things) == []
    assert "eth7" not in kernel.links()
    assert kernel.remove([link]) == []
    assert kernel.missing(things) == things[-3:]
    assert kernel.add(things[-3:]) == ["made"] * 3


def a_macvlan_of_a_parent_that_is_not_there_is_refused(kernel: Kernel, box: str) -> None:
    link = Macvlan("eth7", "nosuch0", ns=box)
    assert told(kernel.add([Namespace(box), link])) == "made ENODEV"


def a_link_with_nothing_behind_it(kernel: Kernel, box: str) -> None:  # noqa: ARG001
    """Whatever the kernel has for that."""
    link = Dummy("dm-case")
    assert kernel.add([link, Macvlan("bh-case", "dm-case")]) == ["made", "made"]
    assert kernel.add([link]) == ["held"]
    assert kernel.missing([link]) == []
    assert kernel.remove([link]) == []
    assert "dm-case" not in kernel.links()


def an_address_that_leads_off_a_link_is_awaited(kernel: Kernel, box: str) -> None:
    link = Dummy("dm-case")
    kernel.add([link, Sysctl("net/ipv6/conf/dm-case/disable_ipv6", "0")])
    assert not kernel.await_address("", "dm-case", 0.0)
    kernel.add([Address("dm-case", ip_interface("10.1.0.1/24")), Address("dm-case", ip_interface("fe80::7/64"))])
    assert not kernel.await_address("", "dm-case", 0.01)
    kernel.add([Address("dm-case", ip_interface("fd01::1/64"))])
    assert kernel.await_address("", "dm-case", 0.0)
    assert not kernel.await_address(box, "eth0", 0.0)
    assert kernel.remove([link]) == []


SEALING: tuple[Case, ...] = (
    a_wireguard_link_has_its_identity_and_peers,
    associations_and_policies_come_and_go,
    a_policy_that_took_anothers_place_stays_when_that_one_is_removed,
    whatever_encrypts_and_is_not_stated_is_a_stray_and_is_swept,
)
CASES: tuple[Case, ...] = (
    *SEALING,
    an_address_that_leads_off_a_link_is_awaited,
    a_macvlan_is_born_in_its_namespace_and_goes_from_it,
    a_macvlan_of_a_parent_that_is_not_there_is_refused,
    a_link_with_nothing_behind_it,
    what_is_added_is_made_and_then_held,
    what_was_never_added_is_missing_in_order,
    only_what_does_not_hold_is_missing,
    what_is_removed_backwards_leaves_nothing,
    removing_what_is_gone_is_no_error,
    names_can_be_used_again_at_once,
    the_same_state_has_the_same_dump,
    nothing_to_do_is_done,
    many_endpoints_are_made_and_removed_in_one_call,
    a_pair_goes_with_either_end,
    a_namespace_takes_its_links_along,
    a_namespace_made_again_is_empty,
    a_bridge_that_goes_leaves_its_ports,
    a_pair_with_both_ends_here,
    what_linux_refuses_is_refused_with_its_errno,
    a_link_of_ours_with_other_values_is_set_right,
    a_far_end_keeps_the_name_and_the_mac_that_it_has_there,
    a_pair_is_told_from_its_far_end,
    a_refusal_names_the_thing,
    a_refusal_does_not_stop_what_is_behind_it,
    a_second_route_to_a_place_is_refused,
    an_element_with_another_value_is_refused_and_the_old_one_stays,
    rules_are_made_together_or_not_at_all,
    guard_leaves_exactly_what_it_is_told,
    every_kind_of_rule_comes_and_goes,
    a_sysctl_has_its_value_and_goes_with_its_link,
    a_neighbour_is_replaced,
    a_vxlan_is_a_port_of_its_bridge,
    an_overlay_network_comes_and_goes_with_what_is_on_other_hosts,
    sweep_removes_what_is_not_kept_and_tells_it,
    sweep_leaves_exactly_what_is_stated_on_links_that_are_ours_alone,
    routes_are_what_the_host_has_an_address_in_or_a_route_to,
    routes_of_a_namespace_are_not_the_hosts,
    links_are_told_by_kind,
    links_are_told_as_they_are,
    the_link_below_a_tunnel_has_an_mtu,
    a_port_cannot_be_had_on_an_address_that_is_not_the_hosts,
    flows_of_nobody_are_forgotten,
    a_refusal_leaves_nothing_behind,
    a_refusal_leaves_what_held_before,
    taking_down_is_bringing_up_backwards,
    what_somebody_removed_is_repaired,
    a_default_route_is_shifted_to_another_link,
    the_last_ipv4_address_takes_the_routes_of_its_link_along,
    an_address_is_shifted_and_the_way_out_holds,
    a_router_beyond_the_subnet_needs_a_route_of_its_own,
    neighbours_are_told_whatever_is_there,
    a_shift_that_is_refused_leaves_the_old,
)
