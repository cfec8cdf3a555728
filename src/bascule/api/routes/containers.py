"""Containers: everything about them that is one question and one answer."""

import re
from collections.abc import Sequence

from bascule.api.ask import TEXT, Ask, Reply, empty, lines, reply
from bascule.api.shapes import container as shape
from bascule.api.shapes import container_answer as answer
from bascule.api.shapes import container_list, container_spec
from bascule.api.shapes.container_body import ContainerBody, UpdateBody
from bascule.api.shapes.filters import PRUNE, wanted
from bascule.api.table import DRY_RUN, Media, Route, filters, flag, number, text
from bascule.model.container import Container, Image
from bascule.model.errors import Invalid


def _mountpoints(ask: Ask) -> dict[str, str]:
    return {volume.id: volume.mountpoint for volume in ask.containers.volumes.volumes()}


def _images(ask: Ask) -> dict[str, Image]:
    return {image.id: image for image in ask.containers.images.images()}


def _lines(ask: Ask, images: dict[str, Image]) -> list[container_list.Line]:
    found = ask.containers.containers()
    return [container_list.Line(c, ask.containers.endpoints(c), images.get(c.image)) for c in found]


def _show(ask: Ask, lines: Sequence[container_list.Line]) -> list[answer.ContainerSummary]:
    volumes, now = _mountpoints(ask), ask.house.now()
    return [container_list.show(line, volumes, ask.version, now) for line in lines]


def everything(ask: Ask) -> list[answer.ContainerSummary]:
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
    # docker-py says -1 where nobody asked for a limit.
    chosen = found[:limit] if limit > 0 else found
    shown = _show(ask, chosen)
    if ask.flag("size"):
        for line, one in zip(chosen, shown, strict=True):
            container_list.tell_sizes(one, *ask.containers.sizes(line.container))
    return reply(shown)


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
        runtime=ask.containers.runtime,
        cgroup_namespace=ask.containers.cgroup_namespace,
        networks={net.name: net.id for net in ask.engine.networks()},
        sizes=ask.containers.sizes(found) if ask.flag("size") else None,
    )
    return reply(shape.inspect(found, around, ask.version))


def create(ask: Ask) -> Reply:
    spec, warnings = container_spec.spec(ask.body(ContainerBody), ask.version)
    name = ask.text("name")
    if ask.flag("dryRun"):
        return lines(ask.containers.plans.run(name, spec))
    made, more = ask.containers.create(name, spec)
    return reply({"Id": made.id, "Warnings": [*warnings, *more]}, 201)


def start(ask: Ask) -> Reply:
    if ask.flag("dryRun"):
        return lines(ask.containers.plans.start(ask.containers.container(ask.name)))
    if ask.containers.container(ask.name).state.status == "running":
        return empty(304)
    ask.containers.start(ask.name)
    return empty()


def _ending(ask: Ask) -> Reply:
    return lines(ask.containers.plans.end(ask.containers.container(ask.name)))


def stop(ask: Ask) -> Reply:
    if ask.flag("dryRun"):
        return _ending(ask)
    if not shape.is_running(ask.containers.container(ask.name).state):
        return empty(304)
    ask.containers.stop(ask.name, ask.number("t"), ask.text("signal"))
    return empty()


def restart(ask: Ask) -> Reply:
    if ask.flag("dryRun"):
        return lines(ask.containers.plans.restart(ask.containers.container(ask.name)))
    ask.containers.restart(ask.name, ask.number("t"), ask.text("signal"))
    return empty()


def kill(ask: Ask) -> Reply:
    if ask.flag("dryRun"):
        return _ending(ask)
    ask.containers.kill(ask.name, ask.text("signal") or "KILL")
    return empty()


def pause(ask: Ask) -> Reply:
    ask.containers.pause(ask.name)
    return empty()


def unpause(ask: Ask) -> Reply:
    ask.containers.unpause(ask.name)
    return empty()


def rename(ask: Ask) -> Reply:
    name = ask.text("name")
    if not name:
        raise Invalid("Neither old nor new names may be empty")
    ask.containers.rename(ask.name, name)
    return empty()


def remove(ask: Ask) -> Reply:
    if ask.flag("dryRun"):
        return _ending(ask)
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
    asked, now = ask.filters(PRUNE), ask.house.now()

    def meant(found: Container) -> bool:
        return wanted(asked, found.spec.labels, found.created, now)

    gone = ask.containers.prune(meant)
    return reply({"ContainersDeleted": [c.id for c in gone] or None, "SpaceReclaimed": 0})


def top(ask: Ask) -> Reply:
    titles, processes = ask.containers.top(ask.name, ask.text("ps_args"))
    return reply({"Titles": titles, "Processes": processes})


def changes(ask: Ask) -> Reply:
    return reply([{"Path": path, "Kind": kind} for kind, path in ask.containers.changes(ask.name)] or None)


SIZE = (number("h", "Rows."), number("w", "Columns."))
# Go's uint32.
_CELLS_MAX, _CELLS_DIGITS = 0xFFFFFFFF, 10


