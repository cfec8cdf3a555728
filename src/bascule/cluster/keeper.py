"""What looks after a cluster's own store on each of its hosts: etcd runs where it should, certificates are renewed
before they end, whoever knocks with the right word is let in, and where the store is asked is known.

A host without a member of the store has the second and the last of it.
"""

import hmac
import json
import logging
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from threading import Event, Lock, Thread
from urllib.parse import urlsplit

from bascule.cluster import authority, keys, peers, returning, rights
from bascule.cluster.commons import access, known_nodes
from bascule.cluster.door import Body, Door, text
from bascule.cluster.etcd import Server
from bascule.cluster.home import CLIENT, KEEPERS, Home, url
from bascule.cluster.renewing import Renewal
from bascule.cluster.token import Token
from bascule.engine.cluster import Invitation
from bascule.model.addresses import ip_address
from bascule.model.cluster import Membership, Node, StoreAccess
from bascule.model.errors import BasculeError, Conflict, Forbidden, Invalid, Unavailable
from bascule.store.etcdclient import Etcd

log = logging.getLogger("bascule.cluster")
# Seconds: how often etcd and the certificate are looked at, and how often it is asked who its members are.
_TICK, _LOOK = 1.0, 5.0
# Seconds: how often its member is held against those of the others.
_COMPARE = 30.0
# Seconds after which a host that has not finished joining makes room for another.
_LEARNING = 60.0
# Seconds: how often is looked who has rights and is no node, and how long a host may take to become one.
_SWEEP, _COMING = 10.0, 180
_IDENT = re.compile("[0-9a-f]{32}")


def fresh_admission(members: int) -> str:
    return json.dumps({"secret": secrets.token_hex(16), "members": members}, sort_keys=True)


