"""The two families under one name each: strings stop at the door, inside there are only these."""

from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from typing import Literal

IPAddress = IPv4Address | IPv6Address
IPInterface = IPv4Interface | IPv6Interface
IPNetwork = IPv4Network | IPv6Network
Family = Literal[4, 6]
FAMILIES: tuple[Family, Family] = (4, 6)

__all__ = [
    "FAMILIES",
    "Family",
    "IPAddress",
    "IPInterface",
    "IPNetwork",
    "family",
    "interface",
    "ip_address",
    "ip_interface",
    "ip_network",
    "nft_family",
    "unspecified",
]


def family(value: IPAddress | IPInterface | IPNetwork) -> Family:
    """4 or 6, typed."""
    return 4 if value.version == 4 else 6


def nft_family(value: Family) -> str:
    """The word nft uses for the family's header: `ip` or `ip6`."""
    return "ip" if value == 4 else "ip6"


def interface(address: IPAddress, prefixlen: int) -> IPInterface:
    """*address* in a subnet of that length."""
    # By numbers: from text it would be taken apart twice.
    return (
        IPv4Interface((int(address), prefixlen))
        if address.version == 4
        else IPv6Interface((int(address), prefixlen))
    )


def unspecified(version: Family) -> IPAddress:
    """0.0.0.0 or ::."""
    return IPv4Address(0) if version == 4 else IPv6Address(0)


def identifier(mac: str) -> int:
    """The lower half of the IPv6 addresses that follow from a MAC (RFC 4291, appendix A)."""
    own = bytes.fromhex(mac.replace(":", ""))
    return int.from_bytes(bytes([own[0] ^ 2, *own[1:3], 0xFF, 0xFE, *own[3:]]))
