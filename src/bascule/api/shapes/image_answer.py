"""What answers say of images and volumes: the functions beside build these; /openapi.json is made of them."""

from typing import NotRequired, TypedDict

from bascule.api.shapes.container_answer import Empty, GraphDriver


class ImageSummary(TypedDict):
    """A line of a list; Created is in seconds since the epoch.  VirtualSize is told before 1.44."""

    Id: str
    ParentId: str
    RepoTags: list[str]
    RepoDigests: list[str]
    Created: int
    Size: int
    SharedSize: int
    Labels: dict[str, str] | None
    Containers: int
    VirtualSize: NotRequired[int]


class RootFS(TypedDict):
    Type: str
    Layers: list[str]


class ImageMetadata(TypedDict):
    LastTagTime: str


class ImageConfig(TypedDict):
    """What a container of the image starts from; a container's own fields are told before 1.50."""

    Hostname: NotRequired[str]
    Domainname: NotRequired[str]
    User: str
    AttachStdin: NotRequired[bool]
    AttachStdout: NotRequired[bool]
    AttachStderr: NotRequired[bool]
    Tty: NotRequired[bool]
    OpenStdin: NotRequired[bool]
    StdinOnce: NotRequired[bool]
    Env: list[str] | None
    Cmd: list[str] | None
    Image: NotRequired[str]
    Volumes: dict[str, Empty] | None
    WorkingDir: str
    Entrypoint: list[str] | None
    OnBuild: None
    Labels: dict[str, str] | None
    ExposedPorts: NotRequired[dict[str, Empty]]
    StopSignal: NotRequired[str]


class Image(TypedDict):
    """VirtualSize is told before 1.44."""

    Id: str
    RepoTags: list[str]
    RepoDigests: list[str]
    Parent: str
    Comment: str
    Created: str
    DockerVersion: str
    Author: str
    Config: ImageConfig
    Architecture: str
    Os: str
    Size: int
    GraphDriver: GraphDriver
    RootFS: RootFS
    Metadata: ImageMetadata
    VirtualSize: NotRequired[int]


class HistoryStep(TypedDict):
    Id: str
    Created: int
    CreatedBy: str
    Tags: list[str] | None
    Size: int
    Comment: str


class ImageRemoved(TypedDict, total=False):
    """One of the two."""

    Untagged: str
    Deleted: str


class ImagesPruned(TypedDict):
    ImagesDeleted: list[ImageRemoved] | None
    SpaceReclaimed: int


class Progress(TypedDict, total=False):
    """A line of an answer that is told while the work is done."""

    status: str
    stream: str
    error: str
    errorDetail: "ProgressError"


class ProgressError(TypedDict):
    message: str


class VolumeUsage(TypedDict):
    RefCount: int
    Size: int


class Volume(TypedDict):
    CreatedAt: str
    Driver: str
    Labels: dict[str, str] | None
    Mountpoint: str
    Name: str
    Options: dict[str, str] | None
    Scope: str
    UsageData: NotRequired[VolumeUsage]


class VolumeList(TypedDict):
    Volumes: list[Volume]
    Warnings: None


class VolumesPruned(TypedDict):
    VolumesDeleted: list[str] | None
    SpaceReclaimed: int
