"""Which of the typed subnets a range, a gateway or a reserved address belongs to."""

from ipaddress import IPv4Network, IPv6Network, ip_interface, ip_network
from typing import Any

from bascule.cli.options import UsageError


class Pools:
    """The typed subnets, in their order.  One that is none is passed on for the daemon to refuse, unless
    something has to be found in it or beside it."""

    def __init__(self) -> None:
        self._configs: dict[str, dict[str, Any]] = {}
        self._subnets: dict[str, IPv4Network | IPv6Network] = {}

    def add(self, text: str) -> None:
        if self._configs:
            subnet = self._subnet(text)
            if any(_overlap(subnet, self._subnet(other)) for other in self._configs):
                raise UsageError("multiple overlapping subnet configuration is not supported")
        self._configs[text] = {"Subnet": text}

    def _subnet(self, text: str) -> IPv4Network | IPv6Network:
        try:
            return self._subnets.setdefault(text, ip_network(text, strict=False))
        except ValueError:
            raise UsageError(f"invalid subnet: invalid CIDR address: {text}") from None

    def put(self, text: str, key: str, word: str, twice: str) -> None:
        """*text* is the *key* of the subnet it lies in."""
        name, config = self._home(text, word)
        if config.get(key):
            raise UsageError(twice.format(text, config[key], name))
        config[key] = text

    def reserve(self, name: str, address: str) -> None:
        self._home(address, "aux-address")[1].setdefault("AuxiliaryAddresses", {})[name] = address

    def _home(self, text: str, word: str) -> tuple[str, dict[str, Any]]:
        try:
            address = ip_interface(text).ip
        except ValueError:
            raise UsageError(f"no matching subnet for {word} {text}") from None
        for name, config in self._configs.items():
            subnet = self._subnet(name)
            if address.version == subnet.version and address in subnet:
                return name, config
        raise UsageError(f"no matching subnet for {word} {text}")

    def config(self) -> list[dict[str, Any]]:
        return list(self._configs.values())


def _overlap(a: IPv4Network | IPv6Network, b: IPv4Network | IPv6Network) -> bool:
    return a.version == b.version and a.overlaps(b)