class Keeper:
    """See `inside.Keeping`.  etcd runs when this has been made, and goes on running after `close`."""

    def __init__(self, home: Home, me: Membership) -> None:
        self._home = home
        self._me = me
        self._moved: Callable[[StoreAccess], None] = lambda _: None
        self._closing = Event()
        self._admitting = Lock()
        self._learner: tuple[str, float] = ("", 0.0)
        self._tending = Lock()
        self._done: dict[float, float] = {}
        self._removed = False
        self._said = ""
        self._server: Server | None = None
        self._door: Door | None = None
        self._renewal = Renewal(home, me.id, str(me.address), self._doors)
        # Before anybody reads the certificate: etcd, the door and our own end start with it.
        self._quietly(self._renewal.begin)
        self._etcd = Etcd(access(self._asked(me.store), later=True))
        # Without a guard: there is but one cluster in a store of its own, and it may have to be rebuilt.
        self._quietly(self._start)
        self._thread = Thread(target=self._run, name="cluster-keeper", daemon=True)

    def begin(self, moved: Callable[[StoreAccess], None]) -> None:
        """*moved* is called from now on, on a thread of this one's."""
        self._moved = moved
        self._thread.start()

    def close(self) -> None:
        """Again: nothing."""
        self._closing.set()
        self._thread.join()
        door, self._door = self._door, None
        if door is not None:
            door.close()
        self._etcd.close()

    # ---- for people

    def invitation(self, *, rotate: bool = False) -> Invitation:
        """With *rotate* a new one, and the old one is good for nothing any more.  Raises Conflict on a host that
        lets nobody in, Unavailable."""
        if not self._home.signs():
            raise Conflict(
                "this host has no member of the cluster's store, and does not know the token: ask"
                f" {' or '.join(self._doors())}"
            )
        while True:
            # It may be one that was rebuilt.
            told, revision = self._admission() or (json.loads(fresh_admission(3)), 0)
            if rotate or not revision:
                told = {**told, "secret": secrets.token_hex(16)}
                put = {keys.ADMISSION: json.dumps(told, sort_keys=True)}
                if self._etcd.transact(put, (), {keys.ADMISSION: revision}) is None:
                    continue
            word = Token(authority.digest(self._home.read("ca.pem")), str(told["secret"]))
            return Invitation(str(word), tuple(self._doors()))

    def _doors(self) -> list[str]:
        """The hosts that let others in."""
        return [str(urlsplit(at).hostname) for at in self._me.store.endpoints]

    def may_leave(self, others: int) -> None:
        """Raises Conflict where *others* would be left without a store."""
        if self._server is None or not others:
            return
        own = url(self._me.address, CLIENT)
        left = [at for at in peers.endpoints(peers.listed(self._etcd)) if at != own]
        if not left:
            raise Conflict(
                "this host has the only member of the cluster's store, and there are other hosts in the cluster."
                " Let them leave first, or use --force."
            )
        there = sum(returning.answers(self._home, self._me, at) for at in left)
        if there <= len(left) // 2:
            raise Conflict(
                f"without this host {there} of {len(left)} members of the cluster's store would answer, which is no"
                " majority. Start the others first, or use --force."
            )

    def revive(self, nodes: Sequence[str]) -> StoreAccess:
        """How all of the store is written by who rebuilds it for *nodes*.  Where it does not answer, this host's
        member is the whole of it.  Raises Conflict where there is none, Unavailable."""
        if self._server is None:
            raise Conflict("this host has no member of the cluster's store: rebuild it on a host that has one")
        try:
            self._etcd.list(keys.IDENTITY)
        except Unavailable:
            self._stand_alone(self._server, nodes)
        else:
            # What rights they have may be to the keys of an earlier layout.
            returning.let_in(self._home, self._me, nodes)
        return self._asked(self._me.store)

    def _stand_alone(self, server: Server, nodes: Sequence[str]) -> None:
        with self._tending:
            log.warning(
                "the cluster's store does not answer: this host's member of it is the whole of it from now on"
            )
            self._server = returning.stand_alone(
                self._home, self._me, server, nodes, lambda: self._closing.wait(_TICK / 10)
            )
            self._reach(self._home.access(url(self._me.address, CLIENT)))

    def expel(self, node: Node) -> StoreAccess:
        """The store has no member of *node*'s and knows no such user; how all of it is written.  Raises Conflict on
        a host that has no member of it, Failed, Unavailable."""
        if not self._home.signs():
            raise Conflict(
                "this host has no member of the cluster's store: remove the node on one that has,"
                f" {' or '.join(self._doors())}"
            )
        # First its rights: who comes back would make itself a member again.
        rights.dismiss(self._etcd, node.id)
        peers.withdraw(self._home, self._me.store.endpoints, node.address)
        return self._asked(self._me.store)

    def may_move(self) -> None:
        """Raises Conflict where others know this host's address as that of the store."""
        if self._server is not None:
            raise Conflict(
                f"this host has a member of the cluster's store at {self._me.address}, which the others know:"
                " leave the cluster, and join it with the new address"
            )

    def withdraw(self) -> None:
        """The store has no member here, as far as the others can be asked."""
        if self._server is not None:
            self._quietly(lambda: peers.withdraw(self._home, self._me.store.endpoints, self._me.address))

    def clear(self) -> None:
        """Nothing of it is left here."""
        if self._server is not None:
            self._server.stop()
        self._home.clear()

    # ---- turns

    def _run(self) -> None:
        while not self._closing.wait(_TICK):
            self._quietly(self._tend)

    def _quietly(self, work: Callable[[], object]) -> None:
        """What is refused is said once, and tried again."""
        try:
            work()
            self._said = ""
        except BasculeError as refusal:
            if str(refusal) != self._said:
                log.warning("%s", refusal)
            self._said = str(refusal)

    def _tend(self) -> None:
        with self._tending:
            if self._server is not None and self._due(_COMPARE):
                self._compare()
            self._start()
            if self._renewal.turn():
                self._reach(self._me.store)
            if self._due(_LOOK):
                self._look()
            if self._home.signs() and self._due(_SWEEP):
                self._sweep()

    def _due(self, seconds: float) -> bool:
        """Once in so many seconds."""
        now = time.monotonic()
        due = now - self._done.get(seconds, -seconds) >= seconds
        if due:
            self._done[seconds] = now
        return due

    def _compare(self) -> None:
        """This host's member is one of the store that the cluster has."""
        lost = returning.lost(self._home)
        seen = returning.best(self._home, self._me)
        if self._server is not None and seen is not None and (lost or returning.foreign(seen, self._me)):
            # Until it is done.
            self._done.pop(_COMPARE, None)
            self._server = returning.enter_anew(self._home, self._me, self._server, seen)
            self._done[_COMPARE] = time.monotonic()
            self._done.pop(_LOOK, None)
        elif seen is not None and returning.learning(seen, self._me):
            returning.finish(self._home, self._me, seen)

    def _start(self) -> None:
        if self._server is None and (part := self._home.part()) is not None:
            self._server = Server(self._home, part)
        if self._server is None or self._removed or returning.lost(self._home):
            # What a member without its data would begin is another store than that of the others; and one that
            # they removed ends as soon as it begins.
            pass
        elif self._server.ensure():
            log.info("etcd was started, pid %d", self._server.pid)
        if self._home.signs() and self._door is None:
            answers = {"/v1/authority": self._show, "/v1/join": self._admit, "/v1/renew": self._lengthen}
            self._door = Door(self._home, self._me.address, answers)

    def _look(self) -> None:
        at = peers.endpoints(peers.listed(self._etcd), self._me.id)
        if at and at != self._me.store.endpoints:
            log.info("the cluster's store is at %s", ", ".join(at))
            self._reach(self._home.access(*at))

    def _reach(self, store: StoreAccess) -> None:
        self._me = replace(self._me, store=store)
        self._etcd.reach(access(self._asked(store)))
        self._moved(store)

    def _asked(self, store: StoreAccess) -> StoreAccess:
        """How the keeper itself asks it."""
        return self._home.root(*store.endpoints) if self._home.signs() else store

    def _sweep(self) -> None:
        """Who has left, or never came, may nothing in the store any more."""
        users = rights.admitted(self._etcd)
        there = {item.key for item in self._etcd.read([keys.NODES, keys.ADMITTED], [keys.IDENTITY]).items}
        if keys.IDENTITY not in there:
            # It is being rebuilt, and its nodes are on their way.
            return
        removed, self._removed = self._removed, keys.node(self._me.id) not in there
        if self._removed and not removed and self._server is not None:
            log.warning("this node was removed from the cluster: its member of the store is stopped")
            self._server.stop()
        coming = {ident for ident in users if f"{keys.ADMITTED}{ident}" in there}
        nodes = {ident for ident in users if keys.node(ident) in there}
        for ident in coming & nodes:
            self._etcd.transact({}, [f"{keys.ADMITTED}{ident}"])
        for ident in users - coming - nodes:
            rights.dismiss(self._etcd, ident)
            log.info("node %s is not in the cluster: it has no rights in its store any more", ident[:12])

    def _authority(self) -> authority.Authority:
        return authority.Authority(self._home.read("ca.pem"), self._home.read("ca.key"))

    # ---- who knocks

    def _show(self, _: Body) -> Body:
        return {"authority": self._home.read("ca.pem")}

    def _lengthen(self, body: Body) -> Body:
        life = timedelta(seconds=self._home.life)
        cert, ident = self._authority().renew(text(body, "cert"), text(body, "request"), life, authority.now())
        if ident not in {node.id for node in self._nodes()}:
            raise Forbidden(f"node {ident[:12]} is not in this cluster")
        return {"cert": cert}

    def _admit(self, body: Body) -> Body:
        """What a new host needs.  One at a time."""
        told, _ = self._admission() or ({"secret": ""}, 0)
        if not told["secret"] or not hmac.compare_digest(
            text(body, "secret").encode(), str(told["secret"]).encode()
        ):
            raise Forbidden("the token is not this cluster's, or not any more")
        request, name = text(body, "request"), text(body, "name")
        ident = authority.asker(request)
        try:
            address = ip_address(text(body, "address"))
        except ValueError as why:
            raise Invalid(f"address: {why}") from why
        if not _IDENT.fullmatch(ident):
            raise Invalid("a node's id has 32 hexadecimal digits")
        with self._admitting:
            for node in self._nodes():
                if ident == node.id or name == node.name or address == node.address:
                    raise Conflict(f"there is a node {node.name} at {node.address} in the cluster already")
            signed = self._authority().sign(request, address, timedelta(seconds=self._home.life), authority.now())
            answer: Body = {"cert": signed, "password": self._let_in(ident)}
            there = self._make_room(peers.listed(self._etcd))
            answer["endpoints"] = list(peers.endpoints(there))
            if not body.get("client") and sum(not one.learner for one in there) < int(told["members"]):
                answer["initial"] = peers.add(self._etcd, ident, address)
                answer |= {name: self._home.read(name) for name in KEEPERS}
            return answer

    def _let_in(self, ident: str) -> str:
        """The node has rights in the store, and some time to become one; its password there."""
        self._etcd.transact({f"{keys.ADMITTED}{ident}": ""}, lease=self._etcd.grant(_COMING))
        return rights.admit(self._etcd, self._home.read("root.secret"), ident)

    def _make_room(self, there: list[peers.Peer]) -> list[peers.Peer]:
        """Only one member learns at a time, and one that never finished would be in all others' way."""
        learner = next((one for one in there if one.learner), None)
        if learner is None or learner.ident != self._learner[0]:
            self._learner = (learner.ident if learner else "", time.monotonic())
        elif time.monotonic() - self._learner[1] > _LEARNING:
            peers.remove(self._etcd, learner)
        return there

    def _admission(self) -> tuple[Body, int] | None:
        for item in self._etcd.list(keys.ADMISSION).items:
            if item.key == keys.ADMISSION:
                return json.loads(item.value), item.revision
        return None

    def _nodes(self) -> list[Node]:
        return known_nodes(self._etcd)
