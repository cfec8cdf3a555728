"""Ports in Docker's notations: "80/tcp", PortBindings, NetworkSettings.Ports, the Ports of a list."""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address
from typing import cast

from bascule.api.shapes.container_answer import Port, PortBinding
from bascule.api.shapes.container_body import PortBindingBody
from bascule.model.endpoint import PortSpec, Proto, PublishedPort
from bascule.model.errors import Invalid

PORT_MAX = 65535


def parse(text: str) -> list[tuple[Proto, int]]:
    """`80`, `80/udp` or `80-82/tcp` as the ports that it means.  Raises Invalid."""
    numbers, slash, proto = text.partition("/")
    proto = proto.lower() if slash else "tcp"
    if proto not in ("tcp", "udp", "sctp"):
        raise Invalid(f'invalid port specification: "{text}"')
    first, last = span(numbers, text)
    return [(cast(Proto, proto), number) for number in range(first, last + 1)]


def span(numbers: str, told: str) -> tuple[int, int]:
    """`80` or `80-82`, both ends included.  Raises Invalid naming *told*."""
    low, dash, high = numbers.partition("-")
    if not _is_port(low) or (dash and not _is_port(high)) or (dash and int(high) < int(low)):
        raise Invalid(f'invalid port specification: "{told}"')
    return int(low), int(high) if dash else int(low)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) <= PORT_MAX


def exposed(told: Iterable[str]) -> tuple[tuple[Proto, int], ...]:
    """The keys of ExposedPorts.  Raises Invalid."""
    return tuple(dict.fromkeys(port for text in told for port in parse(text)))


def bindings(told: Mapping[str, Sequence[PortBindingBody] | None]) -> tuple[PortSpec, ...]:
    """PortBindings.  Raises Invalid."""
    return tuple(
        _binding(proto, number, one)
        for text, several in told.items()
        for proto, number in parse(text)
        for one in several or (PortBindingBody(),)
    )


def _binding(proto: Proto, number: int, body: PortBindingBody) -> PortSpec:
    asked = body.HostPort or ""
    first, last = span(asked, asked) if asked else (0, 0)
    host = None
    if body.HostIp:
        try:
            host = ip_address(body.HostIp.strip("[]"))
        except ValueError:
            raise Invalid(f"invalid IP address: {body.HostIp}") from None
    return PortSpec(number, proto, host, (first, last) if first else None)


def show(ports: Iterable[PublishedPort], also: Iterable[tuple[Proto, int]]) -> dict[str, list[PortBinding] | None]:
    """NetworkSettings.Ports: what is published, and null for what is only exposed."""
    shown: dict[str, list[PortBinding] | None] = {f"{number}/{proto}": None for proto, number in also}
    for port in ports:
        key = f"{port.port}/{port.proto}"
        shown[key] = [
            *(shown.get(key) or []),
            {"HostIp": str(port.host), "HostPort": str(port.host_port)},
        ]
    return dict(sorted(shown.items(), key=lambda item: _order(item[0])))


def _order(key: str) -> tuple[int, str]:
    number, _, proto = key.partition("/")
    return int(number), proto


def listed(ports: Sequence[PublishedPort], also: Iterable[tuple[Proto, int]]) -> list[Port]:
    """The Ports of one line of a list."""
    bound = {(p.proto, p.port) for p in ports}
    shown: list[Port] = [
        {"IP": str(p.host), "PrivatePort": p.port, "PublicPort": p.host_port, "Type": p.proto} for p in ports
    ]
    hidden: list[Port] = [{"PrivatePort": n, "Type": proto} for proto, n in also if (proto, n) not in bound]
    return shown + hidden


def asked(specs: Iterable[PortSpec]) -> dict[str, list[PortBinding]]:
    """PortBindings again, for HostConfig."""
    shown: dict[str, list[PortBinding]] = {}
    for spec in specs:
        numbers = spec.host_ports
        port = (
            "" if numbers is None else f"{numbers[0]}" if numbers[0] == numbers[1] else f"{numbers[0]}-{numbers[1]}"
        )
        entry: PortBinding = {"HostIp": str(spec.host) if spec.host else "", "HostPort": port}
        shown.setdefault(f"{spec.port}/{spec.proto}", []).append(entry)
    return shown
