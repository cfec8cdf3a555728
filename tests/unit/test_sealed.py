"""Encrypted overlay networks: what is stated, how it is written for the kernel, and whose secrets are whose."""

import base64
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bascule.api.shapes import network
from bascule.cluster.curve import private, public
from bascule.cluster.sealing import choose, due, turned
from bascule.drivers import overlay, sealed
from bascule.engine.engine import Engine
from bascule.kernel.fake import FakeKernel
from bascule.model.addresses import ip_address
from bascule.model.cluster import Membership, Node, Remote, Ring, Seal, Tunnel
from bascule.model.codec import decode, encode
from bascule.model.errors import Failed
from bascule.model.network import Network
from bascule.model.sealing import Identity, Peer, Sealing, XfrmPolicy, XfrmState
from bascule.model.thing import Thing, WireGuard
from bascule.model.typed import unmade
from bascule.store.memory import MemoryStore
from bascule.wire import wireguard, xfrm
from bascule.wire.netlink import Malformed, Message

SECRET, KEY = "c2VjcmV0".ljust(43, "A") + "=", "a2V5".ljust(43, "A") + "="
A, B, C = (ip_address(f"192.0.2.{n}") for n in (1, 2, 3))
BOTH: tuple[Seal, ...] = ("wireguard", "esp")
ME = Membership("n1", "one", "", A, 1500, 1, 1, secret=SECRET)
NODES = [
    Node("n1", "one", A, 1500, 1, 1, BOTH, "own"),
    Node("n2", "two", B, 1500, 1, 1, BOTH, KEY),
    Node("n3", "three", C, 1500, 1, 1),
]
RING = Ring("esp", ("aa" * 64, "bb" * 64, "cc" * 64), 0, 1)


def text(things: list[Thing]) -> str:
    return "\n".join(str(thing) for thing in things).replace("nft add element ", "+ ")


# ---- what is stated


def test_a_member_with_wireguard() -> None:
    assert (
        text(sealed.host(ME, NODES, {4097: "wireguard", 4096: "wireguard"}, None))
        == f"""\
+ inet bascule sealed '{{ 0x1000 }}'
+ inet bascule sealed '{{ 0x1001 }}'
+ inet bascule sealers '{{ "bascule-wg" }}'
+ inet bascule internal_from '{{ "bascule-wg" }}'
+ inet bascule internal_to '{{ "bascule-wg" }}'
+ inet bascule vtep_ip6 '{{ {sealed.inside("wireguard", "n2")} }}'
ip link add bascule-wg mtu 1440 type wireguard && ip link set bascule-wg addrgenmode none up
sysctl -qw net/ipv6/conf/bascule-wg/accept_ra=0
sysctl -qw net/ipv6/conf/bascule-wg/disable_ipv6=0
ip addr add {sealed.inside("wireguard", "n1")}/64 dev bascule-wg nodad
wg set bascule-wg listen-port 51789 private-key <(echo "$KEY")
wg set bascule-wg peer {KEY} endpoint 192.0.2.2:51789 allowed-ips {sealed.inside("wireguard", "n2")}/128"""
    )


def test_a_member_with_ipsec() -> None:
    here, there = sealed.inside("esp", "n1"), sealed.inside("esp", "n2")
    lines = text(sealed.host(ME, NODES, {4096: "esp"}, RING)).splitlines()
    assert "ip link add bascule-esp mtu 1440 type xfrm if_id 0xba5c0000 && " in lines[5]
    states = [line for line in lines if "xfrm state" in line]
    assert [line.split(" proto")[0] for line in states] == [
        "ip xfrm state add src 192.0.2.1 dst 192.0.2.2",
        *["ip xfrm state add src 192.0.2.2 dst 192.0.2.1"] * 3,
    ]
    spi = states[0].split(" spi ")[1].split()[0]
    assert lines[-2:] == [
        f"ip xfrm policy update src {here}/128 dst {there}/128 dir out if_id 0xba5c0000 tmpl src 192.0.2.1"
        f" dst 192.0.2.2 proto esp spi {spi} reqid 3126591488 mode tunnel",
        f"ip xfrm policy update src {there}/128 dst {here}/128 dir in if_id 0xba5c0000 tmpl src 192.0.2.2"
        " dst 192.0.2.1 proto esp reqid 3126591488 mode tunnel",
    ]


def test_no_secret_is_in_what_is_printed() -> None:
    for seal in BOTH:
        things = sealed.host(ME, NODES, {4096: seal}, RING)
        secrets = [SECRET, "aa" * 64, *(thing.key for thing in things if isinstance(thing, XfrmState))]
        told = text(things) + repr(things) + repr(ME) + repr(RING) + "\n".join(unmade(things, "bascule"))
        assert [secret for secret in secrets if secret in told] == []


