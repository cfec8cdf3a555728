"""A pair of links carries nothing before the kernel has noticed that both its ends are up.

It notices in a work queue of its own (net/core/link_watch.c): until then the host's end has no queue and its bridge
port is disabled, and a container's first packet, or the first to it, is lost; a second goes by until ARP or TCP
sends another.  With its first port a bridge begins to carry, in the same way once more.  From Linux 6.8 on, asking
for the link has the work done at once (rtnl_getlink); before, it takes about a millisecond, and so we ask until it
is so.
"""

import time
from collections.abc import Sequence

from bascule.kernel.place import Place, Places
from bascule.kernel.protocol import Outcome
from bascule.model.links import Up, Veth
from bascule.model.thing import Thing
from bascule.wire import rtnetlink, rtstate

# Nothing is wrong if it takes longer: the link will carry when the machine has time for it.
PATIENCE = 0.2
PAUSE = 0.0005


def settle(places: Places, things: Sequence[Thing], outcomes: Sequence[Outcome]) -> None:
    """Pairs whose peer was brought up now carry when this returns."""
    raised = {
        (thing.ns, thing.link)
        for thing, outcome in zip(things, outcomes, strict=True)
        if isinstance(thing, Up) and outcome == "made"
    }
    if raised:
        for thing in things:
            if isinstance(thing, Veth) and (thing.peer_ns, thing.peer) in raised:
                place = places.at(thing.ns)
                for name in (thing.name, thing.master):
                    if name:
                        _wait(place, name)


def _wait(place: Place, name: str) -> None:
    end = time.monotonic() + PATIENCE
    while (told := place.routes.get(rtnetlink.get_link(name))) and rtstate.waits(told):
        if time.monotonic() > end:
            return
        time.sleep(PAUSE)
