"""What /version and /info say of the machine, read once at start."""

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from bascule.api.shapes.system import About
from bascule.model.settings import Settings


def about(settings: Settings, *, labels: Sequence[str] = (), runtime: str = "") -> About:
    """This machine, with an engine of these *settings* on it."""
    release = platform.freedesktop_os_release() if Path("/etc/os-release").exists() else {}
    host = platform.uname()
    machine_id = _first_line("/etc/machine-id") or host.node
    return About(
        version=version("bascule"),
        # The same after a restart, another one for another data root on the machine.
        id=str(uuid5(NAMESPACE_URL, f"{machine_id}{settings.data_root}")),
        hostname=host.node,
        kernel=host.release,
        system=release.get("PRETTY_NAME", "Linux"),
        system_version=release.get("VERSION_ID", ""),
        machine=host.machine,
        cpus=os.cpu_count() or 1,
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        runtime=os.path.basename(runtime) or "runc",
        python=platform.python_version(),
        data_root=settings.data_root,
        labels=tuple(labels),
        cgroup_version="2" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else "1",
        pools=tuple((str(pool.base), pool.size) for pool in settings.pools),
    )


def _first_line(path: str) -> str:
    file = Path(path)
    return file.read_text().partition("\n")[0] if file.exists() else ""
