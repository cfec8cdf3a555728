"""Files in and out of containers: `docker cp`, and `docker export`."""

from bascule.api.ask import TAR, Ask, Reply, Stream, empty
from bascule.api.routes.images import pieces
from bascule.api.shapes import archive as shape
from bascule.api.table import Media, Route, flag, text
from bascule.model.errors import Invalid


def _path(ask: Ask) -> str:
    path = ask.text("path")
    if not path:
        raise Invalid("bad parameter: 'path' cannot be empty")
    return path


def stat(ask: Ask) -> Reply:
    return Reply(200, b"", "", [shape.header(ask.containers.stat_archive(ask.name, _path(ask)))])


def get(ask: Ask) -> Stream:
    file, found = ask.containers.read_archive(ask.name, _path(ask))
    return Stream(pieces(file), TAR, [shape.header(found)])


def put(ask: Ask) -> Reply:
    strict = ask.flag("noOverwriteDirNonDir")
    ask.containers.write_archive(ask.name, _path(ask), ask.upload(), strict=strict)
    return empty(200)


def export(ask: Ask) -> Stream:
    return Stream(pieces(ask.containers.export(ask.name)), TAR)


PATH = text("path", "A path in the container.")

ROUTES = (
    Route(
        "HEAD",
        "/containers/{name}/archive",
        stat,
        says="What is at a path in a container: the header X-Docker-Container-Path-Stat",
        query=(PATH,),
        gives={200: None},
        refuses=(409,),
    ),
    Route(
        "GET",
        "/containers/{name}/archive",
        get,
        slow=True,
        says="What is at a path in a container, as a tar",
        query=(PATH,),
        gives={200: Media((TAR,))},
        refuses=(409,),
    ),
    Route(
        "PUT",
        "/containers/{name}/archive",
        put,
        "stream",
        says="Unpack a tar at a path in a container",
        query=(
            PATH,
            flag("noOverwriteDirNonDir", "Refuse to put a file where a directory is, or the other way round."),
            flag("copyUIDGID", "Without effect: owners are those of the tar."),
        ),
        gives={200: None},
        refuses=(403, 409),
    ),
    Route(
        "GET",
        "/containers/{name}/export",
        export,
        slow=True,
        says="All of a container's files, as a tar",
        gives={200: Media((TAR,))},
        refuses=(409,),
    ),
)
