"""Restoring: what the store says and the kernel has lost holds again, each network and endpoint for itself.

What cannot be is told with its network and container, and keeps nothing else from it.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bascule.engine.intent import Intent
from bascule.kernel.protocol import Kernel
from bascule.model.endpoint import Endpoint
from bascule.model.errors import KernelError
from bascule.model.hostlink import HostLink
from bascule.model.network import Network
from bascule.model.thing import Rule, Thing, Veth

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Part:
    """What stands or falls together, and whose it is, in words."""

    whose: str
    things: tuple[Thing, ...]


def parts(intent: Intent, nets: Sequence[Network], ends: Sequence[Endpoint]) -> Iterator[Part]:
    """What is true of *nets*, and of *ends*, which are on them."""
    for net in nets:
        yield Part(f"network {net.name}", tuple(intent.network_things(net)))
    for ep in ends:
        net = intent.by_id(ep.network)
        yield Part(f"network {net.name}, container {ep.name}", tuple(intent.endpoint_things(ep)))


def restore(kernel: Kernel, wanted: Sequence[Part], *, rules: bool = True) -> list[Thing]:
    """What does not hold of *wanted* does again; returns what was made, without *rules* only of what is no rule."""
    lost = set(kernel.missing([t for part in wanted for t in part.things if rules or not isinstance(t, Rule)]))
    if not lost:
        return []
    links = kernel.host_links()
    broken = [
        (part, [t for t in part.things if t in lost and not _moved(kernel, part, t, links)]) for part in wanted
    ]
    todo = [(part, thing) for part, things in broken for thing in things]
    told: set[str] = set()
    made = []
    for (part, thing), outcome in zip(todo, kernel.add([thing for _, thing in todo]), strict=True):
        if not isinstance(outcome, KernelError):
            made.append(thing)
        elif part.whose not in told:
            # What fails after the first fails for it.
            told.add(part.whose)
            log.error("%s: what is gone could not be put back: %s", part.whose, outcome)
    return made


def _moved(kernel: Kernel, part: Part, thing: Thing, links: Mapping[str, HostLink]) -> bool:
    """Whether *thing* is of a pair's end in a container that has another name for it, or has taken it elsewhere,
    as who has NET_ADMIN may: what is on it is his business then."""
    pair = next((t for t in part.things if isinstance(t, Veth)), None)
    if pair is None or not pair.peer_ns or getattr(thing, "ns", "") != pair.peer_ns:
        return False
    host = links.get(pair.name)
    return host is not None and kernel.below(pair.peer_ns, pair.peer) != host.index
