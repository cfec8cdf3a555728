"""bridge: a bridge on this host, a veth pair for each endpoint, routed and translated to the world.

The order of an endpoint's things is for safety.  The firewall's elements come before the link that they are about,
so that it never carries a frame that they have not seen; taken down backwards, they outlive it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

from bascule.drivers import advertised, announce, sysctls
from bascule.drivers.nexthop import default_routes
from bascule.drivers.options import Options, address, check_ours, flag, link_name, number, refused
from bascule.drivers.protocol import Chosen, Traits
from bascule.model.addresses import (
    FAMILIES,
    Family,
    IPAddress,
    IPInterface,
    family,
    interface,
    ip_address,
    ip_interface,
)
from bascule.model.endpoint import Endpoint
from bascule.model.errors import Failed, Invalid
from bascule.model.network import Network, NetworkSpec
from bascule.model.thing import (
    Address,
    Apart,
    Bridge,
    Closed,
    Forward,
    Internal,
    Lawful,
    Linked,
    Masquerade,
    Open,
    Port,
    Publish,
    Rule,
    Sysctl,
    Thing,
    Together,
    Trusted,
    Up,
    Veth,
)

TRAITS = Traits("bridge", publishes=True, leases=True)

GatewayMode = Literal["nat", "nat-unprotected", "routed", "isolated"]

NAME = "com.docker.network.bridge.name"
MTU = "com.docker.network.driver.mtu"
ICC = "com.docker.network.bridge.enable_icc"
MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"
HOST_BINDING = "com.docker.network.bridge.host_binding_ipv4"
GATEWAY_MODE = {
    4: "com.docker.network.bridge.gateway_mode_ipv4",
    6: "com.docker.network.bridge.gateway_mode_ipv6",
}
INHIBIT = "com.docker.network.bridge.inhibit_ipv4"
TRUSTED = "com.docker.network.bridge.trusted_host_interfaces"
PREFIX = "com.docker.network.container_iface_prefix"
SOURCE = {4: "com.docker.network.host_ipv4", 6: "com.docker.network.host_ipv6"}
ANTISPOOF = "bascule.antispoof"
IFNAME = "com.docker.network.endpoint.ifname"
SYSCTLS = "com.docker.network.endpoint.sysctls"

# A link without a link-local address cannot ask for a neighbour on behalf of what it forwards (net/ipv6/ndisc.c,
# ndisc_send_ns), and the kernel makes up none for ours: a container that had said nothing yet would not be reached
# from another machine.  Docker gives its bridges this one, too.
_ASKS_FROM = ip_interface("fe80::1/64")

# include/uapi/linux/if_ether.h: ETH_MIN_MTU, ETH_MAX_MTU.
_MTU_MIN, _MTU_MAX = 68, 65535


@dataclass(frozen=True, slots=True)
class BridgeOptions:
    """A network's options as values.  Those by family are in the order IPv4, IPv6."""

    name: str = ""
    mtu: int = 1500
    icc: bool = True
    masquerade: bool = True
    host_binding: IPAddress | None = None
    modes: tuple[GatewayMode, GatewayMode] = ("nat", "nat")
    inhibit_ipv4: bool = False
    trusted: tuple[str, ...] = ()
    prefix: str = "eth"
    sources: tuple[IPAddress | None, IPAddress | None] = (None, None)
    advertise: bool | None = None
    antispoof: bool = True

    def mode(self, version: Family) -> GatewayMode:
        return self.modes[FAMILIES.index(version)]

    def source(self, version: Family) -> IPAddress | None:
        return self.sources[FAMILIES.index(version)]


def options(net: Network | NetworkSpec) -> BridgeOptions:
    """The options of *net*, read.  Unknown ones are left alone, as in Docker.  Raises Invalid and Failed."""
    return _read(tuple(net.options.items()), net.internal)