def size(ask: Ask) -> tuple[int, int]:
    """The h and w of a resize.  Raises Invalid."""
    _check_cells("height", ask.text("h"))
    _check_cells("width", ask.text("w"))
    return ask.number("h") or 0, ask.number("w") or 0


def _check_cells(what: str, told: str) -> None:
    if not re.fullmatch(r"-?[0-9]+", told):
        raise Invalid(f'invalid resize {what} "{told}": invalid syntax')
    if len(told) > _CELLS_DIGITS or not 0 <= int(told) <= _CELLS_MAX:
        raise Invalid(f'invalid resize {what} "{told}": value out of range')


def resize(ask: Ask) -> Reply:
    height, width = size(ask)
    ask.containers.resize(ask.name, height, width)
    return empty(200)


SIGNAL = text("signal", "Its name or number.")
SECONDS = number("t", "Seconds to wait before it is killed; -1 for as long as it takes.")

ROUTES = (
    Route(
        "GET",
        "/containers/json",
        listing,
        says="List containers",
        query=(
            flag("all", "Those that do not run, too."),
            number("limit", "The newest so many, whether they run or not."),
            flag("size", "Tell how much each has written, and how much it sees."),
            filters(container_list.FILTERS),
        ),
        gives={200: list[answer.ContainerSummary]},
        refuses=(404, 409),
    ),
    Route(
        "POST",
        "/containers/create",
        create,
        "json",
        says="Create a container",
        query=(
            text("name", "Its name; one is made up where none is given."),
            text("platform", "Without effect."),
            flag("dryRun", "Answer the ip and nft lines that its start comes to, and change nothing."),
        ),
        takes=ContainerBody,
        gives={201: answer.ContainerCreated, 200: Media((TEXT,))},
        refuses=(403, 404, 409),
    ),
    Route(
        "POST",
        "/containers/prune",
        prune,
        slow=True,
        says="Remove the containers that do not run",
        query=(filters(PRUNE),),
        gives={200: answer.ContainersPruned},
    ),
    Route(
        "GET",
        "/containers/{name}/json",
        inspect,
        says="Inspect a container",
        query=(flag("size", "Tell how much each has written, and how much it sees."),),
        gives={200: answer.Container},
        refuses=(409,),
    ),
    Route(
        "GET",
        "/containers/{name}/top",
        top,
        says="List a container's processes",
        query=(text("ps_args", "Words for ps; -ef where there are none."),),
        gives={200: answer.ProcessList},
        refuses=(409,),
    ),
    Route(
        "GET",
        "/containers/{name}/changes",
        changes,
        says="List the files that a container changed",
        gives={200: list[answer.Change] | None},
        refuses=(409,),
    ),
    Route(
        "POST",
        "/containers/{name}/start",
        start,
        slow=True,
        says="Start a container",
        query=(text("detachKeys", "Without effect."), DRY_RUN),
        gives={204: None, 304: None, 200: Media((TEXT,))},
        refuses=(403, 409),
    ),
    Route(
        "POST",
        "/containers/{name}/stop",
        stop,
        slow=True,
        says="Stop a container",
        query=(SECONDS, SIGNAL, DRY_RUN),
        gives={204: None, 304: None, 200: Media((TEXT,))},
        refuses=(409,),
    ),
    Route(
        "POST",
        "/containers/{name}/restart",
        restart,
        slow=True,
        says="Stop a container and start it again",
        query=(SECONDS, SIGNAL, DRY_RUN),
        gives={204: None, 200: Media((TEXT,))},
        refuses=(403, 409),
    ),
    Route(
        "POST",
        "/containers/{name}/kill",
        kill,
        slow=True,
        says="Send a container a signal",
        query=(SIGNAL, DRY_RUN),
        gives={204: None, 200: Media((TEXT,))},
        refuses=(409,),
    ),
    Route(
        "POST",
        "/containers/{name}/pause",
        pause,
        says="Freeze a container's processes",
        gives={204: None},
        refuses=(409,),
    ),
    Route(
        "POST",
        "/containers/{name}/unpause",
        unpause,
        says="Let a paused container's processes go on",
        gives={204: None},
        refuses=(409,),
    ),
    Route(
        "POST",
        "/containers/{name}/rename",
        rename,
        says="Rename a container",
        query=(text("name", "Its new name."),),
        gives={204: None},
        refuses=(409,),
    ),
    Route(
        "POST",
        "/containers/{name}/resize",
        resize,
        says="Resize a container's terminal",
        query=SIZE,
        gives={200: None},
        refuses=(409,),
    ),
    Route(
        "POST",
        "/containers/{name}/update",
        update,
        "json",
        says="Change a container's limits and restart policy",
        takes=UpdateBody,
        gives={200: answer.ContainerUpdated},
        refuses=(409,),
    ),
    Route(
        "DELETE",
        "/containers/{name}",
        remove,
        slow=True,
        says="Remove a container",
        query=(
            flag("force", "One that runs, too."),
            flag("v", "Its anonymous volumes, too."),
            flag("link", "Refused."),
            DRY_RUN,
        ),
        gives={204: None, 200: Media((TEXT,))},
        refuses=(409,),
    ),
)