def test_an_encrypted_network_is_between_the_inner_addresses() -> None:
    inner = sealed.inside("esp", "n1")
    net = Network(
        "a" * 64, "web", "overlay", 1, link="br-web", tunnel=Tunnel(4096, 1370, local=inner, mac="02::", seal="esp")
    )
    far = Remote("d" * 64, net.id, "n2", 1, 1, "far", B, (), "02:00:00:00:00:09")
    assert f"id 4096 dstport 4789 local {inner} " in text(overlay.network(net))
    assert f"dst {sealed.inside('esp', 'n2')} " in text(overlay.remote(net, far))


def test_what_fits_through_an_encrypted_tunnel() -> None:
    assert overlay.mtu({}, 1500, A, "wireguard") == overlay.mtu({}, 1500, A, "esp") == 1370
    assert overlay.mtu({}, 1500, ip_address("2001:db8::1"), "esp") == 1350
    # The link that encrypts has an IPv6 address, whatever the network has.
    assert overlay.mtu({}, 1340, A, "esp") == 1210
    for underlay, ipv6, least in ((1339, False, 1340), (1409, True, 1410)):
        with pytest.raises(Failed, match=f"hosts have MTU {underlay}, and IPv6 inside of them needs {least}"):
            overlay.mtu({}, underlay, A, "wireguard", ipv6=ipv6)


# ---- which


@pytest.mark.parametrize(
    ("options", "there", "chosen"),
    [
        ({}, [BOTH], None),
        ({"encrypted": ""}, [BOTH, BOTH], "wireguard"),
        ({"encrypted": "true"}, [BOTH, ("esp",)], "esp"),
        ({overlay.ENCRYPTION: "esp"}, [BOTH, BOTH], "esp"),
        ({"encrypted": ""}, [BOTH, ()], "does not have one and the same of WireGuard and IPsec (ESP) on n1"),
        ({"encrypted": ""}, [("wireguard",), ("esp",)], "of WireGuard and IPsec (ESP) on n0, n1"),
        ({overlay.ENCRYPTION: "wireguard"}, [BOTH, ("esp",)], "the kernel does not have WireGuard on n1"),
    ],
)
def test_it_is_what_every_node_has(
    options: dict[str, str], there: list[tuple[Seal, ...]], chosen: str | None
) -> None:
    net = Network("a" * 64, "web", "overlay", 1, options=options)
    nodes = [Node(f"n{n}", f"n{n}", A, 1500, 1, 1, seals) for n, seals in enumerate(there)]
    if chosen is None or chosen in BOTH:
        assert choose(net, nodes) == chosen
    else:
        with pytest.raises(Failed, match=f"network web cannot be encrypted: .*{re.escape(chosen)}$"):
            choose(net, nodes)


def test_what_it_can_do_is_written_and_read() -> None:
    for one in (NODES[1], ME, RING, Tunnel(4096, 1370, seal="esp")):
        if not isinstance(one, Tunnel):
            assert decode(type(one), encode(one)) == one
    net = Network("a" * 64, "web", "overlay", 1, tunnel=Tunnel(4096, 1370, seal="esp"))
    assert decode(Network, encode(net)) == net


# ---- secrets


def states(me: int, ring: Ring) -> dict[tuple[str, int], str]:
    """The associations of one of the nodes, by their way and SPI."""
    node = NODES[me]
    membership = replace(ME, id=node.id, address=node.address)
    things = sealed.host(membership, NODES[:2], {4096: "esp"}, ring)
    return {(f"to {t.target}", t.spi): t.key for t in things if isinstance(t, XfrmState)}


def spis(me: int, ring: Ring) -> set[tuple[str, int]]:
    """What one of the nodes sends with."""
    node = NODES[me]
    things = sealed.host(replace(ME, id=node.id, address=node.address), NODES[:2], {4096: "esp"}, ring)
    return {(f"to {t.target}", t.spi) for t in things if isinstance(t, XfrmPolicy) and t.way == "out"}


@pytest.mark.parametrize(
    ("clock", "known", "is_due"),
    [
        (3600, 3600.0, True),
        (3599, 3599.0, False),
        # The daemon was started just now, and remembers nothing.
        (3600, 6.0, True),
        # The clock jumps, or is that of another node than the one that turned them: but not twice in a moment.
        (86400, 6.0, True),
        (-86400, 6.0, True),
        (86400, 4.0, False),
        # It was set back, and an hour passes all the same.
        (-1800, 3600.0, True),
    ],
)
def test_secrets_turn_every_hour_whatever_a_clock_says(clock: int, known: float, is_due: bool) -> None:
    ring = replace(RING, turned=1_000_000 * 10**9)
    assert due(ring, ring.turned + clock * 10**9, known, 3600.0) is is_due