@lru_cache(maxsize=1 << 12)
def _read(items: tuple[tuple[str, str], ...], internal: bool) -> BridgeOptions:
    given = dict(items)
    return BridgeOptions(
        name=given.get(NAME, ""),
        mtu=_mtu(given),
        icc=flag(given, ICC, True),
        masquerade=flag(given, MASQUERADE, True),
        host_binding=address(given, HOST_BINDING, 4, 6),
        modes=(_mode(given, 4, internal), _mode(given, 6, internal)),
        inhibit_ipv4=flag(given, INHIBIT, False),
        trusted=_trusted(given),
        prefix=link_name(given, PREFIX, "0") or "eth",
        sources=(address(given, SOURCE[4], 4), address(given, SOURCE[6], 6)),
        advertise=announce.wanted(given),
        antispoof=flag(given, ANTISPOOF, True),
    )


def _mtu(given: Options) -> int:
    mtu = number(given, MTU, 0)
    if mtu < 0:
        raise Invalid(f"invalid MTU number: {mtu}")
    if mtu and not _MTU_MIN <= mtu <= _MTU_MAX:
        raise Failed("invalid argument")  # The kernel's EINVAL, as Docker passes it on.
    return mtu or 1500


def _mode(given: Options, version: Family, internal: bool) -> GatewayMode:
    key = GATEWAY_MODE[version]
    value = given.get(key) or "nat"
    for mode in get_args(GatewayMode):
        if value == mode:
            if mode == "isolated" and not internal:
                raise Failed("gateway mode 'isolated' can only be used for an internal network")
            found: GatewayMode = mode
            return found
    raise refused(key, value, f"unknown gateway mode {value}")


def _trusted(given: Options) -> tuple[str, ...]:
    names = tuple(name for name in given.get(TRUSTED, "").split(":") if name)
    for name in names:
        link_name({TRUSTED: name}, TRUSTED)
    return names


def check(spec: NetworkSpec) -> Chosen:
    """What the options of *spec* mean to the engine.  Raises Invalid and Failed, in Docker's words."""
    check_ours(spec.options, ANTISPOOF)
    ours = options(spec)
    return Chosen(
        link=ours.name,
        iface_prefix=ours.prefix,
        has_gateway=(ours.mode(4) != "isolated", ours.mode(6) != "isolated"),
        publish_host=ours.host_binding,
    )


def check_endpoint(net: Network, options: dict[str, str]) -> str:  # noqa: ARG001 -- any bridge network will do.
    """The interface name that an endpoint's options insist on, or "".  Raises Invalid."""
    sysctls.check(options.get(SYSCTLS, ""))
    return link_name(options, IFNAME)


def network(net: Network) -> list[Thing]:
    """The bridge with the gateways' addresses, and what may pass it."""
    ours = options(net)
    made = [] if net.adopted else [Bridge(net.link, ours.mtu, net.mac)]
    held, said = list(_gateways(net, ours)), list(_host_sysctls(net, ours))
    # A link and its addresses are one request; but it has no IPv6 address before it may have one.
    return [*_rules(net, ours), *made, *((*said, *held) if net.ipv6 else (*held, *said))]


def _host_sysctls(net: Network, ours: BridgeOptions) -> Iterator[Thing]:
    if not net.adopted:
        # A bridge of ours takes no routes from anybody (S1), and is no IPv6 host unless its network is IPv6.
        yield Sysctl(f"net/ipv6/conf/{net.link}/accept_ra", "0")
        yield Sysctl(f"net/ipv6/conf/{net.link}/disable_ipv6", "0" if net.ipv6 else "1")
    if net.ipv4 and _translated(net, ours, 4):
        # Without it the kernel drops what was sent to a port published at 127.0.0.1; the firewall sees to it that
        # only this host sends there (S2).
        yield Sysctl(f"net/ipv4/conf/{net.link}/route_localnet", "1")


def _gateways(net: Network, ours: BridgeOptions) -> Iterator[Thing]:
    for pool in net.pools:
        held = ours.mode(pool.family) != "isolated" and not (ours.inhibit_ipv4 and pool.family == 4)
        if held and pool.gateway is not None:
            yield Address(net.link, interface(pool.gateway, pool.subnet.prefixlen))
    if net.ipv6 and not net.adopted and ours.mode(6) != "isolated":
        yield Address(net.link, _ASKS_FROM)


