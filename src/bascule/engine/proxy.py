"""What the kernel's address translation cannot do, and a process must: carry connections from one family to the
other, and from ::1 to a container.  `proxy.client.ProxyClient` keeps these promises; NoProxy carries nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Protocol

from bascule.model.addresses import IPAddress
from bascule.model.endpoint import Endpoint, Proto
from bascule.model.thing import Open, Thing

LOOPBACK = IPv6Address("::1")


@dataclass(frozen=True, slots=True)
class Carried:
    """host:host_port of this machine is carried to *to*:*port*."""

    proto: Proto
    host: IPAddress
    host_port: int
    to: IPAddress
    port: int


class Proxy(Protocol):
    def carry(self, key: str, ports: Sequence[Carried]) -> None:
        """Exactly *ports* are carried for *key* when this returns; none forgets it.  Connections under way go on
        where their port stays.  Raises Failed where a port cannot be listened on, and then nothing changed."""
        ...

    def keys(self) -> Iterable[str]:
        """What is carried for now, perhaps since an earlier daemon."""
        ...


class NoProxy:
    """Nothing is carried."""

    def carry(self, key: str, ports: Sequence[Carried]) -> None:
        """Forgotten."""

    def keys(self) -> Iterable[str]:
        return ()


def carried(ep: Endpoint, things: Iterable[Thing]) -> list[Carried]:
    """The ports of *ep* that the rule set (its *things*) does not serve.

    The kernel refuses to route ::1 off the loopback link, so what is published on it cannot be translated as
    127.0.0.1 is; and it does not translate between families.  SCTP is not carried.
    """
    routed = {(thing.proto, thing.port) for thing in things if isinstance(thing, Open)}
    found: list[Carried] = []
    for port in ep.ports:
        if port.proto == "sctp" or (port.proto, port.port) in routed:
            continue
        same = next((a.ip for a in ep.addresses if a.version == port.host.version), None)
        if same is None and ep.addresses:
            found.append(Carried(port.proto, port.host, port.host_port, ep.addresses[0].ip, port.port))
        elif same is not None and port.host.version == 6 and (port.host == LOOPBACK or int(port.host) == 0):
            found.append(Carried(port.proto, LOOPBACK, port.host_port, same, port.port))
    return found
