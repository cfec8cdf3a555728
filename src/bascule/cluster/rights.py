"""Who may do what in the cluster's etcd: what every member may, what each node may with its own keys, and what else
is needed by who founds or rebuilds the cluster.  See docs/decisions/036.

In a store of the cluster's own these are set by the hosts that have a member of it, which are etcd's root; in
somebody's etcd by its administrator, who is told the lines.  There a node knows by its user's role which id is its.
"""

import hashlib
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from bascule.cluster import keys
from bascule.cluster.home import ROOT, derived
from bascule.model.errors import Failed
from bascule.store import etcdwire as wire
from bascule.store.etcdclient import Etcd
from bascule.store.etcdwire import Body

MEMBER, FOUNDER = "bascule-member", "bascule-founder"
_OWN = re.compile(r"bascule-([0-9a-f]{32})")
_IDENT = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Right:
    """To read *key*, or all below it where it ends in a slash; *write*: and to write there."""

    key: str
    write: bool = True

    @property
    def body(self) -> Body:
        range_ = wire.below(self.key) if self.key.endswith("/") else {"key": wire.b64(self.key)}
        return {"permType": "READWRITE" if self.write else "READ", **range_}

    def __str__(self) -> str:
        prefix = "--prefix=true " if self.key.endswith("/") else ""
        return f"{prefix}{'readwrite' if self.write else 'read'} {self.key}"


EVERYBODY = (
    Right(keys.ROOT, write=False),
    *(Right(f"{keys.SHARED}{kind}/") for kind in ("ledger", "network", "service", "down", "ring")),
    Right(keys.LEDGERS),
    Right(keys.HELD),
    Right(keys.TOLD),
)
FOUNDING = (
    *map(Right, (keys.IDENTITY, keys.REBUILDING, keys.NODES, keys.REBUILT)),
    # To remove a node that will not come back.
    *map(Right, (keys.BLOCKS, keys.ENDPOINTS)),
)


def own(node: str) -> tuple[Right, ...]:
    """What is a node's alone."""
    return (
        Right(keys.node(node)),
        Right(keys.alive(node)),
        Right(keys.blocks(node)),
        Right(keys.endpoints(node)),
        Right(keys.rebuilt(node)),
    )


def role(node: str) -> str:
    return f"bascule-{node}"


# ---- a store of the cluster's own


def establish(plain: Etcd, root: Etcd, secret: str, nodes: Sequence[str]) -> None:
    """etcd asks everybody who it is, and *nodes* may what they may.  *plain* says nothing of who asks.  Done again:
    nothing.  Raises Unavailable."""
    if not root.asks_who():
        _once(plain, "user/add", {"name": ROOT, "password": derived(secret, ROOT)})
        _once(plain, "role/add", {"name": ROOT})
        _once(plain, "user/grant", {"user": ROOT, "role": ROOT})
        _once(plain, "enable", {})
    _grant(root, MEMBER, EVERYBODY)
    for node in nodes:
        admit(root, secret, node)


def admit(root: Etcd, secret: str, node: str) -> str:
    """The node may what it may; its password, which is always the same."""
    password = derived(secret, node)
    _grant(root, role(node), own(node))
    _once(root, "user/add", {"name": node, "password": password})
    for each in (MEMBER, role(node)):
        _once(root, "user/grant", {"user": node, "role": each})
    return password


def dismiss(root: Etcd, node: str) -> None:
    """The node may nothing any more."""
    for what, body in (("user/delete", {"name": node}), ("role/delete", {"role": role(node)})):
        with suppress(Failed):
            # It is not there.
            root.auth(what, body)


def admitted(root: Etcd) -> set[str]:
    """The nodes that may something."""
    return {name for name in root.auth("user/list", {}).get("users", ()) if _IDENT.fullmatch(name)}


def _grant(root: Etcd, name: str, rights: Sequence[Right]) -> None:
    _once(root, "role/add", {"name": name})
    for right in rights:
        root.auth("role/grant", {"name": name, "perm": right.body})


def _once(etcd: Etcd, what: str, body: Body) -> None:
    try:
        etcd.auth(what, body)
    except Failed as refusal:
        if "already exists" not in str(refusal):
            raise


# ---- somebody's


def mine(etcd: Etcd, user: str) -> str:
    """The node that etcd's *user* is to be; "": it says nothing of that.  Raises Forbidden, Unavailable."""
    if not user or not etcd.asks_who():
        return ""
    try:
        roles = etcd.auth("user/get", {"name": user}).get("roles", ())
    except Failed:
        # There may be something between us and etcd that has no users.
        return ""
    return next((found[1] for name in roles if (found := _OWN.fullmatch(name))), "")


def lines(users: Sequence[str], founder: str) -> Iterator[str]:
    """What the administrator of an etcd types, so that each of *users* is one node; *founder* of them founds."""
    yield from _role(MEMBER, EVERYBODY)
    yield from _role(FOUNDER, FOUNDING)
    for user in users:
        node = hashlib.sha256(f"bascule {user}".encode()).hexdigest()[:32]
        yield from _role(role(node), own(node))
        for each in (MEMBER, role(node), *([FOUNDER] if user == founder else [])):
            yield f"etcdctl user grant-role {shlex.quote(user)} {each}"


def _role(name: str, rights: Sequence[Right]) -> Iterator[str]:
    yield f"etcdctl role add {name}"
    for right in rights:
        yield f"etcdctl role grant-permission {name} {right}"
