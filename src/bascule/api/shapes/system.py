"""What the daemon says of itself and of its machine: /_ping, /version, /info."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from bascule.api.shapes import system_answer as answer
from bascule.api.shapes import times
from bascule.model.cluster import Membership
from bascule.model.container import Container
from bascule.model.errors import Invalid

API = (1, 50)
API_MIN = (1, 24)
NETWORKS = ("bridge", "host", "ipvlan", "macvlan", "null", "overlay")


@dataclass(frozen=True, slots=True)
class About:
    """The facts that do not change while the daemon runs."""

    version: str
    id: str = ""
    hostname: str = ""
    kernel: str = ""
    system: str = ""
    """The distribution, as os-release calls it."""
    system_version: str = ""
    machine: str = "x86_64"
    cpus: int = 1
    memory: int = 0
    """Bytes."""
    runtime: str = "runc"
    python: str = ""
    data_root: str = ""
    labels: tuple[str, ...] = ()
    cgroup_version: str = "1"
    pools: tuple[tuple[str, int], ...] = ()
    built: str = ""
    commit: str = ""

    @property
    def arch(self) -> str:
        """In Go's words."""
        return {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}.get(
            self.machine, self.machine
        )


def text(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def negotiated(told: str) -> tuple[int, int]:
    """The version that a path's prefix asks for.  Raises Invalid when it is not spoken here."""
    major, _, minor = told.partition(".")
    if not major.isdigit() or not minor.isdigit():
        raise Invalid(f"client version {told} is not a version")
    version = (int(major), int(minor))
    if version < API_MIN:
        raise Invalid(
            f"client version {told} is too old. Minimum supported API version is {text(API_MIN)},"
            " please upgrade your client to a newer version"
        )
    if version > API:
        raise Invalid(f"client version {told} is too new. Maximum supported API version is {text(API)}")
    return version


PING: tuple[tuple[str, str], ...] = (
    # "2" would make clients ask for BuildKit sessions, which nobody serves here.
    ("Builder-Version", "1"),
    ("Cache-Control", "no-cache, no-store, must-revalidate"),
    ("Pragma", "no-cache"),
    ("Swarm", "inactive"),
)


def version(about: About) -> answer.Version:
    """GET /version."""
    engine = {
        "ApiVersion": text(API),
        "Arch": about.arch,
        "BuildTime": about.built,
        "Experimental": "false",
        "GitCommit": about.commit,
        "GoVersion": "",
        "KernelVersion": about.kernel,
        "MinAPIVersion": text(API_MIN),
        "Os": "linux",
    }
    return {
        "Platform": {"Name": "Bascule"},
        "Components": [
            {"Name": "Engine", "Version": about.version, "Details": engine},
            {"Name": "Python", "Version": about.python, "Details": {}},
        ],
        "Version": about.version,
        "ApiVersion": text(API),
        "MinAPIVersion": text(API_MIN),
        "GitCommit": about.commit,
        "GoVersion": "",
        "Os": "linux",
        "Arch": about.arch,
        "KernelVersion": about.kernel,
        "BuildTime": about.built,
    }


def info(
    about: About,
    containers: Sequence[Container],
    images: int,
    now: int,
    member: Membership | None = None,
    trouble: str = "",
) -> answer.Info:
    """GET /info: everything that clients read of it.  *trouble*: what the cluster's store said last."""
    count = Counter(c.state.status for c in containers)
    paused = count["paused"]
    running = count["running"] + count["restarting"]
    return {
        "ID": about.id,
        "Containers": len(containers),
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": len(containers) - running - paused,
        "Images": images,
        "Driver": "overlay2",
        "DriverStatus": [["Backing Filesystem", "overlayfs"]],
        "Plugins": {
            "Volume": ["local"],
            "Network": list(NETWORKS),
            "Authorization": None,
            "Log": ["json-file"],
        },
        **_limits(),
        "NFd": 0,
        "NGoroutines": 0,
        "SystemTime": times.rfc3339(now),
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": about.cgroup_version,
        "NEventsListener": 0,
        **_machine(about),
        **_company(about, member, trouble),
    }


def _limits() -> answer.Can:
    words = (
        "MemoryLimit SwapLimit CpuCfsPeriod CpuCfsQuota CPUShares CPUSet PidsLimit IPv4Forwarding OomKillDisable"
    )
    return cast(answer.Can, dict.fromkeys(words.split(), True) | {"Debug": False})


def _machine(about: About) -> answer.Machine:
    return {
        "KernelVersion": about.kernel,
        "OperatingSystem": about.system,
        "OSVersion": about.system_version,
        "OSType": "linux",
        "Architecture": about.machine,
        "NCPU": about.cpus,
        "MemTotal": about.memory,
        "Name": about.hostname,
        "DockerRootDir": about.data_root,
        "Labels": list(about.labels),
        "DefaultAddressPools": [{"Base": base, "Size": size} for base, size in about.pools],
    }


def _company(about: About, member: Membership | None, trouble: str) -> answer.Company:
    runtime: dict[str, answer.Runtime] = {about.runtime: {"path": about.runtime}}
    return {
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": {
            "IndexConfigs": {},
            "InsecureRegistryCIDRs": ["::1/128", "127.0.0.0/8"],
            "Mirrors": None,
        },
        "GenericResources": None,
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
        "ExperimentalBuild": False,
        "ServerVersion": about.version,
        "Runtimes": runtime,
        "DefaultRuntime": about.runtime,
        "Swarm": {
            "NodeID": member.id if member else "",
            "NodeAddr": str(member.address) if member else "",
            "LocalNodeState": "active" if member else "inactive",
            "ControlAvailable": False,
            "Error": trouble,
            "RemoteManagers": None,
        },
        "LiveRestoreEnabled": True,
        "Isolation": "",
        "InitBinary": "",
        "ContainerdCommit": {"ID": ""},
        "RuncCommit": {"ID": ""},
        "InitCommit": {"ID": ""},
        "SecurityOptions": ["name=seccomp,profile=builtin"],
        "FirewallBackend": {"Driver": "nftables"},
        "CDISpecDirs": [],
        "Containerd": None,
        "Warnings": None,
    }
