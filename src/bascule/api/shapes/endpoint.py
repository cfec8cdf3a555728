"""Endpoints in Docker's words: EndpointSettings, both ways."""

from collections.abc import Sequence
from ipaddress import ip_address
from typing import cast

from msgspec import Struct

from bascule.api.shapes import network_answer as answer
from bascule.api.shapes import times
from bascule.api.shapes.values import Int64
from bascule.model.addresses import IPAddress
from bascule.model.endpoint import FOREVER, Endpoint, EndpointSpec
from bascule.model.errors import Invalid
from bascule.model.names import parse_mac, short


class EndpointIpamBody(Struct):
    IPv4Address: str | None = None
    IPv6Address: str | None = None
    LinkLocalIPs: list[str] | None = None


class EndpointBody(Struct):
    IPAMConfig: EndpointIpamBody | None = None
    Links: list[str] | None = None
    Aliases: list[str] | None = None
    MacAddress: str | None = None
    DriverOpts: dict[str, str] | None = None
    GwPriority: Int64 | None = None


class ConnectBody(Struct):
    """POST /networks/{id}/connect and disconnect."""

    Container: str | None = None
    EndpointConfig: EndpointBody | None = None
    Force: bool | None = None


def container_ref(body: ConnectBody) -> str:
    """The container that is meant.  Raises Invalid where none is named."""
    if not body.Container:
        raise Invalid('invalid name or ID supplied: ""')
    return body.Container


def spec(body: EndpointBody | None, *, mac: bool = True) -> EndpointSpec:
    """The endpoint that is asked for; its MAC only with *mac*.  Raises Invalid."""
    if body is None:
        return EndpointSpec()
    ipam = body.IPAMConfig or EndpointIpamBody()
    return EndpointSpec(
        addresses=_addresses(ipam),
        link_local=_link_local(ipam.LinkLocalIPs or ()),
        mac=parse_mac(body.MacAddress) if mac and body.MacAddress else "",
        aliases=tuple(body.Aliases or ()),
        links=tuple(body.Links or ()),
        options=body.DriverOpts or {},
        gw_priority=body.GwPriority or 0,
    )


def _addresses(ipam: EndpointIpamBody) -> tuple[IPAddress, ...]:
    found: list[IPAddress] = []
    faults = []
    for version, text in ((4, ipam.IPv4Address), (6, ipam.IPv6Address)):
        if not text:
            continue
        try:
            address = ip_address(text)
        except ValueError:
            address = None
        if address is None or address.version != version:
            faults.append(f"invalid IPv{version} address: {text}")
        else:
            found.append(address)
    if len(faults) == 1:
        raise Invalid(f"invalid endpoint settings:\n{faults[0]}")
    if faults:
        raise Invalid("invalid endpoint settings:\n" + "\n".join(f"* {fault}" for fault in faults))
    return tuple(found)


def _link_local(texts: Sequence[str]) -> tuple[IPAddress, ...]:
    found: list[IPAddress] = []
    for text in texts:
        try:
            found.append(ip_address(text))
        except ValueError:
            raise Invalid(f"invalid endpoint settings:\ninvalid link-local IP address: {text}") from None
    return tuple(found)


def show(
    asked: EndpointSpec, ep: Endpoint | None, *, container: str, named: bool, version: tuple[int, int]
) -> answer.EndpointSettings:
    """One entry of NetworkSettings.Networks.  *named*: the network's containers have names on it, which is
    everywhere but on the default bridge."""
    v4, v6 = (ep.address(4), ep.address(6)) if ep else (None, None)
    aliases = list(asked.aliases)
    if named and version < (1, 45):
        aliases.append(short(container))
    return {
        "IPAMConfig": _ipam(asked),
        "Links": list(asked.links) or None,
        "Aliases": aliases or None,
        "MacAddress": ep.mac if ep else asked.mac,
        "DriverOpts": {**asked.options, **_lease(ep)} or None,
        "GwPriority": asked.gw_priority,
        "NetworkID": ep.network if ep else "",
        "EndpointID": ep.id if ep else "",
        "Gateway": _gateway(ep, 4),
        "IPAddress": str(v4.ip) if v4 else "",
        "IPPrefixLen": v4.network.prefixlen if v4 else 0,
        "IPv6Gateway": _gateway(ep, 6),
        "GlobalIPv6Address": str(v6.ip) if v6 else "",
        "GlobalIPv6PrefixLen": v6.network.prefixlen if v6 else 0,
        "DNSNames": (list(ep.dns_names) if ep and ep.dns_names else None),
    }


def _lease(ep: Endpoint | None) -> dict[str, str]:
    """What Docker has no field for: whose lease an address is, and until when."""
    found: dict[str, str] = {}
    for lease in ep.leases if ep else ():
        which = "dhcp" if lease.address.version == 4 else "dhcpv6"
        until = (
            "forever" if lease.seconds == FOREVER else times.rfc3339(lease.since + lease.seconds * 1_000_000_000)
        )
        found |= {f"bascule.{which}.server": lease.server, f"bascule.{which}.until": until}
    return found


def _gateway(ep: Endpoint | None, version: int) -> str:
    found = ep.gateway(4 if version == 4 else 6) if ep else None
    # An unspecified one: everything is on the link.
    return str(found) if found and int(found) else ""


def _ipam(asked: EndpointSpec) -> answer.EndpointIpam | None:
    shown = cast(answer.EndpointIpam, {f"IPv{a.version}Address": str(a) for a in asked.addresses})
    if asked.link_local:
        shown["LinkLocalIPs"] = [str(a) for a in asked.link_local]
    return shown or None
