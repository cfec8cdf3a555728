"""What a Docker daemon can do and this one says no to, each with the reason."""

from bascule.api.ask import Ask, Reply, Stream, reply
from bascule.api.shapes.container_answer import Empty
from bascule.api.shapes.system_answer import CachesPruned
from bascule.api.table import Answer, Route
from bascule.model.errors import BasculeError, NotFound, NotImplementedHere, Unavailable

NO_SWARM = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm'
    " and try again."
)
NO_BUILD = "Bascule builds no images: build elsewhere, then `docker load` or `docker import` the result"
NO_PLUGINS = "Bascule has no plugins of Docker's kind"
NO_REGISTRY = "Bascule does not talk to registries itself: `skopeo login` keeps the credentials that a pull uses"
NO_COMMIT = "Bascule makes no images from containers: `docker export`, then `docker import`"
REFUSED = "Refused"
NO_SWARM_MODE = 'Bascule has no swarm mode: "bascule cluster init" and "join" make several hosts one'


def _refuse(kind: type[BasculeError], why: str) -> Answer:
    def answer(_: Ask) -> Reply | Stream:
        raise kind(why)

    return answer


def no_plugin(ask: Ask) -> Reply:
    """`docker inspect` asks when nothing else has the name."""
    raise NotFound(f'plugin "{ask.name.removesuffix("/json")}" not found')


def no_plugins(_: Ask) -> Reply:
    """`docker plugin ls`."""
    return reply([])


def no_cache(_: Ask) -> Reply:
    """There is no build cache, and nothing to prune in it: `docker system prune` asks."""
    return reply({"CachesDeleted": None, "SpaceReclaimed": 0})


def _no(method: str, path: str, why: str, kind: type[BasculeError] = NotImplementedHere) -> Route:
    return Route(method, path, _refuse(kind, why), says=REFUSED, refuses=(kind.status,))


_MANAGED = ("services", "nodes", "tasks", "secrets", "configs")

ROUTES = (
    *(
        _no(method, f"/{noun}{rest}", NO_SWARM, Unavailable)
        for noun in _MANAGED
        for method in ("GET", "POST", "DELETE")
        for rest in ("", "/{name}")
    ),
    _no("GET", "/swarm", NO_SWARM, Unavailable),
    _no("GET", "/swarm/unlockkey", NO_SWARM, Unavailable),
    _no("POST", "/swarm/leave", "This node is not part of a swarm", Unavailable),
    *(_no("POST", f"/swarm/{verb}", NO_SWARM_MODE) for verb in ("init", "join", "update", "unlock")),
    Route("POST", "/build/prune", no_cache, says="There is no build cache", gives={200: CachesPruned}),
    _no("POST", "/build", NO_BUILD),
    _no("POST", "/session", NO_BUILD),
    _no("POST", "/grpc", NO_BUILD),
    _no("POST", "/commit", NO_COMMIT),
    _no("POST", "/auth", NO_REGISTRY),
    _no("GET", "/images/search", NO_REGISTRY),
    _no("POST", "/images/{name}/push", NO_REGISTRY),
    _no("GET", "/distribution/{name}/json", NO_REGISTRY),
    Route("GET", "/plugins", no_plugins, says="There are no plugins", gives={200: list[Empty]}),
    Route("GET", "/plugins/{name}", no_plugin, says="There are no plugins", refuses=(404,)),
    *(_no(method, "/plugins/{name}", NO_PLUGINS) for method in ("POST", "DELETE")),
)
