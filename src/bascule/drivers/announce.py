"""Telling neighbours of an endpoint: a gratuitous ARP and an unsolicited advertisement when its link comes up.

Docker's options say how often it does so itself; here the kernel does, once (arp_notify, ndisc_notify:
Documentation/networking/ip-sysctl).
"""

from collections.abc import Iterator

from bascule.drivers.options import Options, number
from bascule.model.endpoint import Endpoint
from bascule.model.errors import Failed
from bascule.model.thing import Sysctl

ADVERTISE = "com.docker.network.advertise_addr_nmsgs"
ADVERTISE_MS = "com.docker.network.advertise_addr_ms"


def wanted(given: Options) -> bool | None:
    """Whether the user asked for announcements, None where nothing was said.  The kernel decides how often; the
    numbers are checked as Docker checks them."""
    for key, lowest, highest in ((ADVERTISE, 0, 3), (ADVERTISE_MS, 100, 2000)):
        if not lowest <= number(given, key, lowest) <= highest:
            raise Failed(f"{key} must be in the range {lowest} to {highest}")
    return number(given, ADVERTISE, 0) > 0 if ADVERTISE in given else None


def things(ep: Endpoint) -> Iterator[Sysctl]:
    """What has the kernel do it, stated before the link is up."""
    for version, key in ((4, "net/ipv4/conf/{}/arp_notify"), (6, "net/ipv6/conf/{}/ndisc_notify")):
        if any(a.version == version for a in ep.addresses):
            yield Sysctl(key.format(ep.ifname), "1", ep.key)
