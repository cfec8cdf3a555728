"""The operator's log: one line for each decision that changed the host, on standard error.

Field names are those of LOGGING.md; `text` is for people, `json` for machines.
"""

import json
import logging
import sys
import time
from collections.abc import Mapping
from typing import Any

from bascule.model.events import Event
from bascule.model.names import printable

logger = logging.getLogger("bascule")

FIELDS = ("network", "container", "type", "error", "path", "took")


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields: Mapping[str, Any] = getattr(record, "fields", {})
        shown = "".join(f" {k}={v}" for k, v in fields.items())
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = f"{stamp}.{int(record.msecs):03d}Z {record.levelname.lower():<7} "
        line += printable(record.getMessage() + shown)
        trace = self.formatException(record.exc_info).splitlines() if record.exc_info else []
        # Set in: no line of a trace looks like one of the log.
        return "\n".join([line, *(f"    {printable(part)}" for part in trace)])


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields: Mapping[str, Any] = getattr(record, "fields", {})
        body = {
            "time": record.created,
            "level": record.levelname.lower(),
            "msg": record.getMessage(),
            **fields,
        }
        if record.exc_info:
            body["trace"] = self.formatException(record.exc_info)
        return json.dumps(body)


def configure(level: str, form: str) -> None:
    """From now on everything at *level* and above is written, in *form*."""
    # Nobody is told these, and finding them is half of a line's cost (Python's logging HOWTO, "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = ""
    written = logging.StreamHandler(sys.stderr)
    written.setFormatter(_Json() if form == "json" else _Text())
    logger.handlers[:] = [written]
    logger.setLevel({"warn": "WARNING"}.get(level, level.upper()))
    logger.propagate = False


def tell(event: Event) -> None:
    """Write one event as a line: `connected to web`."""
    name = event.attributes.get("name", event.id[:12])
    level = logging.DEBUG if event.action.startswith("exec_") else logging.INFO
    logger.log(level, "%s %s %s", event.type, event.action, name, extra={"fields": _fields(event)})


def _fields(event: Event) -> dict[str, str]:
    fields = {"id": event.id[:12]} if event.id else {}
    if "container" in event.attributes:
        fields["container"] = event.attributes["container"][:12]
    if "exitCode" in event.attributes:
        fields["exit"] = event.attributes["exitCode"]
    return fields
