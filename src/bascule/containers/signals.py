"""Signals by the names and numbers that people type."""

import signal

from bascule.model.errors import Invalid


def parse(text: str) -> signal.Signals | int:
    """`KILL`, `SIGKILL`, `9`, `RTMIN+3`.  Raises Invalid."""
    name = text.upper().removeprefix("SIG")
    if name.isdigit() and 0 < int(name) <= signal.SIGRTMAX:
        return int(name)
    if name.isdigit():
        raise Invalid(f"the linux daemon does not support signal {name}")
    for base, start in (("RTMIN", signal.SIGRTMIN), ("RTMAX", signal.SIGRTMAX)):
        offset = name.removeprefix(base)
        if name.startswith(base) and (not offset or (offset[1:].isdigit() and offset[0] in "+-")):
            return int(start) + int(offset or 0)
    try:
        return signal.Signals["SIG" + name]
    except KeyError:
        raise Invalid(f"invalid signal: {text}") from None


def shown(number: int) -> str:
    """A signal as events tell it: its number."""
    return str(int(number))
