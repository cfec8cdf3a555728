"""What macvlan and ipvlan share: a parent link, what is made of it, and the host's own way to the endpoints."""

import re
from collections.abc import Iterator

from bascule.drivers import advertised, announce, sysctls
from bascule.drivers.nexthop import default_routes
from bascule.drivers.options import Options, flag, link_name, refused
from bascule.drivers.protocol import Chosen
from bascule.model.addresses import interface
from bascule.model.endpoint import Endpoint
from bascule.model.errors import Failed
from bascule.model.network import Network, NetworkSpec
from bascule.model.thing import Address, Dummy, Route, Sysctl, Thing, Up, Vlan

PARENT = "parent"
HOST_ACCESS = "bascule.host_access"
DETECTION = "bascule.duplicate_detection"
OURS = (HOST_ACCESS, DETECTION)
_DETECTIONS = ("report", "strict", "off")
HOST = "bascule.host"
"""The name, among the auxiliary addresses, of the host's own on a network with host access."""
IFNAME = "com.docker.network.endpoint.ifname"
SYSCTLS = "com.docker.network.endpoint.sysctls"
# IEEE 802.1Q: 0 is no VLAN, 4095 is reserved.
_VID_MIN, _VID_MAX = 1, 4094


def named(spec: Network | NetworkSpec, kind: str) -> str:
    """The parent that is asked for, "" where a link of our own is to be one.  Raises Failed for loopback."""
    name = link_name(spec.options, PARENT)
    if name == "lo":
        raise Failed(f"loopback interface is not a valid {kind} parent link")
    return name


def one_of(options: Options, key: str, allowed: tuple[str, ...], what: str, default: str) -> str:
    """The word that an option says, else the first of *allowed*.  Raises Failed, in Docker's words."""
    found = options.get(key) or allowed[0]
    if found not in allowed:
        raise Failed(f"requested {what} '{found}' is not valid, '{allowed[0]}' {default}")
    return found


def vlan(name: str) -> tuple[str, int]:
    """The link and the VLAN that a sub-interface of this name is made of.  Raises Failed, in Docker's words."""
    below, dot, tag = name.partition(".")
    if not dot or not below:
        raise Failed(f"invalid subinterface vlan name {name}, example formatting is eth0.10")
    if not re.fullmatch("[0-9]{1,9}", tag):
        raise Failed(f"unable to parse a valid vlan id from: {tag} (ex. eth0.10 for vlan 10)")
    if not _VID_MIN <= int(tag) <= _VID_MAX:
        raise Failed(f"vlan id must be between 1-4094, received: {tag}")
    return below, int(tag)


def chosen(spec: NetworkSpec, kind: str, *, alone: bool, single: bool = False, onlink: bool = False) -> Chosen:
    """What the engine must know.  An internal network leads nowhere, nor does one on a link of our own, so nobody
    holds its gateway."""
    announce.wanted(spec.options)
    _detection(spec.options)
    name = named(spec, kind)
    held = bool(name) and not spec.internal and not onlink
    return Chosen(
        parent=name,
        alone=alone,
        single=single,
        onlink=onlink and not spec.internal,
        leads_nowhere=not name,
        has_gateway=(held, held),
        host_address=host_access(spec.options),
    )


def check_sharing(mine: Chosen, other: Network, theirs: Chosen) -> None:
    """Raise Failed, in Docker's words, where a network and *other* cannot have the same parent."""
    if other.driver == "ipvlan":
        raise Failed(f"network di-{other.id[:12]} is already using parent interface {mine.parent}")
    using = f"macvlan network {other.id} is already using parent interface {mine.parent}"
    if mine.alone:
        raise Failed(f"cannot use mode passthru, {using}")
    if theirs.alone:
        raise Failed(f"{using} in mode passthru")


def _detection(options: Options) -> str:
    found = options.get(DETECTION) or _DETECTIONS[0]
    if found not in _DETECTIONS:
        raise refused(DETECTION, found, f"there is {', '.join(_DETECTIONS)}")
    return found


def detection(net: Network) -> str:
    """What is done about addresses that other machines have: `report`, `strict`, or `off`, as it is where endpoints
    have no such neighbours, or a server sees to it."""
    alone = net.link != net.options.get(PARENT) or net.options.get("ipvlan_mode", "l2") != "l2" or not net.pools
    return "off" if alone else _detection(net.options)


def host_access(options: Options) -> bool:
    return flag(options, HOST_ACCESS, False)


def check_endpoint(options: Options) -> str:
    sysctls.check(options.get(SYSCTLS, ""))
    return link_name(options, IFNAME)


def links(net: Network, kind: str) -> Iterator[Thing]:
    """The parent, where it is ours to make."""
    name = named(net, kind)
    if not name:
        yield Dummy(net.link)
    elif not net.adopted:
        below, tag = vlan(name)
        yield Vlan(name, below, tag)


def base(net: Network) -> str:
    """The link that is not ours: the parent, or what our VLAN is made of; "" where the parent is a link of ours."""
    name = named(net, net.driver)
    return vlan(name)[0] if name and not net.adopted else name


def shim(net: Network) -> str:
    """The name of the host's own link on the network."""
    return f"bh-{net.id[:12]}"


def host_side(net: Network, link: Thing) -> Iterator[Thing]:
    """The host's *link*, with its addresses and no subnet behind them: each endpoint comes with its own route."""
    yield link
    # What the host has elsewhere is not to be found here: to the segment that is the parent's, if anybody's.
    yield Sysctl(f"net/ipv4/conf/{shim(net)}/arp_ignore", "1")
    yield Sysctl(f"net/ipv6/conf/{shim(net)}/accept_ra", "0")
    yield Sysctl(f"net/ipv6/conf/{shim(net)}/disable_ipv6", "0" if net.ipv6 else "1")
    for pool in net.pools:
        if HOST in pool.aux:
            yield Address(shim(net), interface(pool.aux[HOST], pool.subnet.max_prefixlen))
    yield Up(shim(net), silent=not net.ipv6)


def host_routes(net: Network, ep: Endpoint) -> Iterator[Thing]:
    """The host's way to the endpoint, on a network with host access."""
    if host_access(net.options):
        for address in ep.addresses:
            yield Route(shim(net), interface(address.ip, address.max_prefixlen).network)


def endpoint(net: Network, ep: Endpoint, link: Thing, mac: str = "") -> list[Thing]:
    """*link* in the sandbox, with everything that is about it; *mac* is for one that cannot be born with it."""
    # The MAC is new to machines that remember who had the address before; they are no neighbours of the engine's.
    told = () if announce.wanted(net.options) is False else announce.things(ep)
    return [
        link,
        *told,
        *_advertised(net, ep),
        *sysctls.things(ep.spec.options.get(SYSCTLS, ""), ep.ifname, ep.key),
        *(Address(ep.ifname, a, ep.key) for a in ep.addresses),
        Up(ep.ifname, ep.key, silent=not net.ipv6, mac=mac),
        *default_routes(net, ep),
        *host_routes(net, ep),
    ]


def _advertised(net: Network, ep: Endpoint) -> Iterator[Thing]:
    """On a network without IPv6 nothing is taken of what routers advertise."""
    if not net.ipv6:
        yield Sysctl(f"net/ipv6/conf/{ep.ifname}/disable_ipv6", "1", ep.key)
    yield from advertised.things(net, ep)
