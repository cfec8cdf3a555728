"""Address pools as they are asked for: read from words, and checked, in Docker's sentences.

All faults are told at once.  Docker validates the words and the arithmetic in one pass, so both are here: the
edges read with `parse_pools`, and a library user's PoolSpec is held to the same sentences by `check_pools`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bascule.model.addresses import IPAddress, IPNetwork, ip_address, ip_network
from bascule.model.errors import Invalid
from bascule.model.network import PoolSpec


@dataclass(frozen=True, slots=True)
class PoolText:
    """One entry of IPAM.Config as it was written; "" for what was left out."""

    subnet: str = ""
    range: str = ""
    gateway: str = ""
    aux: Mapping[str, str] = field(default_factory=dict)


def parse_pools(texts: Iterable[PoolText]) -> tuple[PoolSpec, ...]:
    """What the user wrote, as values.  Raises Invalid with every fault of every entry."""
    faults: list[str] = []
    specs = [_parse(text, faults) for text in texts]
    _tell(faults)
    return tuple(specs)


def check_pools(specs: Iterable[PoolSpec]) -> None:
    """Raise Invalid with every fault of every entry, unless each could be a network's pool."""
    _tell([fault for spec in specs for fault in pool_faults(spec)])


def pool_faults(spec: PoolSpec) -> list[str]:
    """What is wrong with one entry by itself."""
    if spec.subnet is None:
        # Docker's CLI matches these to a subnet; over the API they are meaningless alone.
        alone = spec.range or spec.gateway or spec.aux
        return [f"invalid subnet {_NOT_CIDR}"] if alone else []
    faults = _range_faults(spec.subnet, spec.range)
    if spec.gateway is not None:
        faults += _outside(spec.subnet, f"invalid gateway {spec.gateway}", spec.gateway)
    for name, address in spec.aux.items():
        faults += _outside(spec.subnet, f"invalid auxiliary address {name}", address)
    return faults


_NOT_CIDR = ": invalid CIDR block notation"


def _tell(faults: list[str]) -> None:
    if len(faults) == 1:
        raise Invalid(f"invalid network config:\n{faults[0]}")
    if faults:
        raise Invalid("invalid network config:\n" + "\n".join(f"* {fault}" for fault in faults))


def _parse(text: PoolText, faults: list[str]) -> PoolSpec:
    """The entry as far as it can be read.  Nothing can be said of the rest when its subnet can't be."""
    subnet = _network("subnet", text.subnet, faults)
    if subnet is None:
        return PoolSpec()
    range_ = _network("ip-range", text.range, faults, subnet) if text.range else None
    gateway = None
    if text.gateway:
        gateway = _address(f"invalid gateway {text.gateway}", text.gateway, subnet, faults)
    aux = {
        name: address
        for name, written in text.aux.items()
        if (address := _address(f"invalid auxiliary address {name}", written, subnet, faults)) is not None
    }
    return PoolSpec(subnet, range_, gateway, aux)


def _network(what: str, text: str, faults: list[str], subnet: IPNetwork | None = None) -> IPNetwork | None:
    """*text* as a network, with its host bits told and cleared."""
    try:
        # ipaddress takes "10.0.0.0" and "10.0.0.0/255.0.0.0" too; CIDR notation is one number after a slash.
        if not text.partition("/")[2].isdecimal():
            raise ValueError(text)
        found = ip_network(text, strict=False)
    except ValueError:
        faults.append(f"invalid {what} {text}{_NOT_CIDR}")
        return None
    faults += _range_faults(subnet, found, text) if subnet else _host_bits(what, text, found)
    return found


def _host_bits(what: str, text: str, network: IPNetwork) -> list[str]:
    if ip_address(text.partition("/")[0]) == network.network_address:
        return []
    return [f"invalid {what} {text}: it should be {network}"]


def _range_faults(subnet: IPNetwork, range_: IPNetwork | None, text: str = "") -> list[str]:
    if range_ is None:
        return []
    text = text or str(range_)
    if range_.version != subnet.version:
        return [f"invalid ip-range {text}: parent subnet is an IPv{subnet.version} block"]
    faults = []
    if range_.prefixlen < subnet.prefixlen:
        faults.append(f"invalid ip-range {text}: CIDR block is bigger than its parent subnet {subnet}")
    faults += _host_bits("ip-range", text, range_)
    if not subnet.overlaps(range_):
        faults.append(f"invalid ip-range {text}: parent subnet {subnet} doesn't contain ip-range")
    return faults


def _address(what: str, text: str, subnet: IPNetwork, faults: list[str]) -> IPAddress | None:
    try:
        found = ip_address(text)
    except ValueError:
        faults.append(f"{what}: invalid address")
        return None
    faults += _outside(subnet, what, found)
    return found


def _outside(subnet: IPNetwork, what: str, address: IPAddress) -> list[str]:
    if address.version != subnet.version:
        return [f"{what}: parent subnet is an IPv{subnet.version} block"]
    if address not in subnet:
        return [f"{what}: parent subnet {subnet} doesn't contain this address"]
    return []
