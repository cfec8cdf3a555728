"""A sandbox's endpoints before and after: electing gateways, moving ports with them, and making it so.

Connecting, disconnecting and anything that moves a default route are one mechanism: two lists of endpoints, and
the difference between the things that follow from each.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bascule.drivers import find, service
from bascule.engine.decide import as_spec
from bascule.engine.gateways import elect
from bascule.engine.intent import Intent, joined, member
from bascule.engine.ports import Ports, Taken, hosts
from bascule.engine.telling import Telling
from bascule.kernel.apply import shift, take_down
from bascule.kernel.protocol import Kernel
from bascule.model.addresses import Family, IPAddress
from bascule.model.endpoint import Endpoint, PortSpec, PublishedPort
from bascule.model.errors import BasculeError, Failed
from bascule.model.network import Network
from bascule.model.sandbox import Sandbox
from bascule.model.settings import Settings
from bascule.model.thing import Thing
from bascule.model.typed import made, unmade
from bascule.store.protocol import Storable


@dataclass(frozen=True, slots=True)
class Beside:
    """An object of somebody else's that changes in the same moment, as it was and as it is then."""

    was: Storable
    now: Storable

    def undone(self) -> "Beside":
        return Beside(self.now, self.was)


@dataclass(frozen=True, slots=True)
class Change:
    """Only endpoints that differ are in it."""

    before: tuple[Endpoint, ...]
    after: tuple[Endpoint, ...]
    beside: Beside | None = None

    def now(self, ident: str) -> Endpoint:
        return next(ep for ep in self.after if ep.id == ident)

    def gone(self) -> list[Endpoint]:
        """Those that are not there any more after it."""
        return [ep for ep in self.before if all(ep.id != other.id for other in self.after)]

    def undone(self) -> "Change":
        return Change(self.after, self.before, self.beside and self.beside.undone())


