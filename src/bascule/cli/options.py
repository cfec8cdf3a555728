"""Options, from tables that people can read.

A command's options are the lines that its help shows:

    -d, --driver string=bridge   Type of the network
        --internal               Nothing goes out, nothing comes in
        --net network

The word after the name is the kind of its value; no word means a switch.  `=` gives the default.  A line
without a help text is a hidden alias, whose kind is followed by the option it stands for (`network>network`).
The rules of what may be typed are those of Docker's parser (spf13/pflag): `--name value`, `--name=value`,
`-n value`, `-nvalue`, `-n=value`, `-it`, `--` ends the options.  Why not argparse: docs/decisions/010.
"""

from __future__ import annotations

TYPE_CHECKING = False  # As in typing, whose import costs 5 ms: docs/decisions/010.
if TYPE_CHECKING:
    from typing import Any

# strconv.ParseBool's words.
TRUE = ("1", "t", "T", "TRUE", "true", "True")
FALSE = ("0", "f", "F", "FALSE", "false", "False")
MANY = ("list", "strings", "map", "filter", "network", "mount", "ulimit", "gpu-request")
NUMBERS = ("int", "uint", "uint16")


class UsageError(Exception):
    """What was typed is no command of ours.  The message says what is wrong with it; *code* is the exit status."""

    def __init__(self, message: str, *, code: int = 125) -> None:
        super().__init__(message)
        self.code = code


class Option:
    """One line of a table."""

    __slots__ = ("alias_of", "default", "help", "kind", "name", "short")

    def __init__(self, line: str) -> None:
        left, _, help_text = line.strip().partition("   ")
        self.help = help_text.strip()
        words = left.replace(",", "").split()
        self.short = words.pop(0)[1:] if words[0][1] != "-" else ""
        self.name = words.pop(0)[2:]
        kind, _, self.default = (words[0] if words else "").partition("=")
        self.kind, _, self.alias_of = kind.partition(">")
        self.kind = self.kind or "bool"

    @property
    def shown(self) -> str:
        """Its name as an error quotes it: `-f, --filter`."""
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"

    @property
    def initial(self) -> Any:
        if self.kind in MANY:
            return []
        if self.kind == "bool":
            return self.default in TRUE
        if self.kind in NUMBERS:
            return int(self.default or 0)
        return self.default


def table(text: str) -> list[Option]:
    """The options of a table."""
    return [Option(line) for line in text.splitlines() if line.strip()]


class Given:
    """What was typed: options by name, and the arguments left."""

    __slots__ = ("_values", "args", "typed")

    def __init__(self, options: list[Option]) -> None:
        self._values: dict[str, Any] = {o.name: o.initial for o in options}
        self.typed: set[str] = set()
        """Names of the options that were really typed, for those whose default is "say nothing"."""
        self.args: list[str] = []

    def put(self, option: Option, text: str, value: Any) -> None:
        name = option.alias_of or option.name
        self.typed.add(name)
        if option.kind == "strings":
            self._values[name] += split_csv(text)
        elif option.kind in MANY:
            self._values[name].append(value)
        else:
            self._values[name] = value

    def text(self, name: str) -> str:
        return str(self._values[name])

    def flag(self, name: str) -> bool:
        return bool(self._values[name])

    def number(self, name: str) -> int:
        return int(self._values[name])

    def list(self, name: str) -> list[str]:
        return list(self._values[name])

    def each(self, name: str) -> Any:
        """The values as their check made them, for options whose check translates."""
        return self._values[name]

    def map(self, name: str) -> dict[str, str]:
        """`k=v` and bare `k` as a mapping; the last one typed wins."""
        return {k: v for k, _, v in (text.partition("=") for text in self._values[name])}


