"""Which function answers which request.  The table is plain data: docs and descriptions can be made from it."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import iscoroutinefunction
from typing import Any, Literal

from bascule.api.ask import Ask, Reply, Stream

Answer = Callable[[Ask], Reply | Stream | Awaitable[Reply | Stream | None]]


@dataclass(frozen=True, slots=True)
class Query:
    """One parameter of a query, as a route describes it.  *words*: the keys of filters, or the only texts that are
    taken."""

    name: str
    kind: Literal["text", "texts", "flag", "number", "moment", "filters"]
    says: str = ""
    words: tuple[str, ...] = ()


def text(name: str, says: str, *words: str) -> Query:
    return Query(name, "text", says, words)


def texts(name: str, says: str) -> Query:
    """May be there several times."""
    return Query(name, "texts", says)


def flag(name: str, says: str) -> Query:
    return Query(name, "flag", says)


def number(name: str, says: str) -> Query:
    return Query(name, "number", says)


def moment(name: str, says: str) -> Query:
    return Query(name, "moment", says)


def filters(keys: tuple[str, ...]) -> Query:
    return Query("filters", "filters", "What is meant, by key.", keys)


@dataclass(frozen=True, slots=True)
class Media:
    """An answer that is not one JSON document: bytes of these *kinds*, or with *each* a JSON document of that type
    after the other."""

    kinds: tuple[str, ...]
    each: Any = None


DRY_RUN = flag("dryRun", "Answer the ip and nft lines that this comes to, and change nothing.")


@dataclass(frozen=True, slots=True)
class Route:
    """*path* has `{name}` where a name stands, which may contain slashes.  *answer* runs in a worker thread if it
    is a plain function, on the loop if it is a coroutine function.  *body*: whole, as JSON; a stream that the
    function reads as a file; or nothing that matters.

    The rest is what /openapi.json tells: what the request is for, its query, the type of its body, what is answered
    by status (a type of JSON, Media, None for nothing, or several of these), and the refusals but for those that
    every request may meet (400, 500, and 404 where something is named)."""

    method: str
    path: str
    answer: Answer
    body: Literal["none", "json", "stream"] = "none"
    slow: bool = False
    says: str = ""
    query: tuple[Query, ...] = ()
    takes: Any = None
    gives: Mapping[int, Any] = field(default_factory=dict)
    refuses: tuple[int, ...] = ()
    on_loop: bool = field(init=False)

    def __post_init__(self) -> None:
        # Looked at once: that takes 20 µs, and is asked for each request.
        object.__setattr__(self, "on_loop", iscoroutinefunction(self.answer))


class Table:
    """Routes, found by method and path.  The first that fits wins."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        self._fixed: dict[tuple[str, str], Route] = {}
        self._open: dict[tuple[str, str], list[tuple[re.Pattern[str], Route]]] = {}
        for route in routes:
            if "{" in route.path:
                pattern = re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+)", re.escape(route.path)), re.DOTALL)
                self._open.setdefault((route.method, _noun(route.path)), []).append((pattern, route))
            else:
                self._fixed[route.method, route.path] = route

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """The route and what the names in its path stand for."""
        fixed = self._fixed.get((method, path)) or self._fixed.get((method, path.removesuffix("/")))
        if fixed:
            return fixed, {}
        for pattern, route in self._open.get((method, _noun(path)), ()):
            found = pattern.fullmatch(path)
            if found:
                return route, found.groupdict()
        return None


def _noun(path: str) -> str:
    return path[1:].partition("/")[0]
