"""overlay: a bridge on each host that has endpoints of the network, joined by VXLAN.

Nothing is learnt from packets and nothing is flooded to other hosts.  Each endpoint elsewhere is two kinds of
statements: its MAC is behind that host (Fdb), and its addresses have that MAC (Neigh), which the VXLAN link answers
for (`proxy`).  A host that has no endpoint on the network states nothing of it.  See docs/decisions/031.

The bridge has no address: what leaves the cluster goes by an endpoint on a bridge network, as in Docker.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from bascule.drivers import announce, sealed, service, sysctls
from bascule.drivers.options import Options, check_ours, flag, link_name, number
from bascule.drivers.protocol import Chosen, Traits
from bascule.model.addresses import IPAddress
from bascule.model.cluster import VNI_LAST, Node, Remote, Seal
from bascule.model.endpoint import Endpoint
from bascule.model.errors import Failed, Invalid
from bascule.model.network import Network, NetworkSpec
from bascule.model.thing import (
    Address,
    Bridge,
    Fdb,
    Internal,
    Lawful,
    Neigh,
    Port,
    Route,
    Sysctl,
    Thing,
    Together,
    Underlay,
    Up,
    Veth,
    Vtep,
    Vxlan,
)

TRAITS = Traits("overlay", scope="global")

MTU = "com.docker.network.driver.mtu"
VNIS = "com.docker.network.driver.overlay.vxlanid_list"
ENCRYPTED = "encrypted"
ENCRYPTION = "bascule.encryption"
PREFIX = "com.docker.network.container_iface_prefix"
ANTISPOOF = "bascule.antispoof"
MULTICAST = "bascule.multicast"
IFNAME = "com.docker.network.endpoint.ifname"
SYSCTLS = "com.docker.network.endpoint.sysctls"

ANYBODY = "00:00:00:00:00:00"
"""VXLAN's word for every MAC that has no entry (drivers/net/vxlan: vxlan_xmit)."""

# What VXLAN adds: an outer Ethernet header's worth of the inner frame (14), VXLAN (8), UDP (8), and IP (20 or 40).
OVERHEAD = {4: 50, 6: 70}
# Of so many hosts that are in the way the names are told.
_NAMED = 5
_MTU_MIN = 1280
"""RFC 8200, section 5: less carries no IPv6."""


def check(spec: NetworkSpec) -> Chosen:
    """Raises Invalid and Failed."""
    check_ours(spec.options, ANTISPOOF, ENCRYPTION, MULTICAST)
    multicast(spec.options)
    encryption(spec.options)
    flag(spec.options, ANTISPOOF, True)
    announce.wanted(spec.options)
    vni(spec.options)
    asked_mtu(spec.options)
    return Chosen(iface_prefix=link_name(spec.options, PREFIX, "0") or "eth")


def vni(options: Options) -> int:
    """The VNI that is asked for, 0 where none is.  Of Docker's list, one a subnet, ours needs the first."""
    asked = options.get(VNIS, "").strip()
    found = [_one_vni(word.strip()) for word in asked.split(",")] if asked else [0]
    return found[0]


def _one_vni(word: str) -> int:
    found = number({VNIS: word}, VNIS, 0)
    if not 0 < found <= VNI_LAST:
        raise Invalid(f"invalid vxlan id value {word} passed: 1 to {VNI_LAST} are there")
    return found


def encryption(options: Options) -> Seal | Literal["any"] | None:
    """What the network is to be encrypted with; None: with nothing.  Docker's option without a value says yes."""
    with_what = options.get(ENCRYPTION, "")
    found = next((seal for seal in sealed.SEALS if seal == with_what), None)
    if with_what and found is None:
        raise Invalid(f"invalid {ENCRYPTION} {with_what}: there is {', '.join(sealed.SEALS)}")
    asked = ENCRYPTED in options and flag({ENCRYPTED: options[ENCRYPTED] or "true"}, ENCRYPTED, True)
    if found and ENCRYPTED in options and not asked:
        raise Invalid(f"{ENCRYPTION}={found} and {ENCRYPTED}={options[ENCRYPTED]} contradict each other")
    return found or ("any" if asked else None)


def asked_mtu(options: Options) -> int:
    """The MTU that is asked for, 0 where none is."""
    mtu = number(options, MTU, 0)
    if mtu and not _MTU_MIN <= mtu <= 65535:
        raise Failed(f"invalid MTU {mtu} of an overlay network: {_MTU_MIN} to 65535")
    return mtu


def mtu(options: Options, underlay: int, local: IPAddress, seal: Seal | None = None, *, ipv6: bool = False) -> int:
    """What fits through the tunnel, or what is asked for.  Raises Failed where that is more, and where too little
    fits for *ipv6* or for the link that encrypts."""
    fits = underlay - _overhead(local, seal)
    # A link that encrypts has an IPv6 address, and so has the network.
    least = max(
        _MTU_MIN + sealed.OVERHEAD[local.version] if seal else 0, _MTU_MIN + _overhead(local, seal) if ipv6 else 0
    )
    if underlay < least:
        raise Failed(f"the links of the cluster's hosts have MTU {underlay}, and IPv6 inside of them needs {least}")
    asked = asked_mtu(options)
    if asked > fits:
        raise Failed(f"MTU {asked} does not fit the path between the cluster's hosts, {fits} does")
    return asked or fits


