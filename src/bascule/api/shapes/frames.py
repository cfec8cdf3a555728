"""The multiplexed stream of attach, logs and exec, and the keys that end an attachment."""

from collections.abc import Sequence

from bascule.api.shapes import times
from bascule.model.errors import Invalid

MULTIPLEXED = "application/vnd.docker.multiplexed-stream"
RAW = "application/vnd.docker.raw-stream"


def kind(*, tty: bool, version: tuple[int, int]) -> str:
    """The stream's media type, as Docker tells it from 1.42 on."""
    return MULTIPLEXED if not tty and version >= (1, 42) else RAW


def frame(stream: int, data: bytes) -> bytes:
    """Bytes of stdout (1) or stderr (2) with the header that tells them apart."""
    return bytes((stream, 0, 0, 0)) + len(data).to_bytes(4, "big") + data


def log_line(time: int, data: bytes, *, timestamps: bool) -> bytes:
    return f"{times.stamp(time)} ".encode() + data if timestamps else data


_NAMED = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


def detach_keys(told: str) -> bytes:
    """The bytes of `ctrl-p,ctrl-q`, Docker's default where nothing was told.  Raises Invalid."""
    found = bytearray()
    for key in (told or "ctrl-p,ctrl-q").split(","):
        if len(key) == 1 and key.isascii():
            found += key.encode()
        elif key.startswith("ctrl-") and len(key) == 6:
            found.append(_control(key[5], key))
        else:
            raise Invalid(f"Invalid detach keys ({told}) provided: Unknown character: '{key}'")
    return bytes(found)


def _control(letter: str, key: str) -> int:
    if letter.isascii() and letter.isalpha():
        return ord(letter.lower()) - ord("a") + 1
    if letter in _NAMED:
        return _NAMED[letter]
    raise Invalid(f"Invalid detach keys provided: Unknown character: '{key}'")


class Escape:
    """Looks for a sequence of keys in a stream of input; the start of one is held back until it is none."""

    def __init__(self, keys: Sequence[int]) -> None:
        self._keys = bytes(keys)
        self._held = b""

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What to pass on, and whether the sequence was typed (then nothing after it counts)."""
        data = self._held + data
        at = data.find(self._keys)
        if at >= 0:
            self._held = b""
            return data[:at], True
        keep = next((n for n in range(len(self._keys) - 1, 0, -1) if data.endswith(self._keys[:n])), 0)
        self._held = data[len(data) - keep :]
        return data[: len(data) - keep], False
