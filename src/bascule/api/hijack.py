"""A client's connection and a process's standard streams, joined."""

import asyncio
import socket
from collections.abc import Collection
from typing import Any

from bascule.api.ask import Ask
from bascule.api.body import BodyBroken
from bascule.api.exchange import Duplex
from bascule.api.shapes import frames
from bascule.containers.attach import INPUT_PACKET, PACKET, Attachment


async def join(ask: Ask, attachment: Attachment, *, streams: Collection[int], keys: bytes) -> None:
    """Carry bytes both ways until the process has no more output, or the client is gone, or it has typed the
    detach *keys*.  The end of the client's input ends the process's, and its output goes on.  *attachment* is
    given back."""
    pipe = take_over(ask, tty=attachment.tty)
    try:
        await carry(pipe, attachment, streams=streams, keys=keys)
    finally:
        pipe.close()


async def carry(pipe: Duplex, attachment: Attachment, *, streams: Collection[int], keys: bytes) -> None:
    """The same on a connection that has been taken over."""
    ready = asyncio.wrap_future(attachment.ready)
    tasks: list[asyncio.Future[Any]] = [ready]
    try:
        for line in attachment.backlog:
            if line.stream in streams:
                await pipe.write(line.data if attachment.tty else frames.frame(line.stream, line.data))
        typing = asyncio.create_task(_input(pipe, attachment, ready, keys))
        output = asyncio.create_task(_output(pipe, attachment, ready, streams))
        tasks += [typing, output]
        await asyncio.wait([typing, output], return_when=asyncio.FIRST_COMPLETED)
        if not output.done() and not typing.result():
            await output
    except (OSError, BodyBroken):
        # The client is gone, and the process stays; or the process is gone while something was typed.
        return
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        attachment.close()


def take_over(ask: Ask, *, tty: bool) -> Duplex:
    """The client's connection, no longer HTTP."""
    if ask.exchange.request.upgrade:
        kind = frames.kind(tty=tty, version=ask.version)
        headers = [("Content-Type", kind), ("Connection", "Upgrade"), ("Upgrade", "tcp")]
        return ask.exchange.hijack(101, "UPGRADED", headers)
    # How Docker did it before 1.9, and still does for those who do not ask.
    return ask.exchange.hijack(200, "OK", [("Content-Type", frames.RAW)])


Ready = asyncio.Future[socket.socket]


async def _output(pipe: Duplex, attachment: Attachment, ready: Ready, streams: Collection[int]) -> None:
    sock = await asyncio.shield(ready)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    while packet := await loop.sock_recv(sock, PACKET):
        stream, data = attachment.decode(packet)
        if stream in streams:
            await pipe.write(data if attachment.tty else frames.frame(stream, data))


async def _input(pipe: Duplex, attachment: Attachment, ready: Ready, keys: bytes) -> bool:
    """True when there is nobody to write for any more; False at the mere end of the input."""
    escape = frames.Escape(keys) if attachment.tty and keys else None
    loop = asyncio.get_running_loop()
    while data := await pipe.read():
        left = False
        if escape:
            data, left = escape.feed(data)
        if data and attachment.stdin:
            sock = await asyncio.shield(ready)
            sock.setblocking(False)
            for at in range(0, len(data), INPUT_PACKET):
                await loop.sock_sendall(sock, data[at : at + INPUT_PACKET])
        if left:
            return True
    if attachment.stdin:
        await asyncio.shield(ready)
        attachment.close_stdin()
    return False
