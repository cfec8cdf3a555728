"""The errors a user can meet.  Each knows its HTTP status and its exit code; edges have one `except BasculeError`.

A message says what was tried, on what, and why not, in the user's words.  Where Docker has a sentence for it,
the sentence is Docker's.
"""

import os


class BasculeError(Exception):
    """The base; never raised itself."""

    status = 500
    code = 1


class Invalid(BasculeError):
    """The request is wrong by itself; asking again will not help."""

    status = 400


class Forbidden(BasculeError):
    """The request is well-formed, and refused: predefined, in use, or overlapping."""

    status = 403


class NotFound(BasculeError):
    """What was named does not exist."""

    status = 404


class Conflict(BasculeError):
    """The state of the named thing does not allow it now."""

    status = 409


class Failed(BasculeError):
    """Nothing was wrong with the request, and it could not be done."""

    status = 500


class NotImplementedHere(BasculeError):
    """Docker has it, Bascule does not (yet); the message says which."""

    status = 501


class Unavailable(BasculeError):
    """Something this stands on is away; asking again later may help."""

    status = 503


class KernelError(Failed):
    """The kernel refused *what* (the thing's command line) with *errno* and, where it gave one, its own text."""

    def __init__(self, errno: int, what: str, text: str = "") -> None:
        self.errno = errno
        self.what = what
        self.text = text
        super().__init__(errno, what, text)

    def __str__(self) -> str:
        why = os.strerror(self.errno).lower() if self.errno else "refused"
        return f"{self.what}: {self.text + ': ' if self.text else ''}{why}"
