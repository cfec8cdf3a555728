"""etcd's JSON gateway: requests and answers as values.  64-bit integers are strings, what is zero is left out, and
bytes are base64."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Item:
    """A key with its value as of *revision*, first written at *created*."""

    key: str
    value: str
    revision: int
    created: int


@dataclass(frozen=True, slots=True)
class Gone:
    """A key that was deleted at *revision*."""

    key: str
    revision: int


@dataclass(frozen=True, slots=True)
class Listing:
    """All keys below a prefix, as they were together at *revision*."""

    revision: int
    items: tuple[Item, ...]


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def plain(value: str) -> str:
    return base64.b64decode(value).decode()


def below(prefix: str) -> Body:
    """All keys that begin with *prefix*, whose last character is ASCII."""
    return {"key": b64(prefix), "range_end": b64(prefix[:-1] + chr(ord(prefix[-1]) + 1))}


def put(key: str, value: str, lease: int) -> Body:
    return {"request_put": {"key": b64(key), "value": b64(value), "lease": str(lease)}}


def compare(key: str, revision: int) -> Body:
    return {"key": b64(key), "target": "MOD", "result": "EQUAL", "mod_revision": str(revision)}


def has_value(key: str, value: str) -> Body:
    """The comparison that *key* is there and says *value*."""
    return {"key": b64(key), "target": "VALUE", "result": "EQUAL", "value": b64(value)}


def revision(answer: Body) -> int:
    return int(answer["header"].get("revision", 0))


def item(kv: Body) -> Item:
    value = plain(kv.get("value", ""))
    return Item(plain(kv["key"]), value, int(kv["mod_revision"]), int(kv["create_revision"]))


def event(event: Body) -> Item | Gone:
    kv = event["kv"]
    if event.get("type") == "DELETE":
        return Gone(plain(kv["key"]), int(kv["mod_revision"]))
    return item(kv)


def found(answer: Body) -> list[Item]:
    """What the ranges of a transaction found."""
    responses = (response.get("response_range", {}) for response in answer.get("responses", ()))
    return [item(kv) for response in responses for kv in response.get("kvs", ())]


def made_before(answer: Body, put: Mapping[str, str], delete: Sequence[str]) -> int | None:
    """The revision at which exactly this was made, as the keys tell; None if they tell something else."""
    if not put:
        return None
    there = {one.key: one for one in found(answer)}
    revisions = {there[key].revision for key, value in put.items() if key in there and there[key].value == value}
    whole = all(key in there and there[key].value == value for key, value in put.items())
    return revisions.pop() if whole and len(revisions) == 1 and not set(delete) & set(there) else None
