"""What the daemon says of itself."""

from collections import Counter
from typing import Any

from bascule.api.ask import JSON, TEXT, Ask, Reply, reply
from bascule.api.routes.containers import everything
from bascule.api.shapes import image, system
from bascule.api.shapes import system_answer as answer
from bascule.api.table import Media, Route, flag, text

_PONG = Reply(200, b"OK", TEXT, system.PING)


async def ping(_: Ask) -> Reply:
    return _PONG


async def version(ask: Ask) -> Reply:
    return reply(system.version(ask.house.about))


def info(ask: Ask) -> Reply:
    about, now = ask.house.about, ask.house.now()
    images = len(ask.containers.images.images())
    member = ask.engine.shared.membership()
    trouble = ask.engine.cluster.trouble() if member else ""
    return reply(system.info(about, ask.containers.containers(), images, now, member, trouble))


def usage(ask: Ask) -> Reply:
    """GET /system/df.  What containers and volumes hold is not counted: it would mean reading all of it."""
    containers = ask.containers
    users = Counter(c.image for c in containers.containers())
    images = containers.images.images()
    mounted = {m.source for c in containers.containers() for m in c.mounts if m.kind == "volume"}
    volumes = [
        {**image.volume(v), "UsageData": {"RefCount": int(v.id in mounted), "Size": -1}}
        for v in containers.volumes.volumes()
    ]
    return reply(
        {
            "LayersSize": sum(i.size for i in images),
            "Images": [image.summary(i, users[i.id], ask.version) for i in images],
            "Containers": everything(ask),
            "Volumes": volumes,
            "BuildCache": [],
        }
    )


async def openapi(ask: Ask) -> Reply:
    """This description."""
    return Reply(200, ask.house.description(), JSON)


PINGED = {200: Media((TEXT,))}

ROUTES = (
    Route("GET", "/_ping", ping, says="Whether the daemon is there", gives=PINGED),
    Route("HEAD", "/_ping", ping, says="Whether the daemon is there: the headers alone", gives={200: None}),
    Route(
        "GET", "/version", version, says="The versions of the daemon and of its API", gives={200: answer.Version}
    ),
    Route("GET", "/info", info, says="What the daemon says of itself and its machine", gives={200: answer.Info}),
    Route(
        "GET",
        "/system/df",
        usage,
        slow=True,
        says="What is kept",
        query=(
            text("type", "Without effect: everything is told."),
            flag("verbose", "Without effect: everything is told."),
        ),
        gives={200: answer.Usage},
    ),
    Route("GET", "/openapi.json", openapi, says="This description", gives={200: dict[str, Any]}),
)
