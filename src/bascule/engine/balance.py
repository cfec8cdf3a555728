"""What the engine asks of whoever divides connections among a service's endpoints. `kernel.balance.Balancer` keeps
these promises; NoBalance divides nothing."""

# ruff: noqa: ARG002 -- who divides nothing has nothing to look at.

from collections.abc import Mapping, Sequence
from typing import Protocol

from bascule.model.addresses import IPAddress
from bascule.model.endpoint import Proto

Shares = Mapping[IPAddress, Sequence[IPAddress]]
"""Whom a new connection to an address goes to: to one of these, which are of its family."""

Only = Sequence[tuple[Proto, int]]
"""What passes through a namespace on its way to somebody else; nothing said: all."""


class Balance(Protocol):
    def share(self, key: str, shares: Shares, only: Only = ()) -> None:
        """In the namespace at *key* new connections to each address of *shares* go to one of those it has, evenly;
        no others are changed there.  Streams that run go on; datagrams go to somebody who is there.
        Raises KernelError, and then it is as it was."""
        ...

    def faults(self, key: str, shares: Shares, only: Only = ()) -> list[str]:
        """What of that is not so in the kernel, in words; changes nothing."""
        ...

    def renew(self, key: str, shares: Shares, only: Only = ()) -> None:
        """`share`, whatever somebody did there.  Raises KernelError."""
        ...

    def forget(self, key: str) -> None:
        """The namespace at *key* is gone, or somebody else's business."""
        ...


class NoBalance:
    """Nothing is divided."""

    def share(self, key: str, shares: Shares, only: Only = ()) -> None:
        """Forgotten."""

    def faults(self, key: str, shares: Shares, only: Only = ()) -> list[str]:
        return []

    def renew(self, key: str, shares: Shares, only: Only = ()) -> None:
        """Forgotten."""

    def forget(self, key: str) -> None:
        """Nothing was known."""
