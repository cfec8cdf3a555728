"""The `filters` parameter: what it may hold and what it matches (daemon/pkg/filters)."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from bascule.api.shapes import times
from bascule.model.errors import Failed, Invalid


@dataclass(frozen=True, slots=True)
class Filters:
    """Values by key, in the order they came.  Keys are AND-ed; the values of one key OR-ed, but for labels."""

    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __contains__(self, key: str) -> bool:
        return key in self.fields

    def get(self, key: str) -> tuple[str, ...]:
        return self.fields.get(key, ())

    def exact(self, key: str, source: str) -> bool:
        """No such filter, or one of its values is *source*."""
        values = self.get(key)
        return not values or source in values

    def match(self, key: str, *sources: str) -> bool:
        """No such filter, or one of its values is one of *sources* or occurs in it as a regular expression."""
        values = self.get(key)
        return not values or any(_found(value, source) for value in values for source in sources)

    def prefix(self, key: str, source: str) -> bool:
        """No such filter, or *source* begins with one of its values."""
        values = self.get(key)
        return not values or any(source.startswith(value) for value in values)

    def labels(self, labels: Mapping[str, str], key: str = "label") -> bool:
        """Every value (`name` or `name=value`) is among *labels*."""
        return all(_labelled(value, labels) for value in self.get(key))

    def flag(self, key: str) -> bool | None:
        """A boolean filter, None where it is absent.  Raises Invalid."""
        values = self.get(key)
        if not values:
            return None
        if len(values) > 1:
            raise Invalid(f'got more than one value for filter key "{key}"')
        if values[0] in ("1", "true"):
            return True
        if values[0] in ("0", "false"):
            return False
        raise Invalid(f'invalid value for filter \'{key}\', must be "true" (or "1"), or "false" (or "0")')

    def until(self, now: int) -> int | None:
        """The one moment of `until`, None where it is absent.  Raises Invalid."""
        values = self.get("until")
        if not values:
            return None
        if len(values) > 1:
            raise Invalid("more than one until filter specified")
        return times.parse(values[0], now)


def parse(text: str, accepted: Collection[str]) -> Filters:
    """Both notations: `{"name": ["x"]}` and `{"name": {"x": true}}`.  Raises Invalid for garbage and for a key that
    is not *accepted*."""
    if not text:
        return Filters()
    try:
        body = msgspec.json.decode(text.encode(), type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        raise Invalid("invalid filter") from None
    found = {key: _values(value) for key, value in body.items()}
    for key in found:
        if key not in accepted:
            raise Invalid(f"invalid filter '{key}'")
    return Filters({key: values for key, values in found.items() if values})


def _values(value: Any) -> tuple[str, ...]:
    match value:
        case None:
            return ()
        case list() if all(isinstance(v, str) for v in value):
            return tuple(value)
        case dict() if all(isinstance(v, bool) for v in value.values()):
            return tuple(value)
        case _:
            raise Invalid("invalid filter")


def _found(value: str, source: str) -> bool:
    if value == source:
        return True
    try:
        return re.search(value, source) is not None
    except re.error:
        return False


def _labelled(value: str, labels: Mapping[str, str]) -> bool:
    name, equals, wanted = value.partition("=")
    return name in labels and (not equals or labels[name] == wanted)


PRUNE = ("label", "label!", "until")


def wanted(asked: Filters, labels: Mapping[str, str], created: int, now: int) -> bool:
    """Whether a prune with these filters takes an object."""
    until = asked.until(now)
    if until is not None and created > until:
        return False
    if "label!" in asked and asked.labels(labels, "label!"):
        return False
    return asked.labels(labels)


def check_type(values: Sequence[str]) -> None:
    """Raise (with Docker's status, 500) for a `type` filter that is neither builtin nor custom."""
    for value in values:
        if value not in ("builtin", "custom"):
            raise Failed(f"invalid filter: 'type'='{value}'")
