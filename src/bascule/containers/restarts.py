"""Restart policies: pure."""

from collections.abc import Sequence

from bascule.containers.links import parse
from bascule.model.container import Container

# Docker's back-off (restartmanager/restartmanager.go): doubling from 100 ms to a minute, from the beginning again
# after ten seconds of life.
FIRST, LONGEST = 0.1, 60.0
STEADY = 10_000_000_000


def wanted(container: Container, code: int) -> bool:
    """Whether a container that ended with *code* is started again."""
    policy = container.spec.restart
    if container.state.stopped_by_user or container.spec.auto_remove:
        return False
    match policy.name:
        case "always" | "unless-stopped":
            return True
        case "on-failure":
            return code != 0 and (not policy.max_retries or container.state.restarts < policy.max_retries)
        case _:
            return False


def wanted_at_start(container: Container) -> bool:
    """Whether a container that does not run is started with the daemon."""
    state, policy = container.state, container.spec.restart.name
    if state.status == "restarting":
        return True
    if state.status not in ("exited", "created") or state.started == 0:
        return False
    return policy == "always" or (policy == "unless-stopped" and not state.stopped_by_user)


def waves(containers: Sequence[Container]) -> list[list[Container]]:
    """The containers in groups, to be started one after the other: each behind those whose network namespace it
    joins, or to which it has links."""
    depths: dict[str, int] = {}

    def depth(container: Container) -> int:
        if container.id not in depths:
            # For a ring, which cannot be started anyway.
            depths[container.id] = 0
            before = [other for ref in _needs(container) for other in containers if _is(other, ref)]
            depths[container.id] = max((depth(other) + 1 for other in before), default=0)
        return depths[container.id]

    found: dict[int, list[Container]] = {}
    for container in containers:
        found.setdefault(depth(container), []).append(container)
    return [found[number] for number in sorted(found)]


def _needs(container: Container) -> list[str]:
    kind, _, ref = container.spec.network_mode.partition(":")
    return [*([ref] if kind == "container" else []), *(parse(text)[0] for text in container.spec.links)]


def _is(container: Container, ref: str) -> bool:
    return bool(ref) and (container.name == ref.removeprefix("/") or container.id.startswith(ref))


def delay(restarts: int, ran: int) -> float:
    """Seconds to wait before the next start, after *restarts* of them and a life of *ran* nanoseconds."""
    if ran >= STEADY:
        return FIRST
    return float(min(LONGEST, FIRST * 2 ** min(restarts, 16)))
