"""Containers: answers that take time, and connections that stop being HTTP."""

import asyncio
from collections.abc import Iterator
from functools import partial

from bascule.api import hijack
from bascule.api.ask import JSON, Ask, Reply, Stream, empty, reply
from bascule.api.routes.containers import SIZE, size
from bascule.api.shapes import container as shape
from bascule.api.shapes import container_answer as answer
from bascule.api.shapes import container_spec, frames, values
from bascule.api.shapes import stats as sample
from bascule.api.shapes.container_body import ExecBody, ExecStartBody
from bascule.api.table import Media, Route, flag, moment, text
from bascule.containers.logs import LogLine
from bascule.containers.waiting import CONDITIONS
from bascule.model.container import Container
from bascule.model.errors import BasculeError, Conflict, Invalid, NotFound


async def wait(ask: Ask) -> None:
    """The head is sent as soon as the wait is registered: `docker run` starts the container only then."""
    waiter = await ask.call(partial(ask.containers.wait, ask.name, ask.text("condition") or "not-running"))
    ask.begin(JSON)
    ended: answer.Ended
    try:
        code = await asyncio.wrap_future(waiter)
        ended = {"StatusCode": code}
    except BasculeError as refusal:
        ended = {"StatusCode": 125, "Error": {"Message": str(refusal)}}
    await ask.exchange.write(values.encode(ended))
    ask.exchange.end()


def _streams(ask: Ask) -> tuple[int, ...]:
    asked = ((1, ask.flag("stdout")), (2, ask.flag("stderr")))
    return tuple(number for number, wanted in asked if wanted)


def logs(ask: Ask) -> Stream:
    streams = _streams(ask)
    if not streams:
        raise Invalid("Bad parameters: you must choose at least one stream")
    found = ask.containers.container(ask.name)
    tail = ask.text("tail", "all")
    lines = ask.containers.logs(
        found.id,
        follow=ask.flag("follow"),
        tail=int(tail) if tail.isdigit() else None,
        since=ask.moment("since"),
        until=ask.moment("until"),
    )
    pieces = _pieces(
        lines, streams, tty=found.spec.tty, timestamps=ask.flag("timestamps"), details=ask.flag("details")
    )
    close = getattr(lines, "close", None) if ask.flag("follow") else None
    return Stream(pieces, frames.kind(tty=found.spec.tty, version=ask.version), close=close)


def _pieces(
    lines: Iterator[LogLine], streams: tuple[int, ...], *, tty: bool, timestamps: bool, details: bool
) -> Iterator[bytes]:
    broken: set[int] = set()
    """Streams in the middle of a line, which goes on without another time."""
    try:
        for line in lines:
            if line.stream in streams:
                data = b" " + line.data if details and line.stream not in broken else line.data
                data = frames.log_line(line.time, data, timestamps=timestamps and line.stream not in broken)
                (broken.discard if line.data.endswith(b"\n") else broken.add)(line.stream)
                yield data if tty else frames.frame(line.stream, data)
    finally:
        close = getattr(lines, "close", None)
        if close:
            close()


async def attach(ask: Ask) -> None:
    keys = frames.detach_keys(ask.text("detachKeys"))
    asked = partial(
        ask.containers.attach,
        ask.name,
        stdin=ask.flag("stdin"),
        logs=ask.flag("logs"),
        stream=ask.flag("stream"),
    )
    await hijack.join(ask, await ask.call(asked), streams=_streams(ask), keys=keys)


def exec_create(ask: Ask) -> Reply:
    spec = container_spec.exec_spec(ask.body(ExecBody))
    return reply({"Id": ask.containers.exec_create(ask.name, spec)}, 201)


async def exec_start(ask: Ask) -> Reply | None:
    """The connection changes before the process is started, and a refusal is told in it: so Docker does, and the
    client then asks for the exit code."""
    body = ask.body(ExecStartBody)
    spec = (await ask.call(partial(ask.containers.exec_inspect, ask.name))).spec
    begin = partial(ask.containers.exec_start, ask.name, detach=bool(body.Detach), tty=bool(body.Tty))
    if body.Detach:
        await ask.call(begin, slow=True)
        return empty(200)
    streams = tuple(number for number, wanted in ((1, spec.stdout), (2, spec.stderr)) if wanted)
    pipe = hijack.take_over(ask, tty=spec.tty)
    try:
        attachment = await ask.call(begin, slow=True)
        if attachment:
            # A terminal is one stream: whoever wants any of it gets it.
            wanted = (1, 2) if spec.tty else streams
            await hijack.carry(pipe, attachment, streams=wanted, keys=frames.detach_keys(""))
    except BasculeError as refusal:
        told = f"{refusal}\r\n".encode()
        await pipe.write(told if spec.tty else frames.frame(1, told))
    finally:
        pipe.close()
    return None