def _rules(net: Network, ours: BridgeOptions) -> Iterator[Rule]:
    if ours.icc:
        yield Together(net.link)
    if net.internal:
        yield Internal(net.link)
        return
    for version in _families(net):
        mode = ours.mode(version)
        if mode != "isolated":
            yield Forward(net.link, version, mode)
        if ours.masquerade and _translated(net, ours, version):
            yield Masquerade(net.link, version, ours.source(version))
    for version in net.closes:
        yield Closed(version)
    for name in ours.trusted:
        yield Trusted(name, net.link)


def _families(net: Network) -> tuple[Family, ...]:
    return tuple(v for v, wanted in zip(FAMILIES, (net.ipv4, net.ipv6), strict=True) if wanted)


def _translated(net: Network, ours: BridgeOptions, version: Family) -> bool:
    return not net.internal and ours.mode(version) in ("nat", "nat-unprotected")


def endpoint(net: Network, ep: Endpoint) -> list[Thing]:
    """The pair of links, the addresses, the default routes, and what may reach the endpoint."""
    ours = options(net)
    inside = [*ep.addresses, *(_link_local(a) for a in ep.spec.link_local)]
    return [
        Port(ep.link),
        *([_lawful(net, ep, inside)] if ours.antispoof else []),
        *([] if ours.icc else _apart(ep)),
        *_ports(net, ours, ep),
        Veth(ep.link, ep.ifname, ep.key, ep.mtu or ours.mtu, ep.mac, master=net.link),
        *advertised.things(net, ep),
        *_sysctls(ours, ep),
        *(Address(ep.ifname, a, ep.key) for a in inside),
        # On a network without IPv6 nobody speaks it: not by link-local addresses either (S1).
        Up(ep.ifname, ep.key, silent=not net.ipv6),
        *default_routes(net, ep),
    ]


def _lawful(net: Network, ep: Endpoint, inside: Sequence[IPInterface]) -> Lawful:
    own = tuple(a.ip for a in inside)
    if net.ipam_driver != "dhcp":
        return Lawful(ep.link, ep.mac, own)
    # Who asks a server for an address has none (RFC 2131, 4.1).
    return Lawful(ep.link, ep.mac, (*own, ip_address("0.0.0.0")), advertise=net.ipv6)


def _link_local(address: IPAddress) -> IPInterface:
    # The whole of RFC 3927's block, and RFC 4291's 64 bits of interface identifier.
    return interface(address, 16 if address.version == 4 else 64)


def _apart(ep: Endpoint) -> Iterator[Rule]:
    yield Apart(ep.link)
    for own in ep.addresses:
        for target, proto, port in ep.reaches:
            if target.version == own.version:
                yield Linked(own.ip, target, proto, port)


def _ports(net: Network, ours: BridgeOptions, ep: Endpoint) -> list[Rule]:
    """What is published, each once.  A port of a family that the endpoint does not have is carried over by the
    proxy, and states nothing."""
    stated: dict[Rule, None] = {}
    for port in ep.ports:
        own = ep.address(family(port.host))
        if own is None or net.internal:
            continue
        if ours.mode(family(own)) == "routed":
            stated[Open(own.ip, port.proto, port.port)] = None
        else:
            stated[Publish(port.proto, port.host, port.host_port, own.ip, port.port)] = None
    return list(stated)


def _sysctls(ours: BridgeOptions, ep: Endpoint) -> Iterator[Sysctl]:
    # What we choose goes together: an address always has the same MAC (engine.decide).  Only what the user chose
    # may be new to neighbours who remember another.
    if ours.advertise or (ours.advertise is None and (ep.spec.mac or ep.spec.addresses)):
        yield from announce.things(ep)
    yield from sysctls.things(ep.spec.options.get(SYSCTLS, ""), ep.ifname, ep.key)
