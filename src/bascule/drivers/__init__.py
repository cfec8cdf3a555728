"""Network types by name.  Each is a module, or a value, with the names of drivers/protocol.py."""

from functools import cache
from importlib.metadata import entry_points

from bascule.drivers import bridge, ipvlan, macvlan, overlay
from bascule.drivers.passive import host, null
from bascule.drivers.protocol import Driver
from bascule.model.errors import Failed, NotFound

GROUP = "bascule.drivers"

BUILT_IN: dict[str, Driver] = {
    "bridge": bridge,
    "host": host,
    "null": null,
    "macvlan": macvlan,
    "ipvlan": ipvlan,
    "overlay": overlay,
}


def find(name: str) -> Driver:
    """The driver called *name*: a built-in, else one that an installed package offers in the entry-point group
    `bascule.drivers`, imported when it is first asked for.  Raises NotFound, or Failed if it can't be imported."""
    return BUILT_IN.get(name) or _offered(name)


@cache
def _offered(name: str) -> Driver:
    for offer in entry_points(group=GROUP, name=name):
        try:
            driver: Driver = offer.load()
        except Exception as error:  # Somebody else's module may raise anything.
            raise Failed(f'plugin "{name}" cannot be loaded from {offer.value}: {error}') from error
        return driver
    raise NotFound(f'plugin "{name}" not found')
