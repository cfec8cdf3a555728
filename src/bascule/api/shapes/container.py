"""A container as inspect shows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from bascule.api.shapes import container_answer as answer
from bascule.api.shapes import endpoint, mounts, ports, times
from bascule.api.shapes.network_answer import EndpointSettings
from bascule.model.container import MASKED, READ_ONLY, Container, ContainerSpec, Exec, Image, Resources, State
from bascule.model.endpoint import Endpoint, EndpointSpec
from bascule.model.names import short

Places = Mapping[str, tuple[EndpointSpec, Endpoint | None]]
"""By network name: what was asked for, and what is while the container runs."""

DEFAULT = "bridge"
ABSENT = object()


@dataclass(frozen=True, slots=True)
class Around:
    """What belongs to a container and is not in its own record."""

    places: Places
    image: Image | None = None
    volumes: Mapping[str, str] | None = None
    """Mount points by volume name."""
    home: str = ""
    """The directory with the container's hosts, hostname and resolv.conf."""
    log: str = ""
    execs: tuple[str, ...] = ()
    runtime: str = ""
    cgroup_namespace: bool = False
    networks: Mapping[str, str] = field(default_factory=dict)
    """Ids by name."""
    sizes: tuple[int, int] | None = None
    """What it has written, and all it sees; only where that was asked for."""


def is_running(state: State) -> bool:
    return state.status in ("running", "paused", "restarting")


def inspect(container: Container, around: Around, version: tuple[int, int]) -> answer.Container:
    """GET /containers/{id}/json."""
    spec = container.spec
    # Its files are made by its first start.
    home = around.home if container.state.started else ""
    return {
        "Id": container.id,
        "Created": times.rfc3339(container.created),
        "Path": container.path,
        "Args": list(container.args),
        "State": state(container.state),
        "Image": container.image,
        "ResolvConfPath": f"{home}/resolv.conf" if home else "",
        "HostnamePath": f"{home}/hostname" if home else "",
        "HostsPath": f"{home}/hosts" if home else "",
        "LogPath": around.log if home else "",
        "Name": f"/{container.name}",
        "RestartCount": container.state.restarts,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": list(around.execs) or None,
        "HostConfig": host_config(spec, around),
        "GraphDriver": {"Data": {}, "Name": "overlay2"},
        **sizes(around.sizes),
        "Mounts": mounts.show(container.mounts or spec.mounts, around.volumes or {}),
        "Config": config(container, around.image),
        "NetworkSettings": network_settings(container, around.places, version, around.networks),
    }


def sizes(of: tuple[int, int] | None) -> answer.Sizes:
    """Nothing where they were not asked for."""
    return {"SizeRw": of[0], "SizeRootFs": of[1]} if of else {}


def state(of: State) -> answer.ContainerState:
    return {
        "Status": of.status,
        "Running": is_running(of),
        "Paused": of.status == "paused",
        "Restarting": of.status == "restarting",
        "OOMKilled": of.oom_killed,
        "Dead": of.status == "dead",
        "Pid": of.pid,
        "ExitCode": of.exit_code,
        "Error": of.error,
        "StartedAt": times.rfc3339(of.started),
        "FinishedAt": times.rfc3339(of.finished),
    }


