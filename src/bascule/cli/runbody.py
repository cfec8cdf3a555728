"""What `run` and `create` ask of the daemon, from what was typed."""

import os
from typing import Any

from bascule.cli import jsontext, mounts, ports, wishes
from bascule.cli.options import Given, UsageError


def body(given: Given, *, detach: bool = False) -> dict[str, Any]:
    """The body of POST /containers/create.  Raises UsageError for what contradicts itself."""
    if detach and given.list("attach"):
        raise UsageError("conflicting options: cannot specify both --attach and --detach", code=1)
    image, *command = given.args
    binds, anonymous = mounts.volumes(given.list("volume"))
    bindings = ports.published(given.list("publish"))
    endpoints = wishes.endpoints(given)
    config = {
        "Image": image,
        "Cmd": command or None,
        "Hostname": given.text("hostname"),
        "Domainname": given.text("domainname"),
        "User": given.text("user"),
        "Env": environment(given),
        "Labels": labels(given),
        "ExposedPorts": {key: {} for key in bindings} | ports.exposed(given.list("expose")),
        "Volumes": anonymous,
        "WorkingDir": given.text("workdir"),
        "Entrypoint": [given.text("entrypoint")] if "entrypoint" in given.typed else None,
        **_streams(given, detach=detach),
        **_healthcheck(given),
    }
    if given.text("stop-signal"):
        config["StopSignal"] = given.text("stop-signal")
    if "stop-timeout" in given.typed:
        config["StopTimeout"] = given.number("stop-timeout")
    host = {**_host(given), "Binds": binds or None, "PortBindings": bindings, "NetworkMode": next(iter(endpoints))}
    only_named = len(endpoints) == 1 and not any(endpoints.values()) and "network" in given.typed
    return {**config, "HostConfig": host, "NetworkingConfig": {"EndpointsConfig": {} if only_named else endpoints}}


def _streams(given: Given, *, detach: bool) -> dict[str, bool]:
    wanted = given.list("attach")
    interactive = given.flag("interactive")
    if not wanted and not detach:
        wanted = ["stdout", "stderr"] + (["stdin"] if interactive else [])
    return {
        "AttachStdin": "stdin" in wanted,
        "AttachStdout": "stdout" in wanted,
        "AttachStderr": "stderr" in wanted,
        "Tty": given.flag("tty"),
        "OpenStdin": interactive,
        "StdinOnce": interactive and "stdin" in wanted,
    }


def _healthcheck(given: Given) -> dict[str, Any]:
    if given.flag("no-healthcheck"):
        return {"Healthcheck": {"Test": ["NONE"]}}
    wanted: dict[str, Any] = {}
    if given.text("health-cmd"):
        wanted["Test"] = ["CMD-SHELL", given.text("health-cmd")]
    for option, key in (
        ("health-interval", "Interval"),
        ("health-timeout", "Timeout"),
        ("health-start-period", "StartPeriod"),
        ("health-retries", "Retries"),
    ):
        if option in given.typed:
            wanted[key] = given.each(option)
    return {"Healthcheck": wanted} if wanted else {}


# Options that go to HostConfig as they are: option -> key.
SAME = {
    "cap-add": "CapAdd",
    "cap-drop": "CapDrop",
    "cgroup-parent": "CgroupParent",
    "cgroupns": "CgroupnsMode",
    "cidfile": "ContainerIDFile",
    "cpu-period": "CpuPeriod",
    "cpu-quota": "CpuQuota",
    "cpu-shares": "CpuShares",
    "cpus": "NanoCpus",
    "cpuset-cpus": "CpusetCpus",
    "cpuset-mems": "CpusetMems",
    "device": "Devices",
    "dns": "Dns",
    "dns-option": "DnsOptions",
    "dns-search": "DnsSearch",
    "add-host": "ExtraHosts",
    "group-add": "GroupAdd",
    "init": "Init",
    "ipc": "IpcMode",
    "link": "Links",
    "memory": "Memory",
    "memory-reservation": "MemoryReservation",
    "memory-swap": "MemorySwap",
    "mount": "Mounts",
    "oom-kill-disable": "OomKillDisable",
    "oom-score-adj": "OomScoreAdj",
    "pid": "PidMode",
    "pids-limit": "PidsLimit",
    "privileged": "Privileged",
    "publish-all": "PublishAllPorts",
    "read-only": "ReadonlyRootfs",
    "rm": "AutoRemove",
    "runtime": "Runtime",
    "shm-size": "ShmSize",
    "ulimit": "Ulimits",
    "userns": "UsernsMode",
    "uts": "UTSMode",
    "volume-driver": "VolumeDriver",
    "volumes-from": "VolumesFrom",
}
MAPS = {"annotation": "Annotations", "storage-opt": "StorageOpt", "sysctl": "Sysctls"}


