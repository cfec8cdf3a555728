"""Every request that is answered, noun by noun.  Of two routes that fit, the first wins."""

from bascule.api.routes import (
    archive,
    cluster,
    containers,
    elsewhere,
    events,
    images,
    networks,
    streams,
    system,
    volumes,
)
from bascule.api.table import Route

ROUTES: tuple[Route, ...] = (
    *system.ROUTES,
    *networks.ROUTES,
    *containers.ROUTES,
    *streams.ROUTES,
    *archive.ROUTES,
    *elsewhere.ROUTES,
    *images.ROUTES,
    *volumes.ROUTES,
    *cluster.ROUTES,
    *events.ROUTES,
)