def split_csv(text: str) -> list[str]:
    """The fields of one line of comma separated values; `"` quotes commas, and `""` in quotes is a quote.
    Raises ValueError in encoding/csv's words."""
    fields, field, quoted, at = [], "", False, 0
    while at < len(text):
        char = text[at]
        if quoted and text.startswith('""', at):
            field, at = field + '"', at + 1
        elif quoted and char == '"':
            quoted = False
        elif not quoted and char == '"' and not field:
            quoted = True
        elif not quoted and char == '"':
            raise ValueError(f'parse error on line 1, column {at + 1}: bare " in non-quoted-field')
        elif not quoted and char == ",":
            fields.append(field)
            field = ""
        else:
            field += char
        at += 1
    if quoted:
        raise ValueError(f'parse error on line 1, column {len(text) + 1}: extraneous or missing " in quoted-field')
    return [*fields, field]


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def parse_int(text: str) -> int:
    """A whole number as strconv.ParseInt takes it.  Raises ValueError in its words."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"strconv.ParseInt: parsing {_quote(text)}: invalid syntax")
    return int(text)


def parse_bool(text: str) -> bool:
    if text in TRUE:
        return True
    if text in FALSE:
        return False
    raise ValueError(f"strconv.ParseBool: parsing {_quote(text)}: invalid syntax")


def _key_value(text: str) -> str:
    if not text.partition("=")[0]:
        raise ValueError(f"invalid argument {text}")
    return text


def _filter(text: str) -> str:
    name, eq, _ = text.partition("=")
    if not eq or not name.strip():
        raise ValueError("bad format of filter (expected name=value)")
    return text


def label(text: str) -> str:
    """*text* if it can be a label.  Raises ValueError."""
    if not text.partition("=")[0].strip():
        raise ValueError(f"invalid label '{text}': empty name")
    return text


KINDS: dict[str, Any] = {
    "bool": parse_bool,
    "int": parse_int,
    "uint": parse_int,
    "uint16": parse_int,
    "filter": _filter,
    "strings": split_csv,
}


class Parser:
    """Reads one command's words.  *checks* are by option name: each takes the text typed and gives the value
    to keep, or raises ValueError with the reason."""

    def __init__(self, options: list[Option], checks: dict[str, Any] | None = None) -> None:
        self.by_name = {o.name: o for o in options}
        self.by_short = {o.short: o for o in options if o.short}
        self.checks = checks or {}
        self.given = Given(options)

    def parse(self, words: list[str], *, mixed: bool = True) -> Given:
        """What *words* say.  Options end at the first argument unless they may be *mixed*.  Raises UsageError."""
        words = list(words)
        args = self.given.args
        while words:
            word = words.pop(0)
            if word == "--":
                args += words
                break
            if word.startswith("--"):
                self._long(word, words)
            elif word.startswith("-") and word != "-":
                self._shorts(word, words)
            else:
                args.append(word)
                if not mixed:
                    args += words
                    break
        return self.given

    def _long(self, word: str, words: list[str]) -> None:
        name, eq, text = word[2:].partition("=")
        if not name or name.startswith("-"):
            raise UsageError(f"bad flag syntax: {word}")
        option = self.by_name.get(name)
        if option is None:
            raise Help() if name == "help" else UsageError(f"unknown flag: --{name}")
        if not eq:
            if option.kind == "bool":
                text = "true"
            elif words:
                text = words.pop(0)
            else:
                raise UsageError(f"flag needs an argument: --{name}")
        self._set(option, text)

    def _shorts(self, word: str, words: list[str]) -> None:
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            option = self.by_short.get(letter)
            if option is None:
                raise Help() if letter == "h" else UsageError(f"unknown shorthand flag: '{letter}' in {word}")
            if letters.startswith("="):
                self._set(option, letters[1:])
                return
            if option.kind == "bool":
                self._set(option, "true")
            elif letters or words:
                self._set(option, letters or words.pop(0))
                return
            else:
                raise UsageError(f"flag needs an argument: '{letter}' in {word}")

    def _set(self, option: Option, text: str) -> None:
        check = self.checks.get(option.alias_of or option.name) or KINDS.get(option.kind, str)
        try:
            self.given.put(option, text, check(text))
        except ValueError as why:
            raise UsageError(f"invalid argument {_quote(text)} for {_quote(option.shown)} flag: {why}") from None


class Help(Exception):
    """`--help` was typed."""
