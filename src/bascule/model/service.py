"""Services: endpoints of one network, on any of its hosts, that answer to one name.  See docs/decisions/035."""

from dataclasses import dataclass
from typing import Literal

from bascule.model.addresses import IPAddress
from bascule.model.endpoint import PortSpec, Proto

Mode = Literal["vip", "dnsrr"]
"""The name is one address that stands for all endpoints, or it is the addresses of all."""
ENTRY = "service:"
"""How the name and the owner of an entry begin, a sandbox by which a host's published port leads to a service.  No
container's name or id has a colon."""


@dataclass(frozen=True, slots=True)
class ServicePort:
    """*host_port* of every host is the service's *port*."""

    port: int
    proto: Proto
    host_port: int

    def __str__(self) -> str:
        return f"{self.host_port}:{self.port}/{self.proto}"

    @property
    def asked(self) -> PortSpec:
        return PortSpec(self.port, self.proto, None, (self.host_port, self.host_port))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a user says of the service that an endpoint is to belong to.  None: as the service has it already, and
    nothing of it where this endpoint is the first."""

    name: str
    mode: Mode = "vip"
    ports: tuple[ServicePort, ...] | None = None
    keep: bool | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """A service as it was decided, known to every member.

    *addresses* are its own, one a family; none with `dnsrr`.  *nodes* are the hosts that have endpoints of it, or
    are about to.  With *keep* a published port leads to an endpoint on the same host alone, which sees who asks.
    """

    id: str
    network: str
    name: str
    mode: Mode = "vip"
    ports: tuple[ServicePort, ...] = ()
    keep: bool = False
    addresses: tuple[IPAddress, ...] = ()
    nodes: tuple[str, ...] = ()

    @property
    def entry(self) -> str:
        """The owner of its entry on a host."""
        return f"{ENTRY}{self.id}"

    @property
    def meshed(self) -> bool:
        """Whether every host publishes its ports."""
        return bool(self.ports) and not self.keep


def service_id(network: str, name: str) -> str:
    return f"{network}.{name}"


def entry(name: str) -> bool:
    """Whether an endpoint of this *name* is there for a service's published ports alone, and goes with them."""
    return name.startswith(ENTRY)
