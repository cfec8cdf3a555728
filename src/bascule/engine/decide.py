"""Choosing: ids, names, addresses, MACs.  What is decided here is remembered before the kernel hears of it."""

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

from bascule.drivers import find, service
from bascule.drivers.options import Options, flag
from bascule.drivers.parent import HOST, check_sharing, shim, vlan
from bascule.drivers.protocol import Chosen
from bascule.engine.addressing import Addressing
from bascule.engine.intent import Intent, named, stands
from bascule.engine.leases import DRIVER
from bascule.engine.refusals import check_network, resolve_config
from bascule.engine.subnets import Subnets
from bascule.ipam.addresses import pick_address
from bascule.ipam.pools import check_pools
from bascule.kernel.protocol import Kernel
from bascule.model.addresses import (
    IPAddress,
    IPInterface,
    family,
    unspecified,
)
from bascule.model.endpoint import Endpoint, EndpointSpec
from bascule.model.errors import Failed, Forbidden, Invalid
from bascule.model.names import check_link_name, link_name, parse_mac, short
from bascule.model.network import Network, NetworkSpec, Pool
from bascule.model.sandbox import Sandbox, SandboxSpec
from bascule.model.settings import Settings


@dataclass(slots=True)
class Decisions:
    """Where numbers come from.  *chance(n)* gives n random bytes, *now()* nanoseconds since the epoch."""

    intent: Intent
    kernel: Kernel
    settings: Settings
    now: Callable[[], int]
    new_id: Callable[[], str]
    chance: Callable[[int], bytes]
    addressing: Addressing
    subnets: Subnets = field(init=False)
    raised: set[str] = field(default_factory=set)
    """Links that are there for a network that is about to be."""
    away: Callable[[Network], str] = lambda _net: ""
    """Why nothing can be made of a network's parent, in words; "" where it can."""

    def __post_init__(self) -> None:
        self.subnets = Subnets(self.intent, self.kernel, self.settings, self.chance)

    def follow(self, settings: Settings) -> None:
        """What is decided from now on is by *settings*."""
        self.settings = self.subnets.settings = settings

    def network(self, spec: NetworkSpec, *, predefined: bool = False, held: Collection[IPAddress] = ()) -> Network:
        """A network as it will be; the host has none of the addresses that are *held*.  Raises what Docker would
        say; changes nothing."""
        if not predefined:
            check_network(spec, self.intent)
            spec = self._configured(spec)
        spec = _with_families(spec)
        check_pools(spec.pools)
        ident = self.new_id()
        chosen = Chosen() if spec.config_only else find(spec.driver).check(spec)
        traits = None if spec.config_only else find(spec.driver).TRAITS
        link, adopted = self._link(ident, spec, chosen)
        pools: tuple[Pool, ...] = ()
        if traits and traits.connects:
            pools = self.subnets.pools(spec, chosen, traits.scope, adopted, predefined=predefined)
        if chosen.host_address:
            pools = tuple(_with_host(pool, held) for pool in pools)
        return Network(
            id=ident,
            name=spec.name,
            driver="null" if spec.config_only else spec.driver,
            created=self.now(),
            pools=pools,
            asked=spec.pools,
            ipv4=bool(spec.ipv4),
            ipv6=bool(spec.ipv6),
            internal=spec.internal,
            attachable=spec.attachable,
            scope="global" if traits and traits.scope == "global" else spec.scope or "local",
            config_only=spec.config_only,
            config_from=spec.config_from,
            ipam_driver=spec.ipam_driver or "default",
            ipam_options=spec.ipam_options,
            options=spec.options,
            labels=spec.labels,
            link=link,
            mac=self.mac() if link else "",
            predefined=predefined,
            adopted=adopted,
        )

    def again(self, old: Network, spec: NetworkSpec) -> Network:
        """A default network as *spec* has it now, where it was *old*; its subnet stays where none is said.  Raises
        as `network`; changes nothing."""
        chosen = find(spec.driver).check(spec)
        link, adopted = old.link, old.adopted
        if chosen.link != old.link:
            link, adopted = self._link(old.id, spec, chosen)
        pools = old.pools
        if spec.pools not in ((), old.asked) or (old.adopted and link != old.link):
            # A bridge of somebody else's keeps what it has: it may be in the way.
            stays = old.adopted and link != old.link
            pools = self.subnets.pools(
                _with_families(spec), chosen, "local", adopted, predefined=True, but=old, stays=stays
            )
        return replace(old, options=spec.options, asked=spec.pools, link=link, adopted=adopted, pools=pools)

    def _configured(self, spec: NetworkSpec) -> NetworkSpec:
        config = resolve_config(spec, self.intent)
        if config is None:
            # The administrator's are for users' networks: the default ones have flags of their own.
            return replace(spec, options={**self.settings.default_options.get(spec.driver, {}), **spec.options})
        return replace(
            spec,
            pools=config.asked,
            ipv4=config.ipv4,
            ipv6=config.ipv6,
            ipam_driver=config.ipam_driver,
            ipam_options=config.ipam_options,
            options=config.options,
            labels={**config.labels, **spec.labels},
            config_from=config.name,
        )

    def _link(self, ident: str, spec: NetworkSpec, chosen: Chosen) -> tuple[str, bool]:
        """The network's link, "" where it has none, and whether it was there before us."""
        if chosen.parent:
            return chosen.parent, self._check_parent(spec, chosen)
        if chosen.link:
            return chosen.link, self._check_link(ident, chosen.link)
        prefix = "" if spec.config_only else find(spec.driver).TRAITS.prefix
        return (link_name(prefix, ident) if prefix else ""), False

    def _check_parent(self, spec: NetworkSpec, chosen: Chosen) -> bool:
        """Whether the parent is there, and not because of a network of ours.  Raises Failed for one that neither is
        there nor can be made, or that another network has to itself."""
        sharing = [n for n in self.intent.networks() if stands(n) and n.link == chosen.parent]
        for other in sharing:
            if other.driver == spec.driver:
                check_sharing(chosen, other, find(other.driver).check(as_spec(other)))
        links = self.kernel.links()
        if chosen.parent not in links:
            below, _ = vlan(chosen.parent)
            if below not in links:
                raise Failed(f"-o parent interface was not found on the host: {below}")
            return False
        return chosen.parent not in self.raised and all(other.adopted for other in sharing)

    def _check_link(self, ident: str, link: str) -> bool:
        """Whether *link* is there already and will be adopted.  Raises for a name that cannot be used."""
        for other in self.intent.networks():
            # One whose parent it is has it beside the bridge network.
            if other.link == link and other.id != ident and not stands(other):
                raise Forbidden(
                    f"cannot create network {ident} ({link}): conflicts with network {other.id} ({link}):"
                    " networks have same bridge name"
                )
        if len(link) > 15:
            raise Failed("numerical result out of range")  # The kernel's ERANGE, as Docker passes it on.
        check_link_name(link)
        kind = self.kernel.links().get(link)
        if kind not in (None, "bridge"):
            raise Failed(
                f"cannot create network {ident} ({link}): {link} is there and is no bridge ({kind or 'device'})"
            )
        return kind == "bridge"

    def mac(self) -> str:
        """A random MAC."""
        return _local(self.chance(6))

    def _mac(self, net: Network, sandbox: Sandbox, addresses: Sequence[IPInterface], spec: EndpointSpec) -> str:
        """What was said, or the MAC that goes with an address: the next to have the address is reached at once by
        neighbours who remember the last one, without an announcement.  A DHCP server gives a container its address
        again, and its administrator may reserve one, by the MAC.  Random where there is neither."""
        if spec.mac:
            return parse_mac(spec.mac)
        if net.ipam_driver == DRIVER:
            return hashed_mac(f"{net.id} {sandbox.container}")
        return hashed_mac(f"{net.id} {addresses[0].ip}") if addresses else self.mac()

    def sandbox(self, ask: SandboxSpec) -> Sandbox:
        """A sandbox as it will be.  Changes nothing."""
        ident = self.new_id()
        return Sandbox(
            id=ident,
            container=ask.container,
            name=ask.name,
            key=ask.key or f"{self.settings.exec_root}/netns/{ident[:12]}",
            created=self.now(),
            hostname=ask.hostname,
            foreign=bool(ask.key),
            ports=ask.ports,
            exposed=ask.exposed,
            nameservers=ask.nameservers,
            search=ask.search,
            resolver_options=ask.resolver_options,
        )

    def endpoint(
        self,
        net: Network,
        sandbox: Sandbox,
        spec: EndpointSpec,
        at: Collection[IPAddress] = (),
        *,
        beside: Sequence[Endpoint] = (),
    ) -> Endpoint:
        """An endpoint as it will be, before anybody is elected a gateway, next to those there are and *beside*;
        with exactly the addresses *at*, where those are said.  Changes nothing but where the search for the next
        address begins."""
        driver = find(net.driver)
        ident = self.new_id()
        mine = [*self.intent.endpoints(sandbox=sandbox.id), *beside]
        link = link_name("bv-", ident) if driver.TRAITS.paired else ""
        insisted = driver.check_endpoint(net, dict(spec.options))
        _check_free(insisted, mine, link)
        chosen = driver.check(as_spec(net))
        self._check_segment(net, chosen, spec)
        addresses = self._apart(net, self.addressing.choose(net, at or spec.addresses), mine)
        targets = self._linked(net, spec)
        return Endpoint(
            id=ident,
            network=net.id,
            sandbox=sandbox.id,
            name=sandbox.name,
            created=self.now(),
            addresses=addresses,
            gateways=() if chosen.leads_nowhere else self._gateways(net, addresses, onlink=chosen.onlink),
            mac=self._mac(net, sandbox, addresses, spec) if driver.TRAITS.own_mac else "",
            link=link,
            ifname=insisted or _next_name(chosen.iface_prefix, [ep.ifname for ep in mine]),
            key=sandbox.key,
            dns_names=dns_names(net, sandbox, spec),
            exposed=sandbox.exposed,
            linked=tuple(a.ip for target in targets for a in target.addresses),
            reaches=tuple((a.ip, *port) for target in targets for a in target.addresses for port in target.exposed),
            spec=spec,
        )

    def _apart(
        self, net: Network, addresses: tuple[IPInterface, ...], mine: Sequence[Endpoint]
    ) -> tuple[IPInterface, ...]:
        """*addresses*.  Raises Failed where the sandbox would have one subnet on two links.  A host refuses such
        networks of its own, and one of the cluster's may be like one of them all the same."""
        for address, ep in product(addresses, mine):
            there = next((a for a in ep.addresses if a.ip in address.network or address.ip in a.network), None)
            if there is not None:
                other = self.intent.by_id(ep.network)
                raise Failed(
                    f"{ep.name} cannot be on network {net.name} ({address.network}) and on network {other.name}"
                    f" ({there.network}): they overlap"
                )
        return addresses

    def _check_segment(self, net: Network, chosen: Chosen, spec: EndpointSpec) -> None:
        """Raise Failed for what the kernel would refuse of an endpoint on a parent."""
        if not stands(net):
            return
        if why := self.away(net):
            raise Failed(f"network {net.name}: parent {why}")
        there = self.intent.endpoints(network=net.id)
        if chosen.single and there:
            raise Failed(f"network {net.name}: {net.link} is passed through to {there[0].name}, and to one only")
        if spec.mac:
            self._check_mac(net, parse_mac(spec.mac))

    def _check_mac(self, net: Network, mac: str) -> None:
        sharing = [n for n in self.intent.networks() if stands(n) and n.link == net.link]
        owners = {n.mac: "the host" for n in sharing if shim(n) in self.kernel.links()}
        owners |= {ep.mac: ep.name for n in sharing for ep in self.intent.endpoints(network=n.id)}
        if mac in owners:
            raise Failed(f"network {net.name}: MAC address {mac} is in use on {net.link} by {owners[mac]}")

    @staticmethod
    def _gateways(net: Network, addresses: Sequence[IPInterface], *, onlink: bool) -> tuple[IPAddress, ...]:
        # What leaves the cluster's hosts goes by another network.
        if net.internal or net.tunnel:
            return ()
        if onlink:
            return tuple(unspecified(family(address)) for address in addresses)
        found: list[IPAddress] = []
        for address in addresses:
            pool = next(p for p in net.pools if address.ip in p.subnet)
            # libnetwork's name for "the containers' gateway is not the bridge".
            other = pool.aux.get(f"DefaultGatewayIPv{pool.family}")
            gateway = other or pool.gateway
            if gateway:
                found.append(gateway)
        return tuple(found)

    def _linked(self, net: Network, spec: EndpointSpec) -> list[Endpoint]:
        """Whom legacy links name: they are more than aliases on the default bridge only."""
        if named(net):
            return []
        names = {link.partition(":")[0] for link in spec.links}

        def meant(ep: Endpoint) -> bool:
            ident = self.intent.sandbox(ep.sandbox).container
            return bool(names & {ep.name, ident, short(ident)})

        return [ep for ep in self.intent.endpoints(network=net.id) if names and meant(ep)]


