"""Endpoints whose addresses a DHCP server gives: they are on their network first, and get the address there.

Asking takes as long as the server does, so it never happens under the engine's lock.  Until the lease has come the
endpoint has a link and no address; a crash in between leaves it so, and the next start goes on asking.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import RLock

from bascule.engine.change import Changes
from bascule.engine.intent import Intent
from bascule.engine.leases import DRIVER, Leases, Wanted
from bascule.kernel.protocol import Kernel
from bascule.model.endpoint import Endpoint, Lease
from bascule.model.network import Network
from bascule.model.sandbox import Sandbox

log = logging.getLogger(__name__)


def leased(net: Network) -> bool:
    return net.ipam_driver == DRIVER


def wanted(ep: Endpoint, box: Sandbox) -> Wanted:
    """The identifier stays with the container on its network, so that it gets its address again after a restart:
    type 0, which is no hardware address (RFC 2132, 9.14)."""
    client = "00" + hashlib.sha256(f"{ep.network} {box.container}".encode()).hexdigest()[:32]
    return Wanted(ep.id, ep.key, ep.ifname, client, box.hostname or box.name)


def with_lease(ep: Endpoint, lease: Lease | None) -> Endpoint:
    """*ep* with the addresses of *lease*, or with none."""
    if lease is None:
        return replace(ep, addresses=(), gateways=(), lease=None)
    gateways = (lease.gateway,) if lease.gateway else ()
    return replace(ep, addresses=(lease.address,), gateways=gateways, lease=lease)


def seen(kernel: Kernel, net: Network, ep: Endpoint) -> Endpoint:
    """*ep* as it is to be shown: with the IPv6 address that it has because of a router, which the kernel knows."""
    if not leased(net) or not net.ipv6:
        return ep
    found = [a for a in kernel.addresses(ep.key, ep.ifname) if a.version == 6 and not a.is_link_local]
    return replace(ep, addresses=(*ep.addresses, *sorted(found)[:1]))


def agree(
    leases: Leases, ends: Mapping[str, tuple[Endpoint, Sandbox]], relet: Callable[[str, Lease | None], None]
) -> None:
    """Whatever an earlier daemon left: exactly the leases of *ends* are kept alive, and those that changed since
    are told to *relet*."""
    kept = leases.kept()
    for ident in kept.keys() - ends.keys():
        log.info("gave back the lease of an endpoint that is gone: %s", ident[:12])
        leases.release(ident)
    for ident, (ep, box) in ends.items():
        if ident not in kept:
            leases.resume(wanted(ep, box))
        elif kept[ident] != ep.lease:
            relet(ident, kept[ident])


@dataclass(frozen=True, slots=True)
class Leasing:
    """*lock* is the engine's."""

    leases: Leases
    intent: Intent
    changes: Changes
    kernel: Kernel
    lock: RLock

    def begin(self) -> None:
        """The leases of the store's endpoints are kept alive, and no others."""
        self.leases.on_change(self.relet)
        ends = [ep for ep in self.intent.endpoints() if leased(self.intent.by_id(ep.network))]
        agree(self.leases, {ep.id: (ep, self.intent.sandbox(ep.sandbox)) for ep in ends}, self.relet)

    def obtain(self, ep: Endpoint, box: Sandbox) -> None:
        """*ep* has the address that a server gave it.  Waits, and therefore must not be called under the lock."""
        self.relet(ep.id, self.leases.obtain(wanted(ep, box)))

    def relet(self, ident: str, lease: Lease | None) -> None:
        """The endpoint has the address of *lease* from now on, or none."""
        with self.lock:
            ep = self.intent.store.get(Endpoint, ident)
            if ep is None:
                self.leases.release(ident)
                return
            box, before = self.intent.sandbox(ep.sandbox), self.intent.endpoints(sandbox=ep.sandbox)
            fresh = with_lease(ep, lease)
            change = self.changes.between(box, before, [fresh if e.id == ident else e for e in before])
            self.changes.make(change, box)
            self.kernel.forget_flows([a.ip for a in ep.addresses if a not in fresh.addresses])

    def give_back(self, ends: Sequence[Endpoint]) -> None:
        """The server hears that the addresses of *ends* are free."""
        for ep in ends:
            if leased(self.intent.by_id(ep.network)):
                self.leases.release(ep.id)
