"""Where the kernel in memory has a thing: links by namespace and name, and what goes with which."""

from typing import assert_never

from bascule.model.thing import (
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
)

Place = tuple[str, str]
"""A namespace and the name of a link in it."""


def kind_of(thing: Link) -> str:
    return thing.kind if isinstance(thing, Dummy) else type(thing).__name__.lower()


def places_of(thing: Link) -> tuple[Place, ...]:
    """Where the link is, and its far end if it is a pair."""
    here = (thing.ns, thing.name)
    return (here, (thing.peer_ns, thing.peer)) if isinstance(thing, Veth) else (here,)


def parent_of(thing: Link) -> Place | None:
    """The link that it is made of; macvlans and ipvlans are the host's, wherever they are."""
    match thing:
        case Macvlan() | Ipvlan():
            return ("", thing.parent)
        case Vlan():
            return (thing.ns, thing.parent)
        case Bridge() | Veth() | Vxlan() | Dummy():
            return None
        case _:
            assert_never(thing)


def place_of(thing: Address | Up | Route | Neigh | Fdb) -> Place:
    return (thing.ns, thing.link if isinstance(thing, Address | Up) else thing.dev)


def lost_when_down(fact: Address | Route | Neigh | Fdb) -> bool:
    return isinstance(fact, Route) or (isinstance(fact, Address) and fact.address.version == 6)
