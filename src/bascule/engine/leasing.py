"""Endpoints whose addresses DHCP servers give: they are on their network first, and get the addresses there.

Asking takes as long as the server does, so it never happens under the engine's lock.  Until the lease has come the
endpoint has a link and no address; a crash in between leaves it so, and the next start goes on asking.

An IPv6 address may come from a DHCPv6 server, or be made by the kernel of what a router advertises; which of them a
segment has shows when one has come.  Nobody waits for it where there is an IPv4 lease.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from threading import RLock

from bascule.engine.change import Changes
from bascule.engine.intent import Intent
from bascule.engine.leases import DRIVER, Leases, Tell, Wanted
from bascule.kernel.protocol import Kernel
from bascule.model.addresses import FAMILIES, Family
from bascule.model.endpoint import Endpoint, Lease
from bascule.model.errors import BasculeError, Failed
from bascule.model.network import Network
from bascule.model.sandbox import Sandbox

log = logging.getLogger(__name__)

PATIENCE = 8.0
"""Seconds for an IPv6 address.  A link may not speak before two seconds (RFC 4862, 5.4; RFC 8415, 18.2.1), and a
question that was lost is put again after a second or four (RFC 8415, 7.6; RFC 4861, 10)."""


def leased(net: Network) -> bool:
    return net.ipam_driver == DRIVER


def families(net: Network) -> list[Family]:
    return [v for v, spoken in zip(FAMILIES, (net.ipv4, net.ipv6), strict=True) if spoken]


def wanted(ep: Endpoint, box: Sandbox, version: Family) -> Wanted:
    """The identifier stays with the container on its network, so that it gets its address again after a restart."""
    client = hashlib.sha256(f"{ep.network} {box.container}".encode()).hexdigest()[:32]
    return Wanted(ep.id, version, ep.key, ep.ifname, client, box.hostname or box.name)


def with_lease(ep: Endpoint, version: Family, lease: Lease | None) -> Endpoint:
    """*ep* with the address of *lease* as its one of the family, or with none."""
    found = {one.address.version: one for one in ep.leases} | {version: lease}
    leases = tuple(one for _, one in sorted(found.items()) if one)
    return replace(
        ep,
        addresses=tuple(one.address for one in leases),
        gateways=tuple(one.gateway for one in leases if one.gateway),
        leases=leases,
    )


def seen(kernel: Kernel, net: Network, ep: Endpoint) -> Endpoint:
    """*ep* as it is to be shown: where no server gave it an IPv6 address, with the one that it has because of a
    router, which the kernel knows."""
    if not leased(net) or not net.ipv6 or ep.address(6):
        return ep
    found = [a for a in kernel.addresses(ep.key, ep.ifname) if a.version == 6 and not a.is_link_local]
    return replace(ep, addresses=(*ep.addresses, *sorted(found)[:1]))


def agree(leases: Leases, ends: Mapping[tuple[str, Family], tuple[Endpoint, Sandbox]], relet: Tell) -> None:
    """Whatever an earlier daemon left: exactly the leases of *ends* are kept alive, and those that changed since
    are told to *relet*.  One that cannot be is in nobody else's way."""
    kept = leases.kept()
    for ident in {ident for ident, _ in kept} - {ident for ident, _ in ends}:
        log.info("gave back the lease of an endpoint that is gone: %s", ident[:12])
        leases.release(ident)
    for (ident, version), (ep, box) in ends.items():
        if (ident, version) in kept:
            if kept[ident, version] != ep.lease(version):
                relet(ident, version, kept[ident, version])
            continue
        try:
            leases.resume(wanted(ep, box, version))
        except BasculeError as refusal:
            log.error("the lease of %s is not kept alive: %s", ep.name, refusal)


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
        nets = [net for net in self.intent.networks() if leased(net)]
        ends = {
            (ep.id, version): (ep, self.intent.sandbox(ep.sandbox))
            for net in nets
            for ep in self.intent.endpoints(network=net.id)
            for version in families(net)
        }
        agree(self.leases, ends, self.relet)

    def obtain(self, net: Network, ep: Endpoint, box: Sandbox) -> None:
        """*ep* has an address of the segment's; its IPv6 one may still come where it has another.  Waits, and
        therefore must not be called under the lock."""
        if net.ipv6:
            self.leases.resume(wanted(ep, box, 6))
        if net.ipv4:
            self.relet(ep.id, 4, self.leases.obtain(wanted(ep, box, 4)))
        elif not self.kernel.await_address(ep.key, ep.ifname, PATIENCE):
            raise Failed(f"no DHCPv6 server and no router answered on {ep.ifname} within {PATIENCE:.0f} seconds")

    def relet(self, ident: str, version: Family, lease: Lease | None) -> None:
        """The endpoint has the address of *lease* from now on, or none of the family."""
        with self.lock:
            ep = self.intent.store.get(Endpoint, ident)
            if ep is None:
                self.leases.release(ident)
                return
            box, before = self.intent.sandbox(ep.sandbox), self.intent.endpoints(sandbox=ep.sandbox)
            fresh = with_lease(ep, version, lease)
            change = self.changes.between(box, before, [fresh if e.id == ident else e for e in before])
            self.changes.make(change, box)
            self.kernel.forget_flows([a.ip for a in ep.addresses if a not in fresh.addresses])

    def give_back(self, ends: Sequence[Endpoint]) -> None:
        """The servers hear that the addresses of *ends* are free."""
        for ep in ends:
            if leased(self.intent.by_id(ep.network)):
                self.leases.release(ep.id)
