"""Help: the page of a command, of a noun, and of all of them, from their tables."""

from bascule.cli.command import Command
from bascule.cli.commands import ALIASES, MODULES, NOUNS
from bascule.cli.options import Option, UsageError, table
from bascule.cli.start import GLOBAL, find, load

WIDTH = 80
ABOUT = "Container networks for Linux: Docker's words, without Docker"
FIRST = ("run", "exec", "ps", "logs", "network", "images", "version", "info")
FORMS = """
Templates are Go's: {{.Name}}, {{json .}}, {{range .Containers}}…{{end}}; `table …` adds headers.
"""


def names() -> list[str]:
    """Every command's first name."""
    return [name for own in MODULES.values() for name in own]


def wrap(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return lines


def describe(option: Option) -> tuple[str, str]:
    """The left and the right side of an option's line."""
    left = (f"-{option.short}, " if option.short else "    ") + f"--{option.name}"
    if option.kind != "bool":
        left += f" {option.kind}"
    right = option.help
    if option.default:
        quoted = f'"{option.default}"' if option.kind not in ("bool", "int") else option.default
        right += f" (default {quoted})"
    return left, right


def options(text: str) -> str:
    """A table of options as help shows it; aliases are not shown."""
    rows = sorted((o for o in table(text) if o.help), key=lambda o: o.name)
    sides = [describe(option) for option in rows]
    width = max((len(left) for left, _ in sides), default=0) + 3
    lines = []
    for left, right in sides:
        first, *more = wrap(right, max(24, WIDTH - width - 2))
        lines.append(f"  {left.ljust(width)}{first}")
        lines += [" " * (width + 2) + line for line in more]
    return "\n".join(lines)


def _listed(title: str, rows: list[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in rows) + 2
    return f"{title}:\n" + "".join(f"  {name.ljust(width)}{summary}\n" for name, summary in rows)


def aliases(name: str) -> list[str]:
    return sorted([alias for alias, own in ALIASES.items() if own == name] + [name])


def command_page(name: str, command: Command) -> str:
    parts = [f"Usage:  bascule {name} {command.usage}\n", f"{command.summary}\n"]
    if command.long:
        parts.append(f"{command.long}\n")
    known = aliases(name)
    if len(known) > 1:
        parts.append("Aliases:\n" + "\n".join(wrap(", ".join(f"bascule {a}" for a in known), 78)) + "\n")
    if command.options.strip():
        parts.append(f"Options:\n{options(command.options)}\n")
    if command.examples.strip():
        lines = command.examples.strip().splitlines()
        parts.append("Examples:\n" + "".join(f"  {'' if e.startswith('#') else '$ '}{e}\n" for e in lines))
    return "\n".join(parts)


def noun_page(noun: str) -> str:
    verbs = {known.split()[1]: own for known, own in ALIASES.items() if known.startswith(noun + " ")}
    verbs |= {own.split()[1]: own for own in names() if own.startswith(noun + " ")}
    for extra in ("list", "remove"):
        verbs.pop(extra, None)
    rows = sorted((verb, load(own).summary) for verb, own in verbs.items())
    return (
        f"Usage:  bascule {noun} COMMAND\n\n{NOUNS[noun]}\n\n{_listed('Commands', rows)}\n"
        f"Run 'bascule {noun} COMMAND --help' for more information on a command.\n"
    )


def first_page() -> str:
    plain = {n: load(n).summary for n in names() if " " not in n}
    plain |= {n: load(own).summary for n, own in ALIASES.items() if " " not in n}
    common = [(n, plain.get(n) or NOUNS[n]) for n in FIRST]
    rest = sorted((n, summary) for n, summary in plain.items() if n not in FIRST)
    return "\n".join(
        (
            f"Usage:  bascule [OPTIONS] COMMAND\n\n{ABOUT}\n",
            _listed("Common Commands", common),
            _listed("Management Commands", sorted(NOUNS.items())),
            _listed("Commands", rest),
            f"Global Options:\n{options(GLOBAL)}\n",
            "Run 'bascule COMMAND --help' for more information on a command.\n",
        )
    )


def page(words: list[str]) -> str:
    """The help for *words*.  Raises UsageError if they are no command."""
    if not words:
        return first_page()
    if len(words) == 1 and words[0] in NOUNS:
        return noun_page(words[0])
    name, rest = find(words)
    if rest:
        raise UsageError(f"bascule: unknown command: bascule {' '.join(words)}", code=1)
    return command_page(name, load(name))
