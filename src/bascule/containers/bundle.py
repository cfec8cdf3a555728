"""The OCI bundle's configuration: pure, from a container, its image, and what was decided for this start.

Mounts, masked and read-only paths are Docker's (moby: oci/defaults.go), so that programs find what they expect.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bascule.containers import capabilities, seccomp
from bascule.containers.imageconfig import merge_env
from bascule.containers.users import User
from bascule.model.container import MASKED, READ_ONLY, Container, ExecSpec, Image, Resources
from bascule.model.errors import Invalid
from bascule.model.names import short

Config = dict[str, Any]

OCI_VERSION = "1.0.2"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# include/uapi/linux/kdev_t.h: what every container may open, beyond what the runtime allows by itself.
DEVICES = ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2))
# Docker's since 20.10: a container's own namespace has nobody to protect its low ports from.
NET_SYSCTLS = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}
INIT = "/sbin/docker-init"


@dataclass(frozen=True, slots=True)
class Bind:
    """A host path in a container."""

    source: str
    target: str
    options: tuple[str, ...] = ("rw",)


@dataclass(frozen=True, slots=True)
class Device:
    path: str
    kind: str
    major: int
    minor: int
    access: str = "rwm"
    mode: int = 0o666


@dataclass(frozen=True, slots=True)
class Start:
    """What was decided for one start of a container.  A namespace is "" for one of its own, "host" for none, or
    a path."""

    rootfs: str
    user: User = field(default_factory=User)
    hostname: str = ""
    network: str = ""
    pid: str = ""
    ipc: str = ""
    uts: str = ""
    cgroup_namespace: bool = False
    binds: tuple[Bind, ...] = ()
    tmpfs: tuple[tuple[str, tuple[str, ...]], ...] = ()
    env: tuple[str, ...] = ()
    """Of legacy links."""
    rlimits: tuple[tuple[str, int, int], ...] = ()
    bounding: tuple[str, ...] = tuple(capabilities.ALL)
    devices: tuple[Device, ...] = ()
    machine: str = "x86_64"
    controllers: frozenset[str] = frozenset()
    init: str = ""
    """The host's path of a small init, "" for none."""


def config(container: Container, image: Image, start: Start) -> Config:
    """The whole config.json."""
    spec = container.spec
    have = _capabilities(container, start)
    return {
        "ociVersion": OCI_VERSION,
        "hostname": start.hostname if start.uts == "" else "",
        "root": {"path": start.rootfs, "readonly": spec.read_only},
        "process": _process(container, image, start, have),
        "mounts": _mounts(container, start),
        "annotations": {"org.opencontainers.image.stopSignal": spec.stop_signal or image.config.stop_signal},
        "linux": _linux(container, start, have),
    }


def argv(container: Container, start: Start) -> list[str]:
    command = [container.path, *container.args]
    return [INIT, "--", *command] if start.init else command


def command(spec_entrypoint: Sequence[str] | None, spec_command: Sequence[str], image: Image) -> list[str]:
    """What is run: the image's words where the user gave none.  An entrypoint of the user's own drops the image's
    command.  Raises Invalid when nothing is left."""
    entrypoint = list(image.config.entrypoint if spec_entrypoint is None else spec_entrypoint)
    if entrypoint == [""]:
        entrypoint = []
    words = list(spec_command)
    if not words and spec_entrypoint is None:
        words = list(image.config.command)
    if not entrypoint and not words:
        raise Invalid("no command specified")
    return entrypoint + words


def _capabilities(container: Container, start: Start) -> list[str]:
    spec = container.spec
    return capabilities.chosen(spec.cap_add, spec.cap_drop, privileged=spec.privileged, bounding=start.bounding)


def environment(container: Container, image: Image, start: Start) -> list[str]:
    """Docker's order: its own, the image's, the links', the user's.  A `NAME` without value takes a variable of
    the image away."""
    own = [PATH, f"HOSTNAME={start.hostname}"] + (["TERM=xterm"] if container.spec.tty else [])
    env = merge_env(merge_env(merge_env(own, image.config.env), start.env), container.spec.env)
    found = [line for line in env if "=" in line]
    if not any(line.startswith("HOME=") for line in found):
        found.append(f"HOME={start.user.home}")
    return found


def _process(container: Container, image: Image, start: Start, have: list[str]) -> Config:
    spec = container.spec
    user = start.user
    return {
        "terminal": spec.tty,
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": [user.gid, *user.groups]},
        "args": argv(container, start),
        "env": environment(container, image, start),
        "cwd": spec.workdir or image.config.workdir or "/",
        "capabilities": sets(have, user.uid),
        "noNewPrivileges": _no_new_privileges(spec.security_opt),
        "rlimits": [
            {"type": f"RLIMIT_{name.upper()}", "soft": soft, "hard": hard} for name, soft, hard in start.rlimits
        ],
    }


def sets(have: list[str], uid: int) -> dict[str, list[str]]:
    """Who is not root starts without them, but may gain them by a set-user-id program: Docker's way."""
    effective = have if uid == 0 else []
    return {"bounding": have, "effective": effective, "permitted": effective}


def _no_new_privileges(options: Sequence[str]) -> bool:
    return any(o in ("no-new-privileges", "no-new-privileges:true", "no-new-privileges=true") for o in options)


def unconfined(options: Sequence[str]) -> bool:
    return any(o in ("seccomp=unconfined", "seccomp:unconfined") for o in options)


def _mount(target: str, kind: str, source: str, *options: str) -> Config:
    return {"destination": target, "type": kind, "source": source, "options": list(options)}


