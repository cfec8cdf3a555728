"""The ELF kernel inside a bzImage: booted through PVH it is not unpacked in the guest, which emulation makes slow.

Offsets: Documentation/arch/x86/boot.rst, setup_sects, payload_offset and payload_length.
"""

import lzma
import struct
import zlib


def elf(image: bytes) -> bytes | None:
    """The kernel unpacked, or None where it is packed in a way that Python's library does not know."""
    offset, size = struct.unpack_from("<II", image, 0x248)
    start = ((image[0x1F1] or 4) + 1) * 512 + offset
    packed = image[start : start + size]
    if packed.startswith(b"\xfd7zXZ\0"):
        unpacked = lzma.LZMADecompressor().decompress(packed)
    elif packed.startswith(b"\x1f\x8b"):
        unpacked = zlib.decompressobj(31).decompress(packed)
    else:
        return None
    return unpacked if unpacked.startswith(b"\x7fELF") else None
