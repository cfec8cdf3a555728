"""`bascule stats`."""

import sys
import time
from typing import Any

from bascule.cli.client import Client, quote
from bascule.cli.command import FORMAT, MANY, Command
from bascule.cli.fields import Fields
from bascule.cli.options import Given
from bascule.cli.table import listing
from bascule.cli.units import binary_size, size

NAMES = "Container Name CPUPerc MemUsage MemPerc NetIO BlockIO PIDs"


def _cpu(item: Any) -> float:
    """Percent of one processor, over the time between the two samples."""
    now, before = item.get("cpu_stats") or {}, item.get("precpu_stats") or {}
    used = now.get("cpu_usage", {}).get("total_usage", 0) - before.get("cpu_usage", {}).get("total_usage", 0)
    passed = now.get("system_cpu_usage", 0) - before.get("system_cpu_usage", 0)
    count = now.get("online_cpus") or len(now.get("cpu_usage", {}).get("percpu_usage") or []) or 1
    return used / passed * count * 100 if used > 0 and passed > 0 else 0.0


def _memory(item: Any) -> tuple[float, float]:
    """Bytes in use without the page cache that can be dropped, and the limit."""
    found = item.get("memory_stats") or {}
    detail = found.get("stats") or {}
    cache = detail.get("total_inactive_file", detail.get("inactive_file", 0))
    used = found.get("usage", 0)
    return (used - cache if cache < used else used), found.get("limit", 0)


def _network(item: Any) -> tuple[int, int]:
    links = (item.get("networks") or {}).values()
    return sum(n.get("rx_bytes", 0) for n in links), sum(n.get("tx_bytes", 0) for n in links)


def _blocks(item: Any) -> tuple[int, int]:
    found = (item.get("blkio_stats") or {}).get("io_service_bytes_recursive") or []
    read = sum(e["value"] for e in found if e["op"].lower() == "read")
    return read, sum(e["value"] for e in found if e["op"].lower() == "write")


def _percent(used: float, limit: float) -> str:
    return f"{used / limit * 100 if limit else 0.0:.2f}%"


def fields(*, full: bool) -> Fields:
    def ident(item: Any) -> str:
        found = str(item.get("id", ""))
        return found if full else found[:12]

    def both(pair: tuple[float, float], digits: int = 3) -> str:
        return f"{size(pair[0], digits)} / {size(pair[1], digits)}"

    return {
        "Container": ("CONTAINER ID", ident),
        "ID": ("CONTAINER ID", ident),
        "Name": ("NAME", lambda s: str(s.get("name", "")).removeprefix("/")),
        "CPUPerc": ("CPU %", lambda s: f"{_cpu(s):.2f}%"),
        "MemUsage": ("MEM USAGE / LIMIT", lambda s: " / ".join(binary_size(n) for n in _memory(s))),
        "MemPerc": ("MEM %", lambda s: _percent(*_memory(s))),
        "NetIO": ("NET I/O", lambda s: both(_network(s))),
        "BlockIO": ("BLOCK I/O", lambda s: both(_blocks(s))),
        "PIDs": ("PIDS", lambda s: str((s.get("pids_stats") or {}).get("current", 0))),
    }


def stats(client: Client, given: Given) -> int:
    shown = fields(full=given.flag("no-trunc"))
    while True:
        names = given.args or [
            c["Id"] for c in client.get("/containers/json", {"all": "1"} if given.flag("all") else {})
        ]
        found = [client.get(f"/containers/{quote(n)}/stats", {"stream": "0"}) for n in names]
        text = listing(given.text("format"), shown, NAMES, found)
        if not given.flag("no-stream") and sys.stdout.isatty():
            text = "\033[H\033[J" + text  # The screen is cleared, so that the table stays where it is.
        sys.stdout.write(text)
        sys.stdout.flush()
        if given.flag("no-stream"):
            return 0
        time.sleep(1)


COMMANDS = {
    "stats": Command(
        stats,
        "[OPTIONS] [CONTAINER...]",
        "Show what containers use, again and again",
        "    -a, --all             Also those that do not run\n"
        + FORMAT
        + """
        --no-stream       Once
        --no-trunc        Show whole ids
""",
        args=(0, MANY),
        examples="bascule stats --no-stream",
    ),
}