def config(container: Container, image: Image | None) -> answer.Config:
    """What was asked for, with what the image adds where nothing was."""
    spec = container.spec
    base = image.config if image else None
    exposed = dict.fromkeys((*(base.exposed if base else ()), *spec.exposed))
    env = {line.partition("=")[0]: line for line in (*(base.env if base else ()), *spec.env)}
    given = spec.entrypoint is not None
    entrypoint = spec.entrypoint if given else (base.entrypoint if base else ())
    command = spec.command or (() if given or base is None else base.command)
    shown = {
        "Hostname": spec.hostname or short(container.id),
        "Domainname": spec.domainname,
        "User": spec.user or (base.user if base else ""),
        "AttachStdin": spec.attach_stdin,
        "AttachStdout": spec.attach_stdout,
        "AttachStderr": spec.attach_stderr,
        "ExposedPorts": {f"{number}/{proto}": {} for proto, number in exposed} or ABSENT,
        "Tty": spec.tty,
        "OpenStdin": spec.open_stdin,
        "StdinOnce": spec.stdin_once,
        "Env": list(env.values()) or None,
        "Cmd": list(command) or None,
        "Image": spec.image,
        "Volumes": {path: {} for path in base.volumes} if base and base.volumes else None,
        "WorkingDir": spec.workdir or (base.workdir if base else ""),
        "Entrypoint": list(entrypoint or ()) or None,
        "MacAddress": spec.mac or ABSENT,
        "OnBuild": None,
        "Labels": {**(base.labels if base else {}), **spec.labels},
        "StopSignal": spec.stop_signal or ABSENT,
        "StopTimeout": ABSENT if spec.stop_timeout is None else spec.stop_timeout,
    }
    return cast(answer.Config, _present(shown))


def _present(shown: Mapping[str, object]) -> dict[str, object]:
    """*shown* without the fields that Docker leaves out, where they are empty, in the midst of the others."""
    return {key: value for key, value in shown.items() if value is not ABSENT}


def host_config(spec: ContainerSpec, around: Around) -> answer.HostConfig:
    """In Docker's order, as it was asked for; with what is always so here."""
    shown = {
        "Binds": mounts.binds(spec.mounts),
        "ContainerIDFile": "",
        "LogConfig": {"Type": "json-file", "Config": dict(spec.log_options)},
        "NetworkMode": spec.network_mode,
        "PortBindings": ports.asked(spec.ports),
        "RestartPolicy": {"Name": spec.restart.name, "MaximumRetryCount": spec.restart.max_retries},
        "AutoRemove": spec.auto_remove,
        "VolumeDriver": "",
        "VolumesFrom": list(spec.volumes_from) or None,
        "ConsoleSize": [0, 0],
        "CapAdd": list(spec.cap_add) or None,
        "CapDrop": list(spec.cap_drop) or None,
        "CgroupnsMode": "private" if around.cgroup_namespace else "host",
        **_resolution(spec),
        "GroupAdd": list(spec.groups) or None,
        "IpcMode": spec.ipc_mode or "private",
        "Cgroup": "",
        "Links": list(spec.links) or None,
        "OomScoreAdj": 0,
        "PidMode": spec.pid_mode,
        "Privileged": spec.privileged,
        "PublishAllPorts": spec.publish_all,
        "ReadonlyRootfs": spec.read_only,
        "SecurityOpt": list(spec.security_opt) or None,
        "Tmpfs": {m.target: ",".join(m.options) for m in spec.mounts if m.kind == "tmpfs"} or ABSENT,
        "UTSMode": spec.uts_mode,
        "UsernsMode": "",
        "ShmSize": spec.resources.shm_size,
        "Sysctls": dict(spec.sysctls) or ABSENT,
        "Runtime": around.runtime,
        "Isolation": "",
        **limits(spec.resources, [_device(text) for text in spec.devices]),
        "Init": spec.init or ABSENT,
        "MaskedPaths": None if spec.privileged else list(MASKED),
        "ReadonlyPaths": None if spec.privileged else list(READ_ONLY),
    }
    return cast(answer.HostConfig, _present(shown))


def _resolution(spec: ContainerSpec) -> dict[str, object]:
    return {
        "Dns": list(spec.dns),
        "DnsOptions": list(spec.dns_options),
        "DnsSearch": list(spec.dns_search),
        "ExtraHosts": list(spec.extra_hosts) or None,
    }


