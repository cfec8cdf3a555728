"""Things that encrypt: who a WireGuard link is and talks to; what IPsec does to which packets.  All are the host's
own.

`str(thing)` is a command line as that of any other thing, but for its secrets: `$KEY` stands where one is.
"""

from dataclasses import dataclass, field
from typing import Literal

from bascule.model.addresses import IPAddress

NUMBER = 0xBA5C0000
"""IPsec's states and policies with this number, and the link that has it, are ours."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The WireGuard link *link* hears at UDP *port* and has this private *key*, in base64."""

    link: str
    port: int
    key: str = field(repr=False)

    def __str__(self) -> str:
        return f'wg set {self.link} listen-port {self.port} private-key <(echo "$KEY")'


@dataclass(frozen=True, slots=True)
class Peer:
    """Whoever has the public *key* is at *host* and *port*, and speaks for the address *inside* and no other."""

    link: str
    key: str
    host: IPAddress
    port: int
    inside: IPAddress

    def __str__(self) -> str:
        host = f"[{self.host}]" if self.host.version == 6 else str(self.host)
        allowed = f"{self.inside}/{self.inside.max_prefixlen}"
        return f"wg set {self.link} peer {self.key} endpoint {host}:{self.port} allowed-ips {allowed}"


@dataclass(frozen=True, slots=True)
class XfrmState:
    """ESP packets from *source* to *target* with this *spi* are of the link with *number*: AES-GCM (RFC 4106),
    *key* in hex with its four bytes of salt."""

    source: IPAddress
    target: IPAddress
    spi: int
    number: int
    key: str = field(repr=False)

    def __str__(self) -> str:
        return (
            f"ip xfrm state add src {self.source} dst {self.target} proto esp spi {self.spi:#x} reqid {self.number}"
            f" mode tunnel if_id {self.number:#x} aead 'rfc4106(gcm(aes))' 0x$KEY 128"
        )


@dataclass(frozen=True, slots=True)
class XfrmPolicy:
    """On the link with *number*, packets from *inside* to *beyond* go out as ESP from *source* to *target* with
    *spi*; or come in only so (*spi* 0: any)."""

    way: Literal["in", "out"]
    inside: IPAddress
    beyond: IPAddress
    source: IPAddress
    target: IPAddress
    number: int
    spi: int = 0

    def __str__(self) -> str:
        bits = self.inside.max_prefixlen
        spi = f"spi {self.spi:#x} " if self.spi else ""
        return (
            f"ip xfrm policy update src {self.inside}/{bits} dst {self.beyond}/{bits} dir {self.way}"
            f" if_id {self.number:#x} tmpl src {self.source} dst {self.target} proto esp {spi}reqid {self.number}"
            " mode tunnel"
        )


Sealing = Identity | Peer | XfrmState | XfrmPolicy


def place(thing: Sealing) -> tuple[object, ...]:
    """What there is only one of at a time: of two things with the same place the later one replaces the other."""
    match thing:
        case Identity():
            return ("identity", thing.link)
        case Peer():
            return ("peer", thing.link, thing.key)
        case XfrmState():
            return ("state", thing.target, thing.spi)
        case XfrmPolicy():
            return ("policy", thing.way, thing.inside, thing.beyond, thing.number)


def gone(thing: Sealing) -> str:
    """The command line that takes it away; "" where it goes with its link."""
    match thing:
        case Identity():
            return ""
        case Peer():
            return f"wg set {thing.link} peer {thing.key} remove"
        case XfrmState():
            return f"ip xfrm state delete src {thing.source} dst {thing.target} proto esp spi {thing.spi:#x}"
        case XfrmPolicy():
            bits = thing.inside.max_prefixlen
            return (
                f"ip xfrm policy delete src {thing.inside}/{bits} dst {thing.beyond}/{bits} dir {thing.way}"
                f" if_id {thing.number:#x}"
            )
