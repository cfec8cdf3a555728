"""What answers say of containers: the functions beside build these; /openapi.json is made of them."""

from typing import NotRequired, TypedDict

from bascule.api.shapes.network_answer import EndpointSettings
from bascule.model.container import Status


class Empty(TypedDict):
    """Nothing: Docker writes its sets as objects of these."""


class ContainerCreated(TypedDict):
    Id: str
    Warnings: list[str]


class ContainerUpdated(TypedDict):
    Warnings: list[str]


class ContainersPruned(TypedDict):
    ContainersDeleted: list[str] | None
    SpaceReclaimed: int


class ProcessList(TypedDict):
    """What ps says: a row has a word for each title."""

    Titles: list[str]
    Processes: list[list[str]]


class Change(TypedDict):
    """Kind is 0 for a changed file, 1 for a new one, 2 for one that is gone."""

    Path: str
    Kind: int


class ContainerState(TypedDict):
    Status: Status
    Running: bool
    Paused: bool
    Restarting: bool
    OOMKilled: bool
    Dead: bool
    Pid: int
    ExitCode: int
    Error: str
    StartedAt: str
    FinishedAt: str


class Config(TypedDict):
    """What runs, as the image and the user say together."""

    Hostname: str
    Domainname: str
    User: str
    AttachStdin: bool
    AttachStdout: bool
    AttachStderr: bool
    ExposedPorts: NotRequired[dict[str, Empty]]
    Tty: bool
    OpenStdin: bool
    StdinOnce: bool
    Env: list[str] | None
    Cmd: list[str] | None
    Image: str
    Volumes: dict[str, Empty] | None
    WorkingDir: str
    Entrypoint: list[str] | None
    OnBuild: None
    Labels: dict[str, str] | None
    StopSignal: NotRequired[str]
    StopTimeout: NotRequired[int]
    MacAddress: NotRequired[str]


class LogConfig(TypedDict):
    Type: str
    Config: dict[str, str]


class PortBinding(TypedDict):
    HostIp: str
    HostPort: str


class RestartPolicy(TypedDict):
    Name: str
    MaximumRetryCount: int


class Device(TypedDict):
    PathOnHost: str
    PathInContainer: str
    CgroupPermissions: str


class Ulimit(TypedDict):
    Name: str
    Soft: int
    Hard: int


class Limits(TypedDict):
    """0 is "not limited"."""

    CpuShares: int
    Memory: int
    NanoCpus: int
    CgroupParent: str
    BlkioWeight: int
    BlkioWeightDevice: list[Empty]
    BlkioDeviceReadBps: list[Empty]
    BlkioDeviceWriteBps: list[Empty]
    BlkioDeviceReadIOps: list[Empty]
    BlkioDeviceWriteIOps: list[Empty]
    CpuPeriod: int
    CpuQuota: int
    CpuRealtimePeriod: int
    CpuRealtimeRuntime: int
    CpusetCpus: str
    CpusetMems: str
    Devices: list[Device]
    DeviceCgroupRules: None
    DeviceRequests: None
    MemoryReservation: int
    MemorySwap: int
    MemorySwappiness: None
    OomKillDisable: bool
    PidsLimit: int | None
    Ulimits: list[Ulimit]
    CpuCount: int
    CpuPercent: int
    IOMaximumIOps: int
    IOMaximumBandwidth: int


class HostConfig(Limits):
    Binds: list[str] | None
    ContainerIDFile: str
    LogConfig: LogConfig
    NetworkMode: str
    PortBindings: dict[str, list[PortBinding]]
    RestartPolicy: RestartPolicy
    AutoRemove: bool
    VolumeDriver: str
    VolumesFrom: list[str] | None
    ConsoleSize: list[int]
    CapAdd: list[str] | None
    CapDrop: list[str] | None
    CgroupnsMode: str
    Dns: list[str]
    DnsOptions: list[str]
    DnsSearch: list[str]
    ExtraHosts: list[str] | None
    GroupAdd: list[str] | None
    IpcMode: str
    Cgroup: str
    Links: list[str] | None
    OomScoreAdj: int
    PidMode: str
    Privileged: bool
    PublishAllPorts: bool
    ReadonlyRootfs: bool
    SecurityOpt: list[str] | None
    Tmpfs: NotRequired[dict[str, str]]
    UTSMode: str
    UsernsMode: str
    ShmSize: int
    Sysctls: NotRequired[dict[str, str]]
    Runtime: str
    Isolation: str
    Init: NotRequired[bool]
    MaskedPaths: list[str] | None
    ReadonlyPaths: list[str] | None


