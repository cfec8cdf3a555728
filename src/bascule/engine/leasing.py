"""Endpoints whose addresses DHCP servers give: they are on their network first, and get the addresses there.

Asking takes as long as the server does, so it never happens under the engine's lock.  Until the lease has come the
endpoint has a link and no address; a crash in between leaves it so, and the next start goes on asking.

An IPv6 address may come from a DHCPv6 server, or be made by the kernel of what a router advertises; which of them a
segment has shows when one has come.  Nobody waits for it where there is an IPv4 lease.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import RLock

from bascule.drivers import announce
from bascule.drivers.parent import DETECTION
from bascule.engine.change import Changes
from bascule.engine.intent import Intent
from bascule.engine.leases import DRIVER, Leases, Tell, Wanted, asking
from bascule.kernel.protocol import Kernel
from bascule.model.addresses import FAMILIES, Family
from bascule.model.endpoint import Endpoint, Lease
from bascule.model.errors import BasculeError, Failed
from bascule.model.network import Network
from bascule.model.sandbox import Sandbox

log = logging.getLogger(__name__)

STATUS = "bascule.dhcp"
PATIENCE = 8.0
"""Seconds for an IPv6 address.  A link may not speak before two seconds (RFC 4862, 5.4; RFC 8415, 18.2.1), and a
question that was lost is put again after a second or four (RFC 8415, 7.6; RFC 4861, 10)."""


def leased(net: Network) -> bool:
    return net.ipam_driver == DRIVER


def probed(net: Network) -> bool:
    """Whether a lease's address is asked for on the segment before it is taken."""
    return net.options.get(DETECTION) != "off"


def families(net: Network) -> list[Family]:
    return [v for v, spoken in zip(FAMILIES, (net.ipv4, net.ipv6), strict=True) if spoken]


def wanted(net: Network, ep: Endpoint, box: Sandbox, version: Family) -> Wanted:
    """The identifier stays with the container on its network, so that it gets its address again after a restart."""
    client = hashlib.sha256(f"{ep.network} {box.container}".encode()).hexdigest()[:32]
    return Wanted(ep.id, version, ep.key, ep.ifname, client, box.hostname or box.name, probed(net))


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