def limits(of: Resources, devices: list[answer.Device]) -> answer.Limits:
    """Docker's Resources, in its order."""
    return {
        "CpuShares": of.cpu_shares,
        "Memory": of.memory,
        "NanoCpus": of.nano_cpus,
        "CgroupParent": "",
        "BlkioWeight": 0,
        "BlkioWeightDevice": [],
        "BlkioDeviceReadBps": [],
        "BlkioDeviceWriteBps": [],
        "BlkioDeviceReadIOps": [],
        "BlkioDeviceWriteIOps": [],
        "CpuPeriod": 0,
        "CpuQuota": 0,
        "CpuRealtimePeriod": 0,
        "CpuRealtimeRuntime": 0,
        "CpusetCpus": of.cpuset_cpus,
        "CpusetMems": "",
        "Devices": devices,
        "DeviceCgroupRules": None,
        "DeviceRequests": None,
        "MemoryReservation": of.memory_reservation,
        "MemorySwap": of.memory_swap,
        "MemorySwappiness": None,
        "OomKillDisable": False,
        "PidsLimit": of.pids or None,
        "Ulimits": [{"Name": name, "Soft": soft, "Hard": hard} for name, soft, hard in of.ulimits],
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
    }


def _device(text: str) -> answer.Device:
    host, inside, permissions = [*text.split(":"), "", ""][:3]
    return {"PathOnHost": host, "PathInContainer": inside or host, "CgroupPermissions": permissions or "rwm"}


def networks(
    container: Container, places: Places, version: tuple[int, int], idents: Mapping[str, str] | None = None
) -> dict[str, EndpointSettings]:
    """NetworkSettings.Networks; *idents* are networks' ids by name."""
    shown = {
        name: endpoint.show(asked, ep, container=container.id, named=name != DEFAULT, version=version)
        for name, (asked, ep) in places.items()
    }
    for name, (asked, ep) in places.items():
        if ep is None and name in (idents or {}):
            _remember(shown[name], container, name, asked, (idents or {})[name])
    return shown


def _remember(shown: EndpointSettings, container: Container, name: str, asked: EndpointSpec, ident: str) -> None:
    """What Docker keeps of a network that a container is not on now: its id since it was there, and the names that
    the container has on it since it was first connected."""
    here_before = bool(container.state.started)
    if here_before:
        shown["NetworkID"] = ident
    given = {container.spec.network_mode, *container.spec.networks}
    if name not in (DEFAULT, "host", "none") and (here_before or name not in given):
        names = (container.name, *asked.aliases, short(container.id), container.spec.hostname)
        shown["DNSNames"] = list(dict.fromkeys(n for n in names if n))


def network_settings(
    container: Container, places: Places, version: tuple[int, int], idents: Mapping[str, str] | None = None
) -> answer.NetworkSettings:
    """NetworkSettings: the fields at its top are those of the default bridge, a relic of Docker's first years."""
    live = [ep for _, ep in places.values() if ep]
    asked, first = places.get(DEFAULT, (EndpointSpec(), None))
    relic = endpoint.show(asked, first, container=container.id, named=False, version=version)
    exposed = container.spec.exposed if is_running(container.state) else ()
    return {
        "Bridge": "",
        "SandboxID": container.sandbox,
        "SandboxKey": next((ep.key for ep in live), ""),
        "Ports": ports.show([port for ep in live for port in ep.ports], exposed),
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "EndpointID": relic["EndpointID"],
        "Gateway": relic["Gateway"],
        "GlobalIPv6Address": relic["GlobalIPv6Address"],
        "GlobalIPv6PrefixLen": relic["GlobalIPv6PrefixLen"],
        "IPAddress": relic["IPAddress"],
        "IPPrefixLen": relic["IPPrefixLen"],
        "IPv6Gateway": relic["IPv6Gateway"],
        "MacAddress": relic["MacAddress"],
        "Networks": networks(container, places, version, idents),
    }


def execution(of: Exec) -> answer.Exec:
    """GET /exec/{id}/json."""
    command = of.spec.command
    return {
        "ID": of.id,
        "Running": of.running,
        "ExitCode": of.exit_code,
        "ProcessConfig": {
            "tty": of.spec.tty,
            "entrypoint": command[0],
            "arguments": list(command[1:]),
            "privileged": of.spec.privileged,
            "user": of.spec.user,
        },
        "OpenStdin": of.spec.stdin,
        "OpenStderr": of.spec.stderr,
        "OpenStdout": of.spec.stdout,
        "CanRemove": False,
        "ContainerID": of.container,
        "DetachKeys": "",
        "Pid": of.pid,
    }
