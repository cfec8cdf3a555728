"""Containers as `ps` lists them, and the filters of that list."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bascule.api.shapes import container_answer as answer
from bascule.api.shapes import mounts, ports, times, values
from bascule.api.shapes.container import Places, is_running, networks
from bascule.api.shapes.filters import Filters
from bascule.model.container import Container, Image
from bascule.model.endpoint import Proto, PublishedPort
from bascule.model.errors import Invalid

FILTERS = (
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
)
_STATUSES = ("created", "running", "paused", "restarting", "removing", "exited", "dead")
_HEALTH = ("none", "starting", "healthy", "unhealthy")


@dataclass(frozen=True, slots=True)
class Line:
    """A container with what a list shows of its surroundings."""

    container: Container
    places: Places
    image: Image | None = None

    @property
    def labels(self) -> dict[str, str]:
        return {**(self.image.config.labels if self.image else {}), **self.container.spec.labels}

    @property
    def published(self) -> list[PublishedPort]:
        return [port for _, ep in self.places.values() if ep for port in ep.ports]

    @property
    def wired(self) -> bool:
        """Whether it is on a network of its own: on host and none there are no ports."""
        return any(ep for _, ep in self.places.values())

    @property
    def exposed(self) -> tuple[tuple[Proto, int], ...]:
        base = self.image.config.exposed if self.image else ()
        return tuple(dict.fromkeys((*base, *self.container.spec.exposed)))


def show(line: Line, volumes: Mapping[str, str], version: tuple[int, int], now: int) -> answer.ContainerSummary:
    container = line.container
    state = container.state
    live = is_running(state)
    return {
        "Id": container.id,
        "Names": [f"/{container.name}"],
        "Image": container.spec.image,
        "ImageID": container.image,
        "Command": " ".join(
            [container.path, *(f"'{arg}'" if " " in arg else arg for arg in container.args)]
        ).strip(),
        "Created": container.created // times.SECOND,
        "Ports": ports.listed(line.published, line.exposed if live and line.wired else ()),
        "Labels": line.labels,
        "State": state.status,
        "Status": status(container, now),
        "HostConfig": {"NetworkMode": container.spec.network_mode},
        "NetworkSettings": {"Networks": networks(container, line.places, version)},
        "Mounts": mounts.show(container.mounts or container.spec.mounts, volumes),
    }


def tell_sizes(shown: answer.ContainerSummary, written: int, seen: int) -> None:
    """The line tells them too; nothing of what was written where that is nothing (omitempty)."""
    if written:
        shown["SizeRw"] = written
    shown["SizeRootFs"] = seen


def status(container: Container, now: int) -> str:
    """`Up 3 minutes`, `Exited (0) 2 hours ago` (daemon/container/state.go, String)."""
    state = container.state
    up = times.human(now - state.started)
    match state.status:
        case "running":
            return f"Up {up}"
        case "paused":
            return f"Up {up} (Paused)"
        case "restarting":
            return f"Restarting ({state.exit_code}) {times.human(now - state.finished)} ago"
        case "created":
            return "Created"
        case "removing":
            return "Removal In Progress"
        case "dead":
            return "Dead"
        case "exited":
            return f"Exited ({state.exit_code}) {times.human(now - state.finished)} ago"


def check(asked: Filters) -> None:
    """Raise Invalid for values that no container could have."""
    for value in asked.get("status"):
        if value not in _STATUSES:
            raise Invalid(f"invalid filter 'status={value}': {_not_one_of('state', value, _STATUSES)}")
    for value in asked.get("health"):
        if value not in _HEALTH:
            raise Invalid(f"invalid filter 'health={value}': {_not_one_of('health', value, _HEALTH)}")
    for value in asked.get("exited"):
        if not re.fullmatch(r"-?\d+", value):
            raise Invalid(f"invalid filter 'exited={value}': {values.not_a_number('Atoi', value)}")
    for key in ("publish", "expose"):
        for value in asked.get(key):
            try:
                ports.parse(value)
            except Invalid:
                why = values.not_a_number("ParseUint", value)
                raise Invalid(f"error while looking up for {key} {value}: {why}") from None
    asked.flag("is-task")


def _not_one_of(what: str, value: str, known: Sequence[str]) -> str:
    return f"invalid value for {what} ({value}): must be one of {', '.join(known)}"


def matching(
    lines: Sequence[Line],
    asked: Filters,
    *,
    everything: bool,
    ancestors: frozenset[str],
    before: Container | None,
    since: Container | None,
) -> list[Line]:
    """The lines that a list shows, newest first.  *ancestors* are the ids of the images that `ancestor` names;
    *before* and *since* the containers of the filters of that name."""
    open_to_all = everything or "status" in asked or "exited" in asked or bool(before or since)
    found = [
        line
        for line in lines
        if (open_to_all or is_running(line.container.state))
        and (before is None or line.container.created < before.created)
        and (since is None or line.container.created > since.created)
        and ("ancestor" not in asked or line.container.image in ancestors)
        and asked.labels(line.labels)
        and _by_name(line.container, asked)
        and _by_state(line.container, asked)
        and _by_place(line, asked)
    ]
    return sorted(found, key=lambda line: -line.container.created)


def _by_name(container: Container, asked: Filters) -> bool:
    return asked.match("name", container.name, f"/{container.name}") and asked.match("id", container.id)


def _by_state(container: Container, asked: Filters) -> bool:
    state = container.state
    ended = state.status == "exited" and str(state.exit_code) in asked.get("exited")
    return (
        asked.exact("status", state.status)
        and ("exited" not in asked or ended)
        # Health checks are not run, so every container's health is "none".
        and asked.exact("health", "none")
        and asked.exact("isolation", "default")
        and asked.flag("is-task") is not True
    )


def _by_place(line: Line, asked: Filters) -> bool:
    return _on_network(line, asked) and _with_volume(line.container, asked) and _with_ports(line, asked)


def _on_network(line: Line, asked: Filters) -> bool:
    wanted = asked.get("network")
    return not wanted or any(
        value == name or (ep is not None and ep.network.startswith(value))
        for value in wanted
        for name, (_, ep) in line.places.items()
    )


def _with_volume(container: Container, asked: Filters) -> bool:
    wanted = asked.get("volume")
    return not wanted or any(value in (m.source, m.target) for value in wanted for m in container.mounts)


def _with_ports(line: Line, asked: Filters) -> bool:
    publish = {port for value in asked.get("publish") for port in ports.parse(value)}
    expose = {port for value in asked.get("expose") for port in ports.parse(value)}
    published = line.published
    bound = {(p.proto, p.host_port) for p in published} | {(p.proto, p.port) for p in published}
    return (not publish or bool(publish & bound)) and (not expose or bool(expose & set(line.exposed)))
