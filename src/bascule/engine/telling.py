"""Telling others what came to be: the resolver, the process that carries ports, other hosts, who listens."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bascule.engine.cluster import Cluster
from bascule.engine.events import Events
from bascule.engine.intent import Intent, member
from bascule.engine.names import Names, Zone
from bascule.engine.proxy import Proxy, carried
from bascule.model.addresses import IPAddress
from bascule.model.endpoint import Endpoint
from bascule.model.errors import NotFound
from bascule.model.events import Event
from bascule.model.network import Network
from bascule.model.sandbox import Sandbox


@dataclass(slots=True)
class Telling:
    """*upstream* tells the host's nameservers each time it is asked."""

    intent: Intent
    names: Names
    proxy: Proxy
    events: Events
    cluster: Cluster
    upstream: Callable[[], Sequence[IPAddress]]
    now: Callable[[], int]

    def publish(self, ep: Endpoint) -> None:
        """The endpoint's names are known on its network; so are links to it."""
        net = self.intent.by_id(ep.network)
        if ep.dns_names:
            self.names.join(Zone(net.id, net.name), member(ep))
        if net.tunnel:
            self.cluster.changed(net.id)
        for other in self.intent.endpoints(network=ep.network):
            if other.spec.links and other.sandbox != ep.sandbox:
                self.serve(self.intent.sandbox(other.sandbox))

    def serve(self, sandbox: Sandbox) -> None:
        """The sandbox's resolver answers by what it sees now."""
        view = self.intent.view(sandbox, self.upstream())
        if view is None:
            self.names.leave(sandbox.id)
        else:
            self.names.serve(sandbox, view)

    def carry(self, sandbox: Sandbox) -> None:
        """The ports of the sandbox that the kernel cannot translate are carried by the process."""
        ends = self.intent.endpoints(sandbox=sandbox.id)
        self.proxy.carry(
            sandbox.id, [port for ep in ends if ep.ports for port in carried(ep, self.intent.endpoint_things(ep))]
        )

    def left(self, ep: Endpoint, sandbox: Sandbox) -> None:
        """The endpoint is gone: nobody finds it by a name any more."""
        if ep.dns_names:
            self.names.part(ep.network, ep.id)
        try:
            net = self.intent.by_id(ep.network)
        except NotFound:
            return
        if net.tunnel:
            self.cluster.changed(net.id)
        self.tell(net, "disconnect", container=sandbox.container)

    def tell(self, net: Network, action: str, **more: str) -> None:
        attributes = {**more, "name": net.name, "type": net.driver}
        self.events.tell(Event("network", action, net.id, self.now(), attributes, net.scope))
