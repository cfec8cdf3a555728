"""Every request that is answered, noun by noun."""

from bascule.api.routes import networks, system

ROUTES = (*system.ROUTES, *networks.ROUTES)
