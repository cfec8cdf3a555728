"""What there is, listed once a namespace and kind, and whether a thing holds in it."""

import errno
import functools
import os
from dataclasses import replace
from pathlib import Path
from typing import assert_never

from bascule.kernel.namespaces import open_namespace
from bascule.kernel.place import Place, Places
from bascule.model.addresses import IPAddress
from bascule.model.errors import KernelError
from bascule.model.links import (
    Address,
    Bridge,
    Dummy,
    Fdb,
    Ipvlan,
    Link,
    Macvlan,
    Namespace,
    Neigh,
    Route,
    Sysctl,
    Up,
    Veth,
    Vlan,
    Vxlan,
    WireGuard,
    Xfrm,
)
from bascule.wire import linkinfo, rtnetlink, rtstate
from bascule.wire.rtstate import AddressState, LinkState, NeighState, RouteState

NetThing = Namespace | Link | Address | Up | Route | Neigh | Fdb | Sysctl
"""Everything but the firewall's rules."""


STAND_IN = "ifb"
"""What is made where the kernel has no dummy links; it has a name, an address and an MTU all the same."""


def kinds(thing: Link) -> tuple[str, ...]:
    """What the kernel may call *thing*."""
    return (linkinfo.kind(thing), STAND_IN) if isinstance(thing, Dummy) else (linkinfo.kind(thing),)


