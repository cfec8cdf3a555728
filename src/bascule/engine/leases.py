"""What the engine asks of whoever gets addresses from DHCP servers.  `dhcp.client.DhcpClient` keeps these promises
with a process for each endpoint and family; NoLeases is for engines without it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from bascule.model.addresses import Family
from bascule.model.endpoint import Lease
from bascule.model.errors import Failed

DRIVER = "dhcp"
"""The IPAM driver's name: --ipam-driver dhcp."""

Tell = Callable[[str, Family, Lease | None], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A lease of a family for one endpoint: asked for on *link* in the namespace at *key*, as *client* (16 bytes in
    hex, the same for a container on a network each time) and *hostname*.  With *probe* an address that somebody on
    the segment has is declined."""

    endpoint: str
    family: Family
    key: str
    link: str
    client: str
    hostname: str
    probe: bool = True


class Leases(Protocol):
    def obtain(self, wanted: Wanted) -> Lease | None:
        """A lease, kept alive from now on.  Takes as long as the server does; raises Failed when none answers in
        time, and then nothing is left of the question."""
        ...

    def resume(self, wanted: Wanted) -> None:
        """Go on asking, without waiting; `on_change` hears of it."""
        ...

    def release(self, endpoint: str) -> None:
        """Its addresses are given back, and nobody asks any more.  Not an error if nobody did."""
        ...

    def kept(self) -> Mapping[tuple[str, Family], Lease | None]:
        """The endpoints for which leases are kept alive, perhaps since an earlier daemon, and those leases."""
        ...

    def on_change(self, tell: Tell) -> None:
        """From now on *tell* hears of each lease that is new or another than before, but for those that `obtain`
        returns; None: it ran out."""
        ...


class NoLeases:
    """There are none to be had."""

    def obtain(self, wanted: Wanted) -> Lease | None:
        raise Failed(f"no DHCP client here to ask for an address of {wanted.link}")

    def resume(self, wanted: Wanted) -> None:
        """Forgotten."""

    def release(self, endpoint: str) -> None:
        """There is nothing to give back."""

    def kept(self) -> Mapping[tuple[str, Family], Lease | None]:
        return {}

    def on_change(self, tell: Tell) -> None:
        """Nothing ever changes."""


def asking(ifname: str, version: Family) -> str:
    """What no command line does, as a comment among those that do the rest."""
    how = "DHCP" if version == 4 else "DHCPv6"
    return f"# a server on the segment of {ifname} is asked for an address ({how}); its lease is then applied"


class Unasked(NoLeases):
    """For rehearsals: no server is asked, which *say* is told, and the endpoint stays without an address."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def obtain(self, wanted: Wanted) -> Lease | None:
        self._say(asking(wanted.link, wanted.family))
        return None

    def resume(self, wanted: Wanted) -> None:
        self._say(asking(wanted.link, wanted.family))