class GraphDriver(TypedDict):
    Data: dict[str, str]
    Name: str


class MountPoint(TypedDict):
    Type: str
    Name: NotRequired[str]
    Source: str
    Destination: str
    Driver: NotRequired[str]
    Mode: str
    RW: bool
    Propagation: str


class NetworkSettings(TypedDict):
    """Networks is by network name; the addresses at the top are those on the default bridge.  Ports is by
    `80/tcp`; null is exposed and not published."""

    Bridge: str
    SandboxID: str
    SandboxKey: str
    Ports: dict[str, list[PortBinding] | None]
    HairpinMode: bool
    LinkLocalIPv6Address: str
    LinkLocalIPv6PrefixLen: int
    SecondaryIPAddresses: None
    SecondaryIPv6Addresses: None
    EndpointID: str
    Gateway: str
    GlobalIPv6Address: str
    GlobalIPv6PrefixLen: int
    IPAddress: str
    IPPrefixLen: int
    IPv6Gateway: str
    MacAddress: str
    Networks: dict[str, EndpointSettings]


class Sizes(TypedDict, total=False):
    """Bytes: what a container has written, and all that it sees; where they were asked for."""

    SizeRw: int
    SizeRootFs: int


class Container(Sizes):
    Id: str
    Created: str
    Path: str
    Args: list[str]
    State: ContainerState
    Image: str
    ResolvConfPath: str
    HostnamePath: str
    HostsPath: str
    LogPath: str
    Name: str
    RestartCount: int
    Driver: str
    Platform: str
    MountLabel: str
    ProcessLabel: str
    AppArmorProfile: str
    ExecIDs: list[str] | None
    HostConfig: HostConfig
    GraphDriver: GraphDriver
    Mounts: list[MountPoint]
    Config: Config
    NetworkSettings: NetworkSettings


class Port(TypedDict):
    """A published port, or without IP and PublicPort one that is only exposed."""

    IP: NotRequired[str]
    PrivatePort: int
    PublicPort: NotRequired[int]
    Type: str


class SummaryHostConfig(TypedDict):
    NetworkMode: str


class SummaryNetworks(TypedDict):
    Networks: dict[str, EndpointSettings]


class ContainerSummary(Sizes):
    """A line of a list; Created is in seconds since the epoch."""

    Id: str
    Names: list[str]
    Image: str
    ImageID: str
    Command: str
    Created: int
    Ports: list[Port]
    Labels: dict[str, str]
    State: Status
    Status: str
    HostConfig: SummaryHostConfig
    NetworkSettings: SummaryNetworks
    Mounts: list[MountPoint]


class WaitError(TypedDict):
    Message: str


class Ended(TypedDict):
    StatusCode: int
    Error: NotRequired[WaitError]


class ExecCreated(TypedDict):
    Id: str


class ProcessConfig(TypedDict):
    tty: bool
    entrypoint: str
    arguments: list[str]
    privileged: bool
    user: str


class Exec(TypedDict):
    """A further process; ExitCode is null until it has ended."""

    ID: str
    Running: bool
    ExitCode: int | None
    ProcessConfig: ProcessConfig
    OpenStdin: bool
    OpenStderr: bool
    OpenStdout: bool
    CanRemove: bool
    ContainerID: str
    DetachKeys: str
    Pid: int


class PidsStats(TypedDict, total=False):
    current: int


class CpuUsage(TypedDict):
    """Nanoseconds."""

    total_usage: int
    usage_in_kernelmode: int
    usage_in_usermode: int


class Throttling(TypedDict):
    periods: int
    throttled_periods: int
    throttled_time: int


class CpuStats(TypedDict):
    cpu_usage: CpuUsage
    system_cpu_usage: int
    online_cpus: int
    throttling_data: Throttling


class MemoryStats(TypedDict, total=False):
    """Bytes."""

    usage: int
    stats: dict[str, int]
    limit: int


class Stats(TypedDict):
    """A sample and the one before it; networks is by the container's links."""

    id: str
    name: str
    read: str
    preread: str
    pids_stats: PidsStats
    blkio_stats: dict[str, None]
    num_procs: int
    storage_stats: Empty
    cpu_stats: CpuStats
    precpu_stats: CpuStats
    memory_stats: MemoryStats
    networks: dict[str, dict[str, int]]
