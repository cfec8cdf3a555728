"""What is stale or missing: the store, what this host knows, and its kernel, held against each other."""

from collections.abc import Iterator

from bascule.cluster import blocks
from bascule.cluster.commons import Commons
from bascule.cluster.fitting import astray
from bascule.cluster.following import Following
from bascule.cluster.member import Member
from bascule.cluster.networks import plain
from bascule.cluster.reaping import records
from bascule.cluster.sealing import RING
from bascule.cluster.services import holder
from bascule.engine.shared import Shared
from bascule.model.cluster import Alive, Remote, Ring
from bascule.model.errors import BasculeError
from bascule.model.names import printable
from bascule.model.network import Network
from bascule.model.service import Service


def differences(member: Member) -> list[str]:
    """A line for each; what is on its way at this moment is among them.  Changes nothing."""
    found = [f"node: {said}"] if (said := astray(member.shared, member.me)) else []
    try:
        common = member.common()
        for store in (common.shared, common.alive, *(one.records for one in member.following())):
            store.refresh()
    except BasculeError as refusal:
        found.append(f"store: {refusal}")
    else:
        found += [*_shared(common, member.shared), *_blocks(common, member.shared), *_own(common, member.shared)]
        for one in member.following():
            found += _elsewhere(one, member.shared, common.out())
        found += member.services.faults(common)
    # Names are other hosts', which may have lied.
    return [printable(line) for line in found + member.shared.differences()]


def _shared(common: Commons, shared: Shared) -> Iterator[str]:
    there = {net.id: net for net in common.shared.all(Network)}
    here = {net.id: plain(net) for net in shared.networks()}
    for ident in there.keys() | here.keys():
        if ident not in here:
            yield f"networks: missing: {there[ident].name} ({ident[:12]})"
        elif ident not in there:
            yield f"networks: stale: {here[ident].name} ({ident[:12]})"
        elif here[ident] != there[ident]:
            yield f"networks: {here[ident].name} ({ident[:12]}) is not what the cluster has"
    nodes, known = common.nodes(), {node.id: node for node in shared.nodes()}
    for ident in nodes.keys() | known.keys():
        if nodes.get(ident) != known.get(ident):
            one = nodes.get(ident) or known[ident]
            yield f"nodes: {'stale' if ident not in nodes else 'missing'}: {one.name} ({ident[:12]})"
    for net in shared.networks():
        if said := shared.misfit(net):
            yield f"networks: {net.name} ({net.id[:12]}): {said}"
    if shared.ring() not in (common.shared.get(Ring, RING), None):
        yield "secrets: those of encrypted networks are not what the cluster has"
    for alive in common.alive.all(Alive):
        if alive.id not in nodes:
            yield f"nodes: {alive.id[:12]} lives and is no member"


def _blocks(common: Commons, shared: Shared) -> Iterator[str]:
    nodes, nets = common.nodes(), {net.id: net for net in shared.networks()}
    own = {(net.id, block) for net in nets.values() if net.tunnel for block in net.tunnel.blocks}
    there = blocks.everywhere(common.etcd)
    holders = {holder(service.id) for service in common.shared.all(Service)}
    # Who is down takes back what it has of networks that are not there, when it comes.
    down = {ident for ident in nodes if common.state(ident) == "down"}
    for block in there:
        if block.node in down:
            continue
        if block.network not in nets:
            yield f"blocks: stale: {block.range} of a network that is not there ({block.network[:12]})"
        elif block.node not in nodes and block.node not in holders:
            yield f"blocks: stale: {block.range} of a node that is not there ({block.node[:12]})"
        elif block.node == common.me.id and (block.network, block.range) not in own:
            yield f"blocks: stale: {block.range} of {nets[block.network].name}: this host gave it back"
    mine = {(block.network, block.range) for block in there if block.node == common.me.id}
    for network, range_ in own - mine:
        yield f"blocks: missing: {range_} of {nets[network].name}: the store does not say that it is this host's"


def _own(common: Commons, shared: Shared) -> Iterator[str]:
    """Records of this node, and of nodes that are not there, on any network."""
    nodes, nets = common.nodes(), {net.id for net in shared.networks()}
    here = {ep.id for net in nets for ep in shared.endpoints(net)}
    down = {ident for ident in nodes if common.state(ident) == "down"}
    for _, one in records(common.etcd):
        if one.node in down:
            continue
        if one.network not in nets:
            yield f"endpoints: stale: {one.name} on a network that is not there ({one.network[:12]})"
        elif one.node not in nodes:
            yield f"endpoints: stale: {one.name} of a node that is not there ({one.node[:12]})"
        elif one.node == common.me.id and one.id not in here:
            yield f"endpoints: stale: {one.name} is not on this host"


def _elsewhere(one: Following, shared: Shared, out: set[str]) -> Iterator[str]:
    there = {r.id: r for r in one.records.all(Remote)}
    wrong = one.faults([r for r in there.values() if r.node != one.me])
    for ident, why in wrong.items():
        yield f"endpoints: wrong: {there[ident].name}: {why}"
    others = {i: r for i, r in there.items() if r.node != one.me and r.node not in out and i not in wrong}
    known = {r.id: r for r in shared.remotes(one.network)}
    for ident in others.keys() | known.keys():
        if others.get(ident) != known.get(ident):
            what = others.get(ident) or known[ident]
            yield f"endpoints: {'stale' if ident not in others else 'missing'}: {what.name} of another host"
    for ident, wanted in one.own().items():
        if there.get(ident) != wanted:
            yield f"endpoints: missing: {wanted.name} of this host: others do not know of it"
