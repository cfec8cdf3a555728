"""Surroundings: what the host says of one start of a container, gathered for the pure bundle."""

import os
import resource
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from tarfile import open as open_archive

from bascule.containers import capabilities, cgroups, files, users
from bascule.containers.bundle import Bind, Device, Start
from bascule.containers.pack import pack, stream_archive
from bascule.containers.paths import Paths
from bascule.containers.records import Records, running
from bascule.containers.unpack import Root, unpack
from bascule.containers.wiring import Wired, mode
from bascule.model.container import MUST_EXIST, Container, Image, Mount
from bascule.model.errors import Conflict, Failed, Invalid
from bascule.model.names import short

# Mounted apart on some hosts, and needed for programs to run: the host image shows them as well.
_PROGRAMS = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/opt")
_INITS = ("docker-init", "tini-static", "catatonit", "tini")
_PT_INTERP = 3
_GATHERING = "error gathering device information while adding custom device"


class Surroundings:
    """What is so on this host."""

    def __init__(self, paths: Paths, records: Records) -> None:
        self._paths = paths
        self._records = records
        self.controllers = cgroups.controllers()
        self.bounding = tuple(capabilities.of_mask(_bounding_mask()))

    def hostname(self, container: Container) -> str:
        """The name it has for itself."""
        if container.spec.hostname:
            return container.spec.hostname
        if mode(container.spec) == "host" or container.spec.uts_mode == "host":
            return os.uname().nodename
        return short(container.id)

    def start(self, container: Container, image: Image, wired: Wired, rootfs: str, env: tuple[str, ...]) -> Start:
        """Everything decided, volumes filled, host directories of binds made."""
        spec = container.spec
        with Root(rootfs) as root:
            user = self.user(root, spec.user or image.config.user, spec.groups)
            for mount in container.mounts:
                self._fill_volume(mount, root)
        shared = wired.shared
        return Start(
            rootfs=rootfs,
            user=user,
            hostname=self.hostname(shared or container),
            network=wired.network,
            pid=self._namespace("pid", spec.pid_mode),
            ipc=self._namespace("ipc", spec.ipc_mode),
            uts="host" if spec.uts_mode == "host" else "",
            cgroup_namespace=cgroups.unified(),
            binds=(*self._own_files(shared or container), *_host_binds(image), *self._binds(container)),
            tmpfs=(*self._host_tmpfs(container, image), *_tmpfs(container)),
            env=env,
            rlimits=tuple(_rlimits(spec.resources.ulimits)),
            bounding=self.bounding,
            devices=tuple(_devices(spec.devices, privileged=spec.privileged)),
            machine=os.uname().machine,
            controllers=self.controllers,
            init=find_init() if spec.init else "",
        )

    def user(self, root: Root, wanted: str, groups: Sequence[str] = ()) -> users.User:
        return users.resolve(wanted, _read(root, "etc/passwd"), _read(root, "etc/group"), groups)

    def _namespace(self, kind: str, wanted: str) -> str:
        if wanted in ("", "private", "shareable", "none"):
            return ""
        if wanted == "host":
            return "host"
        if not wanted.startswith("container:"):
            raise Invalid(f"invalid {kind.upper()} mode: {wanted}")
        other = self._records.find(wanted.removeprefix("container:"))
        if not running(other.state):
            raise Conflict(f"cannot join {kind.upper()} namespace of a non running container: {other.id}")
        return f"/proc/{other.state.pid}/ns/{kind}"

    def _own_files(self, container: Container) -> Iterator[Bind]:
        home = self._paths.home(container.id)
        taken = {m.target for m in container.mounts}
        for name in ("hosts", "hostname", "resolv.conf"):
            if f"/etc/{name}" not in taken:
                yield Bind(os.path.join(home, name), f"/etc/{name}")

    def _binds(self, container: Container) -> Iterator[Bind]:
        for mount in container.mounts:
            options = (*mount.options, "ro" if mount.read_only else "rw")
            if mount.kind == "volume":
                yield Bind(self._paths.volume(mount.source), mount.target, options)
            elif mount.kind == "bind":
                _ensure_source(mount)
                yield Bind(mount.source, mount.target, tuple(o for o in options if o != MUST_EXIST))

    def _host_tmpfs(self, container: Container, image: Image) -> Iterator[tuple[str, tuple[str, ...]]]:
        if not image.host_root:
            return
        taken = {m.target for m in container.mounts}
        fresh = {"/run": ("nosuid", "nodev", "mode=755"), "/tmp": ("nosuid", "nodev", "mode=1777")}
        for target, options in fresh.items():
            if target not in taken:
                yield target, options
        # What the engine keeps is not for containers to read; and overlayfs refuses to show an upper directory
        # below itself (ELOOP).
        root = os.path.realpath(self._paths.data_root)
        if not root.startswith(("/run/", "/tmp/")) and os.path.exists(root):
            yield root, ("ro", "nosuid", "nodev", "noexec", "mode=000", "size=4k")

    def _fill_volume(self, mount: Mount, root: Root) -> None:
        """A new volume begins with what the image has in its place."""
        if mount.kind != "volume" or "nocopy" in mount.options:
            return
        target = self._paths.volume(mount.source)
        os.makedirs(target, mode=0o755, exist_ok=True)
        if os.listdir(target):
            return
        try:
            source = root.open(mount.target.strip("/"), os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            # The image has nothing there, or no directory.
            return
        try:
            with tempfile.TemporaryFile(dir=self._paths.data_root) as spool:
                with stream_archive(spool) as archive:
                    pack(source, ".", archive, called=".")
                spool.seek(0)
                with open_archive(fileobj=spool, mode="r|") as archive, Root(target) as volume:
                    unpack(archive, volume, layer=False)
            found = os.fstat(source)
            os.chown(target, found.st_uid, found.st_gid)
            os.chmod(target, stat.S_IMODE(found.st_mode))
        finally:
            os.close(source)


def _ensure_source(mount: Mount) -> None:
    if not os.path.exists(mount.source):
        if MUST_EXIST in mount.options:
            raise Invalid(f'invalid mount config for type "bind": bind source path does not exist: {mount.source}')
        os.makedirs(mount.source, mode=0o755)


def _host_binds(image: Image) -> Iterator[Bind]:
    if image.host_root:
        for path in _PROGRAMS:
            if os.path.ismount(path):
                yield Bind(path, path, ("ro",))


def _tmpfs(container: Container) -> Iterator[tuple[str, tuple[str, ...]]]:
    for mount in container.mounts:
        if mount.kind == "tmpfs":
            given = tuple(o for o in mount.options if o)
            defaults = tuple(o for o in ("noexec", "nosuid", "nodev") if o.removeprefix("no") not in given)
            yield mount.target, (*dict.fromkeys((*defaults, *given)), *(("ro",) if mount.read_only else ()))


def _rlimits(wanted: Sequence[tuple[str, int, int]]) -> Iterator[tuple[str, int, int]]:
    """Without CAP_SYS_RESOURCE nobody may raise a hard limit: then it is what we have ourselves."""
    may_raise = bool(_effective_mask() >> capabilities.ALL.index("CAP_SYS_RESOURCE") & 1)
    for name, soft, hard in wanted:
        number = getattr(resource, f"RLIMIT_{name.upper()}", None)
        if number is None:
            raise Invalid(f"invalid ulimit type: {name}")
        most = resource.getrlimit(number)[1]
        if not may_raise and most != resource.RLIM_INFINITY:
            soft, hard = (most if n < 0 or n > most else n for n in (soft, hard))
        unlimited = (1 << 64) - 1
        yield name, unlimited if soft < 0 else soft, unlimited if hard < 0 else hard


def _devices(wanted: Sequence[str], *, privileged: bool) -> Iterator[Device]:
    if privileged:
        yield from _all_devices()
    for text in wanted:
        source, _, rest = text.partition(":")
        target, _, access = rest.partition(":")
        if target and set(target) <= set("rwm") and not access:
            target, access = "", target
        if not os.path.exists(source):
            raise Failed(f'{_GATHERING} "{source}": no such file or directory')
        device = _device(source, target or source, access or "rwm")
        if device is None:
            raise Failed(f'{_GATHERING} "{source}": not a device node')
        yield device


def _device(source: str, target: str, access: str) -> Device | None:
    found = os.stat(source)
    kind = {stat.S_IFCHR: "c", stat.S_IFBLK: "b"}.get(stat.S_IFMT(found.st_mode))
    if kind is None:
        return None
    number = found.st_rdev
    return Device(target, kind, os.major(number), os.minor(number), access, stat.S_IMODE(found.st_mode))


def _all_devices() -> Iterator[Device]:
    # The first are the runtime's own to make; the directories hold no devices of the host.
    own = {"null", "zero", "full", "random", "urandom", "tty", "console", "ptmx", "pts", "shm", "mqueue", "fd"}
    for above, directories, names in os.walk("/dev"):
        directories[:] = [d for d in directories if d not in own]
        for name in names:
            path = os.path.join(above, name)
            if name not in own and not os.path.islink(path):
                device = _device(path, path, "rwm")
                if device:
                    yield device


def find_init() -> str:
    """A small init of the host's that runs in any container.  Raises Invalid when there is none."""
    for name in _INITS:
        path = shutil.which(name)
        if path and _static(path):
            return os.path.realpath(path)
    raise Invalid(f"--init: no statically linked init is installed (looked for {', '.join(_INITS)})")


def _static(path: str) -> bool:
    """Whether an ELF program asks for no loader: a container may have none (System V ABI, program headers)."""
    with open(path, "rb") as program:
        head = program.read(64)
        if head[:5] != b"\x7fELF\x02":
            return False
        offset = int.from_bytes(head[32:40], "little")
        size, count = int.from_bytes(head[54:56], "little"), int.from_bytes(head[56:58], "little")
        program.seek(offset)
        table = program.read(size * count)
    return all(int.from_bytes(table[i : i + 4], "little") != _PT_INTERP for i in range(0, size * count, size))


def _read(root: Root, path: str) -> str:
    try:
        with os.fdopen(root.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as source:
            return source.read(1 << 20).decode("utf-8", "replace")
    except OSError:
        # An image without user names, or with something odd in their place.
        return ""


def _bounding_mask() -> int:
    return _mask("CapBnd")


def _effective_mask() -> int:
    return _mask("CapEff")


def _mask(name: str) -> int:
    for line in files.read("/proc/self/status").splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value, 16)
    return 0
