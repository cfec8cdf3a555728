"""Events, as they happen."""

import asyncio

from bascule.api.ask import JSON, Ask
from bascule.api.shapes import event as shape
from bascule.api.shapes import system_answer as answer
from bascule.api.shapes import values
from bascule.api.shapes.times import SECOND
from bascule.api.table import Media, Route, filters, moment
from bascule.model.events import Event

# A client that is further behind than this is cut off: it can ask again with `since`.
BEHIND = 16384


class TooSlow(ConnectionError):
    """The client does not read what it asked for."""


async def events(ask: Ask) -> None:
    asked = ask.filters(shape.FILTERS)
    since, until = ask.moment("since"), ask.moment("until")
    told: asyncio.Queue[Event] = asyncio.Queue()

    def hear(event: Event) -> None:
        ask.loop.call_soon_threadsafe(told.put_nowait, event)

    ask.begin(JSON)
    unsubscribe = ask.engine.events.subscribe(hear)
    try:
        past = ask.engine.events.since(since, until) if since or until else []
        for event in past:
            await _tell(ask, event, told) if shape.matches(event, asked) else None
        known = {id(event) for event in past}
        left = (until - ask.house.now()) / SECOND if until else None
        async with asyncio.timeout(left):
            while True:
                event = await told.get()
                if id(event) not in known and shape.matches(event, asked):
                    await _tell(ask, event, told)
    except TimeoutError:
        ask.exchange.end()
    finally:
        unsubscribe()


async def _tell(ask: Ask, event: Event, waiting: "asyncio.Queue[Event]") -> None:
    if waiting.qsize() > BEHIND:
        raise TooSlow(f"{waiting.qsize()} events behind")
    await ask.exchange.write(values.encode(shape.show(event)))


ROUTES = (
    Route(
        "GET",
        "/events",
        events,
        says="What happens, as it happens",
        query=(
            filters(shape.FILTERS),
            moment("since", "What has happened from then on comes first."),
            moment("until", "The answer ends then."),
        ),
        gives={200: Media((JSON,), answer.Event)},
    ),
)
