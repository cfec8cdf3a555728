"""The use cases: create, remove, open, connect, disconnect, and making everything true again.

Each has one order: decide, remember, then touch.  What was remembered and could not be made true is forgotten
again, so that after any of these calls either all of it holds or nothing changed.  A crash in between is put
right by `start`, because the store knows what should be there and the kernel knows what is.
"""

import secrets
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Self

from bascule.engine.addressing import Addressing, NoAddress
from bascule.engine.balance import Balance, NoBalance
from bascule.engine.change import Beside, Change, Changes, take_away
from bascule.engine.cluster import Cluster, NoCluster
from bascule.engine.decide import Decisions, dns_names
from bascule.engine.duplicates import Duplicates
from bascule.engine.events import Events
from bascule.engine.gateways import WayOut
from bascule.engine.intent import Intent, stands
from bascule.engine.leases import Leases, NoLeases, Unasked
from bascule.engine.leasing import Leasing, leased
from bascule.engine.names import Names, NoNames
from bascule.engine.parents import Parents
from bascule.engine.ports import Ports
from bascule.engine.proxy import NoProxy, Proxy
from bascule.engine.pruning import prune
from bascule.engine.refusals import check_endpoint, check_removable
from bascule.engine.services import Services
from bascule.engine.shared import Places, Shared
from bascule.engine.start import make_true, put_back
from bascule.engine.telling import Telling
from bascule.kernel.apply import bring_up
from bascule.kernel.protocol import Kernel
from bascule.kernel.rehearsal import Rehearsal
from bascule.model.addresses import IPAddress
from bascule.model.endpoint import Endpoint, EndpointSpec
from bascule.model.errors import BasculeError, Failed, Forbidden
from bascule.model.events import Event
from bascule.model.network import Network, NetworkSpec
from bascule.model.sandbox import Sandbox, SandboxSpec
from bascule.model.settings import Settings
from bascule.model.thing import Namespace, Thing
from bascule.model.typed import unmade
from bascule.store.memory import MemoryStore
from bascule.store.protocol import Store

# How often addresses of a network of several hosts are asked for while others on this host take them away.
TRIES = 8


