"""What is connected to what, in characters, from the JSON of `network inspect`."""

from collections.abc import Mapping, Sequence
from typing import Any

Json = Mapping[str, Any]
BRANCH, LAST, DOWN = ("├─", "└─", "│ ")


def draw(networks: Sequence[Json]) -> str:
    """A tree: the host, its networks in the order given, and on each its containers with their addresses.

    A container that is on several networks is named again on each, with a mark where else it is.
    """
    homes: dict[str, list[str]] = {}
    for network in networks:
        for place in _containers(network):
            homes.setdefault(place["Name"], []).append(network["Name"])
    lines = ["host"]
    for number, network in enumerate(networks):
        last = number == len(networks) - 1
        lines.append(f"{LAST if last else BRANCH} {_network(network)}")
        stem = "  " if last else DOWN
        places = sorted(_containers(network), key=lambda place: str(place["Name"]))
        for index, place in enumerate(places):
            other = [name for name in homes[place["Name"]] if name != network["Name"]]
            also = f"  (also on {', '.join(other)})" if other else ""
            twig = LAST if index == len(places) - 1 else BRANCH
            lines.append(f"{stem}    {twig} {place['Name']:<8} {_addresses(place)}{also}".rstrip())
    return "\n".join(lines)


def _containers(network: Json) -> list[Json]:
    return list((network.get("Containers") or {}).values())


def _network(network: Json) -> str:
    pools = (network.get("IPAM") or {}).get("Config") or []
    subnets = " ".join(pool["Subnet"] for pool in pools)
    way = "  no way out" if network.get("Internal") else ""
    return f"{network['Name']:<8} {network['Driver']:<8} {subnets}{way}".rstrip()


def _addresses(place: Json) -> str:
    found = (place.get("IPv4Address", ""), place.get("IPv6Address", ""))
    return " ".join(address.partition("/")[0] for address in found if address)
