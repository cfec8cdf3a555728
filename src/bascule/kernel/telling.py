"""What there is, said as things again: for people and for tests."""

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address

from bascule.kernel.survey import NetThing, Survey
from bascule.model.errors import KernelError
from bascule.model.links import (
    Address,
    Bridge,
    Dummy,
    Fdb,
    Ipvlan,
    Link,
    Macvlan,
    Neigh,
    Route,
    Up,
    Veth,
    Vlan,
    Vxlan,
    WireGuard,
    Xfrm,
)
from bascule.model.thing import Thing
from bascule.wire import rtnetlink
from bascule.wire.rtstate import LinkState

Ends = Mapping[tuple[int, int], tuple[str, str]]
"""(index, peer's index) of a veth's end: the namespace's path, and its name there."""


def things(survey: Survey, group: int, paths: Sequence[str]) -> dict[str, list[NetThing]]:
    """Links of *group* here and everything in the namespaces at *paths*, by path, with what is on them."""
    found: dict[str, list[NetThing]] = {}
    ends = {
        (state.index, state.parent): (path, name)
        for path in ("", *paths)
        for name, state in _links(survey, path).items()
        if state.kind == "veth"
    }
    for path in ("", *paths):
        states = [s for s in _links(survey, path).values() if s.name != "lo" and (path or s.group == group)]
        found[path] = [thing for state in states for thing in _one(survey, group, path, state, ends)]
    return found


def strays(survey: Survey, stated: Sequence[Thing]) -> list[Thing]:
    """The entries of the VXLAN links that are *stated* which are not."""
    known = set(stated)
    found: list[Thing] = []
    for link in stated:
        state = _links(survey, link.ns).get(link.name) if isinstance(link, Vxlan) else None
        if isinstance(link, Vxlan) and state is not None:
            found += [entry for entry in _entries(survey, state, link.ns) if entry not in known]
    return found


def _links(survey: Survey, path: str) -> Mapping[str, LinkState]:
    try:
        return survey.links(path)
    except KernelError:
        return {}  # The namespace went while we looked.


def _one(survey: Survey, group: int, path: str, state: LinkState, ends: Ends) -> Iterator[NetThing]:
    if state.group == group:
        link = _link(survey, path, state, ends)
        if link is not None:
            yield link
    if state.up and (state.group != group or state.kind in ("macvlan", "ipvlan")):
        yield Up(state.name, path)
    for own in survey.addresses(path):
        # What the kernel makes itself on every link that is up.
        if own.index == state.index and not (own.address.version == 6 and own.address.is_link_local):
            yield Address(state.name, own.address, path)
    for route in survey.routes(path):
        if (route.index, route.table, route.protocol) == (
            state.index,
            rtnetlink.RT_TABLE_MAIN,
            rtnetlink.RTPROT_BOOT,
        ):
            yield Route(state.name, route.to, route.via, route.family, path)
    yield from _entries(survey, state, path)


def _entries(survey: Survey, state: LinkState, path: str) -> Iterator[Neigh | Fdb]:
    for n in survey.neighbours(path):
        if n.index == state.index and n.state == rtnetlink.NUD_PERMANENT and n.address and n.mac:
            yield Neigh(state.name, n.address, n.mac, path)
    for entry in survey.forwarding(path) if state.kind == "vxlan" else ():
        if entry.index == state.index and entry.address:
            yield Fdb(state.name, entry.mac, entry.address, path)


def _link(survey: Survey, path: str, state: LinkState, ends: Ends) -> Link | None:
    names = {other.index: other.name for other in survey.links(path).values()}
    at_home = {other.index: other.name for other in survey.links("").values()}
    name, mtu, mac, details = state.name, state.mtu, state.mac, state.details
    match state.kind:
        case "bridge":
            return Bridge(name, mtu, mac, path)
        case "veth":
            peer_path, peer = ends.get((state.parent, state.index), ("?", "?"))
            known = _links(survey, peer_path).get(peer) if peer != "?" else None
            return Veth(name, peer, peer_path, mtu, known.mac if known else "", names.get(state.master, ""), path)
        case "macvlan":
            return Macvlan(name, at_home.get(state.parent, "?"), details["mode"], mtu, mac, path)
        case "ipvlan":
            return Ipvlan(name, at_home.get(state.parent, "?"), details["mode"], details["flag"], mtu, path)
        case "vlan":
            return Vlan(name, names.get(state.parent, "?"), int(details["id"]), path)
        case "vxlan":
            local = ip_address(details["local"]) if details["local"] else None
            master = names.get(state.master, "")
            return Vxlan(name, int(details["id"]), int(details["port"]), local, mtu, mac, master, path)
        case "wireguard":
            return WireGuard(name, mtu, path)
        case "xfrm":
            return Xfrm(name, int(details["if_id"], 16), mtu, path)
        case "dummy" | "ifb":
            return Dummy(name, state.kind, mtu, path)
        case _:
            return None