def agree(leases: Leases, ends: Mapping[tuple[str, Family], tuple[Network, Endpoint, Sandbox]], hear: Tell) -> None:
    """Whatever an earlier daemon left: exactly the leases of *ends* are kept alive, and those that changed since
    are told to *hear*.  One that cannot be is in nobody else's way."""
    kept = leases.kept()
    for ident in {ident for ident, _ in kept} - {ident for ident, _ in ends}:
        log.info("gave back the lease of an endpoint that is gone: %s", ident[:12])
        leases.release(ident)
    for (ident, version), (net, ep, box) in ends.items():
        if (ident, version) in kept:
            if kept[ident, version] != ep.lease(version):
                hear(ident, version, kept[ident, version])
            continue
        try:
            leases.resume(wanted(net, ep, box, version))
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
    refused: dict[str, str] = field(default_factory=dict)
    """Why the last lease of an endpoint is not what it has, by its id."""

    def begin(self) -> None:
        """The leases of the store's endpoints are kept alive, and no others."""
        self.leases.on_change(self.hear)
        nets = [net for net in self.intent.networks() if leased(net)]
        ends = {
            (ep.id, version): (net, ep, self.intent.sandbox(ep.sandbox))
            for net in nets
            for ep in self.intent.endpoints(network=net.id)
            for version in families(net)
        }
        agree(self.leases, ends, self.hear)

    def plan(self, ep: Endpoint) -> list[str]:
        """What connecting *ep* is beside its command lines."""
        net = self.intent.by_id(ep.network)
        return [asking(ep.ifname, version) for version in families(net)] if leased(net) else []

    def obtain(self, net: Network, ep: Endpoint, box: Sandbox) -> None:
        """*ep* has an address of the segment's; its IPv6 one may still come where it has another.  Waits, and
        therefore must not be called under the lock."""
        if net.ipv6:
            self.leases.resume(wanted(net, ep, box, 6))
        if net.ipv4:
            lease = self.leases.obtain(wanted(net, ep, box, 4))
            try:
                self.relet(ep.id, 4, lease)
            except BasculeError as refusal:
                raise Failed(f"what a DHCP server gave cannot be followed: {refusal}") from refusal
        elif not self.kernel.await_address(ep.key, ep.ifname, PATIENCE):
            raise Failed(f"no DHCPv6 server and no router answered on {ep.ifname} within {PATIENCE:.0f} seconds")

    def hear(self, ident: str, version: Family, lease: Lease | None) -> None:
        """As `relet`, where nobody waits for it.  Nothing that a server says stops us: what cannot be is told in
        the log and by `status`, and if it is the router, the address is taken without."""
        with self.lock:
            ep = self.intent.store.get(Endpoint, ident)
            if ep is None:
                self.leases.release(ident)
                return
            try:
                self.relet(ident, version, lease)
            except BasculeError as refusal:
                self._refuse(ep, lease, refusal)
                if lease and lease.gateway:
                    self._without_router(ep, version, lease)

    def _without_router(self, ep: Endpoint, version: Family, lease: Lease) -> None:
        why = self.refused[ep.id]
        try:
            self.relet(ep.id, version, replace(lease, gateway=None))
        except BasculeError:
            return  # As it is said already.
        self.refused[ep.id] = why

    def _refuse(self, ep: Endpoint, lease: Lease | None, refusal: BasculeError) -> None:
        what = f"a lease of {lease.server}" if lease else "the end of a lease"
        self.refused[ep.id] = f"{what} cannot be followed: {refusal}"
        log.error("%s cannot be followed", what, extra={"fields": {**self._about(ep), "error": str(refusal)}})

    def relet(self, ident: str, version: Family, lease: Lease | None) -> None:
        """The endpoint has the address of *lease* from now on, or none of the family.  Whoever refuses, it has what
        it had."""
        with self.lock:
            ep = self.intent.store.get(Endpoint, ident)
            if ep is None:
                self.leases.release(ident)
                return
            box, before = self.intent.sandbox(ep.sandbox), self.intent.endpoints(sandbox=ep.sandbox)
            fresh = with_lease(ep, version, lease)
            change = self.changes.between(box, before, [fresh if e.id == ident else e for e in before])
            self.changes.make(change, box)
            self.refused.pop(ident, None)
            self._tell(ep, version, lease)
            self.kernel.forget_flows([a.ip for a in ep.addresses if a not in fresh.addresses])
            # The address may be known with the MAC of whoever had it before.
            if announce.wanted(self.intent.by_id(ep.network).options) is not False:
                new = [a.ip for a in fresh.addresses if a not in ep.addresses]
                self.kernel.announce(ep.key, ep.ifname, new)

    def _tell(self, ep: Endpoint, version: Family, lease: Lease | None) -> None:
        """A line for what is another than before; renewals are none."""
        before, fields = ep.lease(version), {"fields": self._about(ep)}
        if lease is None:
            if before:
                log.warning("the lease of %s by %s ran out", before.address, before.server, extra=fields)
        elif before is None or (before.address, before.gateway) != (lease.address, lease.gateway):
            instead = f" instead of {before.address}" if before and before.address != lease.address else ""
            router = f", router {lease.gateway}" if lease.gateway else ""
            log.info("a lease of %s by %s%s%s", lease.address, lease.server, instead, router, extra=fields)

    def _about(self, ep: Endpoint) -> dict[str, str]:
        box = self.intent.store.get(Sandbox, ep.sandbox)
        return {"id": ep.network[:12], "container": box.container[:12] if box else ""}

    def status(self, net: Network) -> dict[str, str]:
        """Whose lease is not as it should be; empty when all are."""
        if not leased(net):
            return {}
        said = []
        for ep in self.intent.endpoints(network=net.id):
            if ep.id in self.refused:
                said.append(f"{ep.name}: {self.refused[ep.id]}")
            elif net.ipv4 and not ep.lease(4):
                said.append(f"{ep.name} has no lease")
        return {STATUS: "; ".join(said)} if said else {}

    def give_back(self, ends: Sequence[Endpoint]) -> None:
        """The servers hear that the addresses of *ends* are free."""
        for ep in ends:
            if leased(self.intent.by_id(ep.network)):
                self.refused.pop(ep.id, None)
                self.leases.release(ep.id)
