"""A container as it is asked for: POST /containers/create to ContainerSpec, and what is refused at the door.

The checks and their sentences are those of daemon/internal/runconfig in Docker 28.2; checks that need to know of
images, networks or files are made where those are known.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import Any, cast

from bascule.api.shapes import endpoint, mounts, ports
from bascule.api.shapes.container_body import (
    ContainerBody,
    ExecBody,
    HostConfigBody,
    NetworkingBody,
    ResourcesBody,
    RestartPolicyBody,
    words,
)
from bascule.model.container import ContainerSpec, ExecSpec, Mount, Resources, RestartPolicy
from bascule.model.endpoint import EndpointSpec
from bascule.model.errors import Invalid
from bascule.model.names import parse_mac

MEMORY_MIN = 6 << 20
SHM_SIZE = 64 << 20
# The kernel's (kernel/sched/core.c).
CPU_SHARES_MIN, CPU_SHARES_MAX = 2, 1 << 18
# Microseconds.
_MS, _SECOND = 1000, 1_000_000
# A host's name ends up in files of one name a line: nothing may be in it that begins a line or a word.
_HOSTNAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?")
_HOSTNAME_MAX = 64
_CPUS = re.compile(r"[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*")
_WORD = re.compile(r"\S+")
_UNDEFINED = "This would result in undefined behavior"


def spec(body: ContainerBody, version: tuple[int, int]) -> tuple[ContainerSpec, list[str]]:
    """The container that is asked for, and warnings.  Raises Invalid."""
    host = body.HostConfig or HostConfigBody()
    mode = network_mode(body, host)
    _check_mode(mode, body, host)
    _check_words(body, host)
    networks = _networks(body.NetworkingConfig, mode, version)
    warnings = ignored(host, body)
    if body.MacAddress and version >= (1, 44):
        warnings.append(
            "The container-wide MacAddress field is now deprecated."
            " It should be specified in EndpointsConfig instead."
        )
    return ContainerSpec(
        image=body.Image or "",
        command=words(body.Cmd),
        entrypoint=_entrypoint(body),
        env=tuple(body.Env or ()),
        workdir=body.WorkingDir or "",
        user=body.User or "",
        hostname=body.Hostname or "",
        domainname=body.Domainname or "",
        labels=body.Labels or {},
        tty=bool(body.Tty),
        open_stdin=bool(body.OpenStdin),
        stdin_once=bool(body.StdinOnce),
        attach_stdin=bool(body.AttachStdin),
        attach_stdout=bool(body.AttachStdout),
        attach_stderr=bool(body.AttachStderr),
        stop_signal=body.StopSignal or "",
        stop_timeout=body.StopTimeout,
        exposed=ports.exposed(body.ExposedPorts or ()),
        network_mode=mode,
        networks=networks,
        mac=parse_mac(body.MacAddress) if body.MacAddress else "",
        **_host(host, body),
    ), warnings


def _entrypoint(body: ContainerBody) -> tuple[str, ...] | None:
    """[""] is how clients say "none at all"; nothing or [] leaves the image its own."""
    if not body.Entrypoint:
        return None
    found = words(body.Entrypoint)
    return () if found == ("",) else found


def _host(host: HostConfigBody, body: ContainerBody) -> dict[str, Any]:
    return {
        "ports": ports.bindings(host.PortBindings or {}),
        "publish_all": bool(host.PublishAllPorts),
        "dns": _nameservers(host.Dns or ()),
        "dns_search": tuple(host.DnsSearch or ()),
        "dns_options": tuple(host.DnsOptions or ()),
        "extra_hosts": tuple(_extra_host(text) for text in host.ExtraHosts or ()),
        "links": tuple(host.Links or ()),
        "mounts": _mounts(host, body),
        "volumes_from": tuple(host.VolumesFrom or ()),
        "cap_add": tuple(host.CapAdd or ()),
        "cap_drop": tuple(host.CapDrop or ()),
        "privileged": bool(host.Privileged),
        "read_only": bool(host.ReadonlyRootfs),
        "sysctls": host.Sysctls or {},
        "security_opt": tuple(host.SecurityOpt or ()),
        "devices": tuple(
            f"{d.PathOnHost}:{d.PathInContainer or d.PathOnHost}:{d.CgroupPermissions or 'rwm'}"
            for d in host.Devices or ()
        ),
        "init": bool(host.Init),
        "pid_mode": host.PidMode or "",
        "ipc_mode": host.IpcMode or "",
        "uts_mode": host.UTSMode or "",
        "auto_remove": bool(host.AutoRemove),
        "restart": restart(host.RestartPolicy, auto_remove=bool(host.AutoRemove)),
        "resources": _with_swap(resources(host)),
        "groups": tuple(host.GroupAdd or ()),
        "log_options": (host.LogConfig.Config or {}) if host.LogConfig else {},
    }


def _mounts(host: HostConfigBody, body: ContainerBody) -> tuple[Mount, ...]:
    """Everything that is mounted; an image's or Config's volume at a place that is taken gives way."""
    given = mounts.all_different(
        [
            *(mounts.bind(text) for text in host.Binds or ()),
            *(mounts.mount(one) for one in host.Mounts or ()),
            *mounts.tmpfs(host.Tmpfs or {}),
        ]
    )
    taken = {one.target for one in given}
    volumes = [mounts.bind(target) for target in body.Volumes or ()]
    return (*given, *(one for one in volumes if one.target not in taken))


def network_mode(body: ContainerBody, host: HostConfigBody) -> str:
    """The mode with its default spelled out, as the daemon keeps it.  Raises Invalid."""
    if body.NetworkDisabled:
        return "none"
    mode = host.NetworkMode or "default"
    if mode == "container" or mode == "container:":
        raise Invalid("invalid network mode: invalid container format container:<name|id>")
    return "bridge" if mode == "default" else mode


def _check_mode(mode: str, body: ContainerBody, host: HostConfigBody) -> None:
    if mode.startswith("container:"):
        for told, conflict in (
            (body.Hostname, "hostname and the network mode"),
            (host.Links, f"container type network can't be used with links. {_UNDEFINED}"),
            (host.Dns, "dns and the network mode"),
            (host.ExtraHosts, "custom host-to-IP mapping and the network mode"),
            (body.MacAddress, "mac-address and the network mode"),
            (host.PortBindings or host.PublishAllPorts, "port publishing and the container type network mode"),
            (body.ExposedPorts, "port exposing and the container type network mode"),
        ):
            if told:
                raise Invalid(f"conflicting options: {conflict}")
    if mode == "host" and body.MacAddress:
        raise Invalid("conflicting options: mac-address and the network mode")
    if host.UTSMode == "host" and body.Hostname:
        raise Invalid("conflicting options: hostname and the UTS mode")
    if mode == "host" and host.Links:
        raise Invalid(f"conflicting options: host type networking can't be used with links. {_UNDEFINED}")


def _check_words(body: ContainerBody, host: HostConfigBody) -> None:
    for name in (body.Hostname, body.Domainname):
        if name and (len(name) > _HOSTNAME_MAX or not _HOSTNAME.fullmatch(name)):
            raise Invalid(f"invalid hostname format: {name}")
    for line in body.Env or ():
        if not line.partition("=")[0]:
            raise Invalid(f"invalid environment variable: {line}")
    if body.WorkingDir and not body.WorkingDir.startswith("/"):
        raise Invalid(f"the working directory '{body.WorkingDir}' is invalid, it needs to be an absolute path")
    for word in (*(host.DnsSearch or ()), *(host.DnsOptions or ())):
        if word and not _WORD.fullmatch(word):
            raise Invalid(f"invalid DNS search domain or option: {word!r}")
    if body.StopTimeout is not None and body.StopTimeout < -1:
        raise Invalid(f"invalid stop timeout: {body.StopTimeout}")


def _nameservers(told: Sequence[str]) -> tuple[str, ...]:
    for text in told:
        try:
            ip_address(text)
        except ValueError:
            raise Invalid(f"bad nameserver address: {text}") from None
    return tuple(told)


def _extra_host(text: str) -> str:
    name, _, address = text.replace("=", ":", 1).partition(":") if "=" in text else text.partition(":")
    if not _WORD.fullmatch(name) or not address:
        raise Invalid(f'bad format for add-host: "{text}"')
    if address != "host-gateway":
        try:
            ip_address(address.strip("[]"))
        except ValueError:
            raise Invalid(f'invalid IP address in add-host: "{address}"') from None
    return f"{name}:{address}"


def restart(body: RestartPolicyBody | None, *, auto_remove: bool = False) -> RestartPolicy:
    """A restart policy.  Raises Invalid."""
    name, retries = (body.Name or "no", body.MaximumRetryCount or 0) if body else ("no", 0)
    if name not in ("no", "always", "unless-stopped", "on-failure"):
        raise Invalid(
            f"invalid restart policy: unknown policy '{name}'; use one of 'no', 'always', 'on-failure', or"
            " 'unless-stopped'"
        )
    if retries and name != "on-failure":
        raise Invalid("invalid restart policy: maximum retry count can only be used with 'on-failure'")
    if retries < 0:
        raise Invalid("invalid restart policy: maximum retry count cannot be negative")
    if auto_remove and name != "no":
        raise Invalid("can't create 'AutoRemove' container with restart policy")
    return RestartPolicy(cast(Any, name), retries)


def resources(body: ResourcesBody) -> Resources:
    """Limits.  Raises Invalid."""
    memory = body.Memory or 0
    if memory and memory < MEMORY_MIN:
        raise Invalid("Minimum memory limit allowed is 6MB")
    if body.CpuShares and not CPU_SHARES_MIN <= body.CpuShares <= CPU_SHARES_MAX:
        raise Invalid(f"invalid CPU shares: {body.CpuShares} ({CPU_SHARES_MIN} to {CPU_SHARES_MAX})")
    if body.CpusetCpus and not _CPUS.fullmatch(body.CpusetCpus):
        raise Invalid(f"Invalid value {body.CpusetCpus} for cpuset cpus")
    swap = body.MemorySwap or 0
    if swap > 0 and not memory:
        raise Invalid("You should always set the Memory limit when using Memoryswap limit, see usage")
    if 0 < swap < memory:
        raise Invalid("Minimum memoryswap limit should be larger than memory limit, see usage")
    reservation = body.MemoryReservation or 0
    if reservation and reservation < MEMORY_MIN:
        raise Invalid("Minimum memory reservation allowed is 6MB")
    if memory and reservation > memory:
        raise Invalid("Minimum memory limit can not be less than memory reservation limit, see usage")
    return Resources(
        memory=memory,
        nano_cpus=_cpus(body),
        pids=max(0, body.PidsLimit or 0),
        shm_size=body.ShmSize or SHM_SIZE,
        ulimits=tuple((u.Name, u.Soft, u.Hard) for u in body.Ulimits or ()),
        memory_swap=swap,
        memory_reservation=reservation,
        cpu_shares=body.CpuShares or 0,
        cpuset_cpus=body.CpusetCpus or "",
    )


def _with_swap(limits: Resources) -> Resources:
    """A memory limit alone allows as much swap again (daemon/daemon_unix.go)."""
    return replace(limits, memory_swap=2 * limits.memory) if limits.memory and not limits.memory_swap else limits


def updated(now: Resources, body: ResourcesBody) -> Resources:
    """Limits after an update: what it leaves out, or gives as 0, stays.  Raises Invalid."""
    asked = resources(body)
    names = ("memory", "nano_cpus", "pids", "memory_swap", "memory_reservation", "cpu_shares", "cpuset_cpus")
    return replace(now, **{name: told for name in names if (told := getattr(asked, name))})


def _cpus(body: ResourcesBody) -> int:
    if body.NanoCpus and (body.CpuQuota or body.CpuPeriod):
        which = "quota" if body.CpuQuota else "period"
        raise Invalid(f"Conflicting options: Nano CPUs and CPU {which.title()} cannot both be set.")
    if body.CpuPeriod and not _MS <= body.CpuPeriod <= _SECOND:
        raise Invalid("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
    if body.CpuQuota and 0 < body.CpuQuota < _MS:
        raise Invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    if (body.NanoCpus or 0) < 0:
        raise Invalid(f"invalid number of CPUs: {body.NanoCpus} billionths")
    if body.CpuQuota and body.CpuQuota > 0:
        # The kernel's period is 100 ms unless told otherwise.
        return body.CpuQuota * 1_000_000_000 // (body.CpuPeriod or 100_000)
    return body.NanoCpus or 0


def _networks(body: NetworkingBody | None, mode: str, version: tuple[int, int]) -> dict[str, EndpointSpec]:
    """By name, the one of the mode first; `default` is the default network's other name."""
    told = (body.EndpointsConfig if body else None) or {}
    if version < (1, 44) and len(told) > 1:
        raise Invalid(f"Container cannot be connected to network endpoints: {', '.join(told)}")
    found = {("bridge" if name == "default" else name): endpoint.spec(one) for name, one in told.items()}
    if mode in ("host", "none") or mode.startswith("container:"):
        found.pop(mode, None)
        if any(found):
            raise Invalid(
                "conflicting options: cannot attach both user-defined and non-user-defined network-modes"
                if mode in ("host", "none")
                else "conflicting options: network endpoints and the container type network mode"
            )
        return {}
    return {mode: found.pop(mode, EndpointSpec())} | found


