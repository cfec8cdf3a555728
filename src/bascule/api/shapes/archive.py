"""A path in a container, as the header of an archive describes it."""

import base64
import stat
from collections.abc import Mapping
from typing import Any

import msgspec

from bascule.api.shapes import times

HEADER = "X-Docker-Container-Path-Stat"

# Go's io/fs.FileMode keeps the kind of a file and its odd bits elsewhere than stat(2).
_KINDS = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
}
_ODD = {stat.S_ISUID: 1 << 23, stat.S_ISGID: 1 << 22, stat.S_ISVTX: 1 << 20}


def go_mode(mode: int) -> int:
    """A mode of stat(2) in Go's bits."""
    odd = sum(go for bit, go in _ODD.items() if mode & bit)
    return mode & 0o777 | _KINDS.get(stat.S_IFMT(mode), 0) | odd


def header(found: Mapping[str, Any]) -> tuple[str, str]:
    """*found* is what a path is: name, size, mode, mtime (nanoseconds), link."""
    shown = {
        "name": found["name"],
        "size": found["size"],
        "mode": go_mode(found["mode"]),
        "mtime": times.rfc3339(found["mtime"]),
        "linkTarget": found["link"],
    }
    return HEADER, base64.b64encode(msgspec.json.encode(shown)).decode()
