"""A member of a cluster at work: one thread that makes this host agree with the store and the store with this host.

Everything it does compares what is with what should be, so a turn that was missed, done twice, or broken off by a
store that went away is made good by the next.  Whoever changes something calls `wake`; what nobody tells of is
looked at every few seconds.  While the store is away the host goes on with what it knows.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Event, Lock, RLock, Thread
from typing import TypeVar

from bascule.cluster import blocks, keys, networks, reaping, rebuilding, sealing, told
from bascule.cluster.commons import Commons, Timing, access
from bascule.cluster.fitting import Fitting, Paths, measured
from bascule.cluster.following import Following
from bascule.cluster.leaving import still_one
from bascule.cluster.moving import moved
from bascule.cluster.services import Services
from bascule.engine.cluster import Rebuilt
from bascule.engine.shared import Shared
from bascule.model.addresses import IPAddress
from bascule.model.cluster import Membership, Node, StoreAccess
from bascule.model.endpoint import EndpointSpec
from bascule.model.errors import BasculeError, Unavailable
from bascule.model.network import Network
from bascule.store.etcdclient import Etcd, Replaced

T = TypeVar("T")

log = logging.getLogger("bascule.cluster")
# Seconds for which a network stays followed while a first endpoint is on its way to it.
_PINNED = 30.0


class Member:
    """From its making until `close`.  Any thread may call it."""

    def __init__(self, shared: Shared, me: Membership, timing: Timing) -> None:
        self.me = sealing.keyed(me)
        self.shared = shared
        self.timing = timing
        self.trouble = "it has not been asked yet"
        """What the store said last, "" where all is well."""
        self._wake = Event()
        self._closing = Event()
        self._turning = RLock()
        """Held for a turn, and by whoever needs the host not to change its mind meanwhile."""
        self._lock = Lock()
        self._changed: set[str] = set()
        self._all_changed = True
        self._pinned: dict[str, float] = {}
        self._following: dict[str, Following] = {}
        self._common: Commons | None = None
        self._out: set[str] = set()
        self._ring = sealing.Turning()
        self._fitting = Fitting()
        self._paths = Paths(shared, timing.repair, self._rethink)
        self.services = Services(shared)
        self._repaired = self._looked = time.monotonic()
        self._etcd = Etcd(access(me.store, later=True))
        self._etcd.guard(keys.IDENTITY, me.cluster)
        self._thread = Thread(target=self._run, name="cluster", daemon=True)
        self._thread.start()

    def close(self, *, revoke: bool = False) -> None:
        """No more turns.  *revoke*: others know at once that this node does not live."""
        self._closing.set()
        self._paths.close()
        self._wake.set()
        self._thread.join()
        for one in self._following.values():
            one.close()
        if self._common is not None:
            self._common.close(revoke=revoke)
        self._etcd.close()

    def wake(self, network: str = "") -> None:
        """Something changed; *network*: which endpoints of it are here."""
        if network:
            with self._lock:
                self._changed.add(network)
                self._pinned.pop(network, None)
            self.services.changed(network)
        self._wake.set()

    def common(self) -> Commons:
        """Raises Unavailable while the store has not been reached since the daemon's start."""
        with self._turning:
            return self._connect()

    def reached(self) -> Commons:
        """The same without asking.  Raises Unavailable."""
        if self._common is None:
            raise Unavailable(f"cluster store: {self.trouble}")
        return self._common

    def reach(self, store: StoreAccess) -> None:
        """The store is asked as *store* says from now on."""
        with self._turning:
            self._etcd.reach(access(store))
            self.me = replace(self.me, store=store)
            self.shared.enrol(self.me, self.shared.nodes())

    def following(self) -> Sequence[Following]:
        return list(self._following.values())

    # ---- use cases

    def propose(self, net: Network) -> Network | None:
        common = self.common()
        made = networks.propose(common, net)
        self.take_over(common)
        return made

    def withdraw(self, net: Network) -> None:
        blocks.patiently(lambda: networks.withdraw(self.common(), net), self._closing.wait)

    def provide(self, net: Network, spec: EndpointSpec) -> None:
        # A store that is away keeps nobody from using what this host has already.
        if net.id in self._following and networks.enough(self.shared, net, spec):
            return
        with self._lock:
            self._pinned[net.id] = time.monotonic() + _PINNED
        try:
            blocks.patiently(lambda: self._provide(net, spec), self._closing.wait)
        except Unavailable:
            if not networks.enough(self.shared, net, spec):
                raise

    def _provide(self, net: Network, spec: EndpointSpec) -> None:
        with self._turning:
            common = self._connect()
            sealing.provide(common, self.shared, self.shared.network(net.id) or net)
            self._follow(common, net.id)
            networks.provide(common, self.shared, self.shared.network(net.id) or net, spec)

    # ---- turns

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.clear()
            try:
                with self._turning:
                    self._turn()
                self.trouble = ""
            except BasculeError as refusal:
                if str(refusal) != self.trouble:
                    log.warning("%s", refusal)
                self.trouble = str(refusal)
            except Exception:
                log.exception("a turn of the cluster's work")
                self._closing.wait(self.timing.tick)
            self._wake.wait(self.timing.tick)

    def _turn(self) -> None:
        self._look_after(time.monotonic())
        self.shared.services.settle()
        common = self._connect()
        self._probe(common)
        mine = common.shared.get(Node, self.me.id)
        if mine is None:
            self._start_anew()
        elif mine.mtu != self.me.mtu:
            sealing.introduce(common, self.shared, self.me)
        self.take_over(common)
        common.look()
        reaping.declare(common)
        self._heed(common)
        for one in list(self._following.values()):
            if one.hear():
                self._again(one.network)
        self._speak(common)
        self.services.turn(common)
        self._ring.turn(common, self.shared, self.timing.turn)

    def _probe(self, common: Commons) -> None:
        """Where the store has not heard of us for a while, or was set back, see whether it is the one we knew.
        Raises Replaced while it is not, and puts in what is ours where it is being rebuilt."""
        stores = (common.shared, common.alive, *(one.records for one in self._following.values()))
        set_back = any(store.set_back for store in stores)
        if common.lease.healthy() and not set_back:
            return
        try:
            self._etcd.list(keys.IDENTITY)
        except Replaced:
            if not self.bare(self._rebuilt):
                raise
            set_back = True
        if set_back:
            self._start_anew()

    def _rebuilt(self, etcd: Etcd) -> bool:
        """Whether the store is this cluster's again, made anew; while it is being made, our own is put in."""
        found = rebuilding.identity(etcd)
        if found is None:
            rebuilding.contribute(etcd, self.me, self.shared)
            return False
        if not rebuilding.same(found, self.me.cluster):
            return False
        self.me = replace(self.me, cluster=found)
        self.shared.enrol(self.me, self.shared.nodes())
        self._etcd.guard(keys.IDENTITY, found)
        return True

    def _start_anew(self) -> None:
        """Its revisions begin anew: so do we."""
        for network in list(self._following):
            self._unfollow(network)
        if self._common is not None:
            self._common.close()
            self._common = None
        self._all_changed = True
        self._wake.set()
        raise Unavailable("cluster store: it was lost and is there again")

    def bare(self, work: Callable[[Etcd], T], store: StoreAccess | None = None) -> T:
        """*work*, with a client that does not look for the cluster's identity."""
        etcd = Etcd(access(store or self.me.store))
        try:
            return work(etcd)
        finally:
            etcd.close()

    def move(self, address: IPAddress) -> None:
        """This node's tunnels end at *address*, and others know.  Raises Failed where no link of the host has it,
        Conflict where another node does, Unavailable."""
        with self._turning:
            self.me = moved(self._connect(), self.shared, address)
            for network in self._following:
                self._again(network)
        self._wake.set()

    def rebuild(self, store: StoreAccess) -> Rebuilt:
        """See `rebuilding`; *store* is how all of it is written.  Others notice within a lease's time that it is
        not what it was."""
        patience = self.timing.lease * 2 + 10.0
        wait = lambda: self._closing.wait(0.2)  # noqa: E731
        return self.bare(lambda etcd: rebuilding.rebuild(etcd, self.me, self.shared, wait, patience), store)

    def _look_after(self, now: float) -> None:
        """What somebody else did to our networks is put right; links are looked at more often than all else."""
        due = now - self._repaired >= self.timing.repair
        if not due and now - self._looked < self.timing.tick:
            return
        self._looked = now
        if due or self.shared.broken():
            self._repaired = now
            self._repair()

    def _connect(self) -> Commons:
        if self._common is None:
            try:
                self._common = self._reached()
            except Replaced:
                # It may have been rebuilt while this daemon was not there.
                if not self.bare(self._rebuilt):
                    raise
                self._common = self._reached()
            networks.settle_blocks(self._common, self.shared)
            self._measure()
            sealing.introduce(self._common, self.shared, self.me)
        return self._common

    def _reached(self) -> Commons:
        still_one(self._etcd, self.me.id)
        answers = lambda node: self.shared.kernel.answers(node.address, self.me.port)  # noqa: E731
        return Commons(self._etcd, self.me, self.timing, self._wake.set, answers)

    def _measure(self) -> None:
        self.me = measured(self.shared, self.me)
        if self._common is not None:
            self._common.me = self.me

    def _repair(self) -> None:
        self._measure()
        for line in self.shared.repair():
            log.warning("%s", line)
        self.shared.services.settle(everything=True)
        for one in self._following.values():
            one.all_again()
        self._all_changed = True
        self._rethink()

    def _again(self, network: str) -> None:
        with self._lock:
            self._changed.add(network)

    # ---- networks and nodes

    def take_over(self, common: Commons) -> None:
        """This host has the cluster's networks and knows its nodes.  Costs nothing where no news has come."""
        with self._turning:
            if common.news.is_set():
                common.news.clear()
                try:
                    self._take_over(common)
                except BaseException:
                    common.news.set()
                    raise

    def _rethink(self) -> None:
        """The next turn takes over once more."""
        if self._common:
            self._common.news.set()
        self._wake.set()

    def _take_over(self, common: Commons) -> None:
        nodes = common.shared.all(Node)
        if {n.id: n for n in nodes} != {n.id: n for n in self.shared.nodes()} and nodes:
            self.shared.enrol(self.me, nodes)
            for one in self._following.values():
                one.all_again()
        there = {net.id: net for net in common.shared.all(Network)}
        self._fitting.look(nodes, there, self.shared.paths)
        known = {net.id for net in self.shared.networks()}
        for ident, net in there.items():
            if ident not in known:
                self.shared.adopt(net)
        for ident in known - there.keys():
            self._unfollow(ident)
            self.shared.drop(ident)
            # It may have been removed while others took us for dead.
            told.take_out(common.etcd, self.me.id, ident)
            blocks.give_back(common.etcd, blocks.of(common.etcd, self.me.id, ident))

    def _heed(self, common: Commons) -> None:
        """What nodes that are down have counts for nothing, and what those have that came back counts again."""
        if (out := common.out()) != self._out:
            self._out = out
            for one in self._following.values():
                one.all_again()

    # ---- endpoints

    def _follow(self, common: Commons, network: str) -> None:
        with self._turning:
            if network not in self._following:
                self._following[network] = Following(common, self.shared, network, self._wake.set)
                self._following[network].hear()
                self._again(network)

    def _unfollow(self, network: str) -> None:
        if one := self._following.pop(network, None):
            one.close()

    def _speak(self, common: Commons) -> None:
        if self._all_changed:
            self._all_changed = False
            for net in self.shared.networks():
                if net.id in self._following or self.shared.endpoints(net.id) or (net.tunnel and net.tunnel.blocks):
                    self._again(net.id)
        with self._lock:
            changed, self._changed = self._changed, set()
            pinned = {net for net, until in self._pinned.items() if until > time.monotonic()}
        while changed:
            network = changed.pop()
            try:
                self._speak_of(common, network, pinned=network in pinned)
            except BaseException:
                with self._lock:
                    self._changed |= {network, *changed}
                raise

    def _speak_of(self, common: Commons, network: str, *, pinned: bool) -> None:
        here = bool(self.shared.endpoints(network))
        if here:
            self._follow(common, network)
        one = self._following.get(network)
        if one is not None:
            one.speak()
        if here:
            self._let_go(common, network, pinned=pinned)
        elif pinned:
            self._again(network)
        else:
            self._part(common, network)

    def _let_go(self, common: Commons, network: str, *, pinned: bool) -> None:
        """Addresses that were asked for, and are on no endpoint any more, are anybody's."""
        net = self.shared.network(network)
        single = [b for b in net.tunnel.blocks if b.num_addresses == 1] if net and net.tunnel else []
        used = {a.ip for ep in self.shared.endpoints(network) for a in ep.addresses} if single else set()
        idle = [block for block in single if block.network_address not in used]
        if idle and pinned:
            # One of them may be for an endpoint that is not there yet.
            self._again(network)
        elif idle and self.shared.give_back(network, idle):
            mine = blocks.of(common.etcd, self.me.id, network)
            blocks.give_back(common.etcd, [b for b in mine if b.range in idle])

    def _part(self, common: Commons, network: str) -> None:
        """Nothing of the network is on this host any more: others may have its addresses."""
        if self.shared.network(network) is not None and self.shared.give_back(network):
            told.take_out(common.etcd, self.me.id, network)
            blocks.give_back(common.etcd, blocks.of(common.etcd, self.me.id, network))
            self._unfollow(network)
            self.shared.forget(network)
