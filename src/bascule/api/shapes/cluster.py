"""Clusters in words of our own: Docker has none for them."""

from collections.abc import Sequence

from msgspec import Struct

from bascule.api.shapes import cluster_answer as answer
from bascule.api.shapes import times
from bascule.engine.cluster import Invitation, Joining, Seen, Status
from bascule.model.addresses import IPAddress, ip_address
from bascule.model.cluster import VXLAN_PORT
from bascule.model.errors import Invalid, NotFound
from bascule.model.names import check_node_name


class JoinBody(Struct):
    """POST /cluster/join and /cluster/init."""

    Address: str | None = None
    Name: str | None = None
    Store: list[str] | None = None
    Port: int | None = None
    Embedded: bool | None = None
    Members: int | None = None
    Token: str | None = None
    Remote: str | None = None
    Client: bool | None = None


class MoveBody(Struct):
    """POST /cluster/move."""

    Address: str | None = None


class RightsBody(Struct):
    """POST /cluster/rights."""

    Users: list[str] | None = None
    Founder: str | None = None


def users(body: RightsBody) -> tuple[list[str], str]:
    """Users of etcd, of whom the one that founds the cluster is the first where nobody is said to.  Raises
    Invalid."""
    asked = body.Users or []
    if not asked or len(set(asked)) != len(asked) or not all(asked):
        raise Invalid("users of etcd are expected, each once: one for each host")
    founder = body.Founder or asked[0]
    if founder not in asked:
        raise Invalid(f"user {founder!r} is to found the cluster, and is none of {', '.join(asked)}")
    return asked, founder


def address(text: str | None) -> IPAddress:
    """Raises Invalid."""
    try:
        return _reachable(ip_address(text or ""))
    except ValueError:
        raise Invalid(f"invalid address {text!r}: where do this host's tunnels end?") from None


def _reachable(found: IPAddress) -> IPAddress:
    if (
        found.is_loopback
        or found.is_unspecified
        or found.is_multicast
        or (found.version == 6 and found.is_link_local)
    ):
        raise Invalid(f"other hosts do not reach this one at {found}: say another of its addresses")
    return found


def joining(body: JoinBody, hostname: str, *, found: bool) -> Joining:
    """How a host is to become a member.  Raises Invalid."""
    port = body.Port or VXLAN_PORT
    # Docker's range for --data-path-port.
    if not 1024 <= port <= 49151:
        raise Invalid(f"invalid port {port}: 1024 to 49151")
    own = bool(body.Embedded) if found else bool(body.Token)
    if own and body.Store:
        raise Invalid(
            "a store of the cluster's own (Embedded, Token) and somebody else's (Store) exclude each other"
        )
    if body.Remote and not own:
        raise Invalid(
            f"{body.Remote} lets nobody in without a token; to join by the cluster's store say --store alone"
        )
    if body.Token and not body.Remote:
        raise Invalid("which host lets this one in?  HOST or HOST:PORT of one that has a member of the store")
    members = body.Members or 3
    if members not in (1, 3, 5):
        raise Invalid(f"{members} members of the store: 1, 3 or 5")
    name = body.Name or hostname
    check_node_name(name)
    return Joining(
        found,
        address(body.Address),
        name,
        tuple(body.Store or ()),
        port,
        own,
        members,
        body.Token or "",
        body.Remote or "",
        bool(body.Client),
    )


def invitation(found: Invitation) -> answer.Invitation:
    return {"Token": found.token, "Doors": list(found.doors)}


def node(seen: Seen) -> answer.Node:
    one = seen.node
    return {
        "ID": one.id,
        "Name": one.name,
        "Address": str(one.address),
        "MTU": one.mtu,
        "Joined": times.rfc3339(one.joined),
        "State": seen.state,
        "Self": seen.me,
        "Encryption": list(one.seals),
    }


def find(nodes: Sequence[Seen], ref: str) -> Seen:
    """By name, id, or the beginning of an id that only one has.  Raises NotFound, Invalid."""
    exact = [s for s in nodes if ref in (s.node.name, s.node.id)]
    found = exact or [s for s in nodes if ref and s.node.id.startswith(ref)]
    if not found:
        raise NotFound(f"node {ref} not found")
    if len(found) > 1:
        raise Invalid(f"node {ref} is ambiguous ({len(found)} matches found)")
    return found[0]


def status(now: Status, nodes: int, networks: int) -> answer.Cluster:
    me = now.membership
    return {
        "NodeID": me.id,
        "Name": me.name,
        "Address": str(me.address),
        "MTU": me.mtu,
        "Port": me.port,
        "Store": list(me.store.endpoints),
        "Trouble": now.store,
        "Nodes": nodes,
        "Networks": networks,
        "Joined": now.following,
        "Warnings": list(now.warnings),
    }
