"""A guest as a member of a cluster of two that has no store: each is told what it would have read there."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.vm.pings import Pings
from tests.vm.wire import Ear, forge

from bascule.cluster.curve import private
from bascule.cluster.sealing import node, turned
from bascule.drivers import overlay, sealed
from bascule.engine.engine import Engine
from bascule.model.addresses import ip_address, ip_network
from bascule.model.cluster import Membership, Remote, Ring, Seal, Tunnel
from bascule.model.network import Network, Pool
from bascule.model.thing import Sealed

VNI = 4096
NET = "a" * 64
SUBNET = ip_network("10.77.0.0/24")
BLOCKS = {1: ip_network("10.77.0.16/28"), 2: ip_network("10.77.0.32/28")}


def membership(number: int, version: int) -> Membership:
    """The member *number* of a cluster over IP *version*."""
    secret = private(hashlib.sha256(f"of {number}".encode()).digest())
    address = ip_address(f"10.99.0.{number}" if version == 4 else f"fd99::{number}")
    return Membership(f"n{number}", f"h{number}", "", address, 1500, 1, 1, secret=secret)


def ring(turns: int) -> Ring:
    """The secrets after so many turns."""
    made = Ring("esp", tuple(f"{n:02x}" * 64 for n in range(3)), 0, 0)
    for n in range(turns):
        made = turned(made, f"{n + 3:02x}" * 64, n)
    return made


class Member:
    """The member *number*, with a network `wire` that is encrypted with *seal*, or not at all."""

    def __init__(self, engine: Engine, number: int, seal: Seal | None, version: int) -> None:
        self.engine = engine
        self.number = number
        self.seal = seal
        self._version = version
        self._ear: Ear | None = None
        shared = engine.shared
        if seal == "esp":
            shared.turn(ring(0))
        nodes = [node(membership(n, version), sealed.SEALS) for n in (1, 2)]
        shared.enrol(membership(number, version), nodes)
        fits = overlay.mtu({}, 1500, membership(number, version).address, seal)
        pool = Pool(SUBNET, SUBNET, ip_address("10.77.0.1"))
        tunnel = Tunnel(VNI, fits, seal=seal or "")
        shared.adopt(
            Network(
                NET, "wire", "overlay", 1, (pool,), internal=True, scope="global", tunnel=tunnel, attachable=True
            )
        )
        shared.grant(NET, [BLOCKS[number]])

    def told(self, addresses: Sequence[str], mac: str) -> None:
        """The other member has a box."""
        other = membership(3 - self.number, self._version)
        known = tuple(ip_address(address) for address in addresses)
        far = Remote("f" * 64, NET, other.id, 1, 1, "far", other.address, known, mac)
        self.engine.shared.learn(NET, [far])

    def mac(self) -> str:
        return self.engine.shared.endpoints(NET)[0].mac

    def turn(self, turns: int) -> None:
        self.engine.shared.turn(ring(turns))

    def wrong(self) -> list[str]:
        """What is stated and does not hold, or the other way."""
        return self.engine.shared.differences()

    def seals(self) -> tuple[Seal, ...]:
        return self.engine.kernel.seals()

    # ---- the wire

    def listen(self, marker: str) -> None:
        self._ear = Ear(marker.encode())

    def heard(self) -> dict[str, int]:
        assert self._ear
        return self._ear.stop()

    def forge(self, mac: str, target: str, inner: str) -> None:
        """Send *inner* to the other member's tunnel, as one who speaks in our name and cannot encrypt."""
        assert self.seal
        forge(mac, str(sealed.inside(self.seal, f"n{self.number}")), target, VNI, bytes.fromhex(inner))

    def open(self, closed: int) -> None:
        """Cleartext is let in, as if nobody had closed the network to it; or not any more."""
        kernel = self.engine.kernel
        assert (kernel.add if closed else kernel.remove)([Sealed(VNI)]) in ([], ["made"])

    def received(self) -> int:
        """How many frames came out of the tunnel."""
        return int(Path(f"/sys/class/net/vx-{NET[:12]}/statistics/rx_packets").read_text())

    # ---- a stream

    def ping(self, path: str, address: str) -> None:
        """From now on, from the namespace at *path*: see Pings."""
        self._pings = Pings(path, address)

    def pinged(self) -> dict[str, Any]:
        """Not any more; how it went."""
        return self._pings.end()

    def refused(self) -> int:
        """How many packets IPsec had no use for, for whatever reason."""
        lines = Path("/proc/net/xfrm_stat").read_text().splitlines()
        assert lines
        return sum(int(line.split()[1]) for line in lines)

    def close(self) -> None:
        """This guest is no member."""
        self.engine.shared.dismiss()
