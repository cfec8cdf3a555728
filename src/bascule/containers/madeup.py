"""Names for containers that nobody named."""

from collections.abc import Callable, Sequence
from itertools import count

_HOW = (
    "agile amber ample brave breezy bright brisk calm candid cheery civil clever cosy crisp daring deft eager"
    " early fair fleet fond frank fresh gentle glad golden grand happy hardy honest jolly keen kind light"
    " lively loyal lucid lucky mellow merry mild modest neat nimble noble patient placid plucky polite proud"
    " quick quiet ready robust rosy serene sharp silver sleek smart snug sober solid spry steady stout sturdy"
    " sunny swift tidy trusty upbeat vivid warm wise witty zesty"
)
_WHO = (
    "aqueduct arch balustrade bastion beacon buttress canal causeway cantilever chapel cloister cofferdam"
    " cornice culvert dome drawbridge ferry footbridge ford gantry gate girder harbour jetty keystone landing"
    " lantern ledge lighthouse lock masonry mill mole mooring parapet passage pier pillar plank pontoon portal"
    " quay rampart ropeway sluice span spire stair strut swingbridge tower trestle truss tunnel turret vault"
    " viaduct weir wharf windlass"
)


def name(choose: Callable[[Sequence[str]], str], taken: Callable[[str], bool]) -> str:
    """Two words with an underline, as Docker's, that are not *taken*; with a number when luck is out."""
    how, who = _HOW.split(), _WHO.split()
    for attempt in count():
        found = f"{choose(how)}_{choose(who)}" + (str(attempt) if attempt > 3 else "")
        if not taken(found):
            return found
    raise AssertionError("count() ends never")
