"""Which function answers which request.  The table is plain data: docs and descriptions can be made from it."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Literal

from bascule.api.ask import Ask, Reply, Stream

Answer = Callable[[Ask], Reply | Stream | Awaitable[Reply | Stream | None]]


@dataclass(frozen=True, slots=True)
class Route:
    """*path* has `{name}` where a name stands, which may contain slashes.  *answer* runs in a worker thread if it
    is a plain function, on the loop if it is a coroutine function.  *body*: whole, as JSON; a stream that the
    function reads as a file; or nothing that matters."""

    method: str
    path: str
    answer: Answer
    body: Literal["none", "json", "stream"] = "none"
    slow: bool = False

    @property
    def on_loop(self) -> bool:
        return iscoroutinefunction(self.answer)


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
        """The route and what the names in its path stand for.  HEAD is answered by GET's where it has none."""
        fixed = self._fixed.get((method, path)) or self._fixed.get((method, path.rstrip("/")))
        if fixed:
            return fixed, {}
        for pattern, route in self._open.get((method, _noun(path)), ()):
            found = pattern.fullmatch(path)
            if found:
                return route, found.groupdict()
        return None


def _noun(path: str) -> str:
    return path[1:].partition("/")[0]
