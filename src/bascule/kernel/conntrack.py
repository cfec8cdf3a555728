"""Connection tracking: what the kernel remembers of an address goes with its endpoint (S13).

Otherwise an old UDP flow, which is answered for minutes, would reach the next holder of the address.
"""

import errno
from collections.abc import Callable, Sequence

from bascule.kernel.netfilter import Netfilter
from bascule.model.addresses import FAMILIES, IPAddress
from bascule.model.errors import KernelError
from bascule.wire import conntrack as wire


def forget(addresses: Sequence[IPAddress]) -> None:
    """Delete every entry from or to *addresses*, in either direction, in the caller's namespace.

    Raises KernelError where the kernel refuses.
    """
    netfilter = Netfilter()
    try:
        forget_by(netfilter, addresses)
    finally:
        netfilter.close()


def forget_by(netfilter: Netfilter, addresses: Sequence[IPAddress]) -> None:
    """The same, in *netfilter*'s namespace.  Who forgets often keeps one: closing it waits for what nftables has
    yet to free (net/netfilter/nf_tables_api.c: nft_rcv_nl_event), 10 ms after any deletion of an element."""
    if not addresses:
        return
    requests = b"".join(request for address in addresses for request in wire.forget_all_of(address))
    refusals = netfilter.request(requests, "forget connections")
    # Before 6.8 a deletion knows no filter, and misses the ports of what it takes for one entry's name.
    if any(refused.errno == errno.EINVAL for refused in refusals):
        refusals = forget_one_by_one(netfilter, addresses)
    for refused in refusals:
        # ENOENT: it ended by itself between the list and the deletion.
        if refused.errno != errno.ENOENT:
            raise refused


def forget_some(netfilter: Netfilter, which: Callable[[wire.Flow], bool]) -> None:
    """Delete the entries that *which* wants gone, in *netfilter*'s namespace.  Raises KernelError."""
    for version in FAMILIES:
        flows = map(wire.flow, netfilter.dump(wire.list_flows(version), "list connections"))
        requests = b"".join(wire.forget(flow) for flow in flows if which(flow))
        for refused in netfilter.request(requests, "forget connections") if requests else ():
            if refused.errno != errno.ENOENT:
                raise refused


def forget_one_by_one(netfilter: Netfilter, addresses: Sequence[IPAddress]) -> list[KernelError]:
    """The same by a dump: for kernels whose deletion knows no filter."""
    mine = frozenset(addresses)
    refusals: list[KernelError] = []
    for version in FAMILIES:
        if all(address.version != version for address in mine):
            continue
        flows = map(wire.flow, netfilter.dump(wire.list_flows(version), "list connections"))
        requests = b"".join(wire.forget(flow) for flow in flows if flow.addresses & mine)
        if requests:
            refusals += netfilter.request(requests, "forget connections")
    return refusals
