"""What other hosts of a cluster would have written into its store."""

from dataclasses import replace
from ipaddress import IPv4Address

from bascule.cluster import keys
from bascule.model.addresses import ip_network
from bascule.model.codec import encode
from bascule.model.network import Network


def networks(base: Network, first: int, last: int) -> dict[str, str]:
    """Networks like *base*, by number, each with a subnet and a VNI of its own: their keys and records."""
    found = {}
    for number in range(first, last):
        subnet = ip_network(f"{IPv4Address('10.100.0.0') + 256 * number}/24")
        pool = replace(base.pools[0], subnet=subnet, range=subnet, gateway=subnet[1])
        assert base.tunnel is not None
        tunnel = replace(base.tunnel, vni=5000 + number)
        one = replace(base, id=f"{number:064x}", name=f"net{number}", pools=(pool,), tunnel=tunnel)
        found[keys.network(one.id)] = encode(one)
    return found
