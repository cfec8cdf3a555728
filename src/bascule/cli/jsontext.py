"""JSON through the interpreter's own C scanner and encoder.

`import json` costs a third of the command line's budget, because it compiles regular expressions that its C
parts never use (docs/decisions/010).  `_json` is CPython's own and has had these two entry points since 3.2.
"""

from __future__ import annotations

import _json

TYPE_CHECKING = False  # As in typing, whose import costs 5 ms: docs/decisions/010.
if TYPE_CHECKING:
    from typing import Any


class _Wishes:
    """What json.JSONDecoder would be asked for; the scanner reads it by attribute."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo: dict[str, str] = {}  # noqa: RUF012


_scan = _json.make_scanner(_Wishes())  # type: ignore[arg-type]


def loads(text: str) -> Any:
    """The value of a JSON document.  Raises ValueError if it is none."""
    text = text.strip()
    try:
        value, end = _scan(text, 0)
    except StopIteration as stop:
        raise ValueError(f"no JSON value at character {stop.value}") from None
    if end != len(text):
        raise ValueError(f"something follows the JSON value at character {end}")
    return value


def _plain(value: object) -> object:
    raise ValueError(f"JSON has no form for {value!r}")


_encode = _json.make_encoder(None, _plain, _json.encode_basestring, None, ":", ",", False, False, False)


def dumps(value: Any, *, indent: int = 0) -> str:
    """*value* as JSON: on one line without blanks, or with *indent* blanks a level, empty lists and objects
    closed on their line, as Go's encoder lays it out."""
    return _laid_out(value, "\n", " " * indent) if indent else "".join(_encode(value, 0))


def _laid_out(value: Any, line: str, step: str) -> str:
    inner = line + step
    if isinstance(value, dict) and value:
        parts = [f"{_json.encode_basestring(k)}: {_laid_out(v, inner, step)}" for k, v in value.items()]
        return "{" + inner + ("," + inner).join(parts) + line + "}"
    if isinstance(value, list) and value:
        return "[" + inner + ("," + inner).join(_laid_out(v, inner, step) for v in value) + line + "]"
    return "".join(_encode(value, 0))
