"""A distribution's kernel, fetched with apt into a cache and unpacked there: nothing is installed.

The package is the plain flavour: Debian's cloud kernel has no 9p, which the guest's root comes over.
"""

import fcntl
import lzma
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.vmrun.bzimage import elf
from tests.vmrun.cpio import Archive

HERE = Path(__file__).parent
META = "linux-image-amd64"
# What init.sh needs before there is a root; everything else is loaded when something asks for it.
BOOT = ("virtio_pci", "virtio_console", "virtio_net", "9pnet_virtio", "9p", "overlay")
TOOLS = {"qemu-system-x86_64": "qemu-system-x86", "depmod": "kmod", "busybox": "busybox-static"}


class Lacking(Exception):
    """Why no guest can be had here, in words for whoever started us."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """An unpacked kernel package at *top*."""

    top: Path

    @property
    def image(self) -> Path:
        """What is booted: the ELF kernel where it could be taken out, or else the packed image."""
        plain = self.top / "boot/vmlinux"
        return plain if plain.exists() else self.top / f"boot/vmlinuz-{self.release}"

    @property
    def modules(self) -> Path:
        return next((self.top / "lib/modules").iterdir())

    @property
    def release(self) -> str:
        """As `uname -r` says it."""
        return self.modules.name

    def initramfs(self) -> bytes:
        """An archive with init.sh, busybox and the modules that it loads, in their order."""
        archive = Archive()
        for name in ("proc", "sys", "dev", "bin"):
            archive.directory(name)
        archive.file("dev/console", b"", 0o20600, (5, 1))
        archive.file("bin/busybox", Path(_tool("busybox")).read_bytes(), 0o100755)
        archive.file("init", (HERE / "init.sh").read_bytes(), 0o100755)
        order = dict.fromkeys(path for module in BOOT for path in self._with_needed(module))
        for path in order:
            archive.file(f"lib/{path.stem}", _unpacked(path))
        archive.file("modules", "".join(f"/lib/{path.stem}\n" for path in order).encode())
        return archive.finished()

    def _with_needed(self, module: str) -> list[Path]:
        """The files of *module* and of those that it stands on, these first; none where it is built in."""
        asked = ["modprobe", "-d", str(self.top), "-S", self.release, "--show-depends", module]
        told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
        return [Path(path) for path in re.findall(r"^insmod (\S+)", told, re.M)]


def cache() -> Path:
    """Where kernels are kept: below the user's cache directory."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bascule-vm"


def kernel(package: str = META) -> Kernel:
    """The kernel of *package*, which may be a name that stands for the newest; from the cache where it is there.

    Raises Lacking.
    """
    for tool in TOOLS:
        _tool(tool)
    with _alone():
        link = cache() / package
        if not link.exists():
            top = _fetched(package)
            link.unlink(missing_ok=True)
            link.symlink_to(top.name)
        return Kernel(link.resolve())


@contextmanager
def _alone() -> Iterator[None]:
    """Nobody else fetches meanwhile."""
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetched(package: str) -> Path:
    """Where it is unpacked.  apt's lists are brought up to date, where we may, if what they name cannot be had."""
    try:
        return _unpacked_package(package)
    except Lacking:
        if os.geteuid() != 0:
            raise
    _apt("apt-get", "update", "-qq")
    return _unpacked_package(package)


def _unpacked_package(package: str) -> Path:
    name = _concrete(package)
    top = cache() / f"unpacked-{name}"
    if not top.exists():
        _unpack(name, top)
    return top


def _concrete(package: str) -> str:
    """The package with the files: linux-image-amd64 has none, and depends on the newest that has."""
    told = _apt("apt-cache", "depends", package)
    found = re.search(r"^ +Depends: (linux-image-\d\S+)$", told, re.M)
    return found[1] if found else package


def _unpack(package: str, top: Path) -> None:
    """*top* is there afterwards, whole, or nothing is."""
    print(f"vmrun: fetching {package} into {cache()}", file=sys.stderr)
    work = Path(tempfile.mkdtemp(dir=cache()))
    try:
        _apt("apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package, at=work)
        (archive,) = work.glob("*.deb")
        made = work / "top"
        subprocess.run(["dpkg", "-x", archive, made], check=True)
        new = Kernel(made)
        subprocess.run(["depmod", "-b", made, new.release], check=True)
        plain = elf(new.image.read_bytes())
        if plain:
            (made / "boot/vmlinux").write_bytes(plain)
        made.rename(top)
    finally:
        shutil.rmtree(work)


def _apt(*words: str, at: Path | None = None) -> str:
    """What apt says.  Raises Lacking."""
    try:
        return subprocess.run(words, cwd=at, capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        raise Lacking("kernels are fetched with apt, which is not here") from None
    except subprocess.CalledProcessError as refusal:
        last = (refusal.stderr.strip() or "no reason given").splitlines()[-1]
        raise Lacking(f"{' '.join(words)}: {last}") from None


def _tool(name: str) -> str:
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if not path:
        raise Lacking(f"there is no {name} (apt-get install {TOOLS[name]}, or sudo packaging/vm-setup)")
    return path


def _unpacked(path: Path) -> bytes:
    """A module as the kernel takes it: some kernels' packages have them packed."""
    return lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