@dataclass(frozen=True, slots=True)
class Changes:
    intent: Intent
    kernel: Kernel
    ports: Ports
    settings: Settings
    telling: Telling

    def between(self, sandbox: Sandbox, before: Sequence[Endpoint], after: Sequence[Endpoint]) -> Change:
        """*after* with its gateways elected and its ports on them; host ports that were decided stay the same.
        Raises Failed where a port cannot be had.  Changes nothing."""
        elected = elect(after, self.intent.by_id)
        routed = [_routed(ep, elected[ep.id]) for ep in after]
        settled = self._with_ports(sandbox, before, routed)
        return Change(
            tuple(ep for ep in before if ep not in settled), tuple(ep for ep in settled if ep not in before)
        )

    def make(self, change: Change, sandbox: Sandbox) -> None:
        """Remember it, tell those who answer for *sandbox*, and make it true.  Whoever refuses, everything is as it
        was."""
        old = [*self.ground(change), *self._things(change.before)]
        self._remember(change)
        new = [*self.ground(change), *self._things(change.after)]
        try:
            self._tell(change, sandbox)
            shift(self.kernel, old, new)
            try:
                self.telling.carry(sandbox)
                self.telling.flush()
            except BasculeError:
                shift(self.kernel, new, old)
                raise
        except BasculeError as refusal:
            self._take_back(change.undone(), sandbox, refusal)
            raise

    def _remember(self, change: Change) -> None:
        beside = (change.beside.now,) if change.beside else ()
        self.intent.store.commit(put=(*change.after, *beside), delete=change.gone())

    def _tell(self, change: Change, sandbox: Sandbox) -> None:
        for ep in change.gone():
            self.telling.parted(ep)
        told = [member(ep) for ep in change.before]
        for ep in change.after:
            if member(ep) not in told:
                self.telling.joined(ep)
        self.telling.serve(sandbox)

    def _take_back(self, undone: Change, sandbox: Sandbox, refusal: BasculeError) -> None:
        self._remember(undone)
        try:
            self._tell(undone, sandbox)
            self.telling.carry(sandbox)
            self.telling.flush()
        except BasculeError as another:
            refusal.add_note(f"and telling that nothing changed: {another}")

    def plan(self, change: Change) -> list[str]:
        """The command lines of it, as they would be typed: what goes, then what comes."""
        old, new, table = self._things(change.before), self._things(change.after), self.settings.table
        for net in self._met(change):
            if joined(self.intent, net):
                old = [*self.intent.network_things(net), *old]
            else:
                new = [*find(net.driver).network(net), *new]
        return unmade((t for t in old if t not in new), table) + made((t for t in new if t not in old), table)

    def _met(self, change: Change) -> list[Network]:
        """The networks of several hosts that come to this one or leave it by *change*: with the first endpoint
        on them, or the last."""
        nets = [self.intent.by_id(i) for i in dict.fromkeys(ep.network for ep in (*change.before, *change.after))]
        return [net for net in nets if net.tunnel and self._arrives_or_leaves(net, change)]

    def _arrives_or_leaves(self, net: Network, change: Change) -> bool:
        before = {ep.id for ep in change.before if ep.network == net.id}
        after = {ep.id for ep in change.after if ep.network == net.id}
        stay = {ep.id for ep in self.intent.endpoints(network=net.id)} - before - after
        return not stay and bool(before) != bool(after)

    def ground(self, change: Change) -> list[Thing]:
        """What is true of them as the store is now."""
        return [thing for net in self._met(change) for thing in self.intent.network_things(net)]

    def _things(self, endpoints: Sequence[Endpoint]) -> list[Thing]:
        return [thing for ep in endpoints for thing in self.intent.endpoint_things(ep)]

    def _with_ports(
        self, sandbox: Sandbox, before: Sequence[Endpoint], after: Sequence[Endpoint]
    ) -> list[Endpoint]:
        carriers = [ep for ep in after if ep.default_for and self._publishes(ep)]
        asked = (*sandbox.ports, *self._kept(after))
        if not asked or not carriers:
            return list(after)
        decided = self._decided(sandbox, asked, before, carriers[0])
        return [replace(ep, ports=tuple(p for p in decided if _carries(ep, p, carriers))) for ep in after]

    def _kept(self, after: Sequence[Endpoint]) -> list[PortSpec]:
        """The published ports of services that this host's endpoints answer themselves."""
        names = [(ep.network, service.name(ep.spec.options)) for ep in after]
        found = [self.telling.services.get(network, name) for network, name in names if name]
        return [port.asked for one in found if one and one.keep for port in one.ports]

    def _publishes(self, ep: Endpoint) -> bool:
        net = self.intent.by_id(ep.network)
        return find(net.driver).TRAITS.publishes and not net.internal

    def _decided(
        self, sandbox: Sandbox, asked: Sequence[PortSpec], before: Sequence[Endpoint], carrier: Endpoint
    ) -> tuple[PublishedPort, ...]:
        had = [port for ep in before for port in ep.ports]
        default = self._default_host(carrier)
        standing = tuple(port for port in had if any(_is_of(port, spec, default) for spec in asked))
        fresh = [spec for spec in asked if not any(_is_of(port, spec, default) for port in standing)]
        if not fresh:
            return standing
        others = [Taken(port, "this container") for port in standing]
        others += [
            Taken(port, f'container "{ep.name}"')
            for ep in self.intent.endpoints()
            if ep.sandbox != sandbox.id
            for port in ep.ports
        ]
        try:
            return (*standing, *self.ports.decide(fresh, default, others))
        except Failed as refusal:
            raise Failed(
                "driver failed programming external connectivity on endpoint"
                f" {carrier.name} ({carrier.id}): {refusal}"
            ) from refusal

    def _default_host(self, carrier: Endpoint) -> IPAddress | None:
        net = self.intent.by_id(carrier.network)
        host = find(net.driver).check(as_spec(net)).publish_host or self.settings.publish_host
        # 0.0.0.0 as a default stands for both families, as in Docker.
        return host if host is not None and int(host) else None


def _routed(ep: Endpoint, default_for: tuple[Family, ...]) -> Endpoint:
    """*ep* as a gateway of these families, and with no ports yet."""
    if ep.default_for == default_for and not ep.ports:
        return ep
    return replace(ep, default_for=default_for, ports=())


def _is_of(port: PublishedPort, spec: PortSpec, default: IPAddress | None) -> bool:
    """Whether it is what would be decided of *spec* on a network with this *default* address of the host."""
    first, last = spec.host_ports or (0, 1 << 16)
    host = port.host in hosts(spec.host, default)
    return (port.port, port.proto) == (spec.port, spec.proto) and host and first <= port.host_port <= last


def _carries(ep: Endpoint, port: PublishedPort, carriers: Sequence[Endpoint]) -> bool:
    """The gateway of the port's family carries it; where no endpoint has that family, the first gateway does, and
    the forwarder takes the connection over to the family it has."""
    able = [c for c in carriers if port.host.version in c.default_for] or list(carriers[:1])
    return any(c.id == ep.id for c in able)


def take_away(kernel: Kernel, things: Sequence[Thing]) -> None:
    """Make *things* untrue, last first.  Raises Failed with everything that was refused, when it is through."""
    try:
        take_down(kernel, things)
    except* BasculeError as refusals:
        raise Failed("; ".join(str(e) for e in refusals.exceptions)) from refusals