class Engine:
    """Networks, sandboxes and endpoints, on one kernel and one store.  Safe to call from several threads."""

    def __init__(
        self,
        kernel: Kernel,
        store: Store,
        settings: Settings | None = None,
        *,
        names: Names | None = None,
        proxy: Proxy | None = None,
        leases: Leases | None = None,
        cluster: Cluster | None = None,
        balance: Balance | None = None,
        upstream: Callable[[], Sequence[IPAddress]] | None = None,
        now: Callable[[], int] = time.time_ns,
        new_id: Callable[[], str] = lambda: secrets.token_hex(32),
        chance: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """*upstream* tells the host's nameservers each time it is asked; *names* serves what containers ask,
        *proxy* what the kernel cannot translate, *leases* DHCP, *cluster* other hosts, *balance* services."""
        self.kernel, self.store, self._now = kernel, store, now
        self.settings = settings or Settings()
        self.names: Names = names or NoNames()
        self.proxy: Proxy = proxy or NoProxy()
        self.leases: Leases = leases or NoLeases()
        self.events = Events()
        self._lock = threading.RLock()
        self._upstream = upstream or (lambda: self.settings.nameservers)
        self._intent = Intent(store)
        self._decide = Decisions(self._intent, kernel, self.settings, now, new_id, chance, Addressing(self._intent))
        self.cluster: Cluster = cluster or NoCluster()
        self.services = Services(self._intent, self.names, balance or NoBalance())
        told = (self.names, self.proxy, self.events, self.cluster, self.services, self._upstream, now)
        self._telling = telling = Telling(self._intent, *told)
        self._way_out = WayOut(self._intent, self._decide)
        ports = Ports(self.settings.ports, kernel.port_holder)
        self._changes = Changes(self._intent, kernel, ports, self.settings, telling)
        self._leasing = Leasing(self.leases, self._intent, self._changes, kernel, self._lock)
        self.duplicates = Duplicates(self._intent, kernel, self._decide, self._lock, telling.duplicate)
        self.parents = Parents(self._decide, self._lock, self.duplicates.again)
        does = Places(self.open, self.connect, self.disconnect, self.close_sandbox)
        self.shared = Shared(self._intent, kernel, self.names, self._lock, does, telling.happened, self.services)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """The default networks exist, everything in the store is true, and what is ours beyond it is gone."""
        with self._lock:
            make_true(self._intent, self.kernel, self._decide, self.settings)
            self.parents.begin()
            self.duplicates.begin()
            self._telling.everything()
            self._leasing.begin()
        self.cluster.begin(self.shared)

    def reload(self, settings: Settings) -> None:
        """New networks follow *settings* from now on; those that are there stay as they are."""
        with self._lock:
            self.settings = settings
            self._decide.follow(settings)

    def repair(self) -> list[Thing]:
        """What somebody took away from our networks and endpoints holds again; those things."""
        with self._lock:
            # Bridges first: one may be a parent.
            found = put_back(self._intent, self.kernel)
            self.parents.look(())
            return found

    def rehearse(self, work: Callable[["Engine"], object]) -> list[str]:
        """The commands that *work* would be, done with the engine that it is given; changes nothing.  Ids in them
        are ones that will not be used.  Raises what *work* would."""
        with self._lock:
            ends, store = self.endpoints(), MemoryStore()
            store.commit(put=[*self.networks(), *self.sandboxes(), *ends])
            ours = {(port.proto, port.host_port) for ep in ends for port in ep.ports}
            kernel = Rehearsal(self.kernel, self.settings.table, ours)
            asked = Unasked(kernel.lines.append)
            work(Engine(kernel, store, self.settings, leases=asked, upstream=self._upstream, now=self._now))
            return kernel.lines

    def close(self) -> None:
        """Finish what is pending.  Networks and endpoints stay."""
        self.cluster.close()
        self.duplicates.close()
        self.kernel.close()
        self.store.close()

    # ---- networks

    def networks(self) -> list[Network]:
        """Every network, oldest first."""
        return self._intent.networks()

    def network(self, ref: str) -> Network:
        """The network with this id, name, or unambiguous id prefix.  Raises NotFound, Invalid."""
        return self._intent.network(ref)

    def plan(self, spec: NetworkSpec) -> list[Thing]:
        """What `create` would make true.  Changes nothing; the id in it is one that will not be used."""
        with self._lock:
            return self.kernel.as_made(self._intent.network_things(self._decide.network(spec)))

    def create(self, spec: NetworkSpec) -> Network:
        """The network exists: it is in the store and in the kernel; one of several hosts is known to the cluster.
        Raises what Docker would say."""
        with self.duplicates.ahead() as ahead:
            while True:
                with self._lock:
                    net = self._decide.network(spec, held=ahead.held)
                    unasked = ahead.unasked(net)
                    if not unasked and net.scope != "global":
                        return ahead.made(self._make(net))
                if unasked:
                    ahead.ask(net, unasked)
                elif shared := self.cluster.propose(net):
                    return self.shared.adopt(shared)

    def _make(self, net: Network) -> Network:
        self.store.commit(put=[net])
        try:
            self._telling.network(net)
            bring_up(self.kernel, self._intent.network_things(net))
        except BasculeError:
            self.store.commit(delete=[net])
            self._telling.network(net, gone=True)
            raise
        self._telling.happened(net, "create")
        if stands(net):
            self.parents.look((net.link,))
            self.duplicates.ask(net)
        return net

    def status(self, net: Network) -> dict[str, str]:
        """What is not as it should be about the network; empty when all is well."""
        leases, ways = self._leasing.status(net), self.shared.status(net)
        return {**self.parents.status(net), **self.duplicates.status(net), **leases, **ways}

    def plan_remove(self, ref: str) -> list[str]:
        """The commands that would unmake the network, as `remove` would; changes nothing."""
        return unmade(self._intent.made_things(self._removable(ref)), self.settings.table)

    def remove(self, ref: str) -> Network:
        """The network is gone.  Raises NotFound, or Forbidden for one that is predefined or in use."""
        net = self._removable(ref)
        if net.tunnel:
            self.cluster.withdraw(net)
            self.shared.drop(net.id)
            return net
        with self._lock:
            net = self._removable(net.id)
            self.store.commit(delete=[net])
            self._telling.network(net, gone=True)
            take_away(self.kernel, self._intent.made_things(net))
            if not net.config_only:  # Docker says nothing of the end of those.
                self._telling.happened(net, "destroy")
            return net

    def _removable(self, ref: str) -> Network:
        net = self._intent.network(ref)
        check_removable(net, self._intent)
        return net

    def plan_prune(self, wanted: Callable[[Network], bool]) -> list[str]:
        """The commands that `prune` would be; changes nothing."""
        with self._lock:
            return [line for net in self._intent.idle(wanted) for line in self.plan_remove(net.id)]

    def prune(self, wanted: Callable[[Network], bool]) -> list[Network]:
        """Remove every unused network of the user's that *wanted* accepts; config-only ones are kept."""
        removed = prune(self._intent.idle(wanted), self.remove)
        self.events.tell(Event("network", "prune", "", self._now(), {"reclaimed": "0"}))
        return removed

    # ---- sandboxes

    def open(self, ask: SandboxSpec) -> Sandbox:
        """A sandbox exists: a namespace with its loopback up, and nothing else in it."""
        with self._lock:
            sandbox = self._decide.sandbox(ask)
            self.store.commit(put=[sandbox])
            if not sandbox.foreign:
                try:
                    bring_up(self.kernel, [Namespace(sandbox.key)])
                except BasculeError:
                    self.store.commit(delete=[sandbox])
                    raise
            return sandbox

    def sandboxes(self) -> list[Sandbox]:
        """Every sandbox, oldest first."""
        return self.store.all(Sandbox)

    def sandbox(self, ident: str) -> Sandbox:
        """The sandbox with exactly this id.  Raises NotFound."""
        return self._intent.sandbox(ident)

    def close_sandbox(self, ident: str) -> None:
        """The sandbox, its endpoints and (unless it is somebody else's) its namespace are gone.  Not an error if
        they already are."""
        with self._lock:
            sandbox = self.store.get(Sandbox, ident)
            if sandbox is None:
                return
            ends = self.endpoints(sandbox=ident)
            self._leasing.give_back(ends)
            self.names.leave(ident)
            self.proxy.carry(ident, ())
            things = self._changes.ground(Change(tuple(ends), ()))
            things += [thing for ep in ends for thing in self._intent.endpoint_things(ep)]
            self.store.commit(delete=[*ends, sandbox])
            take_away(self.kernel, [*([] if sandbox.foreign else [Namespace(sandbox.key)]), *things])
            self.kernel.forget_flows([a.ip for ep in ends for a in ep.addresses])
            for ep in ends:
                self._telling.parted(ep)
                self._telling.disconnected(ep, sandbox)
            self._telling.flush()

    def rename(self, ident: str, name: str) -> None:
        """The sandbox is called *name*, and answers to it on its networks."""
        with self._lock:
            sandbox = replace(self.sandbox(ident), name=name)
            renamed = []
            for ep in self.endpoints(sandbox=ident):
                names = dns_names(self._intent.by_id(ep.network), sandbox, ep.spec)
                renamed.append(replace(ep, name=name, dns_names=names))
            self.store.commit(put=[sandbox, *renamed])
            for ep in renamed:
                self._telling.joined(ep)
            self._telling.flush()

    # ---- endpoints

    def endpoints(self, *, network: str = "", sandbox: str = "") -> list[Endpoint]:
        """The endpoints of a network, of a sandbox, or all, oldest first.  By full ids."""
        return self._intent.endpoints(network=network, sandbox=sandbox)

    def check_endpoint(self, net: Network, spec: EndpointSpec) -> None:
        """Raise for what can be said no to without a running container; changes nothing."""
        check_endpoint(net, spec)

    def connect(
        self, ref: str, sandbox: str, spec: EndpointSpec | None = None, *, beside: Beside | None = None
    ) -> Endpoint:
        """Put a sandbox on a network.  Either it is on it afterwards, and *beside* is in the store, or nothing
        changed."""
        asked = spec or EndpointSpec()
        for _ in range(TRIES):
            net = self._intent.network(ref)
            if net.tunnel:
                self._provide(net, asked)
            try:
                return self._connect(net, sandbox, asked, beside)
            except NoAddress as refusal:
                full = refusal
                if not net.tunnel:
                    break
        raise full

    def _provide(self, net: Network, spec: EndpointSpec) -> None:
        """On a network of several hosts this one has addresses to give, if there are any; that may take a while."""
        check_endpoint(net, spec)
        self.cluster.provide(net, spec)
        with self._lock:
            if not net.internal and self._way_out.network() is None:
                self._make(self._decide.network(self._way_out.spec()))

    def _connect(self, net: Network, sandbox: str, asked: EndpointSpec, beside: Beside | None) -> Endpoint:
        vetted = self.duplicates.vetted(net, lambda: self._joining(net.id, sandbox, asked)[1])
        with vetted as free, self._lock:
            change, ep, box = self._joining(net.id, sandbox, asked, free)
            self._changes.make(replace(change, beside=beside), box)
            joined = change.now(ep.id)
            self._telling.happened(net, "connect", container=box.container)
            self.duplicates.ask(net)
        return self._with_lease(net, joined, box, beside) if leased(net) else joined

    def _with_lease(self, net: Network, ep: Endpoint, box: Sandbox, beside: Beside | None) -> Endpoint:
        """*ep* with the addresses that servers gave it.  Waits, and therefore holds no lock."""
        try:
            self._leasing.obtain(net, ep, box)
        except BasculeError as refusal:
            self.disconnect(net.id, box.id, beside=beside and beside.undone())
            raise Failed(f"network {net.name}: {refusal}") from refusal
        found = self.store.get(Endpoint, ep.id)
        if found is None:
            raise Failed(f"container {box.name} was taken off network {net.name} while it waited for an address")
        return found

    def plan_connect(self, ref: str, sandbox: str, spec: EndpointSpec | None = None) -> list[str]:
        """The commands that `connect` would be; changes nothing."""
        with self._lock:
            change, ep, _ = self._joining(ref, sandbox, spec or EndpointSpec())
            return self._changes.plan(change) + self._leasing.plan(change.now(ep.id))

    def _joining(
        self, ref: str, ident: str, spec: EndpointSpec, at: Collection[IPAddress] = ()
    ) -> tuple[Change, Endpoint, Sandbox]:
        net, sandbox = self._intent.network(ref), self.sandbox(ident)
        before = self.endpoints(sandbox=ident)
        if not net.config_only and any(ep.network == net.id for ep in before):
            raise Forbidden(f"endpoint with name {sandbox.name} already exists in network {net.name}")
        check_endpoint(net, spec)
        ep = self._decide.endpoint(net, sandbox, spec, at)
        after = self._way_out.settled(sandbox, [*before, ep])
        return self._changes.between(sandbox, before, after), ep, sandbox

    def disconnect(self, ref: str, sandbox: str, *, beside: Beside | None = None) -> Endpoint:
        """Take a sandbox off a network.  What it had there is unreachable when this returns, and *beside* is in the
        store."""
        with self._lock:
            change, ep, box = self._leaving(ref, sandbox)
            self._leasing.give_back([ep])
            self._changes.make(replace(change, beside=beside), box)
            self.kernel.forget_flows([a.ip for a in ep.addresses])
            self._telling.disconnected(ep, box)
            return ep

    def plan_disconnect(self, ref: str, sandbox: str) -> list[str]:
        """The commands that `disconnect` would be; changes nothing."""
        with self._lock:
            return self._changes.plan(self._leaving(ref, sandbox)[0])

    def _leaving(self, ref: str, ident: str) -> tuple[Change, Endpoint, Sandbox]:
        net, sandbox = self._intent.network(ref), self.sandbox(ident)
        before = self.endpoints(sandbox=ident)
        ep = next((ep for ep in before if ep.network == net.id), None)
        if ep is None:
            raise Failed(f"container {sandbox.container} is not connected to network {net.name}")
        after = self._way_out.settled(sandbox, [e for e in before if e.id != ep.id])
        return self._changes.between(sandbox, before, after), ep, sandbox
