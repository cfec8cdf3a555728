"""Bodies of the requests about containers, as clients send them.  Whatever is not named here is not read; what is
named and cannot be honoured is answered with a warning (container_spec.py)."""

from typing import Any

from msgspec import Struct

from bascule.api.shapes.endpoint import EndpointBody
from bascule.api.shapes.values import Int64

Words = list[str] | str | None


class PortBindingBody(Struct):
    HostIp: str | None = None
    HostPort: str | None = None


class UlimitBody(Struct):
    Name: str
    Soft: Int64 = 0
    Hard: Int64 = 0


class DeviceBody(Struct):
    PathOnHost: str
    PathInContainer: str | None = None
    CgroupPermissions: str | None = None


class RestartPolicyBody(Struct):
    Name: str | None = None
    MaximumRetryCount: Int64 | None = None


class BindOptionsBody(Struct):
    Propagation: str | None = None
    NonRecursive: bool | None = None
    CreateMountpoint: bool | None = None


class VolumeOptionsBody(Struct):
    NoCopy: bool | None = None
    Labels: dict[str, str] | None = None
    Subpath: str | None = None


class TmpfsOptionsBody(Struct):
    SizeBytes: Int64 | None = None
    Mode: Int64 | None = None


class MountBody(Struct):
    Type: str | None = None
    Source: str | None = None
    Target: str | None = None
    ReadOnly: bool | None = None
    BindOptions: BindOptionsBody | None = None
    VolumeOptions: VolumeOptionsBody | None = None
    TmpfsOptions: TmpfsOptionsBody | None = None


class LogConfigBody(Struct):
    Type: str | None = None
    Config: dict[str, str] | None = None


class ResourcesBody(Struct):
    Memory: Int64 | None = None
    MemorySwap: Int64 | None = None
    MemoryReservation: Int64 | None = None
    NanoCpus: Int64 | None = None
    CpuPeriod: Int64 | None = None
    CpuQuota: Int64 | None = None
    CpuShares: Int64 | None = None
    CpusetCpus: str | None = None
    PidsLimit: Int64 | None = None
    Ulimits: list[UlimitBody] | None = None
    ShmSize: Int64 | None = None


class UpdateBody(ResourcesBody):
    RestartPolicy: RestartPolicyBody | None = None


class HostConfigBody(ResourcesBody):
    Binds: list[str] | None = None
    Mounts: list[MountBody] | None = None
    Tmpfs: dict[str, str] | None = None
    VolumesFrom: list[str] | None = None
    NetworkMode: str | None = None
    PortBindings: dict[str, list[PortBindingBody] | None] | None = None
    PublishAllPorts: bool | None = None
    RestartPolicy: RestartPolicyBody | None = None
    AutoRemove: bool | None = None
    CapAdd: list[str] | None = None
    CapDrop: list[str] | None = None
    Dns: list[str] | None = None
    DnsOptions: list[str] | None = None
    DnsSearch: list[str] | None = None
    ExtraHosts: list[str] | None = None
    Links: list[str] | None = None
    Privileged: bool | None = None
    ReadonlyRootfs: bool | None = None
    SecurityOpt: list[str] | None = None
    Sysctls: dict[str, str] | None = None
    Devices: list[DeviceBody] | None = None
    Init: bool | None = None
    PidMode: str | None = None
    IpcMode: str | None = None
    UTSMode: str | None = None
    GroupAdd: list[str] | None = None
    LogConfig: LogConfigBody | None = None
    # Read only to say that they do nothing here.
    UsernsMode: str | None = None
    Runtime: str | None = None
    Isolation: str | None = None
    CgroupParent: str | None = None
    VolumeDriver: str | None = None
    StorageOpt: dict[str, str] | None = None
    OomKillDisable: bool | None = None
    OomScoreAdj: Int64 | None = None
    CpusetMems: str | None = None
    CpuRealtimePeriod: Int64 | None = None
    CpuRealtimeRuntime: Int64 | None = None
    BlkioWeight: Int64 | None = None
    BlkioWeightDevice: list[Any] | None = None
    BlkioDeviceReadBps: list[Any] | None = None
    BlkioDeviceWriteBps: list[Any] | None = None
    BlkioDeviceReadIOps: list[Any] | None = None
    BlkioDeviceWriteIOps: list[Any] | None = None
    KernelMemory: Int64 | None = None
    DeviceCgroupRules: list[str] | None = None
    DeviceRequests: list[Any] | None = None


class NetworkingBody(Struct):
    EndpointsConfig: dict[str, EndpointBody | None] | None = None


class HealthBody(Struct):
    Test: list[str] | None = None


class ContainerBody(Struct):
    """POST /containers/create: Docker's Config, with the other two parts in it."""

    Hostname: str | None = None
    Domainname: str | None = None
    User: str | None = None
    AttachStdin: bool | None = None
    AttachStdout: bool | None = None
    AttachStderr: bool | None = None
    Tty: bool | None = None
    OpenStdin: bool | None = None
    StdinOnce: bool | None = None
    Env: list[str] | None = None
    Cmd: Words = None
    Entrypoint: Words = None
    Image: str | None = None
    Volumes: dict[str, Any] | None = None
    WorkingDir: str | None = None
    NetworkDisabled: bool | None = None
    MacAddress: str | None = None
    Labels: dict[str, str] | None = None
    StopSignal: str | None = None
    StopTimeout: Int64 | None = None
    ExposedPorts: dict[str, Any] | None = None
    Healthcheck: HealthBody | None = None
    HostConfig: HostConfigBody | None = None
    NetworkingConfig: NetworkingBody | None = None


class ExecBody(Struct):
    """POST /containers/{id}/exec."""

    User: str | None = None
    Privileged: bool | None = None
    Tty: bool | None = None
    AttachStdin: bool | None = None
    AttachStdout: bool | None = None
    AttachStderr: bool | None = None
    Env: list[str] | None = None
    WorkingDir: str | None = None
    Cmd: Words = None


class ExecStartBody(Struct):
    """POST /exec/{id}/start."""

    Detach: bool | None = None
    Tty: bool | None = None
    ConsoleSize: list[Int64] | None = None


def words(told: Words) -> tuple[str, ...]:
    """A command, which may be given as one string."""
    if isinstance(told, str):
        return (told,)
    return tuple(told or ())
