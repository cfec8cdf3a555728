"""Legacy links (`--link` on the default bridge): lines of /etc/hosts and variables, as Docker makes them."""

from collections.abc import Sequence
from dataclasses import dataclass

from bascule.model.container import Container
from bascule.model.endpoint import Proto
from bascule.model.errors import Failed
from bascule.model.names import short

# What a container says of itself is not told to those who link to it.
_OWN = ("HOME", "PATH", "HOSTNAME", "TERM")


@dataclass(frozen=True, slots=True)
class Link:
    """A link of one container to a running other, under *alias*."""

    alias: str
    target: Container
    address: str
    exposed: tuple[tuple[Proto, int], ...] = ()
    env: tuple[str, ...] = ()


def parse(text: str) -> tuple[str, str]:
    """`container:alias` or `container`: the name to look for, and the alias.  Raises Failed, as Docker does."""
    if not text:
        raise Failed("empty string specified for links")
    if text.count(":") > 1:
        raise Failed(f"bad format for links: {text}")
    name, _, alias = text.partition(":")
    name = name.removeprefix("/")
    # Docker's own clients repeat a link as `/a:/b/alias`.
    return name, alias.rpartition("/")[2] or name


def hosts_line(link: Link) -> str:
    names = dict.fromkeys((link.alias, short(link.target.id), link.target.name))
    return f"{link.address}\t{' '.join(names)}"


def environment(owner: str, links: Sequence[Link]) -> tuple[str, ...]:
    """The variables of *owner*'s links (moby: daemon/links/links.go)."""
    found: list[str] = []
    for link in links:
        prefix = link.alias.upper().replace("-", "_")
        ports = sorted(link.exposed, key=lambda e: (e[1], e[0]))
        if ports:
            found.append(f"{prefix}_PORT={ports[0][0]}://{link.address}:{ports[0][1]}")
        for proto, port in ports:
            head = f"{prefix}_PORT_{port}_{proto.upper()}"
            found.append(f"{head}={proto}://{link.address}:{port}")
            found += [f"{head}_ADDR={link.address}", f"{head}_PORT={port}", f"{head}_PROTO={proto}"]
        found.append(f"{prefix}_NAME=/{owner}/{link.alias}")
        for line in link.env:
            key, _, value = line.partition("=")
            if key not in _OWN:
                found.append(f"{prefix}_ENV_{key}={value}")
    return tuple(found)