RUNTIMES = (None, "", "runc", "crun", "io.containerd.runc.v2")
LOG_DRIVERS = ("none", "awslogs", "fluentd", "gcplogs", "gelf", "journald", "splunk", "syslog")
# HostConfig's field: what the user called it.
_IGNORED: Mapping[str, str] = {
    "CgroupParent": "--cgroup-parent",
    "VolumeDriver": "--volume-driver",
    "StorageOpt": "--storage-opt",
    "OomKillDisable": "--oom-kill-disable",
    "OomScoreAdj": "--oom-score-adj",
    "CpusetMems": "--cpuset-mems",
    "CpuRealtimePeriod": "--cpu-rt-period",
    "CpuRealtimeRuntime": "--cpu-rt-runtime",
    "BlkioWeight": "--blkio-weight",
    "BlkioWeightDevice": "--blkio-weight-device",
    "BlkioDeviceReadBps": "--device-read-bps",
    "BlkioDeviceWriteBps": "--device-write-bps",
    "BlkioDeviceReadIOps": "--device-read-iops",
    "BlkioDeviceWriteIOps": "--device-write-iops",
    "KernelMemory": "--kernel-memory",
    "DeviceCgroupRules": "--device-cgroup-rule",
}


def ignored(host: HostConfigBody, body: ContainerBody) -> list[str]:
    """A sentence for each option that is accepted and does nothing here.  Raises Invalid for --gpus, without which
    the container could not do its work."""
    if host.DeviceRequests:
        raise Invalid('could not select device driver "" with capabilities: [[gpu]]')
    if host.Isolation not in (None, "", "default"):
        raise Invalid(f"invalid isolation ({host.Isolation}): linux only supports 'default'")
    if host.Runtime not in RUNTIMES:
        raise Invalid(f"unknown or invalid runtime name: {host.Runtime}")
    found = [
        f"{flag} is not supported by Bascule and was ignored"
        for field, flag in _IGNORED.items()
        if getattr(host, field)
    ]
    if host.UsernsMode not in (None, "", "host"):
        found.append("--userns is not supported by Bascule and was ignored")
    if host.LogConfig and host.LogConfig.Type not in (None, "", "json-file", "local"):
        if host.LogConfig.Type not in LOG_DRIVERS:
            raise Invalid(
                f'error looking up logging plugin {host.LogConfig.Type}: plugin "{host.LogConfig.Type}" not found'
            )
        found.append(
            f"--log-driver {host.LogConfig.Type} is not supported by Bascule: logs are kept as json-file's"
        )
    if body.Healthcheck and body.Healthcheck.Test and body.Healthcheck.Test != ["NONE"]:
        found.append("health checks are not run by Bascule")
    return found


def exec_spec(body: ExecBody) -> ExecSpec:
    """A further process.  Raises Invalid."""
    command = words(body.Cmd)
    if not command:
        raise Invalid("No exec command specified")
    return ExecSpec(
        command=command,
        env=tuple(body.Env or ()),
        user=body.User or "",
        workdir=body.WorkingDir or "",
        tty=bool(body.Tty),
        stdin=bool(body.AttachStdin),
        stdout=bool(body.AttachStdout),
        stderr=bool(body.AttachStderr),
        privileged=bool(body.Privileged),
    )
