"""macvlan: endpoints straight on a physical network, each with a MAC of its own."""

from bascule.drivers import parent
from bascule.drivers.options import check_ours
from bascule.drivers.protocol import Chosen, Traits
from bascule.model.endpoint import Endpoint
from bascule.model.errors import Failed
from bascule.model.network import Network, NetworkSpec
from bascule.model.thing import Macvlan, Thing

TRAITS = Traits("macvlan", prefix="dm-", paired=False, leases=True)

MODE = "macvlan_mode"
_MODES = ("bridge", "private", "vepa", "passthru")


def mode(net: Network | NetworkSpec) -> str:
    return parent.one_of(net.options, MODE, _MODES, "macvlan mode", "mode is the macvlan driver default")


def check(spec: NetworkSpec) -> Chosen:
    check_ours(spec.options, *parent.OURS)
    if parent.host_access(spec.options) and mode(spec) != "bridge":
        raise Failed(
            f"there is no host access in macvlan mode {mode(spec)}, which keeps the host from the endpoints"
        )
    passthru = mode(spec) == "passthru"
    return parent.chosen(spec, "macvlan", alone=passthru, single=passthru)


def check_endpoint(net: Network, options: dict[str, str]) -> str:  # noqa: ARG001 -- any macvlan network will do.
    return parent.check_endpoint(options)


def network(net: Network) -> list[Thing]:
    made = list(parent.links(net, "macvlan"))
    if parent.host_access(net.options):
        made += parent.host_side(net, Macvlan(parent.shim(net), net.link, mode(net), mac=net.mac))
    return made


def endpoint(net: Network, ep: Endpoint) -> list[Thing]:
    if mode(net) == "passthru":
        # It is born with its parent's MAC whatever is asked for; given another, the parent has that as well, until
        # the kernel puts the parent's own back with the link's end (drivers/net/macvlan.c: macvlan_port_destroy).
        return parent.endpoint(net, ep, Macvlan(ep.ifname, net.link, "passthru", ns=ep.key), ep.mac)
    return parent.endpoint(net, ep, Macvlan(ep.ifname, net.link, mode(net), mac=ep.mac, ns=ep.key))
