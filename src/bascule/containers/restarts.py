"""Restart policies: pure."""

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
    policy = container.spec.restart.name
    if container.state.started == 0:
        return False
    return policy == "always" or (policy == "unless-stopped" and not container.state.stopped_by_user)


def delay(restarts: int, ran: int) -> float:
    """Seconds to wait before the next start, after *restarts* of them and a life of *ran* nanoseconds."""
    if ran >= STEADY:
        return FIRST
    return float(min(LONGEST, FIRST * 2 ** min(restarts, 16)))
