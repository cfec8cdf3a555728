"""One request as a route sees it, and the answers a route may give."""

import asyncio
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, TypeVar, cast

from bascule.api.body import Upload
from bascule.api.exchange import Exchange, Headers, Limits
from bascule.api.pool import Pool
from bascule.api.shapes import filters, network, system, times, values
from bascule.api.shapes.system import About
from bascule.containers.containers import Containers
from bascule.engine.engine import Engine

T = TypeVar("T")

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
TAR = "application/x-tar"
UPLOAD_BUFFER = 1 << 20


@dataclass(frozen=True, slots=True)
class House:
    """What the routes serve: one engine with its containers, and the means to call them."""

    engine: Engine
    containers: Containers
    about: About
    now: Callable[[], int]
    description: Callable[[], bytes]
    """What /openapi.json answers."""
    quick: Pool
    """For calls that take milliseconds."""
    slow: Pool
    """For calls that may wait for people or processes; they never hold up the quick ones."""
    limits: Limits = field(default_factory=Limits)
    listed: network.Listed = field(default_factory=network.Listed)

    @property
    def headers(self) -> Headers:
        """What every answer says."""
        return (
            ("Api-Version", system.text(system.API)),
            ("Docker-Experimental", "false"),
            ("Ostype", "linux"),
            ("Server", f"Bascule/{self.about.version} (linux)"),
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer."""

    status: int = 200
    body: bytes = b""
    kind: str = ""
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer that is produced while it is sent, on a thread of its own.  *close* is called, from another
    thread, when the client has gone before the end; an answer that has it may last."""

    pieces: Iterator[bytes]
    kind: str
    headers: Headers = ()
    close: Callable[[], None] | None = None


def reply(value: object, status: int = 200) -> Reply:
    """*value* as JSON."""
    return Reply(status, values.encode(value), JSON)


def empty(status: int = 204) -> Reply:
    return Reply(status)


def lines(told: list[str]) -> Reply:
    """A dry run's answer: command lines."""
    return Reply(200, "".join(f"{line}\n" for line in told).encode(), TEXT)


@dataclass(slots=True, eq=False)
class Ask:
    """A request on its way: *params* from the path, *data* the whole body where the route takes JSON."""

    house: House
    exchange: Exchange
    loop: asyncio.AbstractEventLoop
    version: tuple[int, int]
    params: Mapping[str, str]
    data: bytes = b""

    @property
    def engine(self) -> Engine:
        return self.house.engine

    @property
    def containers(self) -> Containers:
        return self.house.containers

    @property
    def name(self) -> str:
        """What the path names."""
        return self.params["name"]

    def text(self, key: str, default: str = "") -> str:
        """The first value, as Go's FormValue."""
        return self.exchange.request.query.get(key, (default,))[0]

    def texts(self, key: str) -> Sequence[str]:
        """Every value of a key that may be there several times."""
        return self.exchange.request.query.get(key, ())

    def flag(self, key: str, default: bool = False) -> bool:
        found = self.exchange.request.query.get(key)
        return default if found is None else values.truth(found[0])

    def number(self, key: str) -> int | None:
        """None where it is absent or empty.  Raises Invalid."""
        found = self.text(key)
        return values.integer(found) if found else None

    def moment(self, key: str) -> int:
        """Nanoseconds since the epoch, 0 where it is absent.  Raises Invalid."""
        return times.parse(self.text(key), self.house.now())

    def filters(self, accepted: tuple[str, ...]) -> filters.Filters:
        return filters.parse(self.text("filters"), accepted)

    def body(self, kind: type[T]) -> T:
        """The body as the struct *kind*.  Raises Invalid."""
        values.check_json(self.exchange.request.headers.get("content-type"), self.data)
        return values.decode(kind, self.data)

    def upload(self) -> IO[bytes]:
        """The body as a file, for a worker thread."""
        source = Upload(self.exchange.request.body, self.loop, self.house.limits.upload_stall_seconds)
        return cast(IO[bytes], io.BufferedReader(source, UPLOAD_BUFFER))

    def begin(self, kind: str) -> None:
        """Send the head of an answer that lasts at once: clients wait for it before they go on."""
        self.exchange.begin(200, [*self.house.headers, ("Content-Type", kind)], lasting=True)

    async def call(self, work: Callable[[], T], *, slow: bool = False) -> T:
        """*work*'s result, from a worker thread."""
        return await (self.house.slow if slow else self.house.quick).call(work)
