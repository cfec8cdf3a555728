"""What the daemon says of itself."""

from bascule.api.ask import TEXT, Ask, Reply, reply
from bascule.api.shapes import system
from bascule.api.table import Route

_PONG = Reply(200, b"OK", TEXT, system.PING)


async def ping(_: Ask) -> Reply:
    return _PONG


async def version(ask: Ask) -> Reply:
    return reply(system.version(ask.house.about))


def info(ask: Ask) -> Reply:
    about, now = ask.house.about, ask.house.now()
    images = len(ask.containers.images.images())
    return reply(system.info(about, ask.containers.containers(), images, now))


ROUTES = (
    Route("GET", "/_ping", ping),
    Route("HEAD", "/_ping", ping),
    Route("GET", "/version", version),
    Route("GET", "/info", info),
)
