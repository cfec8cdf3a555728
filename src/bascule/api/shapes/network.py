"""Networks in Docker's words."""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network

from msgspec import Raw, Struct
from msgspec.json import encode

from bascule.api.shapes import filters, times, values
from bascule.api.shapes import network_answer as answer
from bascule.api.shapes.filters import Filters
from bascule.model.addresses import IPAddress, IPNetwork, family
from bascule.model.cluster import Node
from bascule.model.endpoint import Endpoint
from bascule.model.errors import Invalid
from bascule.model.network import Network, NetworkSpec, Pool, PoolSpec


class PoolBody(Struct):
    Subnet: str | None = None
    IPRange: str | None = None
    Gateway: str | None = None
    AuxiliaryAddresses: dict[str, str] | None = None


class IpamBody(Struct):
    Driver: str | None = None
    Options: dict[str, str] | None = None
    Config: list[PoolBody] | None = None


class ConfigFromBody(Struct):
    Network: str | None = None


class NetworkBody(Struct):
    """POST /networks/create.  docker-py sends null for whatever the user left out."""

    Name: str | None = None
    Driver: str | None = None
    Scope: str | None = None
    EnableIPv4: bool | None = None
    EnableIPv6: bool | None = None
    IPAM: IpamBody | None = None
    Internal: bool | None = None
    Attachable: bool | None = None
    Ingress: bool | None = None
    ConfigOnly: bool | None = None
    ConfigFrom: ConfigFromBody | None = None
    Options: dict[str, str] | None = None
    Labels: dict[str, str] | None = None


def spec(body: NetworkBody) -> NetworkSpec:
    """The network that is asked for.  Raises Invalid for what is no address, with Docker's list of faults."""
    ipam = body.IPAM or IpamBody()
    return NetworkSpec(
        name=(body.Name or "").strip(),
        driver=body.Driver or "bridge",
        pools=_pools(ipam.Config or ()),
        ipv4=body.EnableIPv4,
        ipv6=body.EnableIPv6,
        internal=bool(body.Internal),
        attachable=bool(body.Attachable),
        ingress=bool(body.Ingress),
        scope=body.Scope or "",
        config_only=bool(body.ConfigOnly),
        config_from=(body.ConfigFrom.Network or "") if body.ConfigFrom else "",
        ipam_driver=ipam.Driver or "default",
        ipam_options=ipam.Options,
        options=body.Options or {},
        labels=body.Labels or {},
    )