def test_whoever_is_a_turn_ahead_or_behind_is_understood() -> None:
    after = turned(RING, "dd" * 64, 2)
    for sender, hearer in ((RING, RING), (RING, after), (after, RING), (after, after)):
        sent = spis(0, sender)
        assert sent <= states(1, hearer).keys()
        assert all(states(0, sender)[spi] == states(1, hearer)[spi] for spi in sent)
    assert spis(0, RING) != spis(0, after)
    # A secret is gone from everywhere two turns after it was current.
    assert not spis(0, RING) & states(1, turned(after, "ee" * 64, 3)).keys()


def test_no_two_associations_share_a_key() -> None:
    keys = [key for me in (0, 1) for key in states(me, RING).values()]
    # Each of the two that are sent with is on both hosts.
    assert (len(keys), len(set(keys))) == (8, 6)


def test_private_keys_are_those_that_the_kernel_gives_back() -> None:
    assert base64.b64decode(private(b"\xff" * 32)) == b"\xf8" + b"\xff" * 30 + b"\x7f"
    assert base64.b64decode(private(bytes(32))) == bytes(31) + b"\x40"
    assert public(private(b"\x07" + bytes(31))) == public(private(bytes(32)))


def test_public_keys_are_those_of_the_rfc() -> None:
    # RFC 7748, section 6.1.
    assert public("dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=") == "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="


# ---- bytes

PEERS = [
    Peer("bascule-wg", KEY, B, 51789, sealed.inside("wireguard", "n2")),
    Peer("bascule-wg", KEY, ip_address("2001:db8::2"), 7, sealed.inside("wireguard", "n2")),
]


def test_wireguards_requests_say_what_is_read_from_them() -> None:
    identity = Identity("bascule-wg", 51789, SECRET)
    asked = [wireguard.identity(30, identity), *(wireguard.peer(30, peer) for peer in PEERS)]
    assert wireguard.read(Message(r.type, r.flags, 1, r.body) for r in asked) == [identity, *PEERS]


IPSEC: list[XfrmState | XfrmPolicy] = [
    thing for thing in sealed.host(ME, NODES, {4096: "esp"}, RING) if isinstance(thing, XfrmState | XfrmPolicy)
]


def told(thing: XfrmState | XfrmPolicy) -> Sealing | None:
    if isinstance(thing, XfrmState):
        request = xfrm.state(thing)
        return xfrm.read_state(Message(request.type, 0, 1, request.body))
    request = xfrm.policy(thing)
    return xfrm.read_policy(Message(request.type, 0, 1, request.body))


def test_ipsecs_requests_say_what_is_read_from_them() -> None:
    assert len(IPSEC) == 6
    assert [told(thing) for thing in IPSEC] == IPSEC


@given(st.binary(max_size=300))
def test_whatever_is_read_is_a_thing_or_malformed(body: bytes) -> None:
    readers: tuple[Callable[[Message], object], ...] = (
        xfrm.read_state,
        xfrm.read_policy,
        lambda message: wireguard.read([message]),
    )
    for read in readers:
        with suppress(Malformed):
            read(Message(16, 0, 1, body))


# ---- a host that cannot


def test_a_daemon_starts_without_what_encrypts_and_its_network_is_closed_all_the_same() -> None:
    store, kernel = MemoryStore(), FakeKernel(refuse=lambda thing: isinstance(thing, WireGuard))
    net = Network("a" * 64, "web", "overlay", 1, scope="global", tunnel=Tunnel(4096, 1370, seal="wireguard"))
    store.commit([ME, *NODES, net])
    Engine(kernel, store).start()
    assert "nft add element inet bascule sealed '{ 0x1000 }'" in kernel.dump()
    assert "wg" not in kernel.links()
    assert "br-" not in kernel.dump()
    kernel.refuse = lambda _: False
    Engine(kernel, store).start()
    assert f"wg set bascule-wg peer {KEY}" in kernel.dump()


def test_inspect_tells_what_a_network_is_encrypted_with() -> None:
    net = Network("a" * 64, "web", "overlay", 1, options={"encrypted": ""}, tunnel=Tunnel(4096, 1370, seal="esp"))
    assert network.show(net)["Options"] == {
        "com.docker.network.driver.overlay.vxlanid_list": "4096",
        "encrypted": "",
        "bascule.encryption": "esp",
    }