def _mounts(container: Container, start: Start) -> list[Config]:
    spec = container.spec
    sys = "rw" if spec.privileged else "ro"
    shm = f"size={spec.resources.shm_size}"
    mounts = [
        _mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev"),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount(
            "/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"
        ),
        _mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", sys),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", sys),
        _mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
    ]
    if start.ipc == "host":
        mounts.append(_mount("/dev/shm", "bind", "/dev/shm", "rbind", "rw"))
        mounts[5] = _mount("/dev/mqueue", "bind", "/dev/mqueue", "rbind", "rw")
    else:
        mounts.append(_mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", shm))
    mounts += [_mount(target, "tmpfs", "tmpfs", *options) for target, options in start.tmpfs]
    mounts += [_bind(bind) for bind in start.binds]
    if start.init:
        mounts.append(_bind(Bind(start.init, INIT, ("ro",))))
    # A mount over another's place must come after it.
    return mounts[:7] + sorted(mounts[7:], key=lambda m: m["destination"].rstrip("/").count("/"))


def _bind(bind: Bind) -> Config:
    options = [o for o in bind.options if o not in ("z", "Z", "nocopy", "cached", "delegated", "consistent")]
    if not any(o.lstrip("r") in ("private", "shared", "slave") for o in options):
        options.append("rprivate")
    return _mount(bind.target, "bind", bind.source, "rbind", *options)


def _linux(container: Container, start: Start, have: list[str]) -> Config:
    spec = container.spec
    linux: Config = {
        "namespaces": _namespaces(start),
        "cgroupsPath": f"/bascule/{container.id}",
        "resources": resources(spec.resources, start, privileged=spec.privileged),
        "sysctl": dict(spec.sysctls),
        "devices": [_device(d) for d in start.devices],
        "rootfsPropagation": "private",
        "maskedPaths": [] if spec.privileged else list(MASKED),
        "readonlyPaths": [] if spec.privileged else list(READ_ONLY),
    }
    if start.network != "host" and not start.network.startswith("/proc/"):
        linux["sysctl"] = {**NET_SYSCTLS, **linux["sysctl"]}
    if not spec.privileged and not unconfined(spec.security_opt):
        linux["seccomp"] = seccomp.profile(have, start.machine)
    return linux


def _namespaces(start: Start) -> list[Config]:
    wanted = {"mount": "", "network": start.network, "pid": start.pid, "ipc": start.ipc, "uts": start.uts}
    if start.cgroup_namespace:
        wanted["cgroup"] = ""
    return [
        {"type": kind, **({"path": place} if place else {})} for kind, place in wanted.items() if place != "host"
    ]


def _device(device: Device) -> Config:
    return {
        "path": device.path,
        "type": device.kind,
        "major": device.major,
        "minor": device.minor,
        "fileMode": device.mode,
        "uid": 0,
        "gid": 0,
    }


def resources(wanted: Resources, start: Start, *, privileged: bool = False) -> Config:
    """The `linux.resources`: limits, and the devices that may be opened where the host can say so."""
    found = limits(wanted, start.controllers)
    if "devices" in start.controllers:
        found["devices"] = [{"allow": True, "access": "rwm"}] if privileged else _device_rules(start.devices)
    return found


def limits(wanted: Resources, controllers: frozenset[str]) -> Config:
    """The limits alone, as `update` wants them."""
    found: Config = {"memory": {}, "cpu": {}}
    if wanted.memory:
        found["memory"] = {"limit": wanted.memory, "swap": wanted.memory_swap or wanted.memory * 2}
        if "memory.swap" not in controllers:
            del found["memory"]["swap"]
    if wanted.memory_reservation:
        found["memory"]["reservation"] = wanted.memory_reservation
    if wanted.nano_cpus:
        # The period is the kernel's default (100 ms): Docker's arithmetic.
        found["cpu"] = {"period": 100_000, "quota": wanted.nano_cpus * 100_000 // 1_000_000_000}
    if wanted.cpu_shares:
        found["cpu"]["shares"] = wanted.cpu_shares
    if wanted.cpuset_cpus:
        found["cpu"]["cpus"] = wanted.cpuset_cpus
    if wanted.pids > 0:
        found["pids"] = {"limit": wanted.pids}
    return {key: value for key, value in found.items() if value}


def _device_rules(extra: Sequence[Device]) -> list[Config]:
    rules: list[Config] = [{"allow": False, "access": "rwm"}]
    rules += [{"allow": True, "type": "c", "major": a, "minor": i, "access": "rwm"} for a, i in DEVICES]
    rules += [
        {"allow": True, "type": d.kind, "major": d.major, "minor": d.minor, "access": d.access} for d in extra
    ]
    return rules


def exec_process(container: Container, image: Image, start: Start, spec: ExecSpec, user: User) -> Config:
    """A process of `runc exec`: in the container's place, with what the exec says otherwise."""
    have = _capabilities(container, start)
    if spec.privileged:
        have = capabilities.chosen((), (), privileged=True, bounding=start.bounding)
    lines = environment(container, image, start)
    lines = [line for line in merge_env(lines, spec.env) if "=" in line]
    if spec.tty:
        lines = list(merge_env(["TERM=xterm"], lines))
    return {
        "terminal": spec.tty,
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": [user.gid, *user.groups]},
        "args": list(spec.command),
        "env": lines,
        "cwd": spec.workdir or container.spec.workdir or image.config.workdir or "/",
        "capabilities": sets(have, user.uid),
        "noNewPrivileges": _no_new_privileges(container.spec.security_opt),
    }


def default_hostname(container: Container) -> str:
    return container.spec.hostname or short(container.id)
