"""Starting: the default networks, and the kernel made to agree with the store again."""

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from bascule.engine.decide import Decisions
from bascule.engine.defaults import ensure_defaults
from bascule.engine.intent import Intent, stands
from bascule.engine.restoring import Part, parts, restore
from bascule.kernel.apply import bring_up
from bascule.kernel.protocol import Kernel
from bascule.model.addresses import FAMILIES, Family
from bascule.model.endpoint import Endpoint
from bascule.model.errors import KernelError
from bascule.model.sandbox import Sandbox
from bascule.model.settings import Settings
from bascule.model.thing import Namespace, Route, Rule, Sysctl, Thing

log = logging.getLogger(__name__)
# Containers reach the world through this host, so it forwards; Docker does the same.
FORWARDING: dict[Family, Thing] = {
    4: Sysctl("net/ipv4/ip_forward", "1"),
    6: Sysctl("net/ipv6/conf/all/forwarding", "1"),
}


def make_true(intent: Intent, kernel: Kernel, decide: Decisions, settings: Settings) -> None:
    """Everything the store says holds, and everything of ours that it does not say is gone.  What is made of a
    parent link, which may be away, is left to `parents`.

    A namespace that went with a reboot takes its sandbox and endpoints along: their container is not running
    either, and starting it makes new ones.
    """
    _forget_the_lost(intent, kernel)
    ensure_defaults(intent, kernel, decide, settings)
    forwarding = kernel.missing(list(FORWARDING.values()))
    _close(intent, [v for v, thing in FORWARDING.items() if thing in forwarding], settings)
    ours = [*intent.namespaces(), *intent.things(lambda net: not stands(net))]
    things = [*ours, *intent.things(stands)]
    former = [name for net in intent.networks() for name in net.left]
    kernel.guard([t for t in things if isinstance(t, Rule)], former)
    if former:
        intent.store.commit(put=[replace(net, left=()) for net in intent.networks() if net.left])
    # Behind the guard, so that there is no moment in which this host forwards for everybody.
    bring_up(kernel, forwarding)
    kernel.sweep(things)
    kernel.remove(_stale_routes(intent, things))
    host = intent.host_things()
    _try(kernel, [t for t in host if not isinstance(t, Rule)])
    restore(kernel, _paired(intent, ()), rules=False)


def _try(kernel: Kernel, things: Sequence[Thing]) -> None:
    """What encrypts holds, or is told to be refused: the rules keep what is not encrypted in, and the engine has
    more to do than that."""
    for outcome in kernel.add(kernel.missing(things)):
        if isinstance(outcome, KernelError):
            log.warning("%s", outcome)


def put_back(intent: Intent, kernel: Kernel) -> list[Thing]:
    """Links, addresses and routes that somebody took away hold again, but for what is made of parent links; those
    are returned.  Sandboxes whose namespace has gone are left alone: that is how a container ends."""
    boxes = intent.store.all(Sandbox)
    return restore(kernel, _paired(intent, kernel.missing([Namespace(box.key) for box in boxes])))


def _paired(intent: Intent, lost: Collection[Thing]) -> list[Part]:
    """What is not made of parent links, without what was in the namespaces that are *lost*."""
    nets = {net.id: net for net in intent.networks() if not stands(net)}
    ends = [ep for ep in intent.store.all(Endpoint) if ep.network in nets and Namespace(ep.key) not in lost]
    return list(parts(intent, list(nets.values()), ends))


def _stale_routes(intent: Intent, things: Iterable[Thing]) -> list[Thing]:
    """Default routes that a crash left where another endpoint was elected since: they would be in the way."""
    stated = set(things)
    possible = [
        thing
        for ep in intent.store.all(Endpoint)
        for thing in intent.endpoint_things(replace(ep, default_for=FAMILIES))
    ]
    return [thing for thing in possible if isinstance(thing, Route) and thing not in stated]


def _forget_the_lost(intent: Intent, kernel: Kernel) -> None:
    boxes = intent.store.all(Sandbox)
    lost = {
        thing.path for thing in kernel.missing([Namespace(b.key) for b in boxes]) if isinstance(thing, Namespace)
    }
    gone = [b for b in boxes if b.key in lost]
    ids = {b.id for b in boxes} - {b.id for b in gone}
    orphans = [ep for ep in intent.store.all(Endpoint) if ep.sandbox not in ids]
    if gone or orphans:
        intent.store.commit(delete=[*orphans, *gone])


def _close(intent: Intent, off: Sequence[Family], settings: Settings) -> None:
    """Remember for which families it is us who make this host forward: *off*, and those of earlier starts."""
    bridge = next(n for n in intent.networks() if n.predefined and n.driver == "bridge")
    closes = () if settings.router else tuple(v for v in FAMILIES if v in off or v in bridge.closes)
    if closes != bridge.closes:
        intent.store.commit(put=[replace(bridge, closes=closes)])
