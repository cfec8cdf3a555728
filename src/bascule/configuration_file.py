"""The daemon's file: JSON with the keys of Docker's daemon.json, each with what it holds.

Types are checked here, and nothing else: what comes out is as good as what the flags say.
"""

import json
from pathlib import Path
from typing import Any, TypedDict

import msgspec

from bascule.model.errors import Invalid


class Pool(TypedDict):
    """An entry of default-address-pools."""

    base: str
    size: int


_TEXT = (str, "a text")
_LIST = (list[str], "a list of texts")
_NUMBER = (int, "a whole number")
_SECONDS = (float, "a number of seconds")
_FLAG = (bool, "true or false")

HOLDS: dict[str, tuple[Any, str]] = {
    "hosts": _LIST,
    "data-root": _TEXT,
    "exec-root": _TEXT,
    "pidfile": _TEXT,
    "group": _TEXT,
    "bridge": _TEXT,
    "bip": _TEXT,
    "mtu": _NUMBER,
    "ip-forward-no-drop": _FLAG,
    "icc": _FLAG,
    "ip": _TEXT,
    "dns": _LIST,
    "default-address-pools": (list[Pool], 'a list of {"base": "10.0.0.0/8", "size": 24}'),
    "default-network-opts": (dict[str, dict[str, str]], 'an object like {"bridge": {"option": "value"}}'),
    "log-level": _TEXT,
    "log-format": _TEXT,
    "runtime": _TEXT,
    "conmon": _TEXT,
    "tlscacert": _TEXT,
    "tlscert": _TEXT,
    "tlskey": _TEXT,
    "cluster-store": _LIST,
    "cluster-store-cacert": _TEXT,
    "cluster-store-cert": _TEXT,
    "cluster-store-key": _TEXT,
    "cluster-store-user": _TEXT,
    "cluster-store-password-file": _TEXT,
    "cluster-lease": _SECONDS,
    "cluster-grace": _SECONDS,
    "cluster-cert-life": _SECONDS,
    "etcd": _TEXT,
    "labels": _LIST,
}
"""By key: the type, and how people are told of it."""


def read(file: Path) -> dict[str, Any]:
    """What the file says, by key.  Raises Invalid with the file, the key and what is wanted."""
    try:
        told = json.loads(file.read_text())
    except (OSError, ValueError) as why:
        raise Invalid(f"configuration file {file}: {why}") from why
    if not isinstance(told, dict):
        raise Invalid(f"configuration file {file}: an object is expected")
    unknown = set(told) - set(HOLDS)
    if unknown:
        raise Invalid(f"configuration file {file}: unknown keys: {', '.join(sorted(unknown))}")
    for key, value in told.items():
        kind, wanted = HOLDS[key]
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError as why:
            raise Invalid(f"configuration file {file}: {key}: {wanted} is wanted, not {json.dumps(value)}") from why
    return told
