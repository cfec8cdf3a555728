"""Times, durations and sizes in the words of Docker's listings (github.com/docker/go-units)."""

SECOND = 1_000_000_000
MEMORY = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}


def duration(seconds: float) -> str:
    """`2 minutes`, `About an hour`: roughly how long."""
    s = int(seconds)
    minutes, hours = s // 60, int(seconds / 3600 + 0.5)
    if s < 1:
        return "Less than a second"
    if s == 1:
        return "1 second"
    if s < 60:
        return f"{s} seconds"
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    if hours < 24 * 7 * 2:
        return f"{hours // 24} days"
    if hours < 24 * 30 * 2:
        return f"{hours // 24 // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{int(seconds / 3600) // 24 // 365} years"


def _size(value: float, base: float, names: tuple[str, ...], digits: int) -> str:
    at = 0
    while value >= base and at < len(names) - 1:
        value /= base
        at += 1
    return f"{_general(value, digits)}{names[at]}"


def _general(value: float, digits: int) -> str:
    """As Go's %.Ng prints what is below its exponents."""
    return f"{value:.{digits}g}" if value < 10**digits else str(round(value))


def size(value: float, digits: int = 4) -> str:
    """`5.58MB`: by thousands."""
    return _size(value, 1000.0, ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"), digits)


def binary_size(value: float) -> str:
    """`15.6MiB`: by 1,024."""
    return _size(value, 1024.0, ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"), 4)


def parse_size(text: str) -> int:
    """`512m`, `1.5GB`, `64KiB` as bytes.  Raises ValueError in go-units' words."""
    number = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
    suffix = text[len(number) :].strip().lower()
    unit = suffix.removesuffix("ib") if len(suffix) > 2 else suffix.removesuffix("b") if len(suffix) > 1 else suffix
    try:
        value = float(number)
    except ValueError:
        raise ValueError(f"invalid size: '{text}'") from None
    if unit not in MEMORY:
        raise ValueError(f"invalid suffix: '{text[len(number) :].strip()}'")
    if value < 0:
        raise ValueError(f"invalid size: '{text}'")
    return int(value * MEMORY[unit])


def parse_cpus(text: str) -> int:
    """`1.5` as billionths of a processor.  Raises ValueError in Docker's words."""
    whole, _, part = text.partition(".")
    if not (whole + part).isdigit():
        raise ValueError(f"failed to parse {text} as a rational number")
    if len(part.rstrip("0")) > 9:
        raise ValueError("value is too precise")
    return int(whole or "0") * SECOND + int((part + "0" * 9)[:9])


DURATIONS = {"ns": 1, "us": 1000, "µs": 1000, "ms": 1000_000, "s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND}


def parse_duration(text: str) -> int:
    """`1h30m` as nanoseconds.  Raises ValueError in time.ParseDuration's words."""
    rest, total = text.lstrip("+-"), 0.0
    if rest == "0":
        return 0
    while rest:
        digits = len(rest) - len(rest.lstrip("0123456789."))
        unit = rest[digits:]
        unit = unit[: len(unit) - len(unit.lstrip("nuµmsh"))]
        unit = unit if unit in DURATIONS else unit[:1]
        if not digits or rest[:digits].count(".") > 1 or rest[:digits] == ".":
            raise ValueError(f'time: invalid duration "{text}"')
        if unit not in DURATIONS:
            why = "missing unit in" if not unit else f'unknown unit "{unit}" in'
            raise ValueError(f'time: {why} duration "{text}"')
        total += float(rest[:digits]) * DURATIONS[unit]
        rest = rest[digits + len(unit) :]
    if not text.lstrip("+-"):
        raise ValueError(f'time: invalid duration "{text}"')
    return int(-total if text.startswith("-") else total)


def parse_time(text: str) -> float:
    """An RFC 3339 time of the API as seconds since the epoch; 0.0 for Go's zero time."""
    from datetime import datetime

    if not text or text.startswith("0001-"):
        return 0.0
    whole, dot, rest = text.partition(".")
    fraction = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    zone = rest[len(fraction) :] if dot else ""
    stamp = datetime.fromisoformat((whole + zone).replace("Z", "+00:00"))
    return stamp.timestamp() + float(f"0.{fraction or 0}")


def moment(text: str, now: float) -> str:
    """A typed `--since`/`--until` as the API takes it: a duration before *now*, a date, or a timestamp, as
    seconds with nanoseconds."""
    from datetime import datetime

    try:
        return f"{now - parse_duration(text) / SECOND:.9f}"
    except ValueError:
        pass
    if text.replace(".", "", 1).isdigit():
        return text
    try:
        if "." in text:
            return f"{parse_time(text):.9f}"
        return f"{datetime.fromisoformat(text.replace('Z', '+00:00')).timestamp():.9f}"
    except ValueError:
        raise ValueError(f'failed to parse value as time or duration: "{text}"') from None


def local(seconds: float) -> str:
    """`2026-11-23 22:14:11 +0000 UTC`: how Go prints a time in a listing."""
    from datetime import datetime

    at = datetime.fromtimestamp(seconds).astimezone()
    return at.strftime("%Y-%m-%d %H:%M:%S %z %Z")


def exact(text: str) -> str:
    """An RFC 3339 time of the API as Go prints it: with its fraction, and where it was told, in UTC."""
    from datetime import UTC, datetime

    fraction = text.partition(".")[2].rstrip("Z").partition("+")[0].partition("-")[0].rstrip("0")
    at = datetime.fromtimestamp(int(parse_time(text)), UTC)
    return at.strftime("%Y-%m-%d %H:%M:%S") + (f".{fraction}" if fraction else "") + " +0000 UTC"
