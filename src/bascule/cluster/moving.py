"""A node's tunnels end at another address from now on, and others know."""

from collections.abc import Iterable
from dataclasses import replace

from bascule.cluster import sealing
from bascule.cluster.commons import Commons
from bascule.engine.shared import Shared
from bascule.model.addresses import IPAddress
from bascule.model.cluster import Membership, Node
from bascule.model.errors import Conflict, Unavailable


def check_family(address: IPAddress, others: Iterable[Node]) -> None:
    """Raises Conflict where *others* are at addresses of the other family: no packet goes from one to the other."""
    other = next((node for node in others if node.address.version != address.version), None)
    if other is not None:
        raise Conflict(
            f"tunnels of the cluster are over IPv{other.address.version}, as node {other.name} is at"
            f" {other.address}: {address} cannot reach it"
        )


def moved(common: Commons, shared: Shared, address: IPAddress) -> Membership:
    """This node's membership at *address*.  Raises Failed where no link of the host has it, Conflict where another
    node does, Unavailable; then nothing has changed."""
    me = common.me
    mtu = shared.kernel.underlay(address)
    node = common.nodes().get(me.id)
    others = [other for other in common.nodes().values() if other.id != me.id]
    if any(other.address == address for other in others):
        raise Conflict(f"another node of the cluster is at {address}")
    check_family(address, others)
    record = replace(sealing.node(me, shared.kernel.seals()), address=address, mtu=mtu)
    if not common.shared.attempt(put=[record], unchanged=[node] if node else ()):
        raise Unavailable("somebody else changed this node's record")
    common.me = replace(me, address=address, mtu=mtu)
    shared.move(common.me)
    shared.enrol(common.me, common.shared.all(Node))
    return common.me
