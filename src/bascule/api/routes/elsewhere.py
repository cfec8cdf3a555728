"""What a Docker daemon can do and this one says no to, each with the reason."""

from bascule.api.ask import Ask, Reply, Stream, reply
from bascule.api.table import Answer, Route
from bascule.model.errors import BasculeError, NotImplementedHere, Unavailable

NO_SWARM = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm'
    " and try again."
)
NO_BUILD = "Bascule builds no images: build elsewhere, then `docker load` or `docker import` the result"
NO_PLUGINS = "Bascule has no plugins of Docker's kind"
NO_REGISTRY = "Bascule does not talk to registries itself: `skopeo login` keeps the credentials that a pull uses"
NO_COMMIT = "Bascule makes no images from containers: `docker export`, then `docker import`"
NO_SWARM_MODE = "Bascule has no swarm mode"


def _refuse(kind: type[BasculeError], why: str) -> Answer:
    def answer(_: Ask) -> Reply | Stream:
        raise kind(why)

    return answer


def no_cache(_: Ask) -> Reply:
    """There is no build cache, and nothing to prune in it: `docker system prune` asks."""
    return reply({"CachesDeleted": None, "SpaceReclaimed": 0})


_MANAGED = ("services", "nodes", "tasks", "secrets", "configs")

ROUTES = (
    *(
        Route(method, f"/{noun}{rest}", _refuse(Unavailable, NO_SWARM))
        for noun in _MANAGED
        for method in ("GET", "POST", "DELETE")
        for rest in ("", "/{name}")
    ),
    Route("GET", "/swarm", _refuse(Unavailable, NO_SWARM)),
    Route("GET", "/swarm/unlockkey", _refuse(Unavailable, NO_SWARM)),
    Route("POST", "/swarm/leave", _refuse(Unavailable, "This node is not part of a swarm")),
    *(
        Route("POST", f"/swarm/{verb}", _refuse(NotImplementedHere, NO_SWARM_MODE))
        for verb in ("init", "join", "update", "unlock")
    ),
    Route("POST", "/build/prune", no_cache),
    Route("POST", "/build", _refuse(NotImplementedHere, NO_BUILD)),
    Route("POST", "/session", _refuse(NotImplementedHere, NO_BUILD)),
    Route("POST", "/grpc", _refuse(NotImplementedHere, NO_BUILD)),
    Route("POST", "/commit", _refuse(NotImplementedHere, NO_COMMIT)),
    Route("POST", "/auth", _refuse(NotImplementedHere, NO_REGISTRY)),
    Route("GET", "/images/search", _refuse(NotImplementedHere, NO_REGISTRY)),
    Route("POST", "/images/{name}/push", _refuse(NotImplementedHere, NO_REGISTRY)),
    Route("GET", "/distribution/{name}/json", _refuse(NotImplementedHere, NO_REGISTRY)),
    *(
        Route(method, "/plugins/{name}", _refuse(NotImplementedHere, NO_PLUGINS))
        for method in ("GET", "POST", "DELETE")
    ),
)
