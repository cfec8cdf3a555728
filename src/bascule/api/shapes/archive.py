"""A path in a container, as the header of an archive describes it."""

import base64
from collections.abc import Mapping
from typing import Any

import msgspec

HEADER = "X-Docker-Container-Path-Stat"


def header(found: Mapping[str, Any]) -> tuple[str, str]:
    """*found* has the header's keys: name, size, mode (as Go counts its bits), mtime, linkTarget."""
    return HEADER, base64.b64encode(msgspec.json.encode(found)).decode()
