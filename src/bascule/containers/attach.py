"""Attachments: a client's place at a process's standard streams, through conmon's socket.

conmon (src/conn_sock.c) sends packets whose first byte names the stream (2 stdout, 3 stderr) and takes input as
it comes.  The socket is SOCK_SEQPACKET: shutting down our writing end is the end of the process's input, and an
empty packet is the end of its output.
"""

import os
import socket
from concurrent.futures import Future

from bascule.containers.logs import LogLine

STDIN, STDOUT, STDERR = 1, 2, 3
# conmon's buffer and the stream's byte before it (src/config.h: CONN_SOCK_BUF_SIZE, STDIO_BUF_SIZE).
PACKET = 32 * 1024 + 1
# conmon reads at most this much at once (CONN_SOCK_BUF_SIZE); more in one packet would be cut off.
INPUT_PACKET = 8 * 1024


class Attachment:
    """*ready* is the socket, once there is a process to talk to; it fails when the start did.  Whoever asked for
    the attachment closes it."""

    def __init__(self, *, tty: bool, stdin: bool, backlog: tuple[LogLine, ...] = ()) -> None:
        self.tty = tty
        self.stdin = stdin
        self.backlog = backlog
        """What was written before: asked for with `logs`."""
        self.ready: Future[socket.socket] = Future()

    def connect(self, path: str) -> None:
        """Connect to conmon's socket at *path*."""
        if not self.ready.set_running_or_notify_cancel():
            return
        try:
            self.ready.set_result(dial(path))
        except OSError as error:
            self.ready.set_exception(error)

    def refuse(self, error: BaseException) -> None:
        """There will be no process: *ready* fails with *error*."""
        if not self.ready.done() and self.ready.set_running_or_notify_cancel():
            self.ready.set_exception(error)

    @staticmethod
    def decode(packet: bytes) -> tuple[int, bytes]:
        """A packet as Docker's stream number (1 stdout, 2 stderr) and the bytes."""
        return (2 if packet[0] == STDERR else 1), packet[1:]

    def close_stdin(self) -> None:
        """End the process's input; its output goes on.  Nothing happens where it has none, or is not there yet."""
        if self.ready.done() and not self.ready.cancelled() and not self.ready.exception():
            try:
                self.ready.result().shutdown(socket.SHUT_WR)
            except OSError:
                # conmon has gone, and the input with it.
                return

    def close(self) -> None:
        """Give back the socket; the process lives on."""
        if not self.ready.cancel() and not self.ready.exception():
            self.ready.result().close()


def dial(path: str) -> socket.socket:
    """A connection to the socket at *path*, however long the path is: the kernel allows 108 bytes."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    directory = os.open(os.path.dirname(path), os.O_PATH | os.O_CLOEXEC)
    try:
        connection.connect(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
    except OSError:
        connection.close()
        raise
    finally:
        os.close(directory)
    return connection
