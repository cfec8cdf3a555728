"""Go's values as templates see them: what is true, how they are shown, and the functions to call on them.

The functions are text/template's own and those of Docker's command line (cli/templates).
"""

from collections.abc import Callable
from typing import Any

from bascule.cli import jsontext
from bascule.cli.options import UsageError


class TemplateError(UsageError):
    """The template cannot be read, or asks something of a value that it has not."""

    def __init__(self, why: str) -> None:
        super().__init__(f"template parsing error: template: :1: {why}", code=1)


class Row:
    """A line of a listing: *fields* maps a placeholder's name to (column's header, function of the object).
    A field whose function gives a function takes arguments: `.Label "k"`."""

    __slots__ = ("fields", "item")

    def __init__(self, fields: dict[str, tuple[str, Callable[[Any], Any]]], item: Any) -> None:
        self.fields = fields
        self.item = item

    def get(self, name: str) -> Any:
        if name not in self.fields:
            raise TemplateError(f'executing "" at <.{name}>: there is no field {name}')
        return self.fields[name][1](self.item)

    def all(self) -> dict[str, Any]:
        """Every field without arguments, by name, as `--format json` prints them."""
        values = {name: self.get(name) for name in sorted(self.fields)}
        return {name: value for name, value in values.items() if not callable(value)}


class Strict(dict[str, Any]):
    """An object whose missing keys are an error, as `inspect` wants it, and not `<no value>`."""


def strict(value: Any) -> Any:
    """*value* with every object in it Strict."""
    if isinstance(value, dict):
        return Strict({k: strict(v) for k, v in value.items()})
    return [strict(v) for v in value] if isinstance(value, list) else value


def walk(value: Any, path: list[str], args: list[Any]) -> Any:
    """The value at *path* of fields below *value*; *args* are for the last one."""
    for at, name in enumerate(path):
        value = _field(value, name)
        if callable(value):
            value = value(*(args if at == len(path) - 1 else []))
            args = []
    if args:
        raise TemplateError(f'executing "" at <.{".".join(path)}>: it has arguments but is no method')
    return value


def _field(value: Any, name: str) -> Any:
    if isinstance(value, Row):
        return value.get(name)
    if isinstance(value, Strict) and name not in value:
        raise TemplateError(f'executing "" at <.{name}>: map has no entry for key "{name}"')
    if isinstance(value, dict):
        return value.get(name)
    if value is None:
        raise TemplateError(f'executing "" at <.{name}>: nil data; no entry for key "{name}"')
    raise TemplateError(f'executing "" at <.{name}>: {shown(value)} has no field {name}')


def true(value: Any) -> bool:
    return value is not None and value is not False and value != 0 and value not in ("", [], {})


def shown(value: Any, *, top: bool = False) -> str:
    """*value* as fmt's %v prints it."""
    match value:
        case None:
            return "<no value>" if top else "<nil>"
        case bool():
            return "true" if value else "false"
        case list():
            return f"[{' '.join(shown(v) for v in value)}]"
        case dict():
            return f"map[{' '.join(f'{k}:{shown(value[k])}' for k in sorted(value))}]"
        case Row():
            return shown(value.all())
        case float():
            return f"{value:.17g}" if value != int(value) else str(int(value))
    return str(value)


def items(value: Any) -> list[tuple[Any, Any]]:
    """What `range` goes through: index and element, or key and value in the keys' order."""
    match value:
        case None:
            return []
        case list():
            return list(enumerate(value))
        case dict():
            return sorted(value.items())
        case int() if not isinstance(value, bool):
            return [(n, n) for n in range(value)]
    raise TemplateError(f"range can't iterate over {shown(value)}")


def unquote(token: str) -> str:
    """A Go string literal's value."""
    if token[0] == "`":
        return token[1:-1]
    plain, escapes, at = "", {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}, 1
    while at < len(token) - 1:
        char = token[at]
        if char == "\\":
            at += 1
            char = escapes.get(token[at], token[at])
        plain += char
        at += 1
    return plain


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        match value:
            case dict():
                value = value.get(key)
            case list() | str():
                if not isinstance(key, int) or not 0 <= key < len(value):
                    raise TemplateError(f"error calling index: index out of range: {shown(key)}")
                value = value[key] if isinstance(value, list) else value.encode()[key]
            case _:
                raise TemplateError(f"error calling index: can't index item of type {shown(value)}")
    return value


