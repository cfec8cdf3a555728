"""Events in Docker's words, and their filters (daemon/events/filter.go)."""

from bascule.api.shapes import system_answer as answer
from bascule.api.shapes.filters import Filters
from bascule.api.shapes.times import SECOND
from bascule.model.events import Event

FILTERS = (
    "config",
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "secret",
    "service",
    "type",
    "volume",
)
_NAMED = ("config", "container", "daemon", "network", "node", "plugin", "secret", "service", "volume")


def show(event: Event) -> answer.Event:
    """One line of GET /events; containers' and images' events carry the fields of Docker before 1.22 too."""
    shown: answer.Event = {
        "Type": event.type,
        "Action": event.action,
        "Actor": {"ID": event.id, "Attributes": dict(event.attributes)},
        "scope": event.scope,
        "time": event.time // SECOND,
        "timeNano": event.time,
    }
    if event.type == "container":
        from_ = event.attributes.get("image", "")
        return {"status": event.action, "id": event.id, "from": from_, **shown}
    if event.type == "image":
        return {"status": event.action, "id": event.id, **shown}
    return shown


def matches(event: Event, asked: Filters) -> bool:
    return (
        (asked.exact("event", event.action) or event.action.partition(":")[0] in asked.get("event"))
        and asked.exact("type", event.type)
        and asked.exact("scope", event.scope)
        and asked.labels(event.attributes)
        and _of_image(event, asked)
        and all(_named(event, asked, key) for key in _NAMED)
    )


def _named(event: Event, asked: Filters, key: str) -> bool:
    if key not in asked:
        return True
    name = event.attributes.get("name", "")
    return event.type == key and any(event.id.startswith(v) or name.startswith(v) for v in asked.get(key))


def _of_image(event: Event, asked: Filters) -> bool:
    if "image" not in asked:
        return True
    name = event.attributes.get("image" if event.type == "container" else "name", "")
    bare = name.rpartition(":")[0] or name
    return any(value in (event.id, name, bare) for value in asked.get("image"))
