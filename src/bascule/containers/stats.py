"""Statistics of a running container: its control group's numbers, and its namespace's links."""

import time
from typing import Any

from bascule.containers import cgroups, files
from bascule.model.container import Container

# /proc/net/dev: eight numbers received, eight sent.
_RECEIVED = ("rx_bytes", "rx_packets", "rx_errors", "rx_dropped")
_SENT = ("tx_bytes", "tx_packets", "tx_errors", "tx_dropped")


def stats(container: Container) -> dict[str, Any]:
    """read (nanoseconds since the epoch), system_cpu (nanoseconds of the whole host), online_cpus, networks by
    link, and what cgroups.usage says."""
    host = files.read("/proc/stat")
    return {
        "read": time.time_ns(),
        "system_cpu": system_cpu(host),
        "online_cpus": sum(line[:3] == "cpu" and line[3:4].isdigit() for line in host.splitlines()),
        "networks": links(files.read(f"/proc/{container.state.pid}/net/dev")),
        **cgroups.usage(container.id),
    }


def system_cpu(text: str) -> int:
    """The host's time of /proc/stat's first line, in nanoseconds (ticks of 10 ms: USER_HZ is 100 everywhere)."""
    return sum(int(word) for word in text.partition("\n")[0].split()[1:8]) * 10_000_000


def links(text: str) -> dict[str, dict[str, int]]:
    """/proc/net/dev by link, loopback left out."""
    found = {}
    for line in text.splitlines()[2:]:
        name, _, rest = line.partition(":")
        numbers = [int(word) for word in rest.split()]
        if name.strip() != "lo" and len(numbers) >= 12:
            found[name.strip()] = {
                **dict(zip(_RECEIVED, numbers[:4], strict=True)),
                **dict(zip(_SENT, numbers[8:12], strict=True)),
            }
    return found
