"""Single values as Go's clients write them in queries and options, and requests' bodies."""

import re
from typing import Annotated, TypeVar

import msgspec
import msgspec.inspect

from bascule.api.shapes.nulls import filled
from bascule.model.errors import Invalid

# strconv.ParseBool
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")
# httputils.BoolValue: everything else counts as true.
_NO = ("", "0", "no", "false", "none")

T = TypeVar("T")
# Go's int on every machine of ours.
INT_MIN, INT_MAX = -(1 << 63), (1 << 63) - 1
Int64 = Annotated[int, msgspec.Meta(ge=INT_MIN, le=INT_MAX)]
_DIGITS = 4000
_INTEGER = re.compile(r"[+-]?[0-9]+")


def truth(text: str) -> bool:
    """A flag in a query, as generously as Docker reads most of them."""
    return text.strip().lower() not in _NO


def strict_truth(name: str, text: str) -> bool:
    """A flag in a query where Docker insists on a boolean.  Raises Invalid."""
    if text in _TRUE:
        return True
    if text in _FALSE or not text:
        return False
    raise Invalid(f'invalid value for {name}: {text}: strconv.ParseBool: parsing "{text}": invalid syntax')


def integer(text: str) -> int:
    """A whole number.  Raises Invalid in Go's words."""
    if not _INTEGER.fullmatch(text):
        raise Invalid(not_a_number("Atoi", text))
    # Python refuses to read more digits than some thousands.
    found = int(text) if len(text) <= _DIGITS else INT_MAX + 1
    if not INT_MIN <= found <= INT_MAX:
        raise Invalid(f'strconv.Atoi: parsing "{text}": value out of range')
    return found


def not_a_number(function: str, text: str) -> str:
    """What strconv's *function* says of *text*."""
    return f'strconv.{function}: parsing "{text}": invalid syntax'


def check_json(content_type: str | None, body: bytes) -> None:
    """Raise Invalid unless the body says of itself that it is JSON, or is empty and says nothing."""
    if content_type is None and not body:
        return
    kind = (content_type or "").partition(";")[0].strip().lower()
    if not kind:
        raise Invalid(f"malformed Content-Type header ({content_type or ''}): mime: no media type")
    if kind != "application/json":
        raise Invalid(f"unsupported Content-Type header ({kind}): must be 'application/json'")


def decode(kind: type[T], body: bytes) -> T:
    """*body* as the struct *kind*; an empty body is one with nothing in it.  Raises Invalid."""
    try:
        try:
            return msgspec.json.decode(body or b"{}", type=kind)
        except msgspec.ValidationError:
            if b"null" not in body:
                raise
            return msgspec.convert(filled(msgspec.json.decode(body), msgspec.inspect.type_info(kind)), kind)
    except msgspec.ValidationError as wrong:
        raise Invalid(f"invalid JSON: {wrong}") from wrong
    except msgspec.DecodeError as wrong:
        why = "unexpected EOF" if "truncated" in str(wrong) else str(wrong)
        raise Invalid(f"invalid JSON: {why}") from wrong
    except UnicodeDecodeError as wrong:
        raise Invalid("invalid JSON: it is not UTF-8") from wrong
    except RecursionError as wrong:
        raise Invalid("invalid JSON: exceeded max depth") from wrong


def encode(value: object) -> bytes:
    """JSON with the newline that Go's encoder ends it with."""
    return msgspec.json.encode(value) + b"\n"
