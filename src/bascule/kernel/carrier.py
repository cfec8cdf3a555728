"""A pair of links carries nothing before the kernel has noticed that both its ends are up.

It notices in a work queue of its own (net/core/link_watch.c): until then the host's end has no queue and its bridge
port is disabled, and a container's first packet, or the first to it, is lost; a second goes by until ARP or TCP
sends another.  With its first port a bridge begins to carry, in the same way once more.  From Linux 6.8 on, asking
for the link has the work done at once (rtnl_getlink); before, it takes about a millisecond, and so we ask until it
is so.

And whoever has a new IPv6 address listens to the group in which neighbours ask for it (RFC 4291, section 2.7.1)
when another such queue has come by (addrconf_dad_work in net/ipv6/addrconf.c), some 10 ms later on a busy machine.
Whoever was asked for before is asked for again a second later.
"""

import time
from collections.abc import Sequence

from bascule.kernel.place import Place, Places
from bascule.kernel.protocol import Outcome
from bascule.model.links import Address, Up, Veth
from bascule.model.thing import Thing
from bascule.wire import rtnetlink, rtstate

# Nothing is wrong if it takes longer: the link will carry when the machine has time for it.
PATIENCE = 0.2
PAUSE = 0.0005
# ff02::1:ff00:0/104
_SOLICITED = bytes.fromhex("ff02 0000 0000 0000 0000 0001 ff")


def settle(places: Places, things: Sequence[Thing], outcomes: Sequence[Outcome]) -> None:
    """Pairs whose peer was brought up now carry when this returns, and new IPv6 addresses of theirs are heard."""
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
    _listened(places, things, outcomes)


def _listened(places: Places, things: Sequence[Thing], outcomes: Sequence[Outcome]) -> None:
    """IPv6 addresses that were made in other namespaces than ours, where others ask for them at once, are heard."""
    wanted: dict[str, set[bytes]] = {}
    for thing, outcome in zip(things, outcomes, strict=True):
        if isinstance(thing, Address) and thing.ns and thing.address.version == 6 and outcome == "made":
            wanted.setdefault(thing.ns, set()).add(_SOLICITED + thing.address.ip.packed[-3:])
    for ns, groups in wanted.items():
        routes, end = places.at(ns).routes, time.monotonic() + PATIENCE
        while groups - {rtstate.group(told)[1] for told in routes.dump(rtnetlink.groups())}:
            if time.monotonic() > end:
                break
            time.sleep(PAUSE)


def _wait(place: Place, name: str) -> None:
    end = time.monotonic() + PATIENCE
    while (told := place.routes.get(rtnetlink.get_link(name))) and rtstate.waits(told):
        if time.monotonic() > end:
            return
        time.sleep(PAUSE)
