"""A link of the host's as it is, whoever made it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HostLink:
    """*index* is the kernel's number of it, the same as long as it is there, whatever it is called; *parent* that
    of the link it is made of, or 0.  *up* is what it was told to be, *carries* whether it does."""

    index: int
    name: str
    kind: str = ""
    up: bool = True
    carries: bool = True
    mtu: int = 1500
    mac: str = ""
    parent: int = 0
