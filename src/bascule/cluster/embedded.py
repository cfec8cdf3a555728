"""Founding a cluster with a store of its own, and joining one: this host has its certificate, and its member of
etcd where it is to have one; then all is as with anybody's etcd (`inside.join`)."""

import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from threading import Event

from bascule.cluster import authority, inside, keys, peers, rights, token
from bascule.cluster.commons import access
from bascule.cluster.door import Body, ask, text
from bascule.cluster.etcd import Server
from bascule.cluster.home import CLIENT, DOOR, KEEPERS, PEER, Home, Part, derived, url
from bascule.cluster.keeper import fresh_admission
from bascule.engine.cluster import Joining
from bascule.engine.shared import Shared
from bascule.model.cluster import Membership, StoreAccess
from bascule.model.errors import BasculeError, Failed, Invalid, Unavailable
from bascule.store.etcdclient import Etcd

# Seconds: how long etcd may take to begin or to catch up, and a host that joins waits for its turn; how long for
# the first word of whom it asks.
_PATIENCE, _SILENCE, _PAUSE = 60.0, 10.0, 0.1


def enter(home: Home, shared: Shared, how: Joining) -> Membership:
    """As `inside.join`, with the store that is the cluster's own.  Where it fails nothing is left."""
    # Refused early: is the address ours?
    shared.kernel.underlay(how.address)
    clear(home)
    ident = secrets.token_hex(16)
    try:
        return (_found if how.found else _join)(home, shared, how, ident)
    except BaseException:
        clear(home)
        raise


def clear(home: Home) -> None:
    """Nothing is left of a founding or joining that was broken off."""
    part = home.part()
    if part is not None:
        Server(home, part).stop()
    home.clear()


def _found(home: Home, shared: Shared, how: Joining, ident: str) -> Membership:
    at, life = authority.now(), timedelta(seconds=home.life)
    cert, signing = authority.found_authority(at)
    key = authority.new_key()
    home.write("ca.pem", cert)
    home.write("ca.key", signing)
    home.write("node.key", key)
    signer = authority.Authority(cert, signing)
    home.write("node.pem", signer.sign(authority.request(ident, key), how.address, life, at))
    among, among_key = authority.found_authority(at)
    home.write("peers.pem", among)
    home.write("peers.key", among_key)
    authority.sign_peer(home, ident, how.address)
    secret = secrets.token_hex(32)
    home.write("root.secret", secret)
    home.log_in(ident, derived(secret, ident))
    own = url(how.address, CLIENT)
    server = _begin(home, Part(ident, how.address, f"{ident}={url(how.address, PEER)}", fresh=True))
    plain, root = Etcd(access(home.plain(own))), Etcd(access(home.root(own)))
    try:
        _patiently(server, lambda: plain.list(keys.IDENTITY))
        rights.establish(plain, root, secret, [ident])
        inside.found(root, how.port)
        root.transact({keys.ADMISSION: fresh_admission(how.members)})
    finally:
        plain.close()
        root.close()
    return inside.join(shared, replace(how, found=False), home.access(own), ident=ident)


def _join(home: Home, shared: Shared, how: Joining, ident: str) -> Membership:
    word, (host, port) = token.parse(how.token), _door(how.remote)
    cert = text(_in_turn(lambda: ask(host, "/v1/authority", {}, port=port), _SILENCE), "authority")
    if authority.digest(cert) != word.digest:
        raise Invalid(f"{host} is of another cluster than the token: nothing was told to it")
    key = authority.new_key()
    asked = {
        "secret": word.secret,
        "request": authority.request(ident, key),
        "name": how.name,
        "address": str(how.address),
        "client": how.client,
    }
    told = _in_turn(lambda: ask(host, "/v1/join", asked, authority=cert, port=port), _PATIENCE)
    home.write("ca.pem", cert)
    home.write("node.key", key)
    home.write("node.pem", text(told, "cert"))
    home.log_in(ident, text(told, "password"))
    store = home.access(*map(str, told["endpoints"]))
    if "initial" not in told:
        return inside.join(shared, how, store, ident=ident)
    for name in KEEPERS:
        home.write(name, text(told, name))
    authority.sign_peer(home, ident, how.address)
    try:
        store = _learn(home, store, Part(ident, how.address, text(told, "initial"), fresh=False))
        return inside.join(shared, how, store, ident=ident)
    except BaseException:
        with suppress(BasculeError):
            # What was refused first is what is told.
            peers.withdraw(home, store.endpoints, how.address)
        raise


def _learn(home: Home, store: StoreAccess, part: Part) -> StoreAccess:
    """This host's member has a voice; where the store is asked now."""
    server = _begin(home, part)
    etcd = Etcd(access(home.root(*store.endpoints)))
    try:
        peers.promote(etcd, part.ident, time.monotonic() + _PATIENCE)
        return home.access(*peers.endpoints(peers.listed(etcd), part.ident))
    except Unavailable as refusal:
        raise Unavailable(f"{refusal}\n{server.said()}") from refusal
    finally:
        etcd.close()


def _begin(home: Home, part: Part) -> Server:
    home.keep(part)
    server = Server(home, part)
    server.ensure()
    return server


def _patiently(server: Server, work: Callable[[], object]) -> None:
    """*work* is done as soon as etcd answers.  Raises Failed where it has ended, Unavailable."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            work()
            return
        except Unavailable as refusal:
            if not server.pid:
                raise Failed(f"etcd does not stay:\n{server.said()}") from refusal
            if time.monotonic() >= deadline:
                raise
        Event().wait(_PAUSE)


def _in_turn(work: Callable[[], Body], patience: float) -> Body:
    """What *work* gives, once somebody answers and it is this host's turn to join.  Raises Unavailable."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return work()
        except Unavailable:
            if time.monotonic() >= deadline:
                raise
        Event().wait(_PAUSE * 5)


def _door(remote: str) -> tuple[str, int]:
    """Raises Invalid."""
    host, colon, port = remote.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        host, port = remote, str(DOOR)
    host = host.strip("[]")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise Invalid(f"invalid host {remote!r}: HOST or HOST:PORT of a host that is in the cluster is expected")
    return host, int(port)
