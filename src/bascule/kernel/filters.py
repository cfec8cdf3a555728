"""Socket filters: what the kernel leaves out before it is queued, so that nobody wakes up for it or reads it."""

import ctypes
import socket
import struct
from collections.abc import Sequence

_SO_ATTACH_FILTER = 26

Instruction = tuple[int, int, int, int]
"""Code, where to go on if true, and if false (counted from the next), operand: linux/filter.h."""
LOAD_WORD, LOAD_HALF, LOAD_BYTE, EQUAL, ANY_BIT, RETURN = 0x20, 0x28, 0x30, 0x15, 0x45, 0x06
TAKE, LEAVE = (RETURN, 0, 0, 0xFFFFFFFF), (RETURN, 0, 0, 0)


def attach(to: socket.socket, program: Sequence[Instruction]) -> None:
    """From now on *to* receives only what *program* takes."""
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    # The kernel reads the program during the call: *held* must live as long.
    held = ctypes.create_string_buffer(code)
    to.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program), ctypes.addressof(held)))
