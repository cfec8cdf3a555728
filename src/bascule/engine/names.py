"""What the engine tells the resolver.  `dns.client.ResolverClient` keeps these promises with a process of its
own; NoNames is for engines without one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from bascule.model.addresses import IPAddress
from bascule.model.sandbox import Sandbox


@dataclass(frozen=True, slots=True)
class Member:
    """One endpoint as others may ask for it: *names[0]* is what a PTR query for its addresses answers."""

    endpoint: str
    names: tuple[str, ...]
    addresses: tuple[IPAddress, ...]


@dataclass(frozen=True, slots=True)
class Zone:
    """One network's names, whole.  They are visible to sandboxes that are on it, as `name` and `name.network`."""

    network: str
    name: str
    members: tuple[Member, ...] = ()
    gone: bool = False
    """The network was removed: forget it."""


@dataclass(frozen=True, slots=True)
class View:
    """What one sandbox sees: its networks' ids in the order they are asked, its private links (alias -> the
    addresses behind it), and where the rest goes.  *upstream* () means: never forward (only internal networks)."""

    sandbox: str
    networks: tuple[str, ...] = ()
    links: Mapping[str, tuple[IPAddress, ...]] | None = None
    upstream: tuple[IPAddress, ...] = ()


class Names(Protocol):
    def serve(self, sandbox: Sandbox, view: View, *, soon: bool = False) -> None:
        """127.0.0.11:53, UDP and TCP, answers inside *sandbox*'s namespace by *view*.  Again: the view changes.
        *soon*: it is so, or Failed is raised, when the next of these or `flush` returns."""
        ...

    def leave(self, sandbox: str) -> None:
        """The sandbox's sockets are closed and its view forgotten.  Not an error if it was not served."""
        ...

    def publish(self, zone: Zone, *, soon: bool = False) -> None:
        """From now on the network's names are exactly these, or it is forgotten if *gone*.  *soon*: as with
        `serve`."""
        ...

    def join(self, zone: Zone, member: Member) -> None:
        """Add one member to a zone, or replace it: soon."""
        ...

    def part(self, network: str, endpoint: str) -> None:
        """Take one member out of a zone: soon."""
        ...

    def flush(self) -> None:
        """All that was said is so.  Raises Failed where something was refused."""
        ...

    def settle(self) -> None:
        """All has been said: what an earlier engine served or published, and this one did not, goes."""
        ...


class NoNames:
    """Nobody answers."""

    def serve(self, sandbox: Sandbox, view: View, *, soon: bool = False) -> None:
        """Nothing is served."""

    def leave(self, sandbox: str) -> None:
        """Nothing was."""

    def publish(self, zone: Zone, *, soon: bool = False) -> None:
        """Forgotten."""

    def join(self, zone: Zone, member: Member) -> None:
        """Forgotten."""

    def part(self, network: str, endpoint: str) -> None:
        """Forgotten."""

    def flush(self) -> None:
        """Nothing was said."""

    def settle(self) -> None:
        """There was none."""
