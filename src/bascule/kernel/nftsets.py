"""The sets and maps of the rule set: what they hold, and what for.  `model/firewall.py` says what is put in."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bascule.model.addresses import FAMILIES, nft_family

TableFamily = Literal["inet", "bridge"]
Kind = Literal["chain", "set", "map"]
TABLES: tuple[TableFamily, TableFamily] = ("inet", "bridge")


@dataclass(frozen=True, slots=True)
class Declared:
    """A set, or a map where it has a *value*, and nft's names for the parts of its keys and values."""

    family: TableFamily
    name: str
    key: tuple[str, ...]
    value: tuple[str, ...] = ()
    purpose: str = ""

    @property
    def kind(self) -> Kind:
        return "map" if self.value else "set"

    def __str__(self) -> str:
        word = "typeof" if any(part.startswith("@") for part in self.key) else "type"
        value = " : " + " . ".join(self.value) if self.value else ""
        return f'\t{self.kind} {self.name} {{ {word} {" . ".join(self.key)}{value}; comment "{self.purpose}"; }}'


def _declared() -> Iterator[Declared]:
    yield Declared("inet", "together", ("ifname", "ifname"), purpose="bridges whose endpoints reach one another")
    yield Declared("inet", "internal_from", ("ifname",), purpose="bridges that nothing leaves")
    yield Declared("inet", "internal_to", ("ifname",), purpose="bridges that nothing enters")
    yield Declared("inet", "forward_to", ("nf_proto", "ifname"), ("verdict",), "what may be routed to a bridge")
    yield Declared("inet", "trusted", ("ifname", "ifname"), purpose="links that may route to a bridge")
    yield Declared("inet", "closed", ("nf_proto",), purpose="what is forwarded for our networks only")
    yield Declared("inet", "underlay", ("inet_service",), purpose="UDP ports of overlay networks")
    yield Declared("inet", "sealed", ("@th,96,24",), purpose="networks that are encrypted between hosts, by VNI")
    yield Declared("inet", "sealers", ("ifname",), purpose="links that encrypt")
    for version in FAMILIES:
        ip, addr = nft_family(version), f"ipv{version}_addr"
        behind = (addr, "inet_service")
        service = (addr, "inet_proto", "inet_service")
        flow = (addr, addr, "inet_proto", "inet_service")
        yield Declared("inet", f"hairpin_{ip}", ("ifname", "ifname"), purpose="each bridge with itself")
        yield Declared("inet", f"open_{ip}", service, purpose="ports open to routed traffic")
        yield Declared("inet", f"linked_{ip}", flow, purpose="who may reach which port though kept apart")
        yield Declared("inet", f"publish_at_{ip}", service, behind, "ports published at one address")
        yield Declared("inet", f"publish_{ip}", service[1:], behind, "ports published at every address")
        yield Declared("inet", f"masquerade_{ip}", ("ifname",), purpose="bridges hidden behind the host's address")
        yield Declared("inet", f"vtep_{ip}", (addr,), purpose="hosts that overlay networks come from")
        yield Declared("inet", f"snat_{ip}", ("ifname",), (addr,), "bridges hidden behind a given address")
        yield Declared("bridge", f"linked_{ip}", flow, purpose="who may reach which port though kept apart")
        yield Declared("bridge", f"linked_back_{ip}", flow, purpose="and the answers to it")
        yield Declared("bridge", f"lawful_{ip}", ("ifname", addr), purpose="the addresses of a port's endpoint")
    yield Declared("bridge", "lawful_target", ("iifname", "@th,64,128"), purpose="what a port may advertise")
    yield Declared("bridge", "lawful_own", ("iifname", "@nh,128,64"), purpose="what a port has of any prefix")
    yield Declared("bridge", "lawful_mac", ("ifname", "ether_addr"), purpose="the MAC of a port's endpoint")
    yield Declared("bridge", "guarded", ("ifname",), purpose="ports held to their endpoint's addresses")
    yield Declared("bridge", "ports", ("ifname",), purpose="ports of ours")
    yield Declared("bridge", "apart", ("ifname",), purpose="ports kept apart from each other")


SETS: dict[tuple[TableFamily, str], Declared] = {(d.family, d.name): d for d in _declared()}
