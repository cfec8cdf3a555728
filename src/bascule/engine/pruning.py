"""Networks that nobody uses are removed, as far as that can be done now."""

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress

from bascule.model.errors import Forbidden, NotFound, Unavailable
from bascule.model.network import Network

log = logging.getLogger(__name__)


def prune(nets: Iterable[Network], remove: Callable[[str], Network]) -> list[Network]:
    """Those that are gone.  Networks of several hosts do not keep this host's own from it while those cannot be
    asked.  Raises Unavailable where there was nothing else to remove."""
    removed: list[Network] = []
    away: Unavailable | None = None
    for net in nets:
        # Every one of them would be waited for.
        if away and net.tunnel:
            continue
        # Somebody may have come to use it meanwhile, here or on another host.
        with suppress(Forbidden, NotFound):
            try:
                removed.append(remove(net.id))
            except Unavailable as refusal:
                away = refusal
                log.warning("networks of the cluster are not pruned: %s", refusal)
    if away and not removed:
        raise away
    return removed
