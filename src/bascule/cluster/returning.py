"""A host whose member of the cluster's own store is not what the others take it for: its data is lost, or the store
was rebuilt without it.  It becomes a new member.  And a member that is left alone makes the store its own.

Of several stores that answer, the one that was rebuilt most often is the cluster's: two hosts that were dead while
the rest went on would otherwise agree with each other on what was.
"""

import json
import logging
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bascule.cluster import keys, peers, rights
from bascule.cluster.commons import access
from bascule.cluster.etcd import Server
from bascule.cluster.home import CLIENT, PEER, Home, Part, url
from bascule.model.cluster import Membership
from bascule.model.errors import BasculeError, Forbidden, Unavailable
from bascule.store.etcdclient import Etcd

log = logging.getLogger("bascule.cluster")
# Seconds for one host's word, and for etcd to begin or to catch up.
_WORD, _PATIENCE = 3.0, 60.0


@dataclass(frozen=True, slots=True)
class Seen:
    """The store as the member at *endpoint* knows it.  *era* counts how often it was rebuilt."""

    endpoint: str
    era: int
    peers: tuple[peers.Peer, ...]


def lost(home: Home) -> bool:
    """Whether this host's member had data that is not there any more."""
    return home.part() is not None and not (home.path / "etcd/member").exists()


def best(home: Home, me: Membership) -> Seen | None:
    """The cluster's store as it is now; None where nobody answers who can say."""
    found = [one for at in me.store.endpoints if (one := _ask(home, me, at))]
    own = url(me.address, CLIENT)
    # Of equals our own.
    return max(found, key=lambda one: (one.era, one.endpoint == own), default=None)


def answers(home: Home, me: Membership, at: str) -> bool:
    """Whether the member at *at* is there and one of the cluster's store."""
    return _ask(home, me, at) is not None


def _ask(home: Home, me: Membership, at: str) -> Seen | None:
    etcd = Etcd(replace(access(home.access(at)), deadline=_WORD))
    try:
        said = next((item.value for item in etcd.list(keys.IDENTITY).items if item.key == keys.IDENTITY), None)
        if said is None or json.loads(said)["id"] != json.loads(me.cluster)["id"]:
            return None
        return Seen(at, int(json.loads(said).get("rebuilt", 0)), tuple(peers.listed(etcd)))
    except BasculeError:
        return None
    finally:
        etcd.close()


def foreign(seen: Seen, me: Membership) -> bool:
    """Whether this host's member is none of that store."""
    return all(url(me.address, PEER) not in one.peer for one in seen.peers)


def learning(seen: Seen, me: Membership) -> bool:
    """Whether this host's member has no voice there yet: becoming one was broken off."""
    return any(one.learner and url(me.address, PEER) in one.peer for one in seen.peers)


def finish(home: Home, me: Membership, seen: Seen) -> None:
    """This host's member, which is learning, has a voice.  Raises Unavailable."""
    etcd = Etcd(access(home.root(seen.endpoint)))
    try:
        peers.promote(etcd, me.id, time.monotonic() + _PATIENCE)
    finally:
        etcd.close()


def enter_anew(home: Home, me: Membership, server: Server, seen: Seen) -> Server:
    """This host's member is a new one of the store *seen*, and has what the others have; what it had is gone.
    Raises Unavailable; done again, it goes on."""
    server.stop()
    shutil.rmtree(home.path / "etcd", ignore_errors=True)
    at = peers.endpoints([one for one in seen.peers if url(me.address, PEER) not in one.peer])
    peers.withdraw(home, at, me.address)
    etcd = Etcd(access(home.root(*at)))
    try:
        part = Part(me.id, me.address, peers.add(etcd, me.id, me.address), fresh=False)
        home.keep(part)
        fresh = Server(home, part)
        fresh.ensure()
        peers.promote(etcd, me.id, time.monotonic() + _PATIENCE)
    finally:
        etcd.close()
    log.warning("this host's member of the cluster's store is a new one")
    return fresh


def stand_alone(
    home: Home, me: Membership, server: Server, nodes: Sequence[str], pause: Callable[[], object]
) -> Server:
    """This host's member is the whole store, with what it has: who else was one is none any more, and *nodes* may
    write it as before.  The cluster's identity is not in it, so nobody reads or writes it.  Raises Unavailable."""
    server.stop()
    if lost(home):
        home.keep(Part(me.id, me.address, f"{me.id}={url(me.address, PEER)}", fresh=True))
        server = Server(home, Part(me.id, me.address, f"{me.id}={url(me.address, PEER)}", fresh=True))
    else:
        server.ensure("--force-new-cluster")
        _answering(home, me, server, pause)
        server.stop()
    server.ensure()
    _answering(home, me, server, pause)
    let_in(home, me, nodes)
    etcd = Etcd(access(home.root(url(me.address, CLIENT))))
    try:
        etcd.transact({}, [keys.IDENTITY])
        # Who lives says so anew, and by that notices that the store is another one.
        for lease in etcd.leases():
            etcd.revoke(lease)
    finally:
        etcd.close()
    return server


def let_in(home: Home, me: Membership, nodes: Sequence[str]) -> None:
    """*nodes* may in the store, as this host's member knows it, what they may.  Raises Unavailable."""
    own = url(me.address, CLIENT)
    plain, etcd = Etcd(access(home.plain(own))), Etcd(access(home.root(own)))
    try:
        rights.establish(plain, etcd, home.read("root.secret"), nodes)
    finally:
        plain.close()
        etcd.close()


def _answering(home: Home, me: Membership, server: Server, pause: Callable[[], object]) -> None:
    etcd = Etcd(access(home.plain(url(me.address, CLIENT))))
    deadline = time.monotonic() + _PATIENCE
    try:
        while True:
            try:
                etcd.list(keys.IDENTITY)
                return
            except Forbidden:
                # It asks who we are.
                return
            except Unavailable:
                if not server.pid or time.monotonic() >= deadline:
                    raise
            pause()
    finally:
        etcd.close()
