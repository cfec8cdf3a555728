"""The members of the cluster's own etcd: who they are, and how one comes and goes.

A new one is a learner first, which has no voice: a host that fails while it joins takes nobody's quorum away.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Event

from bascule.cluster.commons import access
from bascule.cluster.home import PEER, Home, url
from bascule.model.addresses import IPAddress
from bascule.model.errors import Failed, Unavailable
from bascule.store.etcdclient import Etcd
from bascule.store.etcdwire import Body

_PAUSE = 0.1


@dataclass(frozen=True, slots=True)
class Peer:
    """*ident* is etcd's; *name* is the node's id, "" before it was started first."""

    ident: str
    name: str
    peer: tuple[str, ...]
    client: tuple[str, ...]
    learner: bool


def listed(etcd: Etcd) -> list[Peer]:
    return _read(etcd.members("list", {}))


def endpoints(peers: Sequence[Peer], first: str = "") -> tuple[str, ...]:
    """Where those with a voice are asked; *first* is the node whose own comes first."""
    voices = sorted((one for one in peers if not one.learner), key=lambda one: (one.name != first, one.name))
    return tuple(at for one in voices for at in one.client)


def add(etcd: Etcd, ident: str, address: IPAddress) -> str:
    """There is a learner for node *ident* at *address*; every member as etcd's --initial-cluster says it.  Raises
    Unavailable while another one learns."""
    at = url(address, PEER)
    for one in listed(etcd):
        if one.learner and at in one.peer:
            # Of a join that was broken off.
            remove(etcd, one)
    try:
        peers = _read(etcd.members("add", {"peerURLs": [at], "isLearner": True}))
    except Failed as refusal:
        # One at a time learns, and while a member is away nobody is added.
        raise Unavailable(f"another host is joining, or one has gone: {refusal}") from refusal
    return ",".join(f"{one.name or ident}={there}" for one in peers for there in one.peer)


def promote(etcd: Etcd, ident: str, deadline: float) -> None:
    """Node *ident*'s member has a voice.  Raises Unavailable at *deadline*, of the monotonic clock."""
    pause, why = Event(), "it has not begun"
    while time.monotonic() < deadline:
        try:
            mine = next((one for one in listed(etcd) if one.name == ident), None)
            if mine is not None and not mine.learner:
                return
            if mine is not None:
                etcd.members("promote", {"ID": mine.ident})
        except (Failed, Unavailable) as refusal:
            why = str(refusal)
        pause.wait(_PAUSE)
    raise Unavailable(f"this host's member of the store does not catch up with the others: {why}")


def remove(etcd: Etcd, peer: Peer) -> None:
    """The member is none any more.  Not an error if it was none."""
    try:
        etcd.members("remove", {"ID": peer.ident})
    except Failed:
        if any(one.ident == peer.ident for one in listed(etcd)):
            raise


def withdraw(home: Home, at: Sequence[str], address: IPAddress) -> None:
    """The host at *address* has no member of the store, which is asked at *at*.  Its own is not asked."""
    etcd = Etcd(access(home.root(*at)))
    try:
        there = listed(etcd)
        others = [one for one in there if url(address, PEER) not in one.peer]
        if known := endpoints(others):
            etcd.reach(access(home.root(*known)))
            for one in there:
                if one not in others:
                    remove(etcd, one)
    finally:
        etcd.close()


def _read(answer: Body) -> list[Peer]:
    return [
        Peer(
            str(one["ID"]),
            one.get("name", ""),
            tuple(one.get("peerURLs", ())),
            tuple(one.get("clientURLs", ())),
            bool(one.get("isLearner", False)),
        )
        for one in answer.get("members", ())
    ]