def _slice(value: Any, *ends: int) -> Any:
    start, stop = (*ends, 0)[0], ends[1] if len(ends) > 1 else len(value)
    if not 0 <= start <= stop <= len(value):
        raise TemplateError(f"error calling slice: index out of range: {stop}")
    return value[start:stop]


def _len(value: Any) -> int:
    if value is None or isinstance(value, int | float):
        raise TemplateError(f"error calling len: len of {'nil pointer' if value is None else 'type int'}")
    return len(value.encode()) if isinstance(value, str) else len(value)


def _title(text: str) -> str:
    return " ".join(word[:1].upper() + word[1:] for word in text.split(" "))


def _pad(text: str, before: int, after: int) -> str:
    return " " * before + text + " " * after if text else text


def _truncate(text: str, length: int) -> str:
    return text[:length]


def _join(values: Any, separator: str) -> str:
    return separator.join(shown(v) for v in values or [])


def _quoted(value: Any) -> str:
    return jsontext.dumps(shown(value))


def _printf(form: str, *args: Any) -> str:
    """fmt.Sprintf, for the verbs v s d q t x X f and their flags and widths."""
    out, left, at = "", list(args), 0
    while at < len(form):
        char = form[at]
        at += 1
        if char != "%":
            out += char
            continue
        flags = ""
        while at < len(form) and form[at] in "+-# 0123456789.":
            flags += form[at]
            at += 1
        verb, at = form[at : at + 1], at + 1
        if verb == "%":
            out += "%"
        elif not left:
            out += f"%!{verb}(MISSING)"
        else:
            out += _formatted(flags, verb, left.pop(0))
    return out + (f"%!(EXTRA {', '.join(f'{_type(a)}={shown(a)}' for a in left)})" if left else "")


def _type(value: Any) -> str:
    return {bool: "bool", int: "int", float: "float64", str: "string"}.get(type(value), "interface {}")


def _formatted(flags: str, verb: str, value: Any) -> str:
    match verb:
        case "v" | "s" | "t":
            return f"%{flags.replace('#', '')}s" % shown(value)
        case "q":
            return f"%{flags.replace('#', '')}s" % _quoted(value)
        case "d" | "x" | "X" if isinstance(value, int):
            return f"%{flags}{verb}" % value
        case "x" if isinstance(value, str):
            return value.encode().hex()
        case "f" | "g" | "e" if isinstance(value, int | float):
            return f"%{flags}{verb}" % value
    return f"%!{verb}({_type(value)}={shown(value)})"


def _and(*values: Any) -> Any:
    return next((v for v in values if not true(v)), values[-1])


def _or(*values: Any) -> Any:
    return next((v for v in values if true(v)), values[-1])


def json_row(row: Row) -> str:
    """A listing's line as JSON.  Go escapes what HTML could take for its own there, and not for {{json .}}."""
    text = jsontext.dumps(row.all())
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _html(value: Any) -> str:
    text = shown(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace('"', "&#34;").replace("'", "&#39;")


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "and": _and,
    "or": _or,
    "not": lambda v: not true(v),
    "eq": lambda a, *b: any(a == other for other in b),
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "len": _len,
    "index": _index,
    "slice": _slice,
    "html": _html,
    "print": lambda *a: "".join(shown(v) for v in a),
    "println": lambda *a: " ".join(shown(v) for v in a) + "\n",
    "printf": _printf,
    "json": lambda v: jsontext.dumps(v.all() if isinstance(v, Row) else v),
    "split": lambda text, separator: text.split(separator),
    "join": _join,
    "title": _title,
    "lower": lambda text: str(text).lower(),
    "upper": lambda text: str(text).upper(),
    "pad": _pad,
    "truncate": _truncate,
}


def call(name: str, function: Callable[..., Any], args: list[Any]) -> Any:
    """The function's value for *args*.  Raises TemplateError where it does not take them."""
    try:
        return function(*args)
    except (TypeError, AttributeError, IndexError) as why:
        raise TemplateError(f"error calling {name}: {why}") from None
