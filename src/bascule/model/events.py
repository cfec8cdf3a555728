"""What happened: the values that `GET /events` tells, in Docker's words."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Event:
    """One change, told once and in order.  *time* is nanoseconds since the epoch."""

    type: str
    action: str
    id: str
    time: int
    attributes: Mapping[str, str] = field(default_factory=dict)
    scope: str = "local"