def _overhead(local: IPAddress, seal: Seal | Literal[""] | None) -> int:
    return sealed.OVERHEAD[local.version] + OVERHEAD[6] if seal else OVERHEAD[local.version]


def misfit(net: Network, nodes: Iterable[Node], paths: Mapping[str, int]) -> str:
    """Which of the cluster's hosts packets of the network's MTU do not reach, in words; "" where they fit
    everywhere.  *paths* are the MTUs of the ways to them, by node, where they are less than those of links."""
    tunnel = net.tunnel
    if tunnel is None:
        return ""
    fits, named = tunnel.mtu, []
    for node in nodes:
        way = min(node.mtu, paths.get(node.id, node.mtu))
        if way - _overhead(node.address, tunnel.seal) < tunnel.mtu:
            named.append(f"{node.name} ({'path' if way < node.mtu else 'link'} with MTU {way})")
            fits = min(fits, way - _overhead(node.address, tunnel.seal))
    if not named:
        return ""
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    told = ", ".join(sorted(named)[:_NAMED]) + more
    return f"packets of its MTU, {tunnel.mtu}, are too large for {told}: {fits} would fit"


def check_endpoint(net: Network, options: dict[str, str]) -> str:
    sysctls.check(options.get(SYSCTLS, ""))
    wanted = service.wanted(options)
    if wanted and wanted.ports and net.internal:
        raise Invalid(f"network {net.name} is internal: no port of service {wanted.name} can be published")
    return link_name(options, IFNAME)


def tunnel_link(net: Network) -> str:
    """The name of the network's VXLAN link."""
    return f"vx-{net.id[:12]}"


def host(port: int, nodes: Iterable[Node]) -> list[Thing]:
    """What must be true of a member, whatever networks it has: its tunnels hear the cluster's hosts alone (S7)."""
    return [*(Vtep(node.address) for node in nodes), Underlay(port)]


def network(net: Network) -> list[Thing]:
    """The bridge and the way to other hosts; nothing where this host is no member."""
    tunnel = net.tunnel
    if tunnel is None or tunnel.local is None:
        return []
    link = tunnel_link(net)
    return [
        Together(net.link),
        # The host has no business on it: not as a router for its endpoints either.
        Internal(net.link),
        Port(link),
        Bridge(net.link, tunnel.mtu, net.mac),
        Sysctl(f"net/ipv6/conf/{net.link}/accept_ra", "0"),
        Sysctl(f"net/ipv6/conf/{net.link}/disable_ipv6", "1"),
        # An address that the host has elsewhere may be an endpoint's here: the host does not answer for it.
        Sysctl(f"net/ipv4/conf/{net.link}/arp_ignore", "8"),
        Vxlan(link, tunnel.vni, tunnel.port, tunnel.local, tunnel.mtu, tunnel.mac, master=net.link),
        Sysctl(f"net/ipv6/conf/{link}/accept_ra", "0"),
        # It has no address, and answers for IPv6 neighbours all the same (drivers/net/vxlan: neigh_reduce).
        Sysctl(f"net/ipv6/conf/{link}/disable_ipv6", "0" if net.ipv6 else "1"),
    ]


def remote(net: Network, there: Remote) -> list[Thing]:
    """Where an endpoint on another host is."""
    link = tunnel_link(net)
    seal = net.tunnel.seal if net.tunnel else ""
    return [
        Fdb(link, there.mac, sealed.inside(seal, there.node) if seal else there.via),
        *(Neigh(link, address, there.mac) for address in there.addresses),
    ]


def multicast(options: Options) -> bool:
    """Whether what is for a group goes to all hosts that are on the network."""
    return flag(options, MULTICAST, False)


def groups(net: Network, there: Iterable[Remote]) -> list[Thing]:
    """Each host that has one of *there* gets a copy of what is for a group: the sender makes them.  So it is with
    what is for everybody and for nobody known: VXLAN has one word for the three."""
    if not multicast(net.options):
        return []
    seal = net.tunnel.seal if net.tunnel else ""
    ends = dict.fromkeys(sealed.inside(seal, one.node) if seal else one.via for one in there)
    return [Fdb(tunnel_link(net), ANYBODY, end) for end in ends]


def endpoint(net: Network, ep: Endpoint) -> list[Thing]:
    """The pair of links and the addresses, in a bridge network's order."""
    own = tuple(address.ip for address in ep.addresses)
    # The bridge may have heard this MAC from another host, where the address was before.
    told = () if announce.wanted(net.options) is False else announce.things(ep)
    return [
        Port(ep.link),
        *([Lawful(ep.link, ep.mac, own)] if flag(net.options, ANTISPOOF, True) else []),
        Veth(ep.link, ep.ifname, ep.key, net.tunnel.mtu if net.tunnel else 1450, ep.mac, master=net.link),
        *told,
        *sysctls.things(ep.spec.options.get(SYSCTLS, ""), ep.ifname, ep.key),
        *(Address(ep.ifname, address, ep.key) for address in ep.addresses),
        Up(ep.ifname, ep.key, silent=not net.ipv6),
        *_other_subnets(net, ep),
    ]


def _other_subnets(net: Network, ep: Endpoint) -> Iterator[Route]:
    """Those that *ep* has no address in are on the link as well: there is no router between the two."""
    own = [address.network for address in ep.addresses]
    for pool in net.pools:
        if pool.subnet not in own and any(pool.family == one.version for one in own):
            yield Route(ep.ifname, pool.subnet, None, pool.family, ep.key)
