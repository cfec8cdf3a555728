"""What answers say of networks and endpoints: the functions beside build these; /openapi.json is made of them."""

from typing import NotRequired, TypedDict


class Error(TypedDict):
    """Every refusal."""

    message: str


class IpamConfig(TypedDict):
    Subnet: str
    IPRange: NotRequired[str]
    Gateway: NotRequired[str]
    AuxiliaryAddresses: NotRequired[dict[str, str]]


class Ipam(TypedDict):
    Driver: str
    Options: dict[str, str] | None
    Config: list[IpamConfig] | None


class ConfigReference(TypedDict):
    Network: str


class Member(TypedDict):
    """An endpoint as its network shows it; the addresses with their prefix lengths, or ""."""

    Name: str
    EndpointID: str
    MacAddress: str
    IPv4Address: str
    IPv6Address: str


class Peer(TypedDict):
    """A host with endpoints on a network of several."""

    Name: str
    IP: str


class Network(TypedDict):
    """A network.  Containers is by container id, and empty in a list from 1.28 on.  Status, of `inspect` alone,
    tells what is not as it should be, and is left out when all is well."""

    Name: str
    Id: str
    Created: str
    Scope: str
    Driver: str
    EnableIPv4: bool
    EnableIPv6: bool
    IPAM: Ipam
    Internal: bool
    Attachable: bool
    Ingress: bool
    ConfigFrom: ConfigReference
    ConfigOnly: bool
    Containers: dict[str, Member]
    Options: dict[str, str]
    Labels: dict[str, str]
    Status: NotRequired[dict[str, str]]
    Peers: NotRequired[list[Peer]]


class NetworkCreated(TypedDict):
    Id: str
    Warning: str


class NetworksPruned(TypedDict):
    """The names of the networks that are gone."""

    NetworksDeleted: list[str] | None


class EndpointIpam(TypedDict, total=False):
    IPv4Address: str
    IPv6Address: str
    LinkLocalIPs: list[str]


class EndpointSettings(TypedDict):
    """A container's place on one network: what was asked for, and while it runs what is."""

    IPAMConfig: EndpointIpam | None
    Links: list[str] | None
    Aliases: list[str] | None
    MacAddress: str
    DriverOpts: dict[str, str] | None
    GwPriority: int
    NetworkID: str
    EndpointID: str
    Gateway: str
    IPAddress: str
    IPPrefixLen: int
    IPv6Gateway: str
    GlobalIPv6Address: str
    GlobalIPv6PrefixLen: int
    DNSNames: list[str] | None
