"""ipvlan: endpoints straight on a physical network, with the MAC of their parent."""

from bascule.drivers import parent
from bascule.drivers.options import check_ours
from bascule.drivers.protocol import Chosen, Traits
from bascule.model.endpoint import Endpoint
from bascule.model.errors import Failed
from bascule.model.network import Network, NetworkSpec
from bascule.model.thing import Ipvlan, Thing

TRAITS = Traits("ipvlan", prefix="di-", paired=False, own_mac=False)

MODE, FLAG = "ipvlan_mode", "ipvlan_flag"
_MODES = ("l2", "l3", "l3s")
_FLAGS = ("bridge", "private", "vepa")


def mode(net: Network | NetworkSpec) -> str:
    return parent.one_of(net.options, MODE, _MODES, "ipvlan mode", "mode is the ipvlan driver default")


def how(net: Network | NetworkSpec) -> str:
    return parent.one_of(net.options, FLAG, _FLAGS, "ipvlan flag", "is the ipvlan driver default")


def check(spec: NetworkSpec) -> Chosen:
    check_ours(spec.options, *parent.OURS)
    flag = how(spec)
    if parent.host_access(spec.options) and flag != "bridge":
        raise Failed(f"there is no host access with ipvlan flag {flag}, which keeps the host from the endpoints")
    # In l3 the parent routes: there are no neighbours to be gateways.
    return parent.chosen(spec, "ipvlan", alone=True, onlink=mode(spec) != "l2")


def check_endpoint(net: Network, options: dict[str, str]) -> str:  # noqa: ARG001 -- any ipvlan network will do.
    return parent.check_endpoint(options)


def network(net: Network) -> list[Thing]:
    made = list(parent.links(net, "ipvlan"))
    if parent.host_access(net.options):
        made += parent.host_side(net, Ipvlan(parent.shim(net), net.link, mode(net), how(net)))
    return made


def endpoint(net: Network, ep: Endpoint) -> list[Thing]:
    return parent.endpoint(net, ep, Ipvlan(ep.ifname, net.link, mode(net), how(net), ns=ep.key))