def _host(given: Given) -> dict[str, Any]:
    restart = restart_policy(given.text("restart"))
    if given.flag("rm") and restart["Name"] not in ("", "no"):
        raise UsageError("conflicting options: cannot specify both --restart and --rm")
    host = {key: given.each(option) for option, key in SAME.items() if option in given.typed}
    host |= {key: given.map(option) for option, key in MAPS.items() if option in given.typed}
    host["RestartPolicy"] = restart
    host["LogConfig"] = {"Type": given.text("log-driver"), "Config": given.map("log-opt")}
    for key in ("CapAdd", "CapDrop"):
        if key in host:
            host[key] = sorted({capability(name) for name in host[key]})
    if given.list("tmpfs"):
        host["Tmpfs"] = mounts.tmpfs(given.list("tmpfs"))
    if given.list("security-opt"):
        host |= _security(given.list("security-opt"))
    return host


def capability(name: str) -> str:
    """The kernel's name of a capability that may be typed without its CAP_."""
    name = name.strip().upper()
    return name if name == "ALL" or name.startswith("CAP_") else f"CAP_{name}"


def restart_policy(text: str) -> dict[str, Any]:
    """`on-failure:3` as the API has it.  Raises UsageError."""
    name, colon, times = text.partition(":")
    if colon and not name:
        raise UsageError("invalid restart policy format: no policy provided before colon")
    if times and not times.lstrip("-").isdigit():
        raise UsageError("invalid restart policy format: maximum retry count must be an integer")
    return {"Name": name, "MaximumRetryCount": int(times or 0)}


def _security(options: list[str]) -> dict[str, Any]:
    """SecurityOpt with a seccomp profile's text in place of its path; and the paths that `systempaths` opens."""
    found: dict[str, Any] = {"SecurityOpt": []}
    for text in options:
        name, _, value = text.partition("=" if "=" in text else ":")
        if (name, value) == ("systempaths", "unconfined"):
            found |= {"MaskedPaths": [], "ReadonlyPaths": []}
            continue
        if name == "seccomp" and value not in ("unconfined", "builtin"):
            try:
                with open(value, encoding="utf-8") as file:
                    text = f"seccomp={jsontext.dumps(jsontext.loads(file.read()))}"
            except OSError as why:
                reason = (why.strerror or "").lower()
                raise UsageError(f"opening seccomp profile ({value}) failed: open {value}: {reason}") from None
        found["SecurityOpt"].append(text)
    return found


def environment(given: Given) -> list[str]:
    """The variables of --env-file, then those of --env; a name alone passes on the own variable."""
    found: list[str] = []
    for path in given.list("env-file"):
        for line in _lines(path):
            if "=" in line or line in os.environ:
                found.append(line if "=" in line else f"{line}={os.environ[line]}")
    for text in given.list("env"):
        found.append(text if "=" in text or text not in os.environ else f"{text}={os.environ[text]}")
    return found


def labels(given: Given) -> dict[str, str]:
    lines = [line for path in given.list("label-file") for line in _lines(path)] + given.list("label")
    return {key: value for key, _, value in (line.partition("=") for line in lines)}


def _lines(path: str) -> list[str]:
    """The lines of a file of variables or labels: no blank ones, no comments."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = [line.rstrip("\n").lstrip() for line in file]
    except OSError as why:
        raise UsageError(f"open {path}: {(why.strerror or '').lower()}") from None
    except UnicodeDecodeError:
        raise UsageError(f"invalid env file ({path}): it is not UTF-8") from None
    lines = [line for line in lines if line and not line.startswith("#")]
    for line in lines:
        name = line.partition("=")[0]
        if not name:
            raise UsageError(f"invalid env file ({path}): no variable name on line '{line}'")
        if any(c.isspace() for c in name):
            raise UsageError(f"invalid env file ({path}): variable '{name}' contains whitespaces")
    return lines
