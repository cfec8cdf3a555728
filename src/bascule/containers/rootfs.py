"""Root file systems: an overlay of the image's layers and what the container wrote.

The overlay is mounted only while the runtime makes the container: from then on the container's own mount
namespace holds it, and the host's table is left as it was.  So nothing has to be unmounted when a container ends,
however it ends, and a crash leaves one mount at most, which `sweep` finds.  For `cp` from and to a container that
does not run it is mounted in a namespace of one thread, where nobody else sees it.
"""

import errno
import os
import shutil

from bascule.containers import syscalls
from bascule.containers.layers import Layers
from bascule.containers.paths import Paths
from bascule.containers.unpack import Root
from bascule.kernel.namespaces import on_a_thread
from bascule.model.container import Container, Image

# mount(2) takes one page, its final NUL included.
OPTIONS_MAX = 4095


class RootFs:
    """The root file systems of one data root's containers."""

    def __init__(self, paths: Paths, layers: Layers) -> None:
        self._paths = paths
        self._layers = layers

    def make(self, ident: str) -> None:
        """The container's directories exist."""
        home = self._paths.home(ident)
        os.makedirs(home, mode=0o711, exist_ok=True)
        for name, mode in (("upper", 0o755), ("work", 0o700), ("merged", 0o700)):
            path = os.path.join(home, name)
            if not os.path.isdir(path):
                os.mkdir(path, mode)
                # mkdir(2) minds the umask, and upper is the container's "/".
                os.chmod(path, mode)

    def mount(self, container: Container, image: Image) -> str:
        """The container's root file system is at the returned path, until `unmount`."""
        target = self._paths.merged(container.id)
        overlay(self.lower(image), self._paths.home(container.id), target)
        return target

    def lower(self, image: Image) -> list[str]:
        """The directories below what a container of *image* writes, topmost first."""
        if image.host_root:
            # Alone: the kernel refuses a layer inside another (ELOOP), and a host has the mount points itself.
            return ["/"]
        return [self._layers.init(), *(self._layers.path(diff) for diff in reversed(image.layers))]

    def unmount(self, ident: str) -> None:
        """The host's table has no mount of it.  Not an error if it had none."""
        target = self._paths.merged(ident)
        try:
            syscalls.umount(target, syscalls.MNT_DETACH)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOENT):
                raise
            # Not mounted, or the container is gone already.

    def enter(self, container: Container, image: Image) -> str:
        """The root file system of a container that does not run, volumes and binds included, at the returned path;
        for the calling thread alone, which is good for nothing else afterwards."""
        syscalls.unshare(syscalls.CLONE_FS | syscalls.CLONE_NEWNS)
        syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
        root = self.mount(container, image)
        with Root(root) as inside:
            for mount in container.mounts:
                source = self._paths.volume(mount.source) if mount.kind == "volume" else mount.source
                if mount.kind != "tmpfs" and os.path.isdir(source):
                    fd = os.dup(inside.directory(mount.target.strip("/")))
                    syscalls.mount(source, f"/proc/self/fd/{fd}", "", syscalls.MS_BIND)
                    os.close(fd)
        return root

    def remove(self, ident: str) -> None:
        """Everything the container had on disk is gone."""
        self.unmount(ident)
        shutil.rmtree(self._paths.home(ident), ignore_errors=True)

    def sweep(self) -> None:
        """No mount of an earlier process of ours is left in the host's table."""
        below = self._paths.containers + "/"
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
            targets = [line.split(" ")[4].encode().decode("unicode_escape") for line in table]
        for target in reversed(targets):
            if target.startswith(below):
                syscalls.umount(target, syscalls.MNT_DETACH)


def overlay(lower: list[str], home: str, target: str) -> None:
    """Mount an overlay of *lower* (topmost first) under *home*/upper at *target*."""
    tail = f",upperdir={_escape(home)}/upper,workdir={_escape(home)}/work"
    options = "lowerdir=" + ":".join(_escape(path) for path in lower) + tail
    if len(os.fsencode(options)) <= OPTIONS_MAX:
        syscalls.mount("overlay", target, "overlay", 0, options)
        return
    # Layers lie in one directory: from there their names are short.  A thread's own working directory, because
    # the process has others.
    common = os.path.commonpath(lower)
    short = "lowerdir=" + ":".join(_escape(os.path.relpath(path, common)) for path in lower) + tail

    def mount_from_there() -> None:
        syscalls.unshare(syscalls.CLONE_FS)
        os.chdir(common)
        syscalls.mount("overlay", target, "overlay", 0, short)

    on_a_thread(mount_from_there)


def _escape(path: str) -> str:
    return path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")
