"""The default networks: they are there from the first start, and `bridge` follows the settings at each."""

from dataclasses import replace

from bascule.drivers import bridge, find
from bascule.engine.decide import Decisions
from bascule.engine.intent import Intent
from bascule.kernel.protocol import Kernel
from bascule.model.addresses import ip_interface, ip_network
from bascule.model.errors import Failed
from bascule.model.network import Network, NetworkSpec, PoolSpec
from bascule.model.settings import Settings, table
from bascule.model.thing import Rule


def ensure_defaults(intent: Intent, kernel: Kernel, decide: Decisions, settings: Settings) -> None:
    """Raises Failed, and nothing has changed, where containers are in the way of another subnet or bridge."""
    known = {n.name: n for n in intent.networks() if n.predefined}
    for spec in (_bridge(settings), NetworkSpec("host", driver="host"), NetworkSpec("none", driver="null")):
        if spec.name not in known:
            find(spec.driver)
            intent.store.commit(put=[decide.network(spec, predefined=True)])
        elif spec.driver == "bridge":
            _follow(intent, kernel, known[spec.name], decide.again(known[spec.name], spec), settings)


def _follow(intent: Intent, kernel: Kernel, old: Network, new: Network, settings: Settings) -> None:
    """The default network is *new*, which has been decided of *old*."""
    if old == new:
        return
    ends = intent.endpoints(network=old.id)
    if (old.link, old.pools) != (new.link, new.pools):
        if ends:
            names = ", ".join(sorted(ep.name for ep in ends))
            raise Failed(
                f"the default network is {_where(old)} and cannot become {_where(new)} under its containers"
                f" ({names}): start with {_flags(old)}, stop them, then change it"
            )
        # Nobody is on it.  The link goes first: were it the other way round, a crash could leave its addresses.
        kernel.remove([t for t in intent.made_things(old) if not isinstance(t, Rule)][::-1])
    if old.link != new.link:
        left = dict.fromkeys((*old.left, table(old.link)))
        new = replace(new, left=tuple(name for name in left if name != settings.table))
    before, now = bridge.options(old).mtu, bridge.options(new).mtu
    # Both ends of a pair have one MTU, and a container's own is not ours to change.
    kept = [replace(ep, mtu=ep.mtu or before) for ep in ends] if before != now else []
    intent.store.commit(put=[new, *kept])


def _where(net: Network) -> str:
    return f"{', '.join(str(pool.subnet) for pool in net.pools)} on {net.link}"


def _flags(net: Network) -> str:
    own = [f" --bip={pool.gateway}/{pool.subnet.prefixlen}" for pool in net.pools if pool.gateway and net.asked]
    return f"--bridge={net.link}" + "".join(own)


def _bridge(settings: Settings) -> NetworkSpec:
    pools: tuple[PoolSpec, ...] = ()
    if settings.bip:
        own = ip_interface(settings.bip)
        pools = (PoolSpec(subnet=ip_network(own.network), gateway=own.ip),)
    return NetworkSpec(
        "bridge",
        pools=pools,
        options={
            "com.docker.network.bridge.default_bridge": "true",
            "com.docker.network.bridge.enable_icc": str(settings.icc).lower(),
            "com.docker.network.bridge.enable_ip_masquerade": "true",
            "com.docker.network.bridge.host_binding_ipv4": str(settings.publish_host or "0.0.0.0"),
            "com.docker.network.bridge.name": settings.bridge,
            "com.docker.network.driver.mtu": str(settings.mtu),
        },
    )
