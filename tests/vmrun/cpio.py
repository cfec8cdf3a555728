"""A newc archive, as much of it as an initramfs needs: directories, files, device nodes, all of them root's."""

from pathlib import PurePosixPath


class Archive:
    """Entries in the order in which they were added; a file's directories come before it, once."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._count = 0
        self._directories = {PurePosixPath(".")}

    def directory(self, name: str) -> None:
        path = PurePosixPath(name)
        for each in (*list(path.parents)[::-1], path):
            if each not in self._directories:
                self._directories.add(each)
                self._entry(str(each), 0o40755, b"", (0, 0))

    def file(self, name: str, data: bytes, mode: int = 0o100644, device: tuple[int, int] = (0, 0)) -> None:
        """A file, or with a device's type in *mode* a node with the numbers of *device*."""
        self.directory(str(PurePosixPath(name).parent))
        self._entry(name, mode, data, device)

    def finished(self) -> bytes:
        """The archive with its end mark; nothing can be added afterwards."""
        self._entry("TRAILER!!!", 0, b"", (0, 0))
        return bytes(self._bytes)

    def _entry(self, name: str, mode: int, data: bytes, device: tuple[int, int]) -> None:
        self._count += 1
        word = name.encode() + b"\0"
        fields = (self._count, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(word), 0)
        self._bytes += b"070701" + b"".join(b"%08X" % field for field in fields) + word
        self._pad()
        self._bytes += data
        self._pad()

    def _pad(self) -> None:
        self._bytes += b"\0" * (-len(self._bytes) % 4)
