"""What the daemon says of itself: the functions beside build these; /openapi.json is made of them."""

from typing import NotRequired, TypedDict

from bascule.api.shapes.container_answer import ContainerSummary
from bascule.api.shapes.image_answer import ImageSummary, Volume


class Platform(TypedDict):
    Name: str


class Component(TypedDict):
    Name: str
    Version: str
    Details: dict[str, str]


class Version(TypedDict):
    Platform: Platform
    Components: list[Component]
    Version: str
    ApiVersion: str
    MinAPIVersion: str
    GitCommit: str
    GoVersion: str
    Os: str
    Arch: str
    KernelVersion: str
    BuildTime: str


class Plugins(TypedDict):
    Volume: list[str]
    Network: list[str]
    Authorization: None
    Log: list[str]


class Can(TypedDict):
    """What this daemon can limit."""

    MemoryLimit: bool
    SwapLimit: bool
    CpuCfsPeriod: bool
    CpuCfsQuota: bool
    CPUShares: bool
    CPUSet: bool
    PidsLimit: bool
    IPv4Forwarding: bool
    OomKillDisable: bool
    Debug: bool


class AddressPool(TypedDict):
    Base: str
    Size: int


class Machine(TypedDict):
    KernelVersion: str
    OperatingSystem: str
    OSVersion: str
    OSType: str
    Architecture: str
    NCPU: int
    MemTotal: int
    Name: str
    DockerRootDir: str
    Labels: list[str]
    DefaultAddressPools: list[AddressPool]


class RegistryConfig(TypedDict):
    IndexConfigs: dict[str, str]
    InsecureRegistryCIDRs: list[str]
    Mirrors: None


class Runtime(TypedDict):
    path: str


class Swarm(TypedDict):
    """The cluster that this host is in; nobody manages it from here in Docker's words."""

    NodeID: str
    NodeAddr: str
    LocalNodeState: str
    ControlAvailable: bool
    Error: str
    RemoteManagers: None


class Commit(TypedDict):
    ID: str


class Firewall(TypedDict):
    Driver: str


class Company(TypedDict):
    IndexServerAddress: str
    RegistryConfig: RegistryConfig
    GenericResources: None
    HttpProxy: str
    HttpsProxy: str
    NoProxy: str
    ExperimentalBuild: bool
    ServerVersion: str
    Runtimes: dict[str, Runtime]
    DefaultRuntime: str
    Swarm: Swarm
    LiveRestoreEnabled: bool
    Isolation: str
    InitBinary: str
    ContainerdCommit: Commit
    RuncCommit: Commit
    InitCommit: Commit
    SecurityOptions: list[str]
    FirewallBackend: Firewall
    CDISpecDirs: list[str]
    Containerd: None
    Warnings: None


class Info(Can, Machine, Company):
    ID: str
    Containers: int
    ContainersRunning: int
    ContainersPaused: int
    ContainersStopped: int
    Images: int
    Driver: str
    DriverStatus: list[list[str]]
    Plugins: Plugins
    NFd: int
    NGoroutines: int
    SystemTime: str
    LoggingDriver: str
    CgroupDriver: str
    CgroupVersion: str
    NEventsListener: int


class Usage(TypedDict):
    """What is kept; volumes' sizes are not counted (-1)."""

    LayersSize: int
    Images: list[ImageSummary]
    Containers: list[ContainerSummary]
    Volumes: list[Volume]
    BuildCache: list[str]


class CachesPruned(TypedDict):
    CachesDeleted: None
    SpaceReclaimed: int


class Actor(TypedDict):
    ID: str
    Attributes: dict[str, str]


# Functional, because `from` is a word of Python's.
Event = TypedDict(
    "Event",
    {
        "status": NotRequired[str],
        "id": NotRequired[str],
        "from": NotRequired[str],
        "Type": str,
        "Action": str,
        "Actor": Actor,
        "scope": str,
        "time": int,
        "timeNano": int,
    },
)
