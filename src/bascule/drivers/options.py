"""Reading options: Docker's words for what cannot be read, which are Go's."""

import re
from collections.abc import Collection, Mapping

from bascule.model.addresses import IPAddress, ip_address
from bascule.model.errors import Invalid
from bascule.model.names import check_link_name

# strconv.ParseBool.
_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")

Options = Mapping[str, str]
ALLOW_OVERLAP = "bascule.allow_overlap"
"""The engine's own, for a network of any driver: the subnet may be one that the host routes elsewhere."""


def refused(key: str, value: str, why: str) -> Invalid:
    """The error Docker makes of an option it cannot read."""
    return Invalid(f"failed to parse {key} value: {value} ({why})")


def check_ours(options: Options, *known: str) -> None:
    """Raises Invalid for an option of Bascule's own that is not among *known*, nor one that every network has."""
    check_known(options, (*known, ALLOW_OVERLAP))


def check_known(options: Options, known: Collection[str]) -> None:
    """Raises Invalid for an option of Bascule's own that is not among *known*: a slip in one of these would be a
    protection that is not there.  Docker's own unknown options are let through, as Docker does."""
    for key in options:
        if key.startswith("bascule.") and key not in known:
            raise Invalid(f"unknown option {key}: there is {', '.join(sorted(known))}")


def flag(options: Options, key: str, default: bool) -> bool:
    value = options.get(key)
    if value is None:
        return default
    if value not in _TRUE + _FALSE:
        raise refused(key, value, f'strconv.ParseBool: parsing "{value}": invalid syntax')
    return value in _TRUE


def number(options: Options, key: str, default: int) -> int:
    value = options.get(key)
    if value is None:
        return default
    # int() takes blanks, underscores and other scripts' digits, too.
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", value):
        raise refused(key, value, f'strconv.Atoi: parsing "{value}": invalid syntax')
    return int(value)


def address(options: Options, key: str, *versions: int) -> IPAddress | None:
    """An address of one of the *versions*; "" is none."""
    value = options.get(key)
    if not value:
        return None
    try:
        found = ip_address(value)
    except ValueError:
        raise refused(key, value, "nil ip") from None
    if found.version not in versions:
        raise refused(key, value, f"not an IPv{versions[0]} address")
    return found


def link_name(options: Options, key: str, tail: str = "") -> str:
    """A name that the kernel would take for a link with *tail* appended; "" where none is given."""
    value = options.get(key, "")
    if value:
        try:
            check_link_name(value + tail)
        except Invalid as error:
            raise refused(key, value, str(error)) from None
    return value
