"""The OpenAPI 3.1 description of what is served, made of the routes and of the types of their bodies and answers:
nothing is written down here that could be wrong about them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, assert_never

import msgspec

from bascule.api.ask import JSON
from bascule.api.exchange import REASONS
from bascule.api.shapes import system
from bascule.api.shapes.network_answer import Error
from bascule.api.table import Media, Query, Route

ABOUT = (
    "Docker's Engine API as Bascule serves it.  Every path may be preceded by a version of it (`/v1.50/networks`);"
    " without one, the newest is meant.  Fields of a body that are not described here are accepted and not read."
)
WHY = {
    400: "The request is wrong by itself, or asks for a version that is not spoken.",
    403: "Refused: predefined, in use, or overlapping.",
    404: "What was named is not there.",
    409: "The state of what was named does not allow it now.",
    413: "The body is too large.",
    500: "Nothing was wrong with the request, and it could not be done.",
    501: "Docker has it, Bascule has not; the message says what to do instead.",
    503: "Bascule is in no swarm.",
}
UPLOAD = "application/x-tar"
REF = "#/components/schemas/{name}"
# How a moment may be written: shapes/times.py.
MOMENT = "Seconds since the epoch, a date of RFC 3339, or a duration before now (`10m`)."

Schema = dict[str, Any]


def document(routes: Sequence[Route]) -> Schema:
    """The whole description."""
    kinds = [kind for route in routes for kind in types(route)]
    told, components = msgspec.json.schema_components([Error, *kinds], ref_template=REF)
    # Types such as list[Network] are no dictionary's keys everywhere: they are found again by their place.
    found = iter(told[1:])
    paths: dict[str, Schema] = {}
    for route in routes:
        operation = _operation(route, lambda _: next(found))
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Bascule", "description": ABOUT, "version": system.text(system.API)},
        "servers": [
            {"url": "/"},
            {"url": "/v{version}", "variables": {"version": {"default": system.text(system.API)}}},
        ],
        "paths": paths,
        "components": {"schemas": components},
    }


def encoded(routes: Sequence[Route]) -> bytes:
    return msgspec.json.encode(document(routes))


def types(route: Route) -> list[Any]:
    """The types of JSON that a route takes and gives, in the order in which _operation asks for them."""
    given = [
        kind.each if isinstance(kind, Media) else kind for told in route.gives.values() for kind in several(told)
    ]
    return [kind for kind in (route.takes, *given) if kind is not None]


def several(told: Any) -> tuple[Any, ...]:
    """The kinds of answers that one status may have."""
    return told if isinstance(told, tuple) else (told,)


def _operation(route: Route, schema: Callable[[Any], Schema]) -> Schema:
    named = [_name()] if "{name}" in route.path else []
    shown: Schema = {
        "operationId": _identifier(route),
        "tags": [route.path.split("/")[1]],
        "summary": route.says,
        "parameters": [*named, *(_parameter(one) for one in route.query)],
    }
    if route.takes is not None:
        shown["requestBody"] = {"required": True, "content": {JSON: {"schema": schema(route.takes)}}}
    elif route.body == "stream":
        shown["requestBody"] = {"content": {UPLOAD: {}}}
    shown["responses"] = {
        **{str(status): _given(status, kind, schema) for status, kind in route.gives.items()},
        **{str(status): _refused(status, route) for status in refusals(route)},
    }
    return shown


def _identifier(route: Route) -> str:
    words = [word.strip("{}_") for word in route.path.replace(".", "/").split("/")]
    return route.method.lower() + "".join(word.title() for word in words)


def refusals(route: Route) -> Iterable[int]:
    """The statuses with which *route* may refuse."""
    named = {404} if "{name}" in route.path else set()
    body = {413} if route.takes is not None else set()
    return sorted({400, 500, *named, *body, *route.refuses})


def _name() -> Schema:
    return {
        "name": "name",
        "in": "path",
        "required": True,
        "description": "A name, an id, or the beginning of one.",
        "schema": {"type": "string", "minLength": 1},
    }


def _parameter(query: Query) -> Schema:
    shown: Schema = {"name": query.name, "in": "query", "description": query.says}
    match query.kind:
        case "text":
            return shown | {"schema": {"type": "string"} | ({"enum": list(query.words)} if query.words else {})}
        case "texts":
            return shown | {"schema": {"type": "array", "items": {"type": "string"}}}
        case "flag":
            return shown | {"schema": {"type": "boolean"}}
        case "number":
            return shown | {"schema": {"type": "integer"}}
        case "moment":
            return shown | {"description": f"{query.says}  {MOMENT}", "schema": {"type": "string"}}
        case "filters":
            return shown | {"content": {JSON: {"schema": _filters(query.words)}}}
        case _:
            assert_never(query.kind)


def _filters(keys: Sequence[str]) -> Schema:
    listed: Schema = {"type": "array", "items": {"type": "string"}}
    mapped: Schema = {"type": "object", "additionalProperties": {"type": "boolean"}}
    each = {key: {"anyOf": [listed, mapped]} for key in keys}
    return {"type": "object", "properties": each, "additionalProperties": False}


def _given(status: int, told: Any, schema: Callable[[Any], Schema]) -> Schema:
    content: Schema = {}
    for kind in several(told):
        content |= _content(kind, schema)
    return {"description": REASONS[status]} | ({"content": content} if content else {})


def _content(kind: Any, schema: Callable[[Any], Schema]) -> Schema:
    match kind:
        case None:
            return {}
        case Media(kinds, None):
            return {one: {} for one in kinds}
        case Media(kinds, each):
            # A document after the other, as they come: 3.1 has no word for it; 3.2 has itemSchema.
            return {one: {"x-item-schema": schema(each)} for one in kinds}
        case _:
            return {JSON: {"schema": schema(kind)}}


def _refused(status: int, route: Route) -> Schema:
    shown: Schema = {"description": WHY[status]}
    if route.method == "HEAD":
        return shown
    return shown | {"content": {JSON: {"schema": {"$ref": REF.format(name=Error.__name__)}}}}


def operations(told: Mapping[str, Any]) -> Iterable[tuple[str, str, Schema]]:
    """Method, path and description of everything in a document."""
    return ((method.upper(), path, one) for path, all_ in told["paths"].items() for method, one in all_.items())
