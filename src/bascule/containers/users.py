"""Users: `-u name|uid[:group|gid]` by the container's own /etc/passwd and /etc/group."""

from collections.abc import Sequence
from dataclasses import dataclass

from bascule.model.errors import Invalid


@dataclass(frozen=True, slots=True)
class User:
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    home: str = "/"


def resolve(wanted: str, passwd: str, group: str, extra: Sequence[str] = ()) -> User:
    """The ids behind *wanted* ("" is root).  A number need not be in the files, a name must.  Raises Invalid with
    the sentences that Docker takes from runc."""
    name, colon, group_name = wanted.partition(":")
    name = name or "0"
    entries = [fields for line in passwd.splitlines() if len(fields := line.split(":")) >= 6]
    groups = [fields for line in group.splitlines() if len(fields := line.split(":")) >= 3]
    entry = next((f for f in entries if f[0] == name), None) or next((f for f in entries if f[2] == name), None)
    if entry is None and not name.isdigit():
        raise Invalid(f"unable to find user {name}: no matching entries in passwd file")
    uid = int(entry[2]) if entry else _number(name)
    gid = int(entry[3]) if entry else 0
    also: list[int] = []
    if colon and group_name:
        gid = _group(group_name, groups)
    elif entry:
        also = [int(f[2]) for f in groups if len(f) > 3 and entry[0] in f[3].split(",")]
    also += [_group(e, groups) for e in extra]
    return User(uid, gid, tuple(dict.fromkeys(also)), (entry[5] if entry else "") or "/")


def _group(name: str, groups: Sequence[Sequence[str]]) -> int:
    found = next((f for f in groups if f[0] == name), None)
    if found:
        return int(found[2])
    if not name.isdigit():
        raise Invalid(f"unable to find group {name}: no matching entries in group file")
    return _number(name)


def _number(text: str) -> int:
    number = int(text)
    if number >= 1 << 31:
        raise Invalid(f"uids and gids must be in range 0-{(1 << 31) - 1}")
    return number
