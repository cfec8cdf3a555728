"""TLS under a connection, each direction closed on its own.

asyncio's own TLS ends the whole connection when the peer ends its side (sslproto.py: a close_notify starts the
shutdown).  `docker run -i` over TLS ends its input in just that way and then waits for output, so the bytes are
carried here: an SSLObject between two buffers.  Either side may send its close_notify and go on reading
(RFC 8446, section 6.1); OpenSSL allows the same with TLS 1.2.
"""

import asyncio
import logging
import ssl
from typing import Any, cast

log = logging.getLogger("bascule.api")

READ = 256 << 10


class Tls(asyncio.Protocol):
    """A server's side.  *inner* is told of the connection when the client's certificate has been accepted; before,
    the client has *patience* seconds."""

    def __init__(self, inner: asyncio.Protocol, context: ssl.SSLContext, patience: float) -> None:
        self._inner = inner
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._patience = patience
        self._timer: asyncio.TimerHandle | None = None
        self._established = False
        self._read_end = False
        self._raw: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._raw = cast(asyncio.Transport, transport)
        self._timer = asyncio.get_running_loop().call_later(self._patience, self._raw.abort)

    def data_received(self, data: bytes) -> None:
        self._incoming.write(data)
        self._advance()

    def eof_received(self) -> bool:
        """The socket has ended; without a close_notify before, that is all the same to us."""
        self._incoming.write_eof()
        self._end_reading()
        return self._established

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()
        if self._established:
            self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        if self._established:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._established:
            self._inner.resume_writing()

    def send(self, data: bytes) -> None:
        try:
            self._tls.write(data)
        except ssl.SSLError as refusal:
            log.debug("TLS: %s", refusal)
            self._raw.abort()
        self._flush()

    def end_writing(self) -> None:
        """The peer reads an end; its own bytes are still read."""
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            # It wants to read the peer's answer, which will come when the peer has nothing more to say.
            pass
        self._flush()

    def _advance(self) -> None:
        try:
            if not self._established:
                self._tls.do_handshake()
                self._establish()
            while data := self._tls.read(READ):
                self._inner.data_received(data)
            self._end_reading()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._end_reading()
        except ssl.SSLError as refusal:
            log.info("refused a TLS client: %s", refusal)
            self._flush()
            self._raw.close()
            return
        self._flush()

    def _establish(self) -> None:
        self._established = True
        if self._timer:
            self._timer.cancel()
        self._inner.connection_made(_Transport(self, self._raw))

    def _end_reading(self) -> None:
        if self._established and not self._read_end:
            self._read_end = True
            if not self._inner.eof_received():
                self.end_writing()
                self._raw.close()

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data:
            self._raw.write(data)


class _Transport(asyncio.Transport):
    """What the inner protocol writes to: the raw one, encrypted."""

    def __init__(self, tls: Tls, raw: asyncio.Transport) -> None:
        super().__init__()
        self._tls = tls
        self._raw = raw

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._tls.send(bytes(data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._tls.end_writing()

    def close(self) -> None:
        if not self._raw.is_closing():
            self._tls.end_writing()
            self._raw.close()

    def abort(self) -> None:
        self._raw.abort()

    def is_closing(self) -> bool:
        return self._raw.is_closing()

    def is_reading(self) -> bool:
        return self._raw.is_reading()

    def pause_reading(self) -> None:
        self._raw.pause_reading()

    def resume_reading(self) -> None:
        self._raw.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._raw.set_write_buffer_limits(high, low)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._raw.get_extra_info(name, default)
