"""Being in a cluster: `engine.cluster.Cluster` for a host that is a member; becoming one, and ceasing to be one."""

import json
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from bascule.cluster import audit, keys, rights, sealing
from bascule.cluster.commons import Timing, access, known_nodes
from bascule.cluster.fitting import astray
from bascule.cluster.leaving import removable, take_out
from bascule.cluster.member import Member
from bascule.cluster.moving import check_family
from bascule.engine.cluster import Invitation, Joining, Rebuilt, Seen, Status
from bascule.engine.shared import Shared
from bascule.model.addresses import IPAddress
from bascule.model.cluster import Ledger, Membership, Node, Seal, StoreAccess
from bascule.model.codec import encode
from bascule.model.endpoint import EndpointSpec
from bascule.model.errors import BasculeError, Conflict, Failed, Unavailable
from bascule.model.network import Network
from bascule.model.service import entry
from bascule.store.etcdclient import Etcd

log = logging.getLogger("bascule.cluster")
_NOT_TOLD = 'the others are not told that this node leaves: say "bascule cluster rm --force %s" there: %s'


class Keeping(Protocol):
    """Who looks after a store of the cluster's own on this host."""

    def begin(self, moved: Callable[[StoreAccess], None]) -> None:
        """*moved* is called from now on, on a thread of its own, when the store is to be asked elsewhere or
        otherwise."""
        ...

    def close(self) -> None:
        """*moved* is not called any more.  The store's member here goes on."""
        ...

    def may_leave(self, others: int) -> None:
        """Raises Conflict where *others* would be left without a store."""
        ...

    def revive(self, nodes: Sequence[str]) -> StoreAccess:
        """How all of the store is written by who rebuilds it for *nodes*.  Where it does not answer, this host's
        member is the whole of it.  Raises Conflict where there is none, Unavailable."""
        ...

    def expel(self, node: Node) -> StoreAccess:
        """The store has no member of *node*'s and knows no such user; how all of it is written.  Raises Conflict on
        a host that may not do that, Failed, Unavailable."""
        ...

    def may_move(self) -> None:
        """Raises Conflict where others know this host's address as that of the store."""
        ...

    def withdraw(self) -> None:
        """The store has no member here, as far as the others can be asked."""
        ...

    def clear(self) -> None:
        """Nothing of it is left here."""
        ...

    def invitation(self, *, rotate: bool) -> Invitation: ...


class Inside:
    """Member *me*, at work from now on.  *keeper* only where the store is the cluster's own."""

    def __init__(
        self, shared: Shared, me: Membership, lease: int, grace: float, keeper: Keeping | None = None
    ) -> None:
        self._shared = shared
        self._timing = Timing(lease=lease, grace=grace)
        self._member = Member(shared, me, self._timing)
        self._keeper = keeper
        if keeper is not None:
            keeper.begin(self._reach)

    @property
    def me(self) -> Membership:
        return self._member.me

    def begin(self, shared: Shared) -> None:
        """It has begun."""

    def close(self) -> None:
        if self._keeper is not None:
            self._keeper.close()
        self._member.close()

    def settle(self) -> None:
        """What the cluster has is known here.  Raises Unavailable."""
        self._member.take_over(self._member.common())

    # ---- use cases

    def propose(self, net: Network) -> Network | None:
        return self._member.propose(net)

    def withdraw(self, net: Network) -> None:
        self._member.withdraw(net)

    def provide(self, net: Network, spec: EndpointSpec) -> None:
        self._member.provide(net, spec)
        self._member.services.provide(self._member.common, self.me.id, net, spec)

    def changed(self, network: str) -> None:
        self._member.wake(network)

    # ---- for people

    def join(self, how: Joining) -> Membership:
        raise Conflict(f"this node is in a cluster already, as {self.me.name}, and cannot join as {how.name}")

    def leave(self, *, force: bool = False) -> None:
        ends = [ep for net in self._shared.networks() for ep in self._shared.endpoints(net.id)]
        busy = sorted({ep.name for ep in ends if not entry(ep.name)})
        if busy and not force:
            raise Conflict(
                f"this node has containers on networks of the cluster: {', '.join(busy)}."
                " Disconnect them first, or use --force."
            )
        answers = self._may_leave(force=force)
        # First its work: it would tell of what is taken out here again.
        self._member.close(revoke=answers)
        if answers:
            self._take_out(force=force)
        if self._keeper is not None:
            self._keeper.close()
            self._keeper.withdraw()
        self._shared.dismiss()
        if self._keeper is not None:
            self._keeper.clear()

    def _may_leave(self, *, force: bool) -> bool:
        """Whether the store answers and can be told; nothing has changed.  Raises Conflict, Unavailable where that
        matters."""
        try:
            self._member.common().shared.refresh()
            if self._keeper is not None and not force:
                self._keeper.may_leave(len(self._shared.nodes()) - 1)
        except BasculeError as refusal:
            if not force:
                raise
            log.warning(_NOT_TOLD, self.me.name, refusal)
            return False
        return True

    def _take_out(self, *, force: bool) -> None:
        """The store knows nothing of this node.  Raises Unavailable where it does not answer any more, and then
        this node goes on being a member."""
        try:
            take_out(self.me.store, self.me.cluster, self.me.id)
        except BasculeError as refusal:
            if not force:
                self._member = Member(self._shared, self.me, self._timing)
                raise
            log.warning(_NOT_TOLD, self.me.name, refusal)

    def _reach(self, store: StoreAccess) -> None:
        self._member.reach(store)

    def nodes(self) -> Sequence[Seen]:
        known = sorted(self._shared.nodes(), key=lambda node: (node.name, node.id))
        try:
            common = self._member.reached()
        except Unavailable:
            return [Seen(node, "unknown", node.id == self.me.id) for node in known]
        return [Seen(node, common.state(node.id), node.id == self.me.id) for node in known]

    def status(self) -> Status:
        said = [(net.name, self._shared.misfit(net)) for net in self._shared.networks()]
        lost = astray(self._shared, self.me)
        warnings = (*((lost,) if lost else ()), *(f"network {name}: {why}" for name, why in said if why))
        return Status(self.me, self.trouble(), len(self._member.following()), warnings)

    def trouble(self) -> str:
        said = self._member.trouble
        try:
            # It asks more often than a turn has anything to ask.
            return said or self._member.reached().lease.trouble
        except Unavailable:
            return said

    def remove(self, node: str, *, force: bool = False) -> None:
        common = self._member.common()
        common.shared.refresh()
        gone = removable(common, node, force=force)
        store = self.me.store if self._keeper is None else self._keeper.expel(gone)
        take_out(store, self.me.cluster, node)

    def move(self, address: IPAddress) -> None:
        if self._keeper is not None:
            self._keeper.may_move()
        self._member.move(address)

    def rebuild(self) -> Rebuilt:
        store = self.me.store
        if self._keeper is not None:
            store = self._keeper.revive(sorted({self.me.id, *(node.id for node in self._shared.nodes())}))
        return self._member.rebuild(store)

    def verify(self) -> Sequence[str]:
        return audit.differences(self._member)

    def invitation(self, *, rotate: bool = False) -> Invitation:
        if self._keeper is not None:
            return self._keeper.invitation(rotate=rotate)
        raise Conflict(
            f"the cluster's store is at {', '.join(self.me.store.endpoints)}: hosts join by --store alone"
        )

    def rights(self, users: Sequence[str], founder: str) -> Sequence[str]:
        return list(rights.lines(users, founder))