class _Faults:
    """Everything that is wrong with one IPAM section, told together (api/types/network/ipam.go)."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def subnet(self, text: str, what: str) -> IPNetwork | None:
        try:
            if "/" not in text:
                raise ValueError(text)
            net = ip_network(text, strict=False)
        except ValueError:
            self.found.append(f"invalid {what} {text}: invalid CIDR block notation")
            return None
        if ip_address(text.partition("/")[0]) != net.network_address:
            self.found.append(f"invalid {what} {text}: it should be {net}")
            return None
        return net

    def address(self, text: str, what: str, shown: str) -> IPAddress | None:
        try:
            return ip_address(text)
        except ValueError:
            self.found.append(f"invalid {what} {shown}: invalid address")
            return None

    def tell(self) -> None:
        if len(self.found) == 1:
            raise Invalid(f"invalid network config:\n{self.found[0]}")
        if self.found:
            raise Invalid("invalid network config:\n" + "\n".join(f"* {fault}" for fault in self.found))


def _pools(bodies: Sequence[PoolBody]) -> tuple[PoolSpec, ...]:
    faults = _Faults()
    pools = []
    for body in bodies:
        subnet = faults.subnet(body.Subnet or "", "subnet")
        if subnet is None:
            continue
        pools.append(
            PoolSpec(
                subnet=subnet,
                range=faults.subnet(body.IPRange, "ip-range") if body.IPRange else None,
                gateway=faults.address(body.Gateway, "gateway", body.Gateway) if body.Gateway else None,
                aux={
                    name: address
                    for name, text in (body.AuxiliaryAddresses or {}).items()
                    if (address := faults.address(text, "auxiliary address", name))
                },
            )
        )
    faults.tell()
    return tuple(pools)


def show(
    net: Network,
    members: Mapping[str, Endpoint] | None = None,
    status: Mapping[str, str] | None = None,
    peers: Sequence[Node] = (),
) -> answer.Network:
    """A network as list and inspect show it; *members* are its endpoints by container id, *status* is what is not
    as it should be, *peers* are the hosts that one of several hosts is on."""
    ipam_options = None if net.ipam_options is None else dict(net.ipam_options)
    shown: answer.Network = {
        "Name": net.name,
        "Id": net.id,
        "Created": times.rfc3339(net.created),
        "Scope": net.scope,
        # A configuration network has no driver, whatever was asked for.
        "Driver": "null" if net.config_only else net.driver,
        "EnableIPv4": net.ipv4,
        "EnableIPv6": net.ipv6,
        "IPAM": {"Driver": net.ipam_driver, "Options": ipam_options, "Config": _config(net)},
        "Internal": net.internal,
        "Attachable": net.attachable,
        "Ingress": net.ingress,
        "ConfigFrom": {"Network": net.config_from},
        "ConfigOnly": net.config_only,
        "Containers": {key: _member(ep) for key, ep in (members or {}).items()},
        "Options": _options(net),
        "Labels": dict(net.labels),
    }
    if status:
        shown["Status"] = dict(status)
    if peers:
        shown["Peers"] = [{"Name": node.name, "IP": str(node.address)} for node in peers]
    return shown


def _options(net: Network) -> dict[str, str]:
    """Docker tells of an overlay network which VXLAN identifiers it has; and we, what it is encrypted with."""
    if net.tunnel is None:
        return dict(net.options)
    told = {"com.docker.network.driver.overlay.vxlanid_list": str(net.tunnel.vni)}
    sealed = {"bascule.encryption": net.tunnel.seal} if net.tunnel.seal else {}
    return {**told, **net.options, **sealed}


def _config(net: Network) -> list[answer.IpamConfig] | None:
    """Family by family what was asked for, and where nothing was, what was decided."""
    shown: list[answer.IpamConfig] = []
    for version in (4, 6):
        asked = [p for p in net.asked if p.subnet is not None and family(p.subnet) == version]
        decided = [p for p in net.pools if p.family == version]
        shown += [_asked_pool(p, decided) for p in asked] or [_decided_pool(p) for p in decided]
    return shown or None


def _asked_pool(pool: PoolSpec, decided: Sequence[Pool]) -> answer.IpamConfig:
    """With what was decided besides, which has a name (the host's own address)."""
    shown: answer.IpamConfig = {"Subnet": str(pool.subnet)}
    if pool.range:
        shown["IPRange"] = str(pool.range)
    if pool.gateway:
        shown["Gateway"] = str(pool.gateway)
    return _with_aux(shown, next((own.aux for own in decided if own.subnet == pool.subnet), pool.aux))


def _with_aux(shown: answer.IpamConfig, aux: Mapping[str, IPAddress]) -> answer.IpamConfig:
    if aux:
        shown["AuxiliaryAddresses"] = {name: str(address) for name, address in aux.items()}
    return shown


def _decided_pool(pool: Pool) -> answer.IpamConfig:
    shown: answer.IpamConfig = {"Subnet": str(pool.subnet)}
    if pool.gateway:
        shown["Gateway"] = str(pool.gateway)
    return _with_aux(shown, pool.aux)


def _member(ep: Endpoint) -> answer.Member:
    v4, v6 = ep.address(4), ep.address(6)
    return {
        "Name": ep.name,
        "EndpointID": ep.id,
        "MacAddress": ep.mac,
        "IPv4Address": str(v4) if v4 else "",
        "IPv6Address": str(v6) if v6 else "",
    }


class Listed:
    """The list of all networks as clients poll it, written anew only when it has changed, and of it only what has:
    a value of the model never changes, so that the same one is the same text.  For one thread."""

    def __init__(self) -> None:
        self._nets: Sequence[Network] = ()
        self._texts: dict[str, tuple[Network, Raw]] = {}
        self._body = values.encode([])

    def body(self, nets: Sequence[Network]) -> bytes:
        """*nets* as JSON, without their members."""
        if nets != self._nets:
            self._texts = {net.id: (net, self._text(net)) for net in nets}
            self._body = values.encode([text for _, text in self._texts.values()])
            self._nets = nets
        return self._body

    def _text(self, net: Network) -> Raw:
        known, text = self._texts.get(net.id, (None, Raw()))
        return text if known is net else Raw(encode(show(net)))


LIST = ("dangling", "driver", "id", "label", "name", "scope", "type")


def matching(nets: Sequence[Network], asked: Filters, used: Mapping[str, object]) -> list[Network]:
    """The networks that the filters of a list accept; *used* holds the ids of those with endpoints."""
    filters.check_type(asked.get("type"))
    dangling = asked.flag("dangling")
    kinds = {value == "builtin" for value in asked.get("type")} or {True, False}
    return [
        net
        for net in nets
        if asked.exact("driver", net.driver)
        and asked.match("name", net.name)
        and asked.match("id", net.id)
        and asked.labels(net.labels)
        and asked.exact("scope", net.scope)
        and net.predefined in kinds
        and (dangling is None or dangling == (net.id not in used and not net.predefined))
    ]
