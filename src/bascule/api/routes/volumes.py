"""Volumes."""

from collections import Counter

from bascule.api.ask import Ask, Reply, empty, reply
from bascule.api.shapes import image as shape
from bascule.api.shapes import image_answer as answer
from bascule.api.shapes.filters import PRUNE, wanted
from bascule.api.table import Route, filters, flag
from bascule.model.container import Volume

PRUNABLE = ("all", *PRUNE)


def _users(ask: Ask) -> Counter[str]:
    mounted = (m.source for c in ask.containers.containers() for m in c.mounts if m.kind == "volume")
    return Counter(mounted)


def listing(ask: Ask) -> Reply:
    asked = ask.filters(shape.VOLUMES)
    found = shape.volumes_matching(ask.containers.volumes.volumes(), asked, _users(ask))
    return reply({"Volumes": [shape.volume(one) for one in found], "Warnings": None})


def inspect(ask: Ask) -> Reply:
    return reply(shape.volume(ask.containers.volumes.volume(ask.name)))


def create(ask: Ask) -> Reply:
    body = ask.body(shape.VolumeBody)
    shape.check_driver(body)
    made = ask.containers.volumes.create(body.Name or "", body.Labels or {}, body.DriverOpts or {})
    return reply(shape.volume(made), 201)


def remove(ask: Ask) -> Reply:
    ask.containers.volumes.remove(ask.name, force=ask.flag("force"))
    return empty()


def prune(ask: Ask) -> Reply:
    """Anonymous ones, unless `all` is asked for (from 1.42 on; before, all are meant)."""
    asked, now = ask.filters(PRUNABLE), ask.house.now()
    everything = asked.flag("all") is True or ask.version < (1, 42)

    def meant(one: Volume) -> bool:
        return (everything or one.anonymous) and wanted(asked, one.labels, one.created, now)

    gone = ask.containers.volumes.prune(meant)
    return reply({"VolumesDeleted": [one.id for one in gone] or None, "SpaceReclaimed": 0})


ROUTES = (
    Route(
        "GET",
        "/volumes",
        listing,
        says="List volumes",
        query=(filters(shape.VOLUMES),),
        gives={200: answer.VolumeList},
    ),
    Route(
        "POST",
        "/volumes/create",
        create,
        "json",
        says="Create a volume",
        takes=shape.VolumeBody,
        gives={201: answer.Volume},
        refuses=(409,),
    ),
    Route(
        "POST",
        "/volumes/prune",
        prune,
        slow=True,
        says="Remove the volumes that nothing uses",
        query=(filters(PRUNABLE),),
        gives={200: answer.VolumesPruned},
    ),
    Route("GET", "/volumes/{name}", inspect, says="Inspect a volume", gives={200: answer.Volume}),
    Route(
        "DELETE",
        "/volumes/{name}",
        remove,
        slow=True,
        says="Remove a volume",
        query=(flag("force", "No refusal where it is not there."),),
        gives={204: None},
        refuses=(409,),
    ),
)
