"""What one would type: the command lines that make a thing, and those that take it away, for a root shell."""

import shlex
from collections.abc import Collection, Iterable
from typing import assert_never

from bascule.model.firewall import Element, Rule, elements
from bascule.model.links import (
    Address,
    Bridge,
    Dummy,
    Fdb,
    Ipvlan,
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
    inside,
)
from bascule.model.sealing import Identity, Peer, XfrmPolicy, XfrmState, gone
from bascule.model.thing import Thing


def made(things: Iterable[Thing], table: str) -> list[str]:
    """The lines that make *things*, in their order; firewall elements are those of *table*."""
    return [line for thing in things for line in _made(thing, table)]


def unmade(things: Iterable[Thing], table: str) -> list[str]:
    """The lines that take *things* away, the last one first."""
    things = list(things)
    going = {end for thing in things for end in _ends(thing)}
    return [line for thing in reversed(things) if not _goes_along(thing, going) for line in _unmade(thing, table)]


def _ends(thing: Thing) -> list[tuple[str, str]]:
    """The links, by namespace and name, that go when *thing* does."""
    match thing:
        case Veth():
            return [(thing.ns, thing.name), (thing.peer_ns, thing.peer)]
        case Bridge() | Macvlan() | Ipvlan() | Vlan() | Vxlan() | WireGuard() | Xfrm() | Dummy():
            return [(thing.ns, thing.name)]
        case _:
            return []


def _goes_along(thing: Thing, going: Collection[tuple[str, str]]) -> bool:
    """A link that goes is not taken down before: its IPv6 addresses would go with that, and a line that takes them
    away would fail."""
    return isinstance(thing, Up) and (thing.ns, thing.link) in going


def _made(thing: Thing, table: str) -> list[str]:
    if isinstance(thing, Rule):
        return [_element("add", table, element, element.body) for element in elements(thing)]
    return str(thing).splitlines()


def _element(verb: str, table: str, element: Element, body: str) -> str:
    return f"nft {verb} element {element.family} {table} {element.set} '{{ {body} }}'"


def _unmade(thing: Thing, table: str) -> list[str]:
    match thing:
        case Namespace(path):
            return [f"umount {shlex.quote(path)} && rm {shlex.quote(path)}"]
        case Bridge() | Veth() | Macvlan() | Ipvlan() | Vlan() | Vxlan() | WireGuard() | Xfrm() | Dummy():
            return [inside(thing.ns, f"ip link del {thing.name}")]
        case Address(link, address, ns):
            return [inside(ns, f"ip addr del {address} dev {link}")]
        case Up(link, ns):
            return [inside(ns, f"ip link set {link} down")]
        case Route(dev, to, via):
            by = f" via {via}" if via else ""
            return [inside(thing.ns, f"ip -{thing.family} route del {to or 'default'}{by} dev {dev}")]
        case Neigh(dev, address, _, ns):
            return [inside(ns, f"ip neigh del {address} dev {dev}")]
        case Fdb(dev, mac, dst, ns):
            return [inside(ns, f"bridge fdb del {mac} dev {dev} dst {dst} self")]
        case Sysctl():
            return []  # It is its link's, and goes with it.
        case Identity() | Peer() | XfrmState() | XfrmPolicy():
            return [line] if (line := gone(thing)) else []
        case _ if isinstance(thing, Rule):
            return [_element("delete", table, e, " . ".join(e.key)) for e in reversed(elements(thing))]
        case _:
            assert_never(thing)
