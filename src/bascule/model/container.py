"""Containers, images and volumes: what is asked for and what is so.  Fields follow Docker's API; units are in
their names or docstrings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bascule.model.endpoint import EndpointSpec, PortSpec, Proto

Status = Literal["created", "running", "paused", "restarting", "removing", "exited", "dead"]


# What a container cannot see, and cannot write to (moby: oci/defaults.go; in its order).
_PROC_MASKED = "asound acpi interrupts kcore keys latency_stats timer_list timer_stats sched_debug scsi"
MASKED = (*(f"/proc/{name}" for name in _PROC_MASKED.split()), "/sys/firmware", "/sys/devices/virtual/powercap")
READ_ONLY = tuple(f"/proc/{name}" for name in ("bus", "fs", "irq", "sys", "sysrq-trigger"))
# An option of a bind: its source is not made where it is missing.
MUST_EXIST = "must-exist"


@dataclass(frozen=True, slots=True)
class Mount:
    """A bind, a named volume, or a tmpfs, at *target* in the container."""

    kind: Literal["bind", "volume", "tmpfs"]
    target: str
    source: str = ""
    """A host path for a bind, a volume's name for a volume, "" for a tmpfs or an anonymous volume."""
    read_only: bool = False
    options: tuple[str, ...] = ()
    mode: str = ""
    """What a bind said behind its second colon, in its own words."""


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    name: Literal["no", "always", "unless-stopped", "on-failure"] = "no"
    max_retries: int = 0


@dataclass(frozen=True, slots=True)
class Resources:
    """Zero means "not limited"."""

    memory: int = 0
    """Bytes."""
    nano_cpus: int = 0
    pids: int = 0
    shm_size: int = 64 << 20
    ulimits: tuple[tuple[str, int, int], ...] = ()
    """name, soft, hard."""
    memory_swap: int = 0
    """Bytes of memory and swap together; -1: as much swap as there is."""
    memory_reservation: int = 0
    cpu_shares: int = 0
    cpuset_cpus: str = ""


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """A container as it is asked for."""

    image: str
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    """None: the image's own; (): none at all."""
    env: tuple[str, ...] = ()
    workdir: str = ""
    user: str = ""
    hostname: str = ""
    domainname: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    stop_signal: str = ""
    stop_timeout: int | None = None
    """Seconds; None: ten."""
    exposed: tuple[tuple[Proto, int], ...] = ()
    network_mode: str = "default"
    networks: Mapping[str, EndpointSpec] = field(default_factory=dict)
    """By the name the user gave; a network need not exist before the start."""
    ports: tuple[PortSpec, ...] = ()
    publish_all: bool = False
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()
    """`name:address`, as Docker writes them; the address may be `host-gateway`."""
    links: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    volumes_from: tuple[str, ...] = ()
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    privileged: bool = False
    read_only: bool = False
    sysctls: Mapping[str, str] = field(default_factory=dict)
    security_opt: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    init: bool = False
    pid_mode: str = ""
    ipc_mode: str = ""
    uts_mode: str = ""
    auto_remove: bool = False
    restart: RestartPolicy = field(default_factory=RestartPolicy)
    resources: Resources = field(default_factory=Resources)
    mac: str = ""
    """The deprecated container-wide MAC: of the first network."""
    groups: tuple[str, ...] = ()
    """--group-add: names or numbers."""
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    """What the client said it would attach to: without effect, but told."""
    log_options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class State:
    """Times are nanoseconds since the epoch, 0 for never."""

    status: Status = "created"
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    started: int = 0
    finished: int = 0
    restarts: int = 0
    stopped_by_user: bool = False
    """Asked to stop: `unless-stopped` does not bring it back."""


@dataclass(frozen=True, slots=True)
class Container:
    """A container as it is.  *networks* are the wishes by network name: connecting a stopped container only
    adds one.  *sandbox* is the id of its live sandbox, "" while it has none (stopped, host, container:)."""

    id: str
    name: str
    """Without Docker's leading slash."""
    created: int
    spec: ContainerSpec
    image: str
    """The image's id, sha256:…"""
    path: str = ""
    args: tuple[str, ...] = ()
    networks: Mapping[str, EndpointSpec] = field(default_factory=dict)
    sandbox: str = ""
    state: State = field(default_factory=State)
    mounts: tuple[Mount, ...] = ()
    """As decided: with the image's volumes, --volumes-from, and a name for every anonymous volume."""


@dataclass(frozen=True, slots=True)
class ExecSpec:
    """A further process in a running container, as it is asked for."""

    command: tuple[str, ...]
    env: tuple[str, ...] = ()
    user: str = ""
    workdir: str = ""
    tty: bool = False
    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    privileged: bool = False


@dataclass(frozen=True, slots=True)
class Exec:
    """A further process as it is.  Kept in memory only: it is forgotten with the daemon.  *exit_code* is None
    until it has ended (or could not be started)."""

    id: str
    container: str
    spec: ExecSpec
    running: bool = False
    exit_code: int | None = None
    pid: int = 0


@dataclass(frozen=True, slots=True)
class ImageConfig:
    env: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    workdir: str = ""
    user: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    exposed: tuple[tuple[Proto, int], ...] = ()
    volumes: tuple[str, ...] = ()
    stop_signal: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of an image's history.  *empty*: it made no layer."""

    created: int = 0
    created_by: str = ""
    comment: str = ""
    empty: bool = False
    size: int = 0


@dataclass(frozen=True, slots=True)
class Image:
    """*layers* are diff ids, lowest first; () for the built-in image of the host's own root."""

    id: str
    created: int
    tags: tuple[str, ...] = ()
    """`repository:tag`, short form (busybox:latest)."""
    layers: tuple[str, ...] = ()
    config: ImageConfig = field(default_factory=ImageConfig)
    size: int = 0
    """Bytes."""
    architecture: str = "amd64"
    host_root: bool = False
    history: tuple[Step, ...] = ()
    """Oldest first."""
    author: str = ""
    comment: str = ""
    tagged: int = 0
    """When it was last given a name; 0 for never."""


@dataclass(frozen=True, slots=True)
class Volume:
    """*id* is its name."""

    id: str
    created: int
    mountpoint: str
    driver: str = "local"
    labels: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    anonymous: bool = False