class Survey:
    """A look at the kernel.  Each list is read when first needed and not again: use it, and make another."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self.links = functools.cache(self._links)
        self.addresses = functools.cache(self._addresses)
        self.routes = functools.cache(self._routes)
        self.neighbours = functools.cache(self._neighbours)
        self.forwarding = functools.cache(self._forwarding)
        # An overlay network has thousands of these.
        self._permanent = functools.cache(self._permanent_entries)
        self._forwarded = functools.cache(self._forwarded_entries)

    def _place(self, path: str) -> Place:
        return self._places.at(path)

    def _links(self, path: str) -> dict[str, LinkState]:
        dump = self._place(path).routes.dump(rtnetlink.links())
        return {state.name: state for state in map(rtstate.link, dump)}

    def _addresses(self, path: str) -> frozenset[AddressState]:
        return frozenset(map(rtstate.address, self._place(path).routes.dump(rtnetlink.addresses())))

    def _routes(self, path: str) -> tuple[RouteState, ...]:
        dump = self._place(path).routes.dump(rtnetlink.routes())
        return tuple(state for state in map(rtstate.route, dump) if state is not None)

    def _neighbours(self, path: str) -> frozenset[NeighState]:
        return frozenset(map(rtstate.neigh, self._place(path).routes.dump(rtnetlink.neighbours())))

    def _forwarding(self, path: str) -> frozenset[NeighState]:
        return frozenset(map(rtstate.neigh, self._place(path).routes.dump(rtnetlink.forwarding())))

    def index(self, path: str, name: str) -> int:
        """0 where there is no such link."""
        state = self.links(path).get(name)
        return state.index if state else 0

    def holds(self, thing: NetThing) -> bool:
        """Whether *thing* is true, with all it says.  Where its namespace is gone it is not."""
        try:
            return self._holds(thing)
        except KernelError:
            return False

    def _holds(self, thing: NetThing) -> bool:
        match thing:
            case Namespace():
                return is_namespace(thing.path)
            case Bridge() | Veth() | Macvlan() | Ipvlan() | Vlan() | Vxlan() | WireGuard() | Xfrm() | Dummy():
                state = self.links(thing.ns).get(thing.name)
                return state is not None and self._link_holds(thing, state)
            case Address():
                index = self.index(thing.ns, thing.link)
                return AddressState(index, thing.address) in self.addresses(thing.ns)
            case Up():
                state = self.links(thing.ns).get(thing.link)
                return state is not None and state.up and thing.mac in ("", state.mac)
            case Route():
                return self._route_holds(thing)
            case Neigh():
                return self._neigh_holds(thing)
            case Fdb():
                return self.fdb_holds(thing)
            case Sysctl():
                return self._place(thing.ns).inside(lambda: _reads(thing))
            case _:
                assert_never(thing)

    def nearly(self, thing: Link, group: int) -> LinkState | None:
        """The link of *group* that is *thing* but for what can be set: MTU, MAC, being up and in its bridge."""
        try:
            state = self.links(thing.ns).get(thing.name)
            if state is None or state.group != group or self.master(thing) < 0:
                return None
            mtu, mac = settable(thing)
            right = replace(state, up=True, master=self.master(thing), mtu=mtu or state.mtu, mac=mac or state.mac)
            return state if self._link_holds(thing, right) else None
        except KernelError:
            return None

    def master(self, thing: Link) -> int:
        """The index of the bridge that *thing* is stated to be in; 0 for none, -1 for one that is not there."""
        name = thing.master if isinstance(thing, Veth | Vxlan) else ""
        return (self.index(thing.ns, name) or -1) if name else 0

    def _link_holds(self, thing: Link, state: LinkState) -> bool:
        if state.kind not in kinds(thing) or state.details != linkinfo.details(thing):
            return False
        match thing:
            case Veth():
                return self._veth_holds(thing, state)
            case Macvlan():
                own = bool(thing.ns) or _agrees(state, mtu=thing.mtu, mac=thing.mac)
                return own and state.parent == self.index("", thing.parent)
            case Ipvlan():
                own = bool(thing.ns) or _agrees(state, mtu=thing.mtu)
                return own and state.parent == self.index("", thing.parent)
            case Vlan():
                return state.up and state.parent == self.index(thing.ns, thing.parent)
            case Vxlan():
                own = _agrees(state, mtu=thing.mtu, mac=thing.mac)
                return own and state.up and state.master == self.master(thing)
            case Bridge():
                return state.up and _agrees(state, mtu=thing.mtu, mac=thing.mac)
            case WireGuard() | Xfrm() | Dummy():
                return state.up and _agrees(state, mtu=thing.mtu)
            case _:
                assert_never(thing)

    def _veth_holds(self, thing: Veth, state: LinkState) -> bool:
        return (
            self._peer_holds(thing, state)
            and _agrees(state, mtu=thing.mtu)
            and state.up
            and state.master == self.master(thing)
        )

    def _peer_holds(self, thing: Veth, state: LinkState) -> bool:
        """What a link is called in a namespace of its own, its MAC and MTU are the business of whoever is there:
        with NET_ADMIN they change.  So there it is known by the pair alone."""
        pair = (state.parent, state.index)
        peer = next((p for p in self.links(thing.peer_ns).values() if (p.index, p.parent) == pair), None)
        if peer is None or thing.peer_ns != thing.ns:
            return peer is not None
        return peer.name == thing.peer and _agrees(peer, mtu=thing.mtu, mac=thing.mac)

    def _route_holds(self, thing: Route) -> bool:
        index = self.index(thing.ns, thing.dev)
        wanted = (thing.family, thing.to, thing.via, index, rtnetlink.RT_TABLE_MAIN, rtnetlink.RTN_UNICAST)
        return any(
            (r.family, r.to, r.via, r.index, r.table, r.type) == wanted for r in self.routes(thing.ns) if index
        )

    def _neigh_holds(self, thing: Neigh) -> bool:
        index = self.index(thing.ns, thing.dev)
        return (index, thing.address, thing.mac) in self._permanent(thing.ns)

    def fdb_holds(self, thing: Fdb) -> bool:
        index = self.index(thing.ns, thing.dev)
        return (index, thing.mac, thing.dst) in self._forwarded(thing.ns)

    def _permanent_entries(self, path: str) -> frozenset[tuple[int, IPAddress | None, str]]:
        permanent = (n for n in self.neighbours(path) if n.state == rtnetlink.NUD_PERMANENT)
        return frozenset((n.index, n.address, n.mac) for n in permanent)

    def _forwarded_entries(self, path: str) -> frozenset[tuple[int, str, IPAddress | None]]:
        return frozenset((n.index, n.mac, n.address) for n in self.forwarding(path))


def settable(thing: Link) -> tuple[int, str]:
    """The MTU and the MAC that *thing* states of itself; 0 and "" for none.  A pair's MAC is its far end's."""
    return getattr(thing, "mtu", 0), "" if isinstance(thing, Veth) else getattr(thing, "mac", "")


def _agrees(state: LinkState, *, mtu: int = 0, mac: str = "") -> bool:
    return (not mtu or state.mtu == mtu) and (not mac or state.mac == mac)


def is_namespace(path: str) -> bool:
    """Whether a network namespace is bound to *path*."""
    try:
        fd = open_namespace(path)
    except KernelError:
        return False
    os.close(fd)
    return True


def sysctl_file(thing: Sysctl) -> str:
    """Where *thing*'s value is, in the namespace of the thread that opens it.  Raises KernelError for a key that is
    none of a network namespace's."""
    parts = thing.key.split("/")
    if parts[0] != "net" or not all(parts) or {".", ".."} & set(parts):
        raise KernelError(errno.EINVAL, str(thing), "not a key below net/")
    return f"/proc/sys/{thing.key}"


# A kernel without IPv6 has no such files, and what they would keep from happening does not.
_NEEDLESS = (("disable_ipv6", "1"), ("accept_ra", "0"))
# Nor has one without CONFIG_IPV6_ROUTE_INFO this one.
_NO_ROUTES = ("accept_ra_rt_info_max_plen", "0")


def needless(thing: Sysctl) -> bool:
    """Whether *thing* holds because this kernel has no IPv6, or not the part of it that would do it."""
    said, able = (thing.key.rpartition("/")[2], thing.value), Path("/proc/sys/net/ipv6")
    if not thing.key.startswith("net/ipv6/"):
        return False
    if said == _NO_ROUTES:
        return not (able / "conf/all" / said[0]).exists()
    return said in _NEEDLESS and not able.exists()


def _reads(thing: Sysctl) -> bool:
    try:
        return Path(sysctl_file(thing)).read_text().split() == thing.value.split()
    except OSError:
        return needless(thing)
