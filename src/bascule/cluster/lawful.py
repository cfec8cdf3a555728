"""What another host says is checked before anything is made of it (S18): a record that is wrong is left out, and
said so once.  Pure."""

from collections.abc import Iterable, Mapping

from bascule.model.cluster import Node, Remote
from bascule.model.endpoint import Endpoint
from bascule.model.names import MAC
from bascule.model.network import Network


def holders(ends: Iterable[Remote | Endpoint]) -> dict[str, Remote | Endpoint]:
    """Who has each MAC: the first of *ends* that says so."""
    found: dict[str, Remote | Endpoint] = {}
    for one in ends:
        found.setdefault(one.mac, one)
    return found


def doubled(one: Remote, macs: Mapping[str, Remote | Endpoint]) -> str:
    """Why the record cannot be beside those that *macs* has of its network, "" if it can."""
    holder = macs.get(one.mac, one)
    # An address that is another host's now has the MAC that it had.
    if holder.id == one.id or (isinstance(holder, Remote) and set(holder.addresses) & set(one.addresses)):
        return ""
    return f"{one.mac} is the MAC of {holder.name}"


def fault(one: Remote, net: Network, nodes: Mapping[str, Node], here: Mapping[object, Endpoint]) -> str:
    """Why the record cannot be, "" if it can.  *here* are this host's endpoints on *net* by each address."""
    node = nodes.get(one.node)
    if not one.name.isprintable():
        return "its name has a character that cannot be printed"
    if one.network != net.id:
        return "it is of another network"
    if node is None:
        return f"there is no node {one.node[:12]}"
    if one.via != node.address:
        return f"node {node.name} is at {node.address}, not at {one.via}"
    if not MAC.fullmatch(one.mac) or int(one.mac[:2], 16) & 1:
        return f"{one.mac!r} is no endpoint's MAC"
    if not one.addresses:
        return "it has no address"
    for address in one.addresses:
        pool = next((p for p in net.pools if address in p.subnet), None)
        if pool is None:
            return f"{address} is not in {net.name}"
        if address == pool.gateway:
            return f"{address} is the gateway of {net.name}"
        mine = here.get(address)
        if mine is not None:
            return f"{address} is {mine.name}'s on this host"
        if any(address in block for block in (net.tunnel.blocks if net.tunnel else ())):
            return f"{address} is this host's to give"
    return ""
