"""Containers: everything about them that is one question and one answer."""

from collections.abc import Sequence
from typing import Any

from bascule.api.ask import Ask, Reply, empty, reply
from bascule.api.shapes import container as shape
from bascule.api.shapes import container_list, container_spec, filters
from bascule.api.shapes.container_body import CreateBody, UpdateBody
from bascule.api.table import Route
from bascule.model.container import Container, Image
from bascule.model.errors import Invalid


def _mountpoints(ask: Ask) -> dict[str, str]:
    return {volume.id: volume.mountpoint for volume in ask.containers.volumes.volumes()}


def _images(ask: Ask) -> dict[str, Image]:
    return {image.id: image for image in ask.containers.images.images()}


def _lines(ask: Ask, images: dict[str, Image]) -> list[container_list.Line]:
    found = ask.containers.containers()
    return [container_list.Line(c, ask.containers.endpoints(c), images.get(c.image)) for c in found]


def _show(ask: Ask, lines: Sequence[container_list.Line]) -> list[dict[str, Any]]:
    volumes, now = _mountpoints(ask), ask.house.now()
    return [container_list.show(line, volumes, ask.version, now) for line in lines]


def everything(ask: Ask) -> list[dict[str, Any]]:
    """Every container as a list shows it."""
    return _show(ask, _lines(ask, _images(ask)))


def listing(ask: Ask) -> Reply:
    asked = ask.filters(container_list.FILTERS)
    container_list.check(asked)
    images, limit = _images(ask), ask.number("limit") or 0
    found = container_list.matching(
        _lines(ask, images),
        asked,
        everything=ask.flag("all") or limit > 0,
        ancestors=frozenset(i.id for name in asked.get("ancestor") for i in _named(images, name)),
        before=ask.containers.container(asked.get("before")[0]) if "before" in asked else None,
        since=ask.containers.container(asked.get("since")[0]) if "since" in asked else None,
    )
    return reply(_show(ask, found[: limit or None]))


def _named(images: dict[str, Image], name: str) -> list[Image]:
    return [
        image
        for image in images.values()
        if {name, f"{name}:latest"} & set(image.tags)
        or any(tag.rpartition(":")[0] == name for tag in image.tags)
        or image.id.removeprefix("sha256:").startswith(name.removeprefix("sha256:"))
    ]


def inspect(ask: Ask) -> Reply:
    found = ask.containers.container(ask.name)
    around = shape.Around(
        places=ask.containers.endpoints(found),
        image=_images(ask).get(found.image),
        volumes=_mountpoints(ask),
        home=f"{ask.engine.settings.data_root}/containers/{found.id}",
        log=f"{ask.engine.settings.data_root}/containers/{found.id}/log",
        execs=tuple(ask.containers.execs(found.id)),
    )
    return reply(shape.inspect(found, around, ask.version))


def create(ask: Ask) -> Reply:
    spec, warnings = container_spec.spec(ask.body(CreateBody), ask.version)
    made, more = ask.containers.create(ask.text("name").removeprefix("/"), spec)
    return reply({"Id": made.id, "Warnings": [*warnings, *more]}, 201)


def start(ask: Ask) -> Reply:
    if ask.containers.container(ask.name).state.status == "running":
        return empty(304)
    ask.containers.start(ask.name)
    return empty()


def stop(ask: Ask) -> Reply:
    if not shape.is_running(ask.containers.container(ask.name).state):
        return empty(304)
    ask.containers.stop(ask.name, ask.number("t"), ask.text("signal"))
    return empty()


def restart(ask: Ask) -> Reply:
    ask.containers.restart(ask.name, ask.number("t"), ask.text("signal"))
    return empty()


def kill(ask: Ask) -> Reply:
    ask.containers.kill(ask.name, ask.text("signal") or "KILL")
    return empty()


def pause(ask: Ask) -> Reply:
    ask.containers.pause(ask.name)
    return empty()


def unpause(ask: Ask) -> Reply:
    ask.containers.unpause(ask.name)
    return empty()


def rename(ask: Ask) -> Reply:
    name = ask.text("name").removeprefix("/")
    if not name:
        raise Invalid("Neither old nor new names may be empty")
    ask.containers.rename(ask.name, name)
    return empty()


def remove(ask: Ask) -> Reply:
    if ask.flag("link"):
        raise Invalid("removing a link of a container is not supported: links end with their containers")
    ask.containers.remove(ask.name, force=ask.flag("force"), volumes=ask.flag("v"))
    return empty()


def update(ask: Ask) -> Reply:
    body = ask.body(UpdateBody)
    limits = container_spec.updated(ask.containers.container(ask.name).spec.resources, body)
    policy = container_spec.restart(body.RestartPolicy) if body.RestartPolicy else None
    return reply({"Warnings": ask.containers.update(ask.name, resources=limits, restart=policy)})


def prune(ask: Ask) -> Reply:
    asked, now = ask.filters(filters.PRUNE), ask.house.now()

    def wanted(found: Container) -> bool:
        return filters.wanted(asked, found.spec.labels, found.created, now)

    gone = ask.containers.prune(wanted)
    return reply({"ContainersDeleted": [c.id for c in gone] or None, "SpaceReclaimed": 0})


def top(ask: Ask) -> Reply:
    titles, processes = ask.containers.top(ask.name, ask.text("ps_args"))
    return reply({"Titles": titles, "Processes": processes})


def changes(ask: Ask) -> Reply:
    return reply([{"Path": path, "Kind": kind} for kind, path in ask.containers.changes(ask.name)] or None)


def size(ask: Ask) -> tuple[int, int]:
    """The h and w of a resize.  Raises Invalid."""
    height, width = ask.number("h"), ask.number("w")
    if height is None or width is None or height < 0 or width < 0:
        raise Invalid(f"invalid resize: h={ask.text('h')!r} w={ask.text('w')!r}")
    return height, width


def resize(ask: Ask) -> Reply:
    height, width = size(ask)
    ask.containers.resize(ask.name, height, width)
    return empty(200)


ROUTES = (
    Route("GET", "/containers/json", listing),
    Route("POST", "/containers/create", create, "json"),
    Route("POST", "/containers/prune", prune, slow=True),
    Route("GET", "/containers/{name}/json", inspect),
    Route("GET", "/containers/{name}/top", top),
    Route("GET", "/containers/{name}/changes", changes),
    Route("POST", "/containers/{name}/start", start, slow=True),
    Route("POST", "/containers/{name}/stop", stop, slow=True),
    Route("POST", "/containers/{name}/restart", restart, slow=True),
    Route("POST", "/containers/{name}/kill", kill, slow=True),
    Route("POST", "/containers/{name}/pause", pause),
    Route("POST", "/containers/{name}/unpause", unpause),
    Route("POST", "/containers/{name}/rename", rename),
    Route("POST", "/containers/{name}/resize", resize),
    Route("POST", "/containers/{name}/update", update, "json"),
    Route("DELETE", "/containers/{name}", remove, slow=True),
)
