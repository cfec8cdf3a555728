"""Control groups: which limits this host can keep, and what a container uses.  Both hierarchies, v1 and v2."""

import os
from typing import Any

from bascule.model.container import Resources
from bascule.model.errors import Failed, Invalid

ROOT = "/sys/fs/cgroup"
PARENT = "bascule"
# Which file must exist for a limit to work: (v1 controller and file, v2 controller and file).
_NEEDS = {
    "memory": (("memory", "memory.limit_in_bytes"), "memory"),
    "cpu": (("cpu", "cpu.cfs_quota_us"), "cpu"),
    "pids": (("pids", "cgroup.procs"), "pids"),
    "cpuset": (("cpuset", "cpuset.cpus"), "cpuset"),
    "devices": (("devices", "devices.list"), ""),
    "memory.swap": (("memory", "memory.memsw.limit_in_bytes"), "memory"),
}


def unified() -> bool:
    """Whether the host has the v2 hierarchy alone."""
    return os.path.exists(f"{ROOT}/cgroup.controllers")


def controllers() -> frozenset[str]:
    """What can be limited here, by the names of `_NEEDS`."""
    if unified():
        have = set(_text(f"{ROOT}/cgroup.controllers").split())
        # On v2 devices are guarded by a BPF program that the runtime attaches: always there.
        return frozenset(name for name, (_, v2) in _NEEDS.items() if not v2 or v2 in have)
    return frozenset(name for name, ((tree, file), _) in _NEEDS.items() if os.path.exists(f"{ROOT}/{tree}/{file}"))


def check(wanted: Resources, have: frozenset[str]) -> None:
    """Raises Invalid for a limit that cannot be kept here, or that cannot be meant."""
    asked = {
        "memory": wanted.memory or wanted.memory_reservation,
        "cpu": wanted.nano_cpus,
        "pids": wanted.pids > 0,
        "cpuset": wanted.cpuset_cpus,
    }
    for name, value in asked.items():
        if value and name not in have:
            raise Invalid(
                f"cannot limit {name}: this host's control groups have no {name} controller to do it with"
            )
    if 0 < wanted.memory < 6 << 20:
        # Docker's lower bound (daemon_unix.go: linuxMinMemory).
        raise Invalid("Minimum memory limit allowed is 6MB")
    cpus = os.cpu_count() or 1
    if wanted.nano_cpus and not 0.01e9 <= wanted.nano_cpus <= cpus * 1_000_000_000:
        raise Invalid(f"range of CPUs is from 0.01 to {cpus:.2f}, as there are only {cpus} CPUs available")


def processes(ident: str) -> list[int]:
    """The processes of a container."""
    for tree in ("", "pids/", "systemd/", "memory/", "unified/"):
        base = f"{ROOT}/{tree}{PARENT}/{ident}"
        if os.path.exists(f"{base}/cgroup.procs"):
            found: list[int] = []
            for above, _, _ in os.walk(base):
                found += [int(word) for word in _text(f"{above}/cgroup.procs").split()]
            return sorted(found)
    raise Failed(f"container {ident}: its control group is gone")


def oom_killed(ident: str) -> bool:
    """Whether the kernel killed one of its processes for want of memory; asked before the runtime deletes it."""
    text = _text(_place("memory", ident) + ("/memory.events" if unified() else "/memory.oom_control"))
    return any(
        line.split()[0] == "oom_kill" and line.split()[1] != "0" for line in text.splitlines() if " " in line
    )


def remove(ident: str) -> None:
    """The container's groups are gone, as far as no process is left in them."""
    trees = [""] if unified() else [f"{tree}/" for tree in os.listdir(ROOT)]
    for tree in trees:
        base = f"{ROOT}/{tree}{PARENT}/{ident}"
        for above, _, _ in os.walk(base, topdown=False):
            try:
                os.rmdir(above)
            except OSError:
                # Busy: the runtime's own deletion will try again.
                continue


def left() -> set[str]:
    """The ids of containers that have a group."""
    trees = [""] if unified() else [f"{tree}/" for tree in os.listdir(ROOT)]
    found: set[str] = set()
    for tree in trees:
        base = f"{ROOT}/{tree}{PARENT}"
        if os.path.isdir(base):
            found |= {name for name in os.listdir(base) if os.path.isdir(f"{base}/{name}")}
    return found


def usage(ident: str) -> dict[str, Any]:
    """What it uses now: nanoseconds of CPU, bytes of memory, processes.  0 where the host does not count."""
    if unified():
        base = _place("", ident)
        cpu = _keyed(f"{base}/cpu.stat")
        memory = _keyed(f"{base}/memory.stat")
        return {
            "cpu_total": cpu.get("usage_usec", 0) * 1000,
            "cpu_user": cpu.get("user_usec", 0) * 1000,
            "cpu_system": cpu.get("system_usec", 0) * 1000,
            "memory_usage": _number(f"{base}/memory.current"),
            "memory_limit": _number(f"{base}/memory.max"),
            "memory_stats": memory,
            "pids": _number(f"{base}/pids.current"),
        }
    tick = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    times = _keyed(_place("cpuacct", ident) + "/cpuacct.stat")
    base = _place("memory", ident)
    return {
        "cpu_total": _number(_place("cpuacct", ident) + "/cpuacct.usage"),
        "cpu_user": times.get("user", 0) * tick,
        "cpu_system": times.get("system", 0) * tick,
        "memory_usage": _number(f"{base}/memory.usage_in_bytes"),
        "memory_limit": _number(f"{base}/memory.limit_in_bytes"),
        "memory_stats": _keyed(f"{base}/memory.stat"),
        "pids": _number(_place("pids", ident) + "/pids.current") or len(processes(ident)),
    }


def _place(tree: str, ident: str) -> str:
    return f"{ROOT}/{PARENT}/{ident}" if unified() else f"{ROOT}/{tree}/{PARENT}/{ident}"


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as source:
            return source.read()
    except OSError:
        # The controller is not there, or the group has gone.
        return ""


def _number(path: str) -> int:
    text = _text(path).strip()
    return int(text) if text.isdigit() else 0


def _keyed(path: str) -> dict[str, int]:
    pairs = (line.split() for line in _text(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
