"""What the store says, in the terms the use cases need: look-ups, and the things that follow from it."""

from collections.abc import Callable, Iterator, Sequence

from bascule.drivers import find, overlay, sealed
from bascule.engine.names import Member, View, Zone
from bascule.engine.ports import Taken
from bascule.model.addresses import IPAddress
from bascule.model.cluster import Membership, Node, Remote, Ring
from bascule.model.endpoint import Endpoint
from bascule.model.errors import Invalid, NotFound
from bascule.model.names import short
from bascule.model.network import Network
from bascule.model.sandbox import Sandbox
from bascule.model.service import Service, entry
from bascule.model.thing import Address, Namespace, Thing
from bascule.store.protocol import Store

DEFAULT = "bridge"
"""The network that containers without a choice are on: no names, no aliases, links instead."""
GATEWAY = "bascule_gwbridge"
"""The network by which those leave this host that are on networks of several hosts alone: no names either."""


class Intent:
    """Reading the store.  Nothing here changes anything."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def networks(self) -> list[Network]:
        return self.store.all(Network)

    def network(self, ref: str) -> Network:
        """By full id, then by name, then by a prefix of the id that only one has.  Raises NotFound, Invalid."""
        if not ref:
            raise Invalid(f'invalid name or ID supplied: "{ref}"')
        found = self.store.get(Network, ref)
        if found:
            return found
        named = self.store.where(Network, "name", ref)
        if named:
            return named[0]
        prefixed = [n for n in self.networks() if n.id.startswith(ref)]
        if len(prefixed) > 1:
            raise Invalid(f"network {ref} is ambiguous ({len(prefixed)} matches found based on ID prefix)")
        if not prefixed:
            raise NotFound(f"network {ref} not found")
        return prefixed[0]

    def by_id(self, ident: str) -> Network:
        net = self.store.get(Network, ident)
        if net is None:
            raise NotFound(f"network {ident} not found")
        return net

    def endpoints(self, *, network: str = "", sandbox: str = "") -> list[Endpoint]:
        if sandbox:
            mine = self.store.where(Endpoint, "sandbox", sandbox)
            return [ep for ep in mine if not network or ep.network == network]
        return self.store.where(Endpoint, "network", network) if network else self.store.all(Endpoint)

    def remotes(self, network: str) -> list[Remote]:
        """The endpoints of a network on other hosts."""
        return self.store.where(Remote, "network", network)

    def idle(self, wanted: Callable[[Network], bool]) -> list[Network]:
        """The networks of users that nothing is on and *wanted* accepts; config-only ones are never among them."""
        shared = {net.id for net in self.networks() if net.tunnel}
        ends = self.store.all(Endpoint)
        used = {ep.network for ep in ends if ep.network not in shared or not entry(ep.name)}
        idle = [n for n in self.networks() if n.id not in used and not n.predefined and not n.config_only]
        return [net for net in idle if wanted(net)]

    def sandbox(self, ident: str) -> Sandbox:
        found = self.store.get(Sandbox, ident)
        if found is None:
            raise NotFound(f"sandbox {short(ident)} not found")
        return found

    def membership(self) -> Membership | None:
        """This host's in a cluster, None where it is a host of its own."""
        return next(iter(self.store.all(Membership)), None)

    def host_things(self) -> list[Thing]:
        """What is true of a member of a cluster, whatever networks it has."""
        me = self.membership()
        if me is None:
            return []
        nodes = self.store.all(Node)
        return [*self.sealed_things(me, nodes), *overlay.host(me.port, nodes)]

    def sealed_things(self, me: Membership, nodes: Sequence[Node]) -> list[Thing]:
        """What encrypts on a member, and keeps what is not encrypted out; nothing where no network is to be."""
        vnis = {net.tunnel.vni: net.tunnel.seal for net in self.networks() if net.tunnel and net.tunnel.seal}
        ring = next(iter(self.store.all(Ring)), None)
        return sealed.host(me, nodes, vnis, ring) if vnis else []

    def network_things(self, net: Network) -> list[Thing]:
        """A network of several hosts is on those that have endpoints on it, and only there."""
        if net.config_only or (net.tunnel and not joined(self, net)):
            return []
        things = find(net.driver).network(net)
        if net.tunnel:
            remotes = self.store.where(Remote, "network", net.id)
            for one in remotes:
                things += overlay.remote(net, one)
            things += overlay.groups(net, remotes)
        return things

    def made_things(self, net: Network) -> list[Thing]:
        """What goes with the network.  A bridge of somebody else's stays as it is, with its addresses, whoever
        gave it those; so does what another network states as well (a parent that they share)."""
        sharing = [other for other in self.networks() if other.link == net.link and other.id != net.id and net.link]
        stated = {thing for other in sharing for thing in self.network_things(other)}
        bridged = net.adopted and find(net.driver).TRAITS.paired
        return [t for t in self.network_things(net) if t not in stated and not (bridged and isinstance(t, Address))]

    def endpoint_things(self, ep: Endpoint) -> list[Thing]:
        net = self.by_id(ep.network)
        return find(net.driver).endpoint(net, ep)

    def namespaces(self) -> list[Thing]:
        """Those of sandboxes that are ours."""
        return [Namespace(sandbox.key) for sandbox in self.store.all(Sandbox) if not sandbox.foreign]

    def things(self, wanted: Callable[[Network], bool] = lambda _net: True) -> Iterator[Thing]:
        """Everything that should be true of the networks that *wanted* accepts, in an order in which it can be made
        so once the namespaces are there."""
        yield from self.host_things()
        nets = {net.id: net for net in self.networks() if wanted(net)}
        for net in nets.values():
            yield from self.network_things(net)
        for ep in self.store.all(Endpoint):
            if ep.network in nets:
                yield from find(nets[ep.network].driver).endpoint(nets[ep.network], ep)

    def taken_ports(self) -> list[Taken]:
        return [Taken(port, f'container "{ep.name}"') for ep in self.store.all(Endpoint) for port in ep.ports]

    def zone(self, net: Network) -> Zone:
        members = [member(ep) for ep in self.endpoints(network=net.id) if ep.dns_names]
        if net.tunnel:
            members += [remote_member(one) for one in self.remotes(net.id) if one.dns_names]
            services = self.store.where(Service, "network", net.id)
            members += [service_member(one) for one in services if one.addresses]
        return Zone(net.id, net.name, tuple(members))

    def view(self, sandbox: Sandbox, host_servers: Sequence[IPAddress]) -> View | None:
        """What the sandbox sees of names; None where the resolver does not serve it (only on `bridge`)."""
        mine = self.endpoints(sandbox=sandbox.id)
        nets = [self.by_id(ep.network) for ep in mine]
        if not any(named(n) for n in nets):
            return None
        links: dict[str, tuple[IPAddress, ...]] = {}
        for ep in mine:
            links |= self._links(ep)
        outside = any(not n.internal for n in nets)
        return View(
            sandbox.id,
            tuple(n.id for n in nets if named(n)),
            links or None,
            (sandbox.nameservers or tuple(host_servers)) if outside else (),
        )

    def _links(self, ep: Endpoint) -> dict[str, tuple[IPAddress, ...]]:
        found: dict[str, tuple[IPAddress, ...]] = {}
        for link in ep.spec.links:
            target, _, alias = link.partition(":")
            for other in self.endpoints(network=ep.network):
                if target in (other.name, short(other.id)) or target in other.dns_names:
                    found[alias or target] = tuple(a.ip for a in other.addresses)
        return found


def stands(net: Network) -> bool:
    """Whether the network's endpoints are made of a parent link, which may be somebody else's."""
    return not net.config_only and bool(net.link) and not find(net.driver).TRAITS.paired


def named(net: Network) -> bool:
    """Whether the network's containers find one another by name."""
    return net.name != GATEWAY and (net.name != DEFAULT or not net.predefined)


def joined(intent: Intent, net: Network) -> bool:
    """Whether this host has endpoints on a network of several."""
    return bool(intent.endpoints(network=net.id))


def service_member(one: Service) -> Member:
    return Member(f"service {one.id}", (one.name,), one.addresses)


def remote_member(one: Remote) -> Member:
    return Member(one.id, one.dns_names, one.addresses)


def member(ep: Endpoint) -> Member:
    return Member(ep.id, ep.dns_names, tuple(a.ip for a in ep.addresses))