def _with_host(pool: Pool, held: Collection[IPAddress]) -> Pool:
    """*pool* with an address of the host's: what the user chose for it, else the first that nobody has."""
    return pool if HOST in pool.aux else replace(pool, aux={**pool.aux, HOST: pick_address(pool, held)})


def _with_families(spec: NetworkSpec) -> NetworkSpec:
    """*spec* with its families decided: what was said, else what the options say, else IPv4 alone."""
    ipv4, ipv6 = (
        said if said is not None else _family_option(spec.options, version, default=version == 4)
        for version, said in ((4, spec.ipv4), (6, spec.ipv6))
    )
    if not ipv4 and not ipv6:
        raise Invalid("IPv4 or IPv6 must be enabled")
    return replace(spec, ipv4=ipv4, ipv6=ipv6)


def _family_option(options: Options, version: int, *, default: bool) -> bool:
    key = f"com.docker.network.enable_ipv{version}"
    try:
        return flag(options, key, default)
    except Invalid:
        # These two have a sentence of their own.
        raise Invalid(f'driver-opt "{key}" is not a valid bool') from None


def hashed_mac(text: str) -> str:
    """The MAC that goes with *text*."""
    return _local(hashlib.sha256(text.encode()).digest()[:6])


def _local(raw: bytes) -> str:
    """A locally administered, unicast address (IEEE 802: bit 1 of the first byte set, bit 0 clear)."""
    return bytes([(raw[0] | 0x02) & 0xFE, *raw[1:]]).hex(":")


def dns_names(net: Network, sandbox: Sandbox, spec: EndpointSpec) -> tuple[str, ...]:
    """What others may call it, the first being what a PTR query answers; nothing on the default bridge."""
    if not named(net):
        return ()
    served = service.names(spec.options) if net.tunnel else ()
    names = (sandbox.name, *spec.aliases, short(sandbox.container), sandbox.hostname, *served)
    return tuple(dict.fromkeys(n for n in names if n))


def _check_free(insisted: str, mine: Sequence[Endpoint], link: str) -> None:
    if insisted and any(ep.ifname == insisted for ep in mine):
        raise Failed(
            f'failed to add interface {link} to sandbox: error renaming interface "{link}" to "{insisted}":'
            " file exists"
        )


def _next_name(prefix: str, used: Sequence[str]) -> str:
    number = 0
    while f"{prefix}{number}" in used:
        number += 1
    return f"{prefix}{number}"


def as_spec(net: Network) -> NetworkSpec:
    """What a driver's `check` needs to read a network's options again."""
    return NetworkSpec(
        name=net.name, driver=net.driver, internal=net.internal, options=net.options, ipv4=net.ipv4, ipv6=net.ipv6
    )
