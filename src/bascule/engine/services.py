"""What the engine holds of services: who is in them, what their names are, and where connections to them go.

Service records are rows in the host's own store, as everything of the cluster; who is in a service follows from the
endpoints, here and elsewhere. So each asker's namespace is what the store says at this moment, and is written when
that differs from what it was told last.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from threading import Lock, RLock

from bascule.drivers import service as options
from bascule.engine.balance import Balance, Only
from bascule.engine.intent import Intent, service_member
from bascule.engine.names import Names, Zone
from bascule.model.addresses import IPAddress
from bascule.model.errors import BasculeError
from bascule.model.network import Network
from bascule.model.sandbox import Sandbox
from bascule.model.service import ENTRY, Service, Wanted, service_id

log = logging.getLogger("bascule.cluster")
Backs = dict[IPAddress, list[IPAddress]]


@dataclass(slots=True)
class Services:
    """Any thread may call it, and it waits for no store; who holds the engine's lock may."""

    intent: Intent
    names: Names
    balance: Balance
    _lock: Lock = field(default_factory=Lock)
    """Held while a namespace's part is read from the store and written.  Nobody takes another lock under it."""
    _settling: RLock = field(default_factory=RLock)
    """Held while services and their names are compared.  Nobody who holds it takes the engine's lock."""
    _changed: set[str] = field(default_factory=set)
    _named: set[str] = field(default_factory=set)
    _troubled: dict[str, str] = field(default_factory=dict)

    # ---- reading

    def all(self) -> list[Service]:
        return self.intent.store.all(Service)

    def of(self, network: str) -> list[Service]:
        return self.intent.store.where(Service, "network", network)

    def get(self, network: str, name: str) -> Service | None:
        return self.intent.store.get(Service, service_id(network, name))

    def here(self, network: str = "") -> dict[str, Wanted]:
        """The services that endpoints on this host belong to, on one network or any, by id, as the oldest of them
        wants it."""
        found: dict[str, Wanted] = {}
        for ep in self.intent.endpoints(network=network):
            net = self.intent.store.get(Network, ep.network)
            wanted = options.wanted(ep.spec.options) if net is not None and net.tunnel else None
            if wanted is not None:
                found.setdefault(service_id(ep.network, wanted.name), wanted)
        return found

    def entries(self) -> dict[str, Sandbox]:
        """The entries on this host by their owners."""
        return {box.container: box for box in self.intent.store.all(Sandbox) if box.container.startswith(ENTRY)}

    def members(self, service: Service) -> list[IPAddress]:
        """The addresses of the endpoints that are there, on all hosts."""
        found = [
            address.ip
            for ep in self.intent.endpoints(network=service.network)
            if options.name(ep.spec.options) == service.name
            for address in ep.addresses
        ]
        for one in self.intent.remotes(service.network):
            if one.service == service.name:
                found += one.addresses
        return found

    # ---- changing

    def learn(self, services: Sequence[Service]) -> None:
        """The cluster's services are exactly these."""
        with self._settling:
            there = {one.id: one for one in self.all()}
            put = [one for one in services if there.get(one.id) != one]
            ids = {one.id for one in services}
            gone = [one for ident, one in there.items() if ident not in ids]
            if put or gone:
                self.intent.store.commit(put, gone)
                self._unname(gone)
                self.touch(*(one.network for one in (*put, *gone)))

    def _unname(self, services: Sequence[Service]) -> None:
        named = [one for one in services if one.id in self._named]
        for one in named:
            self.names.part(one.network, f"service {one.id}")
            self._named.discard(one.id)
        if named:
            self.names.flush()

    def _name(self, services: Sequence[Service]) -> None:
        """Who asks for them by name finds them; not before there is somebody to be found."""
        fresh = [one for one in services if one.addresses and one.id not in self._named and self.members(one)]
        for one in fresh:
            net = self.intent.store.get(Network, one.network)
            if net is not None:
                self.names.join(Zone(net.id, net.name), service_member(one))
                self._named.add(one.id)
        if fresh:
            self.names.flush()

    def touch(self, *networks: str) -> None:
        """Endpoints of *networks* are others than before: the next `settle` looks at them."""
        with self._lock:
            self._changed.update(networks)

    def settle(self, *, everything: bool = False) -> None:
        """Every asker on networks that were touched divides what it asks among those that are there now.
        *everything*: on all networks, and whatever somebody did to it."""
        with self._settling:
            self._settle(everything=everything)

    def _settle(self, *, everything: bool) -> None:
        with self._lock:
            changed, self._changed = self._changed, set()
        services = [one for one in self.all() if everything or one.network in changed]
        self._unname([one for one in services if not self.members(one)])
        for box in self._askers(None if everything else changed):
            self.place(box, anew=everything)
        self._name(services)

    def place(self, box: Sandbox, *, anew: bool = False) -> None:
        """The same for one sandbox.  What is refused is told once, and tried again by `settle`."""
        with self._lock:
            shares, only = self._shares(box), self._only(box)
            try:
                if anew and self.balance.faults(box.key, shares, only):
                    self.balance.renew(box.key, shares, only)
                else:
                    self.balance.share(box.key, shares, only)
                self._troubled.pop(box.id, None)
            except BasculeError as refusal:
                if self._troubled.get(box.id) != str(refusal):
                    log.warning("%s: services cannot be divided: %s", box.name, refusal)
                self._troubled[box.id] = str(refusal)

    def left(self, key: str) -> None:
        """The namespace at *key* is not ours any more."""
        self.balance.forget(key)

    def faults(self) -> list[str]:
        """What of it is not so in the kernel, in words; changes nothing."""
        found = []
        for box in self._askers(None):
            with self._lock:
                try:
                    faults = self.balance.faults(box.key, self._shares(box), self._only(box))
                except BasculeError as refusal:
                    faults = [str(refusal)]
            found += [f"services: {box.name}: {fault}" for fault in faults]
        return found

    # ---- who is asked

    def _askers(self, networks: set[str] | None) -> Iterator[Sandbox]:
        """The sandboxes on *networks*, None: on any of the cluster's."""
        if networks is None:
            networks = {net.id for net in self.intent.networks() if net.tunnel}
        ids = {ep.sandbox for ident in networks for ep in self.intent.endpoints(network=ident)}
        for ident in ids:
            box = self.intent.store.get(Sandbox, ident)
            if box is not None:
                yield box

    def _shares(self, box: Sandbox) -> Backs:
        if box.container.startswith(ENTRY):
            return self._entry(box)
        found: Backs = {}
        for ep in self.intent.endpoints(sandbox=box.id):
            for service in self.of(ep.network):
                if service.addresses:
                    found |= _divided(service.addresses, self.members(service))
        return found

    def _entered(self, box: Sandbox) -> Service | None:
        """The service that *box* is an entry of."""
        entry = box.container.startswith(ENTRY)
        return self.intent.store.get(Service, box.container.removeprefix(ENTRY)) if entry else None

    def _only(self, box: Sandbox) -> Only:
        service = self._entered(box)
        return [(port.proto, port.port) for port in service.ports] if service else ()

    def _entry(self, box: Sandbox) -> Backs:
        """What comes for the entry's address on the bridge network is for the service."""
        service = self._entered(box)
        if service is None:
            return {}
        ways = [ep for ep in self.intent.endpoints(sandbox=box.id) if ep.network != service.network]
        return _divided([a.ip for ep in ways for a in ep.addresses], self.members(service))


def _divided(fronts: Sequence[IPAddress], members: Sequence[IPAddress]) -> Backs:
    return {front: [one for one in members if one.version == front.version] for front in fronts}
