"""What touches nothing of the VM tier's runner: the archive a guest boots from, and the kernel in an image."""

import gzip
import lzma
import struct
import subprocess
from collections.abc import Callable

import pytest
from tests.vmrun.bzimage import elf
from tests.vmrun.cpio import Archive

KERNEL = b"\x7fELF and the rest"


def image(payload: bytes) -> bytes:
    """A bzImage with one setup sector and *payload* 16 bytes after it."""
    head = bytearray(1024 + 16)
    head[0x1F1] = 1
    struct.pack_into("<II", head, 0x248, 16, len(payload))
    return bytes(head) + payload + b"what follows the payload"


@pytest.mark.parametrize("pack", [lzma.compress, gzip.compress], ids=["xz", "gzip"])
def test_the_kernel_in_an_image_is_found_whatever_packed_it(pack: Callable[[bytes], bytes]) -> None:
    assert elf(image(pack(KERNEL))) == KERNEL


@pytest.mark.parametrize("payload", [b"\x28\xb5\x2f\xfdzstd", lzma.compress(b"no kernel")], ids=["zstd", "no ELF"])
def test_an_image_that_cannot_be_unpacked_has_no_kernel_to_take_out(payload: bytes) -> None:
    assert elf(image(payload)) is None


def test_busybox_reads_the_archive_and_finds_directories_before_their_files() -> None:
    archive = Archive()
    archive.file("lib/modules/a.ko", b"odd")
    archive.file("lib/modules/b.ko", b"")
    archive.directory("dev")
    archive.file("init", b"#!/bin/sh\n", 0o100755)
    listed = subprocess.run(
        ["busybox", "cpio", "-t"], input=archive.finished(), capture_output=True, check=True, timeout=30
    )
    assert (
        listed.stdout.decode()
        == """\
lib
lib/modules
lib/modules/a.ko
lib/modules/b.ko
dev
init
"""
    )