def join(shared: Shared, how: Joining, store: StoreAccess, *, ident: str = "") -> Membership:
    """The host's node is in the cluster's store, and its membership in its own.  With *how.found* the cluster is
    made; *ident* is the node's id where it was chosen before.  Raises Conflict where there is a cluster already, or
    a node of that name; Failed where there is none."""
    mtu = shared.kernel.underlay(how.address)
    seals = shared.kernel.seals()
    me = Membership(
        id=ident,
        name=how.name,
        cluster="",
        address=how.address,
        mtu=mtu,
        epoch=1,
        joined=time.time_ns(),
        store=store,
        embedded=how.embedded,
    )
    etcd = Etcd(access(me.store))
    try:
        ident = ident or rights.mine(etcd, store.user) or secrets.token_hex(16)
        identity = found(etcd, how.port) if how.found else _identity(etcd)
        etcd.guard(keys.IDENTITY, identity)
        me = sealing.keyed(replace(me, id=ident, cluster=identity, port=int(json.loads(identity)["port"])))
        nodes = _enter(etcd, me, seals)
    finally:
        etcd.close()
    shared.enrol(me, nodes)
    return me


def found(etcd: Etcd, port: int) -> str:
    """There is a cluster in the store; its identity.  Raises Conflict where there was one."""
    identity = json.dumps({"id": secrets.token_hex(16), "port": port}, sort_keys=True)
    ledger = Ledger("networks", 0)
    made = etcd.transact({keys.IDENTITY: identity, keys.ledger(ledger.id): encode(ledger)}, (), {keys.IDENTITY: 0})
    if made is None:
        raise Conflict('there is a cluster in this store already: use "bascule cluster join"')
    return identity


def _identity(etcd: Etcd) -> str:
    for item in etcd.list(keys.IDENTITY).items:
        if item.key == keys.IDENTITY:
            return item.value
    raise Failed('there is no cluster in this store: use "bascule cluster init" on its first host')


def _enter(etcd: Etcd, me: Membership, seals: tuple[Seal, ...]) -> list[Node]:
    """Our node's record is there; all nodes."""
    while True:
        # The ledger first: who comes between the two has raised it.
        known = {item.key: item.revision for item in etcd.list(f"{keys.SHARED}ledger/").items}
        nodes = known_nodes(etcd)
        same = next((n for n in nodes if me.id == n.id or me.name == n.name or me.address == n.address), None)
        if same is not None:
            user = f", as user {me.store.user} of the store" if same.id == me.id else ""
            raise Conflict(f"there is a node {same.name} at {same.address} in the cluster already{user}")
        check_family(me.address, nodes)
        made = sealing.node(me, seals)
        # Whoever joins raises the ledger of nodes: of two with one name, one sees the other.
        ledger, turn = keys.ledger("nodes"), Ledger("nodes", me.joined)
        put = {keys.node(me.id): encode(made), ledger: encode(turn)}
        if etcd.transact(put, (), {ledger: known.get(ledger, 0)}) is not None:
            return [*nodes, made]