def exec_inspect(ask: Ask) -> Reply:
    return reply(shape.execution(ask.containers.exec_inspect(ask.name)))


def exec_resize(ask: Ask) -> Reply:
    height, width = size(ask)
    ask.containers.exec_resize(ask.name, height, width)
    return empty(200)


# Docker samples once a second (daemon/stats/collector.go).
INTERVAL = 1.0


async def stats(ask: Ask) -> Reply | None:
    """A sample a second until the client goes; with stream=0 one, whose difference took a second to see; with
    one-shot=1 one at once."""
    found, before = await _sample(ask, ask.name)
    if not ask.flag("stream", default=True):
        if ask.flag("one-shot") or not before["read"]:
            return reply(_usage(ask, found, before, sample.NOTHING))
        await asyncio.sleep(INTERVAL)
        _, now = await _sample(ask, found.id)
        return reply(_usage(ask, found, now, before))
    ask.begin(JSON)
    await ask.exchange.write(values.encode(_usage(ask, found, before, sample.NOTHING)))
    while True:
        await asyncio.sleep(INTERVAL)
        try:
            found, now = await _sample(ask, found.id)
        except NotFound:
            ask.exchange.end()
            return None
        await ask.exchange.write(values.encode(_usage(ask, found, now, before)))
        before = now


async def _sample(ask: Ask, ref: str) -> tuple[Container, sample.Sample]:
    """The container and what it uses now: nothing while it does not run."""

    def look() -> tuple[Container, sample.Sample]:
        found = ask.containers.container(ref)
        try:
            return found, ask.containers.stats(found.id)
        except Conflict:
            return found, sample.NOTHING

    return await ask.call(look)


def _usage(ask: Ask, found: Container, now: sample.Sample, before: sample.Sample) -> answer.Stats:
    return sample.show(found, now, before, ask.house.about.memory)


SHELL = Media((frames.MULTIPLEXED, frames.RAW))
STREAMS = (flag("stdout", "The standard output."), flag("stderr", "The standard error."))

ROUTES = (
    Route(
        "POST",
        "/containers/{name}/wait",
        wait,
        says="Wait until a container has ended",
        query=(text("condition", "What is waited for.", "", *CONDITIONS),),
        gives={200: answer.Ended},
        refuses=(409,),
    ),
    Route(
        "GET",
        "/containers/{name}/logs",
        logs,
        says="What a container has written",
        query=(
            *STREAMS,
            flag("follow", "And what it writes from now on."),
            text("tail", "The last so many lines; `all`."),
            moment("since", "Nothing before."),
            moment("until", "Nothing after."),
            flag("timestamps", "Each line begins with its time."),
            flag("details", "Each line begins with its log's attributes."),
        ),
        gives={200: SHELL},
        refuses=(409,),
    ),
    Route(
        "GET",
        "/containers/{name}/stats",
        stats,
        says="What a container uses",
        query=(
            flag("stream", "A sample a second; unless told otherwise."),
            flag("one-shot", "One sample at once, without one before it."),
        ),
        gives={200: Media((JSON,), answer.Stats)},
        refuses=(409,),
    ),
    Route(
        "POST",
        "/containers/{name}/attach",
        attach,
        says="Join a container's standard streams",
        query=(
            *STREAMS,
            flag("stdin", "The standard input."),
            flag("stream", "What comes from now on."),
            flag("logs", "What has come before."),
            text("detachKeys", "What is typed to leave: `ctrl-p,ctrl-q`."),
        ),
        gives={101: None, 200: SHELL},
        refuses=(409,),
    ),
    Route(
        "POST",
        "/containers/{name}/exec",
        exec_create,
        "json",
        says="Prepare a further process in a container",
        takes=ExecBody,
        gives={201: answer.ExecCreated},
        refuses=(409,),
    ),
    Route(
        "POST",
        "/exec/{name}/start",
        exec_start,
        "json",
        says="Start a further process, and join its standard streams",
        takes=ExecStartBody,
        gives={101: None, 200: (None, SHELL)},
        refuses=(409,),
    ),
    Route("GET", "/exec/{name}/json", exec_inspect, says="Inspect a further process", gives={200: answer.Exec}),
    Route(
        "POST",
        "/exec/{name}/resize",
        exec_resize,
        says="Resize a further process's terminal",
        query=SIZE,
        gives={200: None},
        refuses=(409,),
    ),
)
