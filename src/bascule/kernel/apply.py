"""Making lists of things true and untrue.  Written once, so that no driver undoes anything itself."""

from collections.abc import Sequence

from bascule.kernel.protocol import Kernel
from bascule.model.errors import KernelError
from bascule.model.thing import Address, Route, Thing


def bring_up(kernel: Kernel, things: Sequence[Thing]) -> None:
    """Make *things* true, in order.  Raises the first refusal, and then exactly what was made now is gone again;
    what held before still does."""
    outcomes = kernel.add(things)
    refusals = [outcome for outcome in outcomes if isinstance(outcome, KernelError)]
    if not refusals:
        return
    made = [thing for thing, outcome in zip(things, outcomes, strict=True) if outcome == "made"]
    for unmade in kernel.remove(made[::-1]):
        refusals[0].add_note(f"and taking back what was made: {unmade}")
    raise refusals[0]


def take_down(kernel: Kernel, things: Sequence[Thing]) -> None:
    """Make *things* untrue, last first.  It goes on after a refusal, and raises all of them as a group."""
    refusals = kernel.remove(things[::-1])
    if refusals:
        raise ExceptionGroup("not everything could be taken down", refusals)


def compare(kernel: Kernel, things: Sequence[Thing]) -> list[Thing]:
    """Those of *things* that do not hold, in order."""
    return kernel.missing(things)


def repair(kernel: Kernel, things: Sequence[Thing]) -> list[Thing]:
    """Make those of *things* true that do not hold, and return them.  Raises as `bring_up` does."""
    missing = kernel.missing(things)
    bring_up(kernel, missing)
    return missing


def shift(kernel: Kernel, old: Sequence[Thing], new: Sequence[Thing]) -> None:
    """Make *old* untrue and *new* true; what is in both is not touched, but for what hangs on something that goes:
    that is made again.  Raises the first refusal, and then *old* holds again."""
    again = _hanging(_without(old, new), old)
    gone, fresh = _without(old, _without(new, again)), _without(new, _without(old, again))
    try:
        refusals = kernel.remove(gone[::-1])
        if refusals:
            for another in refusals[1:]:
                refusals[0].add_note(f"and: {another}")
            raise refusals[0]
        bring_up(kernel, fresh)
    except KernelError as refusal:
        _restore(kernel, gone, refusal)
        raise


def _without(things: Sequence[Thing], others: Sequence[Thing]) -> list[Thing]:
    if not things or not others:
        # The usual case; a set of things with addresses in them takes 0.1 ms.
        return list(things)
    known = set(others)
    return [thing for thing in things if thing not in known]


def _hanging(gone: Sequence[Thing], things: Sequence[Thing]) -> list[Thing]:
    """The routes among *things* of links that lose an address: with the last one of a family the kernel takes them
    away.  The new one cannot come before: in the subnet of the old one it would go along with that."""
    bare = {(thing.ns, thing.link, thing.address.version) for thing in gone if isinstance(thing, Address)}
    return [t for t in things if isinstance(t, Route) and (t.ns, t.dev, t.family) in bare] if bare else []


def _restore(kernel: Kernel, gone: Sequence[Thing], refusal: KernelError) -> None:
    """Make *gone* true again; what can't be is a note on *refusal*, and the rest comes back all the same."""
    for outcome in kernel.add(gone):
        if isinstance(outcome, KernelError):
            refusal.add_note(f"and restoring what was there: {outcome}")
