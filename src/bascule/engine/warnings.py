"""What can be told to somebody who makes a network or a container: it will be as asked, and may not work."""

import logging
from collections.abc import Sequence

from bascule.drivers import find
from bascule.drivers.parent import base
from bascule.engine.decide import as_spec
from bascule.engine.intent import stands
from bascule.kernel.nature import WIRELESS
from bascule.kernel.protocol import Kernel
from bascule.model.addresses import FAMILIES, Family
from bascule.model.endpoint import EndpointSpec
from bascule.model.network import Network

log = logging.getLogger(__name__)

# Drivers that there are only in virtual machines.  What is at the other end is the hypervisor's business, and many
# take frames of the machine's own MAC alone: virtio with macvtap, VMware's and Hyper-V's switches by default, Xen,
# Amazon's and Google's always.
VIRTUAL = ("virtio_net", "vmxnet3", "hv_netvsc", "xen_netfront", "vif", "ena", "gve")


def of_network(kernel: Kernel, net: Network) -> list[str]:
    """Sentences, which the log has as well; none where nothing is known to be in the way."""
    if not stands(net) or not find(net.driver).TRAITS.own_mac or not base(net):
        return []
    name, nature = base(net), kernel.nature(base(net))
    found = []
    if nature == WIRELESS:
        found.append(
            f"{name} is wireless: access points drop frames of MACs that they did not admit, and containers of a"
            f" {net.driver} network have their own; those of an ipvlan network have the parent's"
        )
    elif nature in VIRTUAL:
        found.append(
            f"{name} is a virtual machine's ({nature}): outside of it, frames of MACs other than the machine's own"
            f" may be dropped; then promiscuous mode is to be allowed there, or an ipvlan network used"
        )
    for text in found:
        log.warning("network %s: %s", net.name, text)
    return found


def of_ports(nets: Sequence[tuple[Network, EndpointSpec]]) -> list[str]:
    """About a container on *nets* that is to publish ports: none of them does that, or the one that will have its
    default route does not."""
    if not nets:
        return []
    publishing = [net for net, _ in nets if find(net.driver).TRAITS.publishes]
    leading = [net for version in FAMILIES if (net := _gateway(nets, version))]
    # Who is on networks of several hosts alone publishes by the endpoint that leads outside (`gateways.WayOut`).
    led_out = [net for net, _ in nets if net.tunnel and not net.internal] if not leading else []
    if led_out or (publishing and (not leading or any(net in publishing for net in leading))):
        return []
    told = "Published ports are discarded: "
    if publishing:
        told += f"the default route is on network {leading[0].name}, and "
    net = leading[0] if leading else nets[0][0]
    if net.tunnel:
        return [f"{told}network {net.name} is internal"]
    return [f"{told}the {net.driver} driver does not support port mappings"]


def _gateway(nets: Sequence[tuple[Network, EndpointSpec]], version: Family) -> Network | None:
    """The network of *nets* that will be the gateway for a family, as `gateways.elect` does it with endpoints."""
    ranked = sorted(nets, key=lambda one: (-one[1].gw_priority, not (one[0].ipv4 and one[0].ipv6), one[0].name))
    return next((net for net, _ in ranked if _leads(net, version)), None)


def _leads(net: Network, version: Family) -> bool:
    if net.internal or net.tunnel or not find(net.driver).TRAITS.connects:
        return False
    chosen = find(net.driver).check(as_spec(net))
    held = chosen.has_gateway[FAMILIES.index(version)] or chosen.onlink
    return (net.ipv4, net.ipv6)[FAMILIES.index(version)] and held and not chosen.leads_nowhere
