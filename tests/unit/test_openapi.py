"""The description of the API: everything that is routed is in it, and what it says of a request is what is read."""

import ast
import inspect
import json
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from docs import generate_openapi
from tests.unit.api_house import serving

from bascule.api import openapi
from bascule.api.routes import ROUTES
from bascule.api.table import Query, Route, Table

TOLD = openapi.document(ROUTES)
OPERATIONS = list(openapi.operations(TOLD))
# How a route reads its query: the method of Ask, and the kind of parameter that this makes it.
READS = {
    "text": "text",
    "texts": "texts",
    "flag": "flag",
    "number": "number",
    "moment": "moment",
    "filters": "filters",
}


def test_every_route_is_described_and_every_description_is_routed() -> None:
    routed = [f"{route.method} {route.path}" for route in ROUTES]
    assert sorted(f"{method} {path}" for method, path, _ in OPERATIONS) == sorted(routed)
    table = Table(ROUTES)
    led = {f"{method} {path}": table.find(method, path) for method, path, _ in OPERATIONS}
    assert [
        what for what, found in led.items() if found is None or what != f"{found[0].method} {found[0].path}"
    ] == []


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_a_route_says_what_it_is_for_takes_and_gives(route: Route) -> None:
    assert route.says
    assert not route.says.endswith(".")
    assert (route.takes is not None) == (route.body == "json")
    assert route.gives or route.refuses


def called(function: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """*function*, and those of its module that it hands the request to."""
    waiting, seen = [function], set()
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        yield one
        module = inspect.getmodule(one)
        for name in handed(one):
            found = getattr(module, name, None)
            if inspect.isfunction(found):
                waiting.append(found)


def tree(function: Callable[..., Any]) -> ast.AST:
    return ast.parse(textwrap.dedent(inspect.getsource(function)))


def handed(function: Callable[..., Any]) -> Iterator[str]:
    for node in ast.walk(tree(function)):
        match node:
            case ast.Call(func=ast.Name(name), args=[ast.Name("ask"), *_]):
                yield name
            case _:
                pass


def reads(function: Callable[..., Any]) -> Iterator[tuple[str, str]]:
    """Name and kind of the parameters that *function* reads itself."""
    for node in ast.walk(tree(function)):
        match node:
            case ast.Call(func=ast.Attribute(ast.Name("ask"), "filters")):
                yield "filters", "filters"
            case ast.Call(func=ast.Attribute(ast.Name("ask"), how), args=[ast.Constant(str(name)), *_]) if (
                how in READS
            ):
                yield name, READS[how]
            case ast.Call(func=ast.Attribute(ast.Attribute(_, "query"), "get"), args=[ast.Constant(str(name)), *_]):
                yield name, "text"
            case _:
                pass


def without_effect(query: Query) -> bool:
    return query.says.startswith("Without effect")


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_the_query_that_is_described_is_the_one_that_is_read(route: Route) -> None:
    read = {found for function in called(route.answer) for found in reads(function)}
    # Helpers read one parameter by its strict form, or name it again in a refusal.
    kinds = dict(sorted(read, key=lambda one: one[1] == "text", reverse=True))
    told = {query.name: query.kind for query in route.query if not without_effect(query)}
    idle = {query.name for query in route.query if without_effect(query)}
    assert {name: kind for name, kind in kinds.items() if name not in idle} == told


def test_every_type_is_a_schema() -> None:
    for name, schema in TOLD["components"]["schemas"].items():
        assert schema["type"] == "object", name
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


def test_no_two_types_share_a_name() -> None:
    assert [name for name in TOLD["components"]["schemas"] if "." in name or "_" in name] == []


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [one["operationId"] for _, _, one in OPERATIONS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("prefix", ["", "/v1.24", "/v1.50"])
def test_the_daemon_tells_it(tmp_path: Path, prefix: str) -> None:
    with serving(tmp_path) as (client, _):
        assert client.ask("GET", f"{prefix}/openapi.json") == (200, TOLD)


def test_the_page_is_what_its_generator_writes() -> None:
    assert generate_openapi.PAGE.read_text() == generate_openapi.text(), "run: make docs"
    assert json.loads(generate_openapi.PAGE.read_text()) == TOLD
