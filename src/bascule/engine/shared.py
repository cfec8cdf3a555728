"""What the engine holds of networks that are on several hosts, and how whoever speaks for the cluster changes it.

It is in the host's own store as everything else, so that all of it goes on while the cluster's store is away.
Nothing here waits for other hosts.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import RLock

from bascule.drivers import overlay, sealed
from bascule.engine.decide import hashed_mac
from bascule.engine.intent import Intent, joined, remote_member
from bascule.engine.names import Names, Zone
from bascule.engine.services import Services
from bascule.kernel.protocol import Kernel
from bascule.model.addresses import IPAddress, IPNetwork
from bascule.model.cluster import Membership, Node, Remote, Ring
from bascule.model.endpoint import Endpoint, EndpointSpec
from bascule.model.errors import KernelError
from bascule.model.names import link_name
from bascule.model.network import Network
from bascule.model.sandbox import Sandbox, SandboxSpec
from bascule.model.thing import Bridge, Thing, Vxlan, WireGuard, Xfrm, XfrmPolicy, XfrmState
from bascule.store.protocol import Storable

log = logging.getLogger("bascule.cluster")
STATUS = "bascule.mtu"
# Of more names than these at once the resolver is told as a whole.
_ONE_BY_ONE = 20


@dataclass(frozen=True, slots=True)
class Places:
    """The engine's use cases, for what a cluster needs of them: a sandbox comes, is put on a network, is taken off
    one, and goes."""

    open: Callable[[SandboxSpec], Sandbox]
    connect: Callable[[str, str, EndpointSpec], Endpoint]
    evict: Callable[[str, str], object]
    close: Callable[[str], None]


@dataclass(slots=True)
class Shared:
    """*lock* is the engine's.  *tell* says that a network comes or goes."""

    intent: Intent
    kernel: Kernel
    names: Names
    lock: RLock
    places: Places
    tell: Callable[[Network, str], None]
    services: Services
    paths: dict[str, int] = field(default_factory=dict)
    """The MTU of the way to a node, by its id, where it is less than those of the links at both ends."""
    astray: str = ""
    """Why this host's tunnels end nowhere, as it was last looked at."""
    _holders: dict[tuple[str, IPAddress], str] = field(default_factory=dict)
    """Who has an address elsewhere: an index of the store's Remotes, filled when first one is needed."""
    _indexed: bool = False

    # ---- reading

    def membership(self) -> Membership | None:
        return self.intent.membership()

    def nodes(self) -> list[Node]:
        return self.intent.store.all(Node)

    def networks(self) -> list[Network]:
        """Those of the cluster."""
        return [net for net in self.intent.networks() if net.tunnel]

    def network(self, ident: str) -> Network | None:
        return self.intent.store.get(Network, ident)

    def _used(self) -> list[Network]:
        """Those of the cluster that this host has endpoints on: most hosts are on few of many."""
        there = dict.fromkeys(ep.network for ep in self.intent.store.all(Endpoint))
        return [net for ident in there if (net := self.network(ident)) is not None and net.tunnel]

    def endpoints(self, network: str) -> list[Endpoint]:
        """Those on this host."""
        return self.intent.endpoints(network=network)

    def remotes(self, network: str) -> list[Remote]:
        return self.intent.remotes(network)

    def peers(self, net: Network) -> list[Node]:
        """The nodes that have endpoints on the network, as far as this one knows, by name."""
        there = {one.node for one in self.remotes(net.id)} if net.tunnel else set()
        me = self.membership()
        if me is not None and net.tunnel and self.endpoints(net.id):
            there.add(me.id)
        return sorted((node for node in self.nodes() if node.id in there), key=lambda node: node.name)

    def misfit(self, net: Network) -> str:
        """Which hosts packets of the network's MTU do not reach, in words; "" where they fit everywhere."""
        return overlay.misfit(net, self.nodes(), self.paths) if net.tunnel else ""

    def status(self, net: Network) -> dict[str, str]:
        """What is not as it should be about the network; empty when all is well."""
        said = self.misfit(net)
        return {STATUS: said} if said else {}

    # ---- being a member

    def enrol(self, membership: Membership, nodes: Sequence[Node]) -> None:
        """This host is a member, and the cluster's nodes are exactly *nodes*."""
        with self.lock:
            before, known = self._host_things(), {node.id for node in nodes}
            others = [m for m in self.intent.store.all(Membership) if m.id != membership.id]
            gone = [node for node in self.nodes() if node.id not in known]
            self.intent.store.commit([membership, *nodes], [*others, *gone])
            self._become(before, self._host_things())

    def move(self, membership: Membership) -> None:
        """This host's tunnels end at another address, or on a link that carries more than before, or less."""
        with self.lock:
            me = self.membership()
            nets = [net for net in self.networks() if net.tunnel and net.tunnel.local and not net.tunnel.seal]
            links: list[Thing] = [t for net in nets for t in overlay.network(net) if isinstance(t, Vxlan)]
            if me is None or me.address == membership.address:
                links = []
            if me is None or me.mtu != membership.mtu:
                links += [thing for thing in self._host_things() if isinstance(thing, WireGuard | Xfrm)]
            moved = [
                replace(net, tunnel=replace(net.tunnel, local=membership.address)) for net in nets if net.tunnel
            ]
            self.intent.store.commit(put=[membership, *moved])
            for refusal in self.kernel.remove(links):
                log.warning("%s", refusal)
            self.repair()

    def dismiss(self) -> None:
        """This host is no member, and has nothing of the cluster."""
        with self.lock:
            for net in self.networks():
                self.drop(net.id)
            before = self._host_things()
            kept: list[Storable] = [*self.intent.store.all(Membership), *self.intent.store.all(Ring)]
            self.intent.store.commit(delete=[*kept, *self.nodes()])
            self._become(before, [])
            self.services.learn(())
            for box in self.services.entries().values():
                self.places.close(box.id)

    def _host_things(self) -> list[Thing]:
        return self.intent.host_things()

    @contextmanager
    def _host_changes(self) -> Iterator[None]:
        """What is stated of the host is true when what was done inside is: a network that is encrypted is closed to
        what is not as soon as it is known, and open when nobody knows it any more."""
        before = self._host_things()
        yield
        self._become(before, self._host_things())

    def ring(self) -> Ring | None:
        """ESP's secrets, as this host knows them."""
        return next(iter(self.intent.store.all(Ring)), None)

    def turn(self, ring: Ring) -> None:
        """ESP's secrets are *ring*'s.  What is new is there before what is old goes: no packet is lost."""
        with self.lock:
            if self.intent.store.get(Ring, ring.id) == ring:
                return
            with self._host_changes():
                self.intent.store.commit(put=[ring])

    def unsealed(self) -> list[KernelError]:
        """Why what is stated of encrypted networks on this host does not hold, and cannot be made to; [] where it
        does."""
        with self.lock:
            me = self.membership()
            stated = self.intent.sealed_things(me, self.nodes()) if me else []
            missing = self.kernel.missing(stated)
            outcomes = self.kernel.add(missing) if missing else []
            return [outcome for outcome in outcomes if isinstance(outcome, KernelError)]

    # ---- networks

    def adopt(self, net: Network) -> Network:
        """The cluster's network *net* is one of this host's.  Not an error if it was."""
        with self.lock:
            known, me = self.network(net.id), self.membership()
            if known is not None or net.tunnel is None or me is None:
                return known or net
            seal = net.tunnel.seal
            tunnel = replace(
                net.tunnel,
                local=sealed.inside(seal, me.id) if seal else me.address,
                port=me.port,
                mac=hashed_mac(f"{net.id} {me.id} vtep"),
            )
            link = link_name("br-", net.id)
            ours = replace(net, link=link, mac=hashed_mac(f"{net.id} {me.id}"), tunnel=tunnel)
            for other in self.intent.networks():
                if other.name == net.name:
                    log.warning("network %s of the cluster has the name of one of this host's own", net.name)
            with self._host_changes():
                self.intent.store.commit(put=[ours])
            self.names.publish(Zone(net.id, net.name))
            self.tell(ours, "create")
            return ours

    def drop(self, ident: str) -> None:
        """The network is gone; whatever was on it here is not any more.  Not an error if it is not known."""
        with self.lock:
            net = self.network(ident)
            if net is None:
                return
            for ep in self.endpoints(ident):
                log.warning("network %s is gone from the cluster: %s is taken off it", net.name, ep.name)
                self.places.evict(ident, ep.sandbox)
            self.forget(ident)
            with self._host_changes():
                self.intent.store.commit(delete=[net])
            self.names.publish(Zone(net.id, net.name, gone=True))
            self.tell(net, "destroy")

    def grant(self, ident: str, blocks: Iterable[IPNetwork]) -> None:
        """Addresses of *blocks* are this host's to give, and nobody has them elsewhere: that somebody has let go of
        one need not have been heard yet.  His tunnel's end would answer the new one's announcement, and the bridge
        look for the new one there."""
        with self.lock:
            net = self.network(ident)
            if net is not None and net.tunnel is not None:
                fresh = tuple(blocks)
                both = tuple(dict.fromkeys((*net.tunnel.blocks, *fresh)))
                self.intent.store.commit(put=[replace(net, tunnel=replace(net.tunnel, blocks=both))])
                self._fill()
                held = (self._holders.get((ident, address)) for block in fresh for address in block)
                gone = [self.intent.store.get(Remote, holder) for holder in dict.fromkeys(held) if holder]
                self.learn(ident, (), [one for one in gone if one is not None])

    def give_back(self, ident: str, blocks: Iterable[IPNetwork] | None = None) -> bool:
        """This host gives no address out of *blocks* any more, None: out of any; false, and nothing changed, where
        it has endpoints in them."""
        with self.lock:
            net = self.network(ident)
            if net is None or net.tunnel is None:
                return True
            going = set(net.tunnel.blocks if blocks is None else blocks)
            used = [a.ip for ep in self.endpoints(ident) for a in ep.addresses]
            if any(address in block for address in used for block in going):
                return False
            left = tuple(block for block in net.tunnel.blocks if block not in going)
            self.intent.store.commit(put=[replace(net, tunnel=replace(net.tunnel, blocks=left))])
            return True

    # ---- endpoints elsewhere

    def learn(self, ident: str, put: Sequence[Remote], gone: Sequence[Remote] = ()) -> None:
        """Endpoints of the network on other hosts are as *put* says, and those of *gone* are not there.  An address
        has one holder: who comes with it last."""
        with self.lock:
            net = self.network(ident)
            if net is None:
                return
            new = [one for one in put if self.intent.store.get(Remote, one.id) != one]
            old = self._displaced(ident, new, gone)
            before = self._groups(net)
            self.intent.store.commit(put=new, delete=old)
            self._index(new, old)
            if joined(self.intent, net):
                self._become(
                    [*(thing for one in old for thing in overlay.remote(net, one)), *before],
                    [*(thing for one in new for thing in overlay.remote(net, one)), *self._groups(net)],
                )
            self._rename(net, new, old)
            if any(one.service for one in (*new, *old)):
                self.services.touch(ident)

    def _groups(self, net: Network) -> list[Thing]:
        return overlay.groups(net, self.remotes(net.id)) if overlay.multicast(net.options) else []

    def forget(self, ident: str) -> None:
        """Nothing is known of the network's endpoints elsewhere."""
        self.learn(ident, (), self.remotes(ident))

    def _displaced(self, ident: str, new: Sequence[Remote], gone: Sequence[Remote]) -> list[Remote]:
        """What is known and goes: *gone*, what *new* replaces, and who had an address of *new*'s."""
        self._fill()
        ids = dict.fromkeys([*(one.id for one in gone), *(one.id for one in new)])
        for one in new:
            for address in one.addresses:
                holder = self._holders.get((ident, address))
                if holder is not None:
                    ids[holder] = None
        return [known for one in ids if (known := self.intent.store.get(Remote, one)) is not None]

    def _fill(self) -> None:
        if not self._indexed:
            self._index(self.intent.store.all(Remote), ())
            self._indexed = True

    def _index(self, new: Iterable[Remote], old: Iterable[Remote]) -> None:
        for one in old:
            for address in one.addresses:
                self._holders.pop((one.network, address), None)
        for one in new:
            for address in one.addresses:
                self._holders[one.network, address] = one.id

    def _rename(self, net: Network, new: Sequence[Remote], old: Sequence[Remote]) -> None:
        if len(new) + len(old) > _ONE_BY_ONE:
            self.names.publish(self.intent.zone(net))
            return
        for one in old:
            self.names.part(net.id, one.id)
        for one in new:
            if one.dns_names:
                self.names.join(Zone(net.id, net.name), remote_member(one))
        if new or old:
            self.names.flush()

    # ---- the kernel

    def _become(self, old: Sequence[Thing], new: Sequence[Thing]) -> None:
        """What can be made so is so; what is refused is told, and tried again by `repair`."""
        gone = [thing for thing in old if thing not in set(new)]
        fresh = [thing for thing in new if thing not in set(old)]
        # Other secrets come before the old ones go, and no packet is lost between the two.
        first = [thing for thing in fresh if isinstance(thing, XfrmState | XfrmPolicy)]
        refusals = [o for o in self.kernel.add(first) if isinstance(o, KernelError)] if first else []
        refusals += self.kernel.remove(gone[::-1])
        refusals += [o for o in self.kernel.add(fresh) if isinstance(o, KernelError)]
        for refusal in refusals:
            log.warning("%s", refusal)

    def broken(self) -> bool:
        """Whether a link of the cluster's networks is not as it is stated: a look that costs one list of links."""
        nets = [net for net in self._used() if joined(self.intent, net)]
        links: list[Thing] = [
            thing for net in nets for thing in overlay.network(net) if isinstance(thing, Bridge | Vxlan)
        ]
        links += [thing for thing in self._host_things() if isinstance(thing, WireGuard | Xfrm)]
        return bool(links) and bool(self.kernel.missing(links))

    def repair(self) -> list[str]:
        """What is stated of the cluster's networks holds, and what is on their tunnels beside it is gone; in words,
        what had to be done."""
        # A look at thousands of entries takes a while, and nobody need wait for it where all is well.
        if not any(self._wrong()):
            return []
        with self.lock:
            missing, stray = self._wrong()
            # What is refused keeps nothing else from being put right.
            self._become(stray, missing)
            refused = {*self.kernel.missing(missing)} if missing else set()
            made = [thing for thing in missing if thing not in refused]
            return [f"was gone: {thing}" for thing in made] + [f"was not ours: {thing}" for thing in stray]

    def differences(self) -> list[str]:
        """What of the cluster's networks is missing in the kernel, and what is there beside it; changes nothing."""
        missing, stray = self._wrong()
        if missing or stray:
            with self.lock:
                missing, stray = self._wrong()
        return [f"kernel: missing: {thing}" for thing in missing] + [f"kernel: stale: {thing}" for thing in stray]

    def _wrong(self) -> tuple[list[Thing], list[Thing]]:
        """What is missing, and what is there and not stated.  Without the lock, what is on its way is among it."""
        things = self.things()
        return self.kernel.missing(things), self.kernel.strays(things)

    def things(self) -> list[Thing]:
        """Everything that should be true of the cluster's networks on this host."""
        found = self._host_things()
        for net in self.networks():
            found += self.intent.network_things(net)
            for ep in self.endpoints(net.id):
                found += self.intent.endpoint_things(ep)
        return found
