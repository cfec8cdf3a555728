"""What a container uses, as `docker stats` reads it."""

from collections.abc import Mapping
from typing import Any

from bascule.api.shapes import container_answer as answer
from bascule.api.shapes import times
from bascule.model.container import Container

Sample = Mapping[str, Any]
NOTHING: Sample = {"read": 0}


def show(container: Container, now: Sample, before: Sample, memory: int) -> answer.Stats:
    """One sample and the one before it, whose difference is the CPU's share; *memory* is the host's."""
    limit = now.get("memory_limit", 0)
    return {
        "id": container.id,
        "name": f"/{container.name}",
        "read": times.rfc3339(now["read"]),
        "preread": times.rfc3339(before["read"]),
        "pids_stats": {"current": now.get("pids", 0)} if now.get("pids") else {},
        "blkio_stats": dict.fromkeys(
            (
                "io_service_bytes_recursive",
                "io_serviced_recursive",
                "io_queue_recursive",
                "io_service_time_recursive",
                "io_wait_time_recursive",
                "io_merged_recursive",
                "io_time_recursive",
                "sectors_recursive",
            )
        ),
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": _cpu(now),
        "precpu_stats": _cpu(before),
        "memory_stats": {
            "usage": now.get("memory_usage", 0),
            "stats": now.get("memory_stats", {}),
            # Without a limit the kernel tells a huge number, or none.
            "limit": min(limit, memory) if limit else memory,
        }
        if now["read"]
        else {},
        "networks": now.get("networks", {}),
    }


def _cpu(sample: Sample) -> answer.CpuStats:
    return {
        "cpu_usage": {
            "total_usage": sample.get("cpu_total", 0),
            "usage_in_kernelmode": sample.get("cpu_system", 0),
            "usage_in_usermode": sample.get("cpu_user", 0),
        },
        "system_cpu_usage": sample.get("system_cpu", 0),
        "online_cpus": sample.get("online_cpus", 0),
        "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
    }
