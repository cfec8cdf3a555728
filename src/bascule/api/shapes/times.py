"""Times in Docker's notations.  Inside, a time is nanoseconds since the epoch and 0 is never."""

import re
from datetime import UTC, datetime

from bascule.model.errors import Invalid

SECOND = 1_000_000_000
NEVER = "0001-01-01T00:00:00Z"

_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3600 * SECOND,
}
_TERM = r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)"
_DURATION = re.compile(rf"-?(?:{_TERM})+")
_UNIX = re.compile(r"(-?\d+)(?:\.(\d{1,9}))?")


def rfc3339(time: int) -> str:
    """Go's RFC3339Nano: no trailing zeros in the fraction."""
    if not time:
        return NEVER
    seconds, rest = divmod(time, SECOND)
    fraction = f".{rest:09d}".rstrip("0").rstrip(".")
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"


def stamp(time: int) -> str:
    """The fixed width that `logs --timestamps` shows."""
    seconds, rest = divmod(time, SECOND)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def parse(text: str, now: int) -> int:
    """A moment as `since` and `until` take it: seconds with a fraction, RFC 3339, or a duration before *now*.
    "" and "0" are 0.  Raises Invalid."""
    if not text:
        return 0
    if unix := _UNIX.fullmatch(text):
        return int(unix[1]) * SECOND + int((unix[2] or "").ljust(9, "0"))
    if _DURATION.fullmatch(text):
        return now - duration(text)
    return _date(text)


def duration(text: str) -> int:
    """A Go duration (`1h30m`) in nanoseconds.  Raises Invalid."""
    if not _DURATION.fullmatch(text):
        raise Invalid(f'time: invalid duration "{text}"')
    total = sum(round(float(number) * _UNITS[unit]) for number, unit in re.findall(_TERM, text))
    return -total if text.startswith("-") else total


def _date(text: str) -> int:
    # datetime keeps six digits of a second, the notation nine.
    found = re.fullmatch(r"(.+?)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)?", text)
    whole, fraction, zone = found.groups() if found else (text, None, None)
    try:
        when = datetime.fromisoformat(whole + (zone or "+00:00" if "T" in whole else ""))
    except ValueError:
        raise Invalid(f'failed to parse value as time or duration: "{text}"') from None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return int(when.timestamp()) * SECOND + int((fraction or "").ljust(9, "0"))


# (below this many hours, hours in one, word)
_SPANS = ((24 * 14, 24, "days"), (24 * 60, 24 * 7, "weeks"), (24 * 730, 24 * 30, "months"))


def human(nanoseconds: int) -> str:
    """A span as `docker ps` says it (docker/go-units, duration.go)."""
    seconds = max(0, nanoseconds) // SECOND
    hours = (seconds + 1800) // 3600
    for below, text in (
        (1, "Less than a second"),
        (2, "1 second"),
        (60, f"{seconds} seconds"),
        (120, "About a minute"),
        (3600, f"{seconds // 60} minutes"),
        (5400, "About an hour"),
        (48 * 3600 - 1800, f"{hours} hours"),
    ):
        if seconds < below:
            return text
    for limit, unit, name in _SPANS:
        if hours < limit:
            return f"{hours // unit} {name}"
    return f"{seconds // 3600 // 24 // 365} years"
