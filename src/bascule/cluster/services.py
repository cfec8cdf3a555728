"""Services in the cluster's store: made with their first endpoint, gone with their last, by compare-and-set; and
the entries by which every host publishes their ports.

A record names the hosts that have endpoints of the service or are about to. A host writes itself in before its
first one and takes itself out after its last; who leaves a record empty deletes it, with the addresses that it
held.
"""

import json
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from threading import Lock

from bascule.cluster import blocks, keys
from bascule.cluster.commons import Commons
from bascule.drivers import service as options
from bascule.engine.shared import Shared
from bascule.ipam.blocks import pick_last
from bascule.model.addresses import IPAddress, IPNetwork, ip_network
from bascule.model.cluster import Ledger
from bascule.model.codec import encode
from bascule.model.endpoint import EndpointSpec
from bascule.model.errors import BasculeError, Conflict, Failed
from bascule.model.links import Sysctl
from bascule.model.network import Network
from bascule.model.sandbox import SandboxSpec
from bascule.model.service import ENTRY, Service, Wanted, service_id
from bascule.store.etcdclient import Etcd

log = logging.getLogger("bascule.cluster")
LEDGER = "services"
_LEDGER = keys.ledger(LEDGER)
# Seconds for which a service stays ours while a first endpoint is on its way to it.
_PINNED = 10.0
# Seconds between two tries of an entry that could not be made.
_AGAIN = 5.0
_FORWARDS = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding")


