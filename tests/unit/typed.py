"""Lines that people are told to type, read as a shell would, far enough to find our command in them."""

import shlex
from collections.abc import Iterator

from bascule.cli.command import Command
from bascule.cli.options import Given
from bascule.cli.start import find, load


def commands(line: str) -> Iterator[list[str]]:
    """The words of every `bascule` on the line, without what a shell would take for itself."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    words: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= set("();<>|&"):
            while words and (words[0] in ("sudo", "export") or "=" in words[0]):
                words.pop(0)
            if words and words[0].rpartition("/")[2] == "bascule":
                yield words[1:]
            words = []
        else:
            words.append(word)


def read(words: list[str]) -> tuple[str, Command, Given]:
    """The command that the words are, and what was given it.  Raises UsageError if they are none."""
    name, rest = find(words)
    command = load(name)
    given = command.parse(rest)
    command.check_count(name, len(given.args))
    return name, command, given
