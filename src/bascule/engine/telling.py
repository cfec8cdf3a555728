"""What others hear of networks and endpoints: the resolver, the forwarder, and whoever listens to events.

The resolver is a process of its own.  It is told before the kernel is, so that the two work at the same time, and
what was said is so when `flush` returns.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bascule.engine.cluster import Cluster
from bascule.engine.events import Events
from bascule.engine.intent import Intent, member
from bascule.engine.names import Names, Zone
from bascule.engine.proxy import Proxy, carried
from bascule.engine.services import Services
from bascule.model.addresses import IPAddress
from bascule.model.endpoint import Endpoint
from bascule.model.events import Event
from bascule.model.network import Network
from bascule.model.sandbox import Sandbox


@dataclass(frozen=True, slots=True)
class Telling:
    """Tells what the store says.  *upstream*: the host's nameservers, *now*: nanoseconds since the epoch."""

    intent: Intent
    names: Names
    proxy: Proxy
    events: Events
    cluster: Cluster
    services: Services
    upstream: Callable[[], Sequence[IPAddress]]
    now: Callable[[], int]

    def network(self, net: Network, *, gone: bool = False) -> None:
        """The resolver knows the network, which is empty, or forgets it."""
        self.names.publish(Zone(net.id, net.name, gone=gone), soon=True)

    def joined(self, ep: Endpoint) -> None:
        """The names of *ep*, or its new addresses, are on its network."""
        net = self.intent.by_id(ep.network)
        if ep.dns_names:
            self.names.join(Zone(net.id, net.name), member(ep))
        if net.tunnel:
            self._shared(net, ep)
        for other in self.intent.endpoints(network=ep.network):
            if other.spec.links and other.sandbox != ep.sandbox:
                self.serve(self.intent.sandbox(other.sandbox))

    def parted(self, ep: Endpoint) -> None:
        """The names of *ep* are no longer on its network."""
        if ep.dns_names:
            self.names.part(ep.network, ep.id)
        net = self.intent.store.get(Network, ep.network)
        if net is not None and net.tunnel:
            self._shared(net, ep)

    def _shared(self, net: Network, ep: Endpoint) -> None:
        """Who asks services from its sandbox does so by the networks it is on now; the rest of this host and others
        hear soon."""
        box = self.intent.store.get(Sandbox, ep.sandbox)
        if box is not None:
            self.services.place(box)
        else:
            self.services.left(ep.key)
        self.services.touch(net.id)
        self.cluster.changed(net.id)

    def serve(self, sandbox: Sandbox) -> None:
        """The resolver answers *sandbox* by the networks that it is on now."""
        view = self.intent.view(sandbox, self.upstream())
        if view is None:
            self.names.leave(sandbox.id)
        else:
            self.names.serve(sandbox, view, soon=True)

    def everything(self) -> None:
        """The resolver and the forwarder know all that there is, and of nothing else."""
        for net in self.intent.networks():
            self.names.publish(self.intent.zone(net), soon=True)
        boxes = self.intent.store.all(Sandbox)
        for box in boxes:
            self.serve(box)
            self.carry(box)
        for key in set(self.proxy.keys()) - {box.id for box in boxes}:
            self.proxy.carry(key, ())
        self.names.settle()

    def flush(self) -> None:
        """The resolver has done what it was told.  Raises Failed where it refused."""
        self.names.flush()

    def carry(self, sandbox: Sandbox) -> None:
        """The forwarder carries the ports of *sandbox*, when this returns.  Raises Failed."""
        ends = self.intent.endpoints(sandbox=sandbox.id)
        self.proxy.carry(
            sandbox.id, [port for ep in ends if ep.ports for port in carried(ep, self.intent.endpoint_things(ep))]
        )

    def disconnected(self, ep: Endpoint, sandbox: Sandbox) -> None:
        """The event of it; none where the network is gone as well."""
        net = self.intent.store.get(Network, ep.network)
        if net is not None:
            self.happened(net, "disconnect", container=sandbox.container)

    def duplicate(self, net: Network, ep: Endpoint, address: IPAddress, mac: str) -> None:
        """The event of another machine, *mac*, that has an address of *ep*."""
        box = self.intent.sandbox(ep.sandbox)
        self.happened(net, "duplicate", container=box.container, address=str(address), mac=mac)

    def happened(self, net: Network, action: str, **more: str) -> None:
        attributes = {**more, "name": net.name, "type": net.driver}
        self.events.tell(Event("network", action, net.id, self.now(), attributes, net.scope))
