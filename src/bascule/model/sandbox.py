"""Sandboxes: the network namespace that a container's endpoints live in."""

from dataclasses import dataclass, field

from bascule.model.addresses import IPAddress
from bascule.model.endpoint import PortSpec, Proto


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """A sandbox as it is asked for.  With *key* it is a namespace of somebody else's; otherwise one is made."""

    container: str
    name: str
    hostname: str = ""
    key: str = ""
    ports: tuple[PortSpec, ...] = ()
    exposed: tuple[tuple[Proto, int], ...] = ()
    nameservers: tuple[IPAddress, ...] = ()
    search: tuple[str, ...] = ()
    resolver_options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A namespace that endpoints can be put into, and what its owner wants of names and ports.

    *key* is the namespace's path (`/run/…/netns/<id12>`); ours to make and to remove unless *foreign*.
    A host-mode sandbox has no key of its own: it is never connected to anything.
    """

    id: str
    container: str
    """The owner's id: a container's, or whatever a library user chose."""
    name: str
    key: str
    created: int
    hostname: str = ""
    foreign: bool = False
    ports: tuple[PortSpec, ...] = ()
    exposed: tuple[tuple[Proto, int], ...] = ()
    nameservers: tuple[IPAddress, ...] = ()
    """--dns; empty: those of the host's resolv.conf."""
    search: tuple[str, ...] = ()
    resolver_options: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
