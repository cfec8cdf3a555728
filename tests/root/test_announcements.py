"""New endpoints straight on a segment are announced there, as frames that a machine sees, or are not.

lan 192.0.2.2 --- 192.0.2.1 eth0  the host, whose link is the parent
"""

import os
import select
import socket
from collections.abc import Iterator
from ipaddress import ip_address, ip_network

import pytest
from tests.root.engine_world import EngineWorld, at
from tests.root.ground import until

from bascule.kernel import namespaces
from bascule.model.network import NetworkSpec, PoolSpec
from bascule.wire.probes import ETH_P_ARP, ETH_P_IPV6

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo make test-root")

OWN, OWN6 = "10.213.0.9", "fd13::9"
POOLS = (PoolSpec(ip_network("10.213.0.0/24")), PoolSpec(ip_network("fd13::/64")))
BROADCAST, EVERYBODY = bytes([255] * 6), ip_address("ff02::1")
_ETH_P_ALL, _NEXT_ICMP6, _ADVERTISEMENT, _SOLICITED = 3, 58, 136, 0x40


@pytest.fixture
def world() -> Iterator[EngineWorld]:
    with EngineWorld(nf_call=False) as made:
        yield made


class Heard:
    """What comes to `lan`."""

    def __init__(self, world: EngineWorld) -> None:
        self._socket = namespaces.in_namespace(
            f"/run/netns/{world.ns('lan')}", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        )
        self._socket.bind(("eth0", _ETH_P_ALL))
        self.frames: list[bytes] = []

    def __enter__(self) -> "Heard":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def so_far(self) -> list[bytes]:
        while select.select([self._socket], [], [], 0)[0]:
            self.frames.append(self._socket.recv(2048))
        return self.frames

    def claims(self, mac: str) -> set[str]:
        """The addresses that *mac* told everybody to be its own, without having been asked."""
        return {text for frame in self.so_far() if (text := _claim(frame, bytes.fromhex(mac.replace(":", ""))))}

    def asked(self, mac: str) -> bool:
        """Whether *mac* asked for a neighbour, in both families: what it sent before is here."""
        kinds = {frame[12:14] for frame in self.so_far() if frame[6:12] == bytes.fromhex(mac.replace(":", ""))}
        return {ETH_P_ARP.to_bytes(2), ETH_P_IPV6.to_bytes(2)} <= kinds


def _claim(frame: bytes, mac: bytes) -> str:
    """RFC 826 and RFC 5227, 2.3: both addresses are the sender's; RFC 4861, 4.4 and 7.2.6."""
    target, kind = frame[:6], int.from_bytes(frame[12:14])
    if kind == ETH_P_ARP and target == BROADCAST and frame[22:28] == mac and frame[28:32] == frame[38:42]:
        return socket.inet_ntoa(frame[28:32])
    if kind != ETH_P_IPV6 or frame[20] != _NEXT_ICMP6 or frame[54] != _ADVERTISEMENT or frame[6:12] != mac:
        return ""
    everybody = ip_address(frame[38:54]) == EVERYBODY and not frame[58] & _SOLICITED
    return str(ip_address(frame[62:78])) if everybody else ""


@pytest.mark.parametrize(("messages", "told"), [(None, True), ("2", True), ("0", False)])
def test_neighbours_are_told_of_a_new_endpoint(world: EngineWorld, messages: str | None, told: bool) -> None:
    options = {"parent": "eth0", "bascule.duplicate_detection": "off"}
    if messages is not None:
        options["com.docker.network.advertise_addr_nmsgs"] = messages
    world.engine.create(NetworkSpec("wire", "macvlan", pools=POOLS, ipv6=True, options=options))
    with Heard(world) as heard:
        mac = world.end(world.box("one", "wire", spec=at(OWN, OWN6))).mac
        if told:
            until(lambda: heard.claims(mac) == {OWN, OWN6}, lambda: str(heard.claims(mac)))
        # Later than any announcement.
        world.sh("one", "ping -q -c 1 -W 1 10.213.0.77 || true; ping -q -c 1 -W 1 fd13::77 || true")
        until(lambda: heard.asked(mac))
        assert heard.claims(mac) == ({OWN, OWN6} if told else set())
