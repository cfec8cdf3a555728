"""What can be told to somebody who makes a network or a container: it will be as asked, and may not work."""

import logging

from bascule.drivers import find
from bascule.drivers.parent import base
from bascule.engine.intent import stands
from bascule.kernel.nature import WIRELESS
from bascule.kernel.protocol import Kernel
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


def of_ports(nets: list[Network]) -> list[str]:
    """About a container on *nets* that is to publish ports: none of them does that."""
    if not nets or any(find(net.driver).TRAITS.publishes for net in nets):
        return []
    return [f"Published ports are discarded: the {nets[0].driver} driver does not support port mappings"]
