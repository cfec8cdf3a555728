"""Files in and out of containers: `docker cp`, and `docker export`."""

from bascule.api.ask import TAR, Ask, Reply, Stream, empty
from bascule.api.routes.images import pieces
from bascule.api.shapes import archive as shape
from bascule.api.table import Route
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
    file, _ = ask.containers.read_archive(ask.name, "/")
    return Stream(pieces(file), TAR)


ROUTES = (
    Route("HEAD", "/containers/{name}/archive", stat),
    Route("GET", "/containers/{name}/archive", get, slow=True),
    Route("PUT", "/containers/{name}/archive", put, "stream"),
    Route("GET", "/containers/{name}/export", export, slow=True),
)
