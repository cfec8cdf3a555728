"""Networks of the cluster: made and removed by compare-and-set, and addresses for this host's endpoints on them."""

import logging
from collections.abc import Iterator
from dataclasses import replace

from bascule.cluster import blocks, keys, sealing, told
from bascule.cluster.commons import Commons
from bascule.cluster.lawful import holders
from bascule.drivers import overlay
from bascule.engine.shared import Shared
from bascule.ipam.blocks import has_room, pick_vni
from bascule.model.addresses import Family, IPAddress, family
from bascule.model.cluster import Ledger, Tunnel
from bascule.model.endpoint import EndpointSpec
from bascule.model.errors import Conflict, Forbidden, Unavailable
from bascule.model.names import parse_mac
from bascule.model.network import Network
from bascule.model.service import entry
from bascule.model.spans import clash, span
from bascule.store.etcdclient import Etcd

LEDGER = "networks"
log = logging.getLogger("bascule.cluster")
# How often a transaction is tried that somebody else was faster than.
_TRIES = 30
_AT_ONCE = 100


def _overlap(net: Network, others: list[Network]) -> bool:
    known = [span(pool.subnet) for other in others for pool in other.pools]
    return any(clash(span(pool.subnet), known) for pool in net.pools)


def propose(common: Commons, net: Network) -> Network | None:
    """*net* with its tunnel, the cluster's from now on; None where another came first, which is in memory now."""
    ledger = common.shared.get(Ledger, LEDGER)
    there = common.shared.all(Network)
    if any(other.name == net.name for other in there):
        raise Conflict(f"network with name {net.name} already exists")
    taken = {other.tunnel.vni: other for other in there if other.tunnel}
    vni = overlay.vni(net.options) or pick_vni(taken)
    if vni in taken:
        raise Forbidden(f"network {net.name}: VXLAN id {vni} is that of network {taken[vni].name}")
    if _overlap(net, there):
        common.shared.refresh()
        return None
    nodes = common.nodes().values()
    least = min((node.mtu for node in nodes), default=common.me.mtu)
    seal = sealing.choose(net, nodes)
    fits = overlay.mtu(net.options, least, common.me.address, seal, ipv6=net.ipv6)
    tunnel = Tunnel(vni, fits, common.me.port, seal=seal or "")
    made = replace(net, tunnel=tunnel, link="", mac="")
    now = Ledger(LEDGER, ledger.generation + 1 if ledger else 1)
    if common.shared.attempt(
        put=[made, now], unchanged=[ledger] if ledger else (), absent=[made] if ledger else [made, now]
    ):
        return made
    common.shared.refresh()
    return None


def plain(net: Network) -> Network:
    """*net* as all members have it, without what is this host's own."""
    tunnel = net.tunnel
    shared = Tunnel(tunnel.vni, tunnel.mtu, tunnel.port, seal=tunnel.seal) if tunnel else None
    return replace(net, tunnel=shared, link="", mac="")


def withdraw(common: Commons, net: Network) -> None:
    """*net* is no network of the cluster any more.  What nodes that are down have of it they take back when they
    come.  Raises Forbidden where a node that may come back is on it."""
    for _ in range(_TRIES):
        known = common.shared.get(Network, net.id)
        if known is None:
            return
        now = blocks.listed(common.etcd, net.id)
        nodes = common.nodes()
        others = {block.node for block in now.blocks} - {common.me.id}
        there = sorted(nodes[ident].name for ident in others if ident in nodes and common.state(ident) != "down")
        busy = [one.name for one in told.read(common.etcd, net.id, common.me.id) if one.node not in common.out()]
        if there or any(map(entry, busy)):
            # Who has addresses of it and nobody on it is about to let go; so is who publishes a service's ports.
            raise (blocks.Held if all(map(entry, busy)) else Forbidden)(
                f"error while removing network: network {net.name} has active endpoints on {', '.join(there)}"
            )
        ledger = common.shared.get(Ledger, LEDGER)
        generation = Ledger(LEDGER, ledger.generation + 1 if ledger else 1)
        if common.shared.attempt(
            put=[generation],
            delete=[known],
            unchanged=[known, *([ledger] if ledger else [])],
            expected={keys.block_ledger(net.id): now.ledger},
        ):
            # Not before: whoever is refused goes on giving addresses out of his.
            blocks.give_back(common.etcd, [b for b in now.blocks if b.node == common.me.id or blocks.held(b)])
            _clear(common.etcd, net.id)
            return
        common.shared.refresh()
    raise Unavailable(f"network {net.name}: others change the cluster's networks all the time")


def _clear(etcd: Etcd, network: str) -> None:
    lines = [item.key for item in etcd.list(keys.told(network)).items]
    for start in range(0, len(lines), _AT_ONCE):
        etcd.transact({}, lines[start : start + _AT_ONCE])
    etcd.transact({}, [keys.block_ledger(network)])


def enough(shared: Shared, net: Network, spec: EndpointSpec) -> bool:
    """Whether this host can place an endpoint like *spec* without asking anybody."""
    return not any(True for _ in _lacking(shared, net, spec)) and not _has_its_mac(shared, net, spec)


def _has_its_mac(shared: Shared, net: Network, spec: EndpointSpec) -> str:
    """Who has the MAC that *spec* asks for, "" where nobody has: frames would come to one of both."""
    if not spec.mac:
        return ""
    holder = holders([*shared.endpoints(net.id), *shared.remotes(net.id)]).get(parse_mac(spec.mac))
    return holder.name if holder else ""


def _lacking(shared: Shared, net: Network, spec: EndpointSpec) -> Iterator[IPAddress | Family]:
    """What this host has not got: an address that is asked for, or any of a family."""
    own = net.tunnel.blocks if net.tunnel else ()
    taken = {a.ip for ep in shared.endpoints(net.id) for a in ep.addresses}
    for version in dict.fromkeys(p.family for p in net.pools):
        asked = next((a for a in spec.addresses if family(a) == version), None)
        if asked is not None:
            if not any(asked in block for block in own):
                yield asked
        elif not any(has_room(pool, own, taken) for pool in net.pools_of(version)):
            yield version


def provide(common: Commons, shared: Shared, net: Network, spec: EndpointSpec) -> None:
    """This host has blocks out of which it can place an endpoint like *spec*.  Raises what `connect` would; Held
    where another endpoint has its MAC."""
    other = _has_its_mac(shared, net, spec)
    if other:
        raise blocks.Held(f"network {net.name}: {parse_mac(spec.mac)} is the MAC of {other}")
    for what in _lacking(shared, net, spec):
        if isinstance(what, int):
            choose = blocks.next_of(net, what)
        else:
            pool = next((p for p in net.pools if what in p.subnet), None)
            if pool is None or what == pool.gateway or what in pool.aux.values():
                continue  # It is wrong by itself, and the engine says so.
            choose = blocks.exactly(what, pool)
        shared.grant(net.id, [blocks.take(common.etcd, net, common.me.id, choose)])


def settle_blocks(common: Commons, shared: Shared) -> None:
    """What a crash or an outage left: blocks that are ours in the store and not here, and the other way."""
    own = {(net.id, b) for net in shared.networks() if net.tunnel for b in net.tunnel.blocks}
    mine = blocks.of(common.etcd, common.me.id)
    blocks.give_back(common.etcd, [b for b in mine if (b.network, b.range) not in own])
    for network, block in own - {(b.network, b.range) for b in mine}:
        ours = blocks.hold(common.etcd, network, block, common.me.id)
        if not ours and not shared.give_back(network, [block]):
            log.error("network %s: %s is another host's by now, and addresses in it are here", network, block)
