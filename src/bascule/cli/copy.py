"""`bascule cp`: files to a container and from it."""

import os
import sys
import tarfile
from collections.abc import Iterator
from typing import Any, BinaryIO

from bascule.cli import jsontext
from bascule.cli.client import Client, Refusal, quote
from bascule.cli.command import Command
from bascule.cli.options import Given, UsageError

DIRECTORY = 1 << 31  # io/fs.ModeDir, which is how the API says that a path is one.


def split_place(text: str) -> tuple[str, str]:
    """Container and path of `web:/etc`; the container is "" for a path of our own (which may have a colon
    after a slash or a dot)."""
    name, colon, path = text.partition(":")
    return (name, path) if colon and not text.startswith(("/", ".")) and name else ("", text)


def copy(client: Client, given: Given) -> int:
    (source_name, source), (target_name, target) = (split_place(text) for text in given.args)
    if source_name and target_name:
        raise UsageError("copying between containers is not supported")
    if source_name:
        return _fetch(client, source_name, source, target)
    if target_name:
        return _bring(client, source, target_name, target, follow=given.flag("follow-link"))
    raise UsageError("must specify at least one container source")


def _is_directory(client: Client, name: str, path: str) -> bool | None:
    """Whether *path* in the container is a directory; None if there is no such path."""
    from base64 import b64decode

    try:
        answer = client.ask("HEAD", f"/containers/{quote(name)}/archive", {"path": path})
    except Refusal as no:
        if no.status == 404:
            return None
        raise
    found = jsontext.loads(b64decode(answer.headers["x-docker-container-path-stat"]).decode())
    return bool(found["mode"] & DIRECTORY)


class _Body:
    """An answer's body as a file that can be read once."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int) -> bytes:
        while len(self._rest) < size and (piece := next(self._pieces, b"")):
            self._rest += piece
        out, self._rest = self._rest[:size], self._rest[size:]
        return out


def _fetch(client: Client, name: str, source: str, target: str) -> int:
    answer = client.ask("GET", f"/containers/{quote(name)}/archive", {"path": source})
    if target == "-":
        for piece in answer.pieces():
            sys.stdout.buffer.write(piece)
        return 0
    whole = source.endswith("/.") or source == "."
    with tarfile.open(fileobj=_Body(answer.pieces()), mode="r|") as archive:  # type: ignore[call-overload]
        _unpack(archive, target, whole=whole)
    return 0


def _unpack(archive: tarfile.TarFile, target: str, *, whole: bool) -> None:
    """Into *target* if that is a directory, else as *target*.  *whole*: what is in it, not the thing itself."""
    inside = os.path.isdir(target)
    if target.endswith("/") and not inside:
        raise UsageError(f"destination directory {target!r} must exist")
    own = "" if inside and not whole else os.path.basename(target.rstrip("/"))
    base = (target if not own else os.path.dirname(target.rstrip("/"))) or "."
    # Not `filter="tar"`: Debian 12 has Python 3.11.2, which knows none.  3.12 warns of archives without.
    archive.extraction_filter = lambda member, _: member
    for member in archive:
        member.name = _called(member.name, own)
        if member.islnk():
            member.linkname = _called(member.linkname, own)
        archive.extract(_lawful(member, os.path.realpath(base)), base)


def _called(name: str, own: str) -> str:
    """A name in the archive, whose first part becomes *own* where there is one."""
    head, _, rest = name.removeprefix("./").partition("/")
    return (own or head) + (f"/{rest}" if rest else "")


def _lawful(member: tarfile.TarInfo, base: str) -> tarfile.TarInfo:
    """*member*, if it comes to lie below *base*, with no mode that gives rights away.  Raises UsageError.

    The archive comes from a container, which is not trusted with paths outside of the target: neither by `..` nor
    through a link that came before.
    """
    for name in [member.name, *([member.linkname] if member.islnk() else [])]:
        place = os.path.realpath(os.path.join(base, name))
        if os.path.commonpath([base, place]) != base:
            raise UsageError(f"{name!r} in the container's archive leads out of {base!r}")
    member.mode &= 0o755
    return member


def _bring(client: Client, source: str, name: str, target: str, *, follow: bool) -> int:
    path = f"/containers/{quote(name)}/archive"
    if source == "-":
        client.ask("PUT", path, {"path": target}, upload=_read(sys.stdin.buffer)).body()
        return 0
    if not os.path.lexists(source):
        raise UsageError(f"lstat {source}: no such file or directory")
    there = _is_directory(client, name, target)
    if there is None and target.endswith("/"):
        raise UsageError(f"no such directory: {name}:{target}")
    contents = source.endswith("/.") and bool(there)
    base = target if there else os.path.dirname(target.rstrip("/")) or "/"
    called = "." if contents else os.path.basename(os.path.abspath(source) if there else target.rstrip("/"))
    client.ask("PUT", path, {"path": base}, upload=_packed(source, called, follow=follow)).body()
    return 0


def _read(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(1 << 17):
        yield piece


def _packed(source: str, called: str, *, follow: bool) -> Iterator[bytes]:
    """A tar archive of *source* under the name *called*, kept on disk while it is sent."""
    from tempfile import TemporaryFile

    def own(member: tarfile.TarInfo) -> tarfile.TarInfo:
        # As Docker: without -a, what comes from outside is root's in the container.
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    with TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w", dereference=follow) as archive:
            archive.add(
                os.path.realpath(source) if source.endswith("/.") else source.rstrip("/"), called, filter=own
            )
        file.seek(0)
        yield from _read(file)


COMMANDS: dict[str, Any] = {
    "cp": Command(
        copy,
        "[OPTIONS] CONTAINER:SRC_PATH|SRC_PATH|- CONTAINER:DEST_PATH|DEST_PATH|-",
        "Copy files between a container and here",
        """
    -a, --archive       Accepted; owners are kept only when a tar archive is given
    -L, --follow-link   Copy what a link points to
    -q, --quiet         No word of how far it is
""",
        args=(2, 2),
        long="A path of - is a tar archive on the standard input or output.",
        examples="""
bascule cp web:/etc/hosts .
bascule cp index.html web:/srv/
""",
    ),
}
