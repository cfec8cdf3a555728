"""What an endpoint's options say of a service: `bascule.service=web`, and how it is to be reached."""

import re
from collections.abc import Mapping
from typing import get_args

from bascule.drivers.options import refused
from bascule.model.endpoint import Proto
from bascule.model.errors import Invalid
from bascule.model.service import Mode, ServicePort, Wanted

SERVICE = "bascule.service"
MODE = "bascule.service.mode"
PUBLISH = "bascule.service.publish"
SOURCE = "bascule.service.source"
KNOWN = (SERVICE, MODE, PUBLISH, SOURCE)
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")
_PORT = re.compile(r"([0-9]{1,5}):([0-9]{1,5})(?:/(tcp|udp|sctp))?")
_MODES: tuple[Mode, ...] = get_args(Mode)
_SOURCES = {"any": False, "keep": True}


def wanted(options: Mapping[str, str]) -> Wanted | None:
    """None where no service is named.  Raises Invalid."""
    if SERVICE not in options:
        lonely = next((key for key in KNOWN if key in options), "")
        if lonely:
            raise Invalid(f"{lonely} says how a service is reached: {SERVICE} has to name it")
        return None
    name = options[SERVICE]
    if not _NAME.fullmatch(name):
        raise refused(SERVICE, name, "a name is letters, digits, - and _, up to 63")
    mode = next((m for m in _MODES if m == options.get(MODE, "vip")), None)
    if mode is None:
        raise refused(MODE, options[MODE], f"there is {', '.join(_MODES)}")
    source = options.get(SOURCE)
    if source is not None and source not in _SOURCES:
        raise refused(SOURCE, source, f"there is {', '.join(_SOURCES)}")
    return Wanted(
        name.lower(),
        mode,
        _ports(options[PUBLISH]) if PUBLISH in options else None,
        None if source is None else _SOURCES[source],
    )


def _ports(text: str) -> tuple[ServicePort, ...]:
    """`8080:80,5353:53/udp`."""
    found: dict[tuple[str, int], ServicePort] = {}
    for word in text.replace(",", " ").split():
        match = _PORT.fullmatch(word)
        if not match:
            raise refused(PUBLISH, word, "a port is published as 8080:80 or 5353:53/udp")
        host_port, port = int(match[1]), int(match[2])
        if not (0 < host_port < 65536 and 0 < port < 65536):
            raise refused(PUBLISH, word, "ports are 1 to 65535")
        proto: Proto = "udp" if match[3] == "udp" else "sctp" if match[3] == "sctp" else "tcp"
        found[proto, host_port] = ServicePort(port, proto, host_port)
    return tuple(found.values())


def names(options: Mapping[str, str]) -> tuple[str, ...]:
    """What an endpoint is called for its service: `tasks.web` is all of them, as in Docker, and with `dnsrr` the
    service's name is as well."""
    service = wanted(options)
    if service is None:
        return ()
    return (*((service.name,) if service.mode == "dnsrr" else ()), f"tasks.{service.name}")


def name(options: Mapping[str, str]) -> str:
    """The service's name, "" where there is none."""
    service = wanted(options)
    return service.name if service else ""
