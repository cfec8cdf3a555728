"""Stored objects as text and back: JSON with sorted keys and the format's version, one object a text.

Addresses are written as people write them ("10.0.0.2/24").  A key that this version does not know is left out
when read: a newer minor version added it, and does without it.  A *version* it does not know is refused, because
a newer major version means something else by the same words.

To change the meaning of what is stored: raise VERSION, and put into MIGRATIONS, under the version that is left,
the function that lifts a body to the next one.
"""

import json
import sys
from collections.abc import Callable, Mapping
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from typing import Any, TypeVar, get_args

from cattrs import Converter, transform_error

from bascule.model.addresses import IPAddress, IPInterface, IPNetwork, ip_address, ip_interface, ip_network
from bascule.model.errors import Failed

T = TypeVar("T")
Body = dict[str, Any]
Migration = Callable[[type, Body], Body]

VERSION = 1
MIGRATIONS: Mapping[int, Migration] = {}

_READ: dict[object, Callable[[str], object]] = {
    IPAddress: ip_address,
    IPInterface: ip_interface,
    IPNetwork: ip_network,
}


def encode(value: object) -> str:
    """*value* as one line of JSON.  ASCII only: a lone surrogate from somebody's JSON must survive UTF-8."""
    body = _converter.unstructure(value)
    return _line({**body, "version": VERSION})


def decode(
    kind: type[T], text: str, *, version: int = VERSION, migrations: Mapping[int, Migration] = MIGRATIONS
) -> T:
    """The value of *kind* that *text* says, lifted to *version* first.  Raises Failed, with what is wrong."""
    what = kind.__name__.lower()
    try:
        body = json.loads(text)
    except ValueError as error:
        raise Failed(f"cannot read a stored {what}: {error}") from None
    if not isinstance(body, dict):
        raise Failed(f"cannot read a stored {what}: not a JSON object")
    what = f"{what} {str(body.get('id', '?'))[:12]}"
    found = body.pop("version", None)
    if type(found) is not int or not 1 <= found <= version:
        raise Failed(f"cannot read stored {what}: format version {found}, known are 1 to {version}")
    for step in range(found, version):
        body = migrations[step](kind, body)
    try:
        return _converter.structure(body, kind)
    except Exception as error:  # cattrs raises groups of whatever the fields' readers raise.
        raise Failed(f"cannot read stored {what}: {'; '.join(transform_error(error, path=what))}") from None


def _pair(kind: Any) -> object | None:
    """The address pair that *kind* is, with or without None beside it."""
    present = frozenset(get_args(kind)) - {type(None)}
    return next((pair for pair in _READ if frozenset(get_args(pair)) == present), None)


def _reader(kind: Any) -> Callable[[Any, Any], Any]:
    read = _READ[_pair(kind)]
    optional = type(None) in get_args(kind)

    def structure(value: Any, _: Any) -> Any:
        if value is None and optional:
            return None
        # Without this an integer would be read as an address.
        return read(_exactly(value, str))

    return structure


def _exactly(value: Any, kind: type[T]) -> T:
    """*value*, which must already be of *kind*: cattrs would make `"None"` of None and 1 of True."""
    if type(value) is not kind:
        raise TypeError(f"{value!r} is not a {kind.__name__}")
    return value


def _make() -> Converter:
    converter = Converter()
    # Thousands of objects say the same words, of which one is enough.
    converter.register_structure_hook(str, lambda value, kind: sys.intern(_exactly(value, kind)))
    for plain in (int, bool):
        converter.register_structure_hook(plain, _exactly)
    for address in (IPv4Address, IPv6Address, IPv4Interface, IPv6Interface, IPv4Network, IPv6Network):
        converter.register_unstructure_hook(address, str)
    converter.register_structure_hook_factory(lambda kind: _pair(kind) is not None, _reader)
    return converter


_converter = _make()
_line = json.JSONEncoder(sort_keys=True).encode
