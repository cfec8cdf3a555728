"""What the kernel is asked, in the log: at debug, as the lines that one would type.

Refusals are not in it: they are raised, and told by whoever answers for them.
"""

import logging
from collections.abc import Iterable, Sequence

from bascule.kernel.protocol import Outcome
from bascule.model.thing import Rule, Sysctl, Thing

_log = logging.getLogger("bascule.kernel")


def made(things: Sequence[Thing], outcomes: Sequence[Outcome]) -> None:
    """A line for each thing that was made now; what held before was not asked for."""
    if _log.isEnabledFor(logging.DEBUG):
        for thing, outcome in zip(things, outcomes, strict=True):
            if outcome == "made":
                _tell(thing)


def removed(things: Iterable[Thing]) -> None:
    """A line for each thing that is to be gone: the line that had made it, as a comment."""
    if _log.isEnabledFor(logging.DEBUG):
        for thing in things:
            # A link's values go with it, and need no request.
            if not isinstance(thing, Sysctl):
                _tell(thing, "# removes: ")


def loaded(rules: Sequence[Rule]) -> None:
    """A line for a rule set that was loaded whole."""
    _log.debug("nft -f - # the rule set, whole, for %d statements", len(rules))


def _tell(thing: Thing, before: str = "") -> None:
    for line in str(thing).splitlines():
        _log.debug("%s%s", before, line)