class Services:
    """A member's part in them."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._lock = Lock()
        self._pinned: dict[str, float] = {}
        self._failed: dict[str, tuple[float, str]] = {}

    # ---- use cases

    def provide(self, common: Callable[[], Commons], me: str, net: Network, spec: EndpointSpec) -> None:
        """The service that an endpoint like *spec* is to belong to is there, and this host is in it.  Raises
        Conflict where it is another than *spec* says, Failed where the network has no address left, Unavailable."""
        wanted = options.wanted(spec.options)
        if wanted is None:
            return
        with self._lock:
            self._pinned[service_id(net.id, wanted.name)] = time.monotonic() + _PINNED
        known = self._shared.services.get(net.id, wanted.name)
        if known is not None and me in known.nodes:
            agree(known, wanted)
        else:
            hold(common(), net, wanted)
            self._learn(common())
            self._shared.services.settle()

    def changed(self, network: str) -> None:
        """Endpoints that were on their way to *network* may be there."""
        with self._lock:
            waiting = [ident for ident in self._pinned if ident.startswith(f"{network}.")]
        if waiting:
            there = self._shared.services.here(network)
            with self._lock:
                for ident in there.keys() & set(waiting):
                    self._pinned.pop(ident, None)

    # ---- turns

    def turn(self, common: Commons) -> None:
        """This host is in exactly the services that it has endpoints of, knows all of them, and publishes them."""
        self._learn(common)
        here, me = self._shared.services.here(), common.me.id
        for ident, wanted in here.items():
            there = common.shared.get(Service, ident)
            net = self._shared.network(ident.partition(".")[0])
            if net is not None and (there is None or me not in there.nodes):
                self._hold_again(common, net, wanted)
        kept = self._kept()
        for one in common.shared.all(Service):
            if me in one.nodes and one.id not in here and one.id not in kept:
                drop(common, one.id, {me})
        if common.speaker():
            reap(common)
        self._learn(common)
        self._enter()
        self._shared.services.settle()

    def _kept(self) -> set[str]:
        with self._lock:
            return {ident for ident, until in self._pinned.items() if until > time.monotonic()}

    def _learn(self, common: Commons) -> None:
        self._shared.services.learn(common.shared.all(Service))

    def _hold_again(self, common: Commons, net: Network, wanted: Wanted) -> None:
        try:
            hold(common, net, wanted)
        except (Conflict, Failed) as refusal:
            self._tell(f"{net.id}.{wanted.name}", f"service {wanted.name} of {net.name}: {refusal}")

    # ---- entries

    def _enter(self) -> None:
        wanted = {one.entry: one for one in self._shared.services.all() if one.meshed}
        there = self._shared.services.entries()
        for owner in there.keys() - wanted.keys():
            self._shared.places.close(there[owner].id)
        for owner in wanted.keys() - there.keys():
            tried, _ = self._failed.get(owner, (0.0, ""))
            if time.monotonic() - tried >= _AGAIN:
                self._open(wanted[owner])

    def _open(self, service: Service) -> None:
        """Published ports of this host lead to an entry, and from there to all endpoints."""
        places = self._shared.places
        ports = tuple(port.asked for port in service.ports)
        box = places.open(SandboxSpec(container=service.entry, name=f"{ENTRY}{service.name}", ports=ports))
        try:
            places.connect(service.network, box.id, EndpointSpec())
            self._shared.kernel.add([Sysctl(key, "1", box.key) for key in _FORWARDS])
        except BasculeError as refusal:
            places.close(box.id)
            self._tell(service.entry, f"service {service.name} is not published here: {refusal}")
        else:
            self._failed.pop(service.entry, None)
            log.info("service %s is published: %s", service.name, ", ".join(map(str, service.ports)))

    def _tell(self, what: str, text: str) -> None:
        if self._failed.get(what, (0.0, ""))[1] != text:
            log.warning("%s", text)
        self._failed[what] = (time.monotonic(), text)

    def faults(self, common: Commons) -> list[str]:
        """What is not as it should be with them, in words; changes nothing."""
        there = {one.id: one for one in common.shared.all(Service)}
        known = {one.id: one for one in self._shared.services.all()}
        here, me = self._shared.services.here(), common.me.id
        found = [
            f"services: {'stale' if ident not in there else 'missing'}: {(there.get(ident) or known[ident]).name}"
            for ident in there.keys() | known.keys()
            if there.get(ident) != known.get(ident)
        ]
        found += [f"services: missing: this host is not in {here[i].name}" for i in here.keys() - there.keys()]
        awaited = here.keys() | self._kept()
        lonely = [one.name for one in there.values() if me in one.nodes and one.id not in awaited]
        found += [f"services: stale: this host is in {name}" for name in lonely]
        entries = self._shared.services.entries()
        for one in there.values():
            if one.meshed and one.entry not in entries:
                found.append(f"services: missing: {one.name} is not published here")
        wanted = {one.entry for one in there.values() if one.meshed}
        found += [f"services: stale: entry {box.name}" for owner, box in entries.items() if owner not in wanted]
        return found + self._shared.services.faults()


# ---- compare and set


def agree(known: Service, wanted: Wanted) -> None:
    """Raises Conflict where they are not the same."""
    for what, has, asks in (
        ("mode", known.mode, wanted.mode),
        ("published ports", known.ports, wanted.ports),
        ("source", known.keep, wanted.keep),
    ):
        if asks is not None and asks != has:
            raise Conflict(
                f"service {known.name} is there with other {what}: every endpoint says the same or nothing"
            )


def hold(common: Commons, net: Network, wanted: Wanted) -> None:
    """The service is there and *common.me* is in it.  Raises Conflict, Failed, Unavailable."""
    me = common.me.id
    while True:
        there = common.shared.get(Service, service_id(net.id, wanted.name))
        if there is None:
            if _make(common, net, wanted):
                return
            continue
        agree(there, wanted)
        if me in there.nodes:
            return
        if common.shared.attempt([replace(there, nodes=(*there.nodes, me))], unchanged=[there]):
            return
        common.shared.refresh()


def _make(common: Commons, net: Network, wanted: Wanted) -> bool:
    """False: something came in between, and is in memory now."""
    etcd = common.etcd
    ledger = next((item.revision for item in etcd.list(_LEDGER).items if item.key == _LEDGER), 0)
    # The ledger first: who comes between the two has raised it.
    common.shared.refresh()
    ident = service_id(net.id, wanted.name)
    if common.shared.get(Service, ident) is not None:
        return False
    _check_ports(common.shared.all(Service), wanted)
    now = blocks.listed(etcd, net.id)
    taken = [block.range for block in now.blocks]
    addresses = _addresses(net, taken) if wanted.mode == "vip" else ()
    made = Service(
        ident, net.id, wanted.name, wanted.mode, wanted.ports or (), bool(wanted.keep), addresses, (common.me.id,)
    )
    put = {_key(ident): encode(made), _LEDGER: encode(Ledger(LEDGER, ledger))}
    put |= {blocks.held_key(net.id, ip_network(a)): _held_by(ident) for a in addresses}
    expected = {_key(ident): 0, _LEDGER: ledger}
    there = etcd.list(keys.network(net.id)).items
    if not there:
        raise Failed(f"network {net.name} is not there any more")
    expected[keys.network(net.id)] = there[0].revision
    if addresses:
        put[keys.block_ledger(net.id)] = str(now.ledger)
        expected[keys.block_ledger(net.id)] = now.ledger
    done = etcd.transact(put, (), expected) is not None
    common.shared.refresh()
    return done


def _addresses(net: Network, taken: Sequence[IPNetwork]) -> tuple[IPAddress, ...]:
    versions = dict.fromkeys(pool.family for pool in net.pools)
    return tuple(pick_last(net.pools_of(version), taken) for version in versions)


def _check_ports(others: Iterable[Service], wanted: Wanted) -> None:
    asked = {(port.proto, port.host_port) for port in wanted.ports or ()}
    for other in others:
        for port in other.ports:
            if (port.proto, port.host_port) in asked:
                raise Conflict(f"port {port.host_port}/{port.proto} is published by service {other.name} already")


def put_back(etcd: Etcd, service: Service) -> None:
    """A store that lost the service has it again, with its addresses, unless another put it in."""
    put = {_key(service.id): encode(service)}
    put |= {blocks.held_key(service.network, ip_network(a)): _held_by(service.id) for a in service.addresses}
    etcd.transact(put, (), dict.fromkeys(put, 0))


def drop(common: Commons, ident: str, nodes: Iterable[str]) -> None:
    """*nodes* are not in the service; it is gone where nobody is left."""
    going = set(nodes)
    while (there := common.shared.get(Service, ident)) is not None:
        left = tuple(node for node in there.nodes if node not in going)
        if left == there.nodes and left:
            return
        if left:
            done = common.shared.attempt([replace(there, nodes=left)], unchanged=[there])
        else:
            held = [blocks.held_key(there.network, ip_network(a)) for a in there.addresses]
            expected = {_key(ident): common.shared.revision(there)}
            done = common.etcd.transact({}, [_key(ident), *held], expected) is not None
        if not done or not left:
            common.shared.refresh()


def reap(common: Commons) -> None:
    """No node that is down or not there is in a service, and none is of a network that is not there."""
    nodes = common.nodes()
    for one in common.shared.all(Service):
        lost = {node for node in one.nodes if node not in nodes or common.state(node) == "down"}
        if common.shared.get(Network, one.network) is None:
            lost = set(one.nodes)
        if lost or not one.nodes:
            drop(common, one.id, lost)


def holder(ident: str) -> str:
    """Who has a service's addresses, where a node's id is for those of endpoints."""
    return f"service {ident}"


def _held_by(ident: str) -> str:
    return json.dumps({"node": holder(ident)})


def _key(ident: str) -> str:
    return f"{keys.SHARED}service/{ident}"
