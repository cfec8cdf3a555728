"""From a request to its answer: the version in its path, its route, the thread it runs on, its errors."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import cast

from bascule.api.ask import JSON, TEXT, Ask, House, Reply, Stream
from bascule.api.body import Body, BodyBroken, BodyTooLarge
from bascule.api.exchange import Exchange
from bascule.api.pump import Pump
from bascule.api.shapes import system, values
from bascule.api.table import Route, Table
from bascule.model.errors import BasculeError, Invalid, NotFound

log = logging.getLogger("bascule.api")

_PREFIX = re.compile(r"/v(\d[0-9.]*)(/.*)", re.DOTALL)
_BUG = "the daemon met an error that it did not expect; its log has the details"


class Dispatch:
    """The application behind every connection."""

    def __init__(self, house: House, table: Table) -> None:
        self._house = house
        self._table = table
        self._headers = house.headers

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one request.  Never raises but for a client that is gone."""
        request = exchange.request
        try:
            answer = await self._answer(exchange)
            if isinstance(answer, Stream):
                await self._stream(exchange, answer)
                return
        except BasculeError as refusal:
            answer = _refused(refusal.status, str(refusal), request.path)
        except BodyTooLarge:
            answer = _refused(413, "the request's body is too large", request.path)
        except (BodyBroken, TimeoutError) as broken:
            answer = _refused(400, f"the request's body did not arrive: {broken or 'time-out'}", request.path)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception:
            log.exception("%s %s", request.method, request.path)
            answer = _refused(500, _BUG, request.path)
        if answer is None:
            return
        if exchange.begun:
            # Too late for a status; that the answer breaks off is what the client can see.
            raise ConnectionAbortedError("the answer broke off")
        kind = [("Content-Type", answer.kind)] if answer.kind else []
        exchange.send(answer.status, answer.body, [*self._headers, *answer.headers, *kind])

    async def _answer(self, exchange: Exchange) -> Reply | Stream | None:
        request = exchange.request
        version, path = system.API, request.path
        prefixed = _PREFIX.fullmatch(path)
        if prefixed:
            version, path = system.negotiated(prefixed[1]), prefixed[2]
        found = self._table.find(request.method, path)
        if found is None:
            raise NotFound("page not found")
        route, params = found
        ask = Ask(self._house, exchange, asyncio.get_running_loop(), version, params)
        if route.body == "json":
            ask.data = await self._whole(request.body)
        return await self._run(route, ask)

    async def _whole(self, body: Body) -> bytes:
        limits = self._house.limits
        if body.complete:
            # It nearly always is, and a limit on waiting costs as much where nobody waits.
            return await body.read(limits.json_bytes)
        async with asyncio.timeout(limits.json_seconds):
            return await body.read(limits.json_bytes)

    async def _run(self, route: Route, ask: Ask) -> Reply | Stream | None:
        if route.on_loop:
            return await cast(Awaitable[Reply | Stream | None], route.answer(ask))
        work = cast(Callable[[], Reply | Stream], partial(route.answer, ask))
        return await ask.call(work, slow=route.slow or route.body == "stream")

    async def _stream(self, exchange: Exchange, answer: Stream) -> None:
        headers = [*self._headers, *answer.headers, ("Content-Type", answer.kind)]
        try:
            exchange.begin(200, headers, lasting=answer.close is not None)
        except ConnectionError:
            if answer.close:
                answer.close()
            raise
        pump = Pump(answer.pieces, answer.close)
        try:
            while data := await pump.batch():
                await exchange.write(data)
            exchange.end()
        except BasculeError as refusal:
            if answer.kind != JSON:
                raise ConnectionAbortedError(str(refusal)) from refusal
            # A stream of JSON documents has a place for errors (jsonmessage).
            error = {"errorDetail": {"message": str(refusal)}, "error": str(refusal)}
            await exchange.write(values.encode(error))
            exchange.end()
        finally:
            pump.close()


def _refused(status: int, message: str, path: str) -> Reply:
    prefixed = _PREFIX.fullmatch(path)
    # Clients from before 1.24 expect text, and get it with the refusal of their version.
    if prefixed and _is_old(prefixed[1]):
        return Reply(status, message.encode() + b"\n", TEXT)
    return Reply(status, values.encode({"message": message}), JSON)


def _is_old(told: str) -> bool:
    try:
        system.negotiated(told)
    except Invalid as refusal:
        return "too old" in str(refusal)
    return False
