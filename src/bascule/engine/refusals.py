"""What Docker says no to before it decides anything, in its order and its words."""

from collections.abc import Sequence

from bascule.drivers import find, service
from bascule.drivers.options import check_known
from bascule.drivers.parent import base
from bascule.engine.intent import DEFAULT, GATEWAY, Intent, stands
from bascule.engine.leases import DRIVER
from bascule.model.addresses import IPAddress
from bascule.model.endpoint import EndpointSpec
from bascule.model.errors import Conflict, Failed, Forbidden, Invalid, NotFound
from bascule.model.names import check_network_name, parse_mac
from bascule.model.network import Network, NetworkSpec
from bascule.model.service import entry

PREDEFINED = ("bridge", "host", "none", "default")
# What a Docker without swarm says.
NO_SWARM = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to'
    " swarm and try again."
)


def check_network(spec: NetworkSpec, intent: Intent) -> None:
    """Raise for a spec that no decision could save."""
    check_network_name(spec.name)
    if spec.name in PREDEFINED:
        # The trailing blank is Docker's.
        raise Forbidden(f"operation is not permitted on predefined {spec.name} network ")
    if spec.name == GATEWAY and (spec.driver != "bridge" or spec.internal or spec.config_only):
        raise Forbidden(
            f"network {GATEWAY} leads containers of overlay networks outside: a bridge network, not an internal one"
        )
    if spec.config_only:
        _check_config_only(spec)
    _check_scope(spec, member=intent.membership() is not None)
    if intent.store.where(Network, "name", spec.name):
        raise Conflict(f"network with name {spec.name} already exists")
    if spec.ipam_driver == DRIVER:
        _check_leases(spec)
    elif spec.ipam_driver not in ("default", "null", ""):
        raise NotFound(f'plugin "{spec.ipam_driver}" not found')
    if not spec.config_only:
        traits = find(spec.driver).TRAITS
        if traits.single and any(n.driver == traits.name for n in intent.networks()):
            raise Forbidden(f'only one instance of "{traits.name}" network is allowed')


def _check_leases(spec: NetworkSpec) -> None:
    if not spec.config_only and not find(spec.driver).TRAITS.leases:
        raise Invalid(f"network {spec.name}: the {spec.driver} driver takes no addresses from a DHCP server")
    if spec.pools:
        raise Invalid(f"network {spec.name}: --ipam-driver {DRIVER} takes no subnet: the server chooses")
    if spec.ipv4 is False and not spec.ipv6:
        raise Invalid(f"network {spec.name}: --ipam-driver {DRIVER} gives addresses, and there are to be none")


def _check_config_only(spec: NetworkSpec) -> None:
    if spec.internal or spec.attachable or spec.ingress or spec.scope:
        raise Forbidden(
            "configuration network can only contain network specific fields. Network operator fields like"
            " [ ingress | internal | attachable | scope ] are not supported."
        )
    if spec.config_from:
        raise Forbidden("a configuration network cannot depend on another configuration network")


def _check_scope(spec: NetworkSpec, *, member: bool) -> None:
    if spec.driver == "overlay":
        if not member:
            raise Forbidden(NO_SWARM)
        if spec.scope == "local":
            raise Forbidden(f"network {spec.name}: an overlay network is on several hosts, its scope is not local")
    elif spec.scope in ("swarm", "global"):
        raise Forbidden("cannot create a swarm scoped network when swarm is not active")
    if spec.ingress and spec.driver == "overlay":
        raise Forbidden(
            f"network {spec.name}: there are no ingress networks here: what option {service.PUBLISH} of an endpoint"
            " publishes, every host of the cluster does"
        )
    if spec.ingress:
        raise Forbidden("Ingress network can only be global scope network")


def resolve_config(spec: NetworkSpec, intent: Intent) -> Network | None:
    """The configuration network that *spec* names, or None where it names none."""
    if not spec.config_from:
        return None
    found = [n for n in intent.networks() if n.config_only and spec.config_from in (n.name, n.id)]
    if not found:
        raise NotFound(f'configuration network "{spec.config_from}" does not exist')
    if spec.pools or spec.ipam_options or spec.ipv6:
        raise Forbidden(
            "user specified configurations are not supported if the network depends on a configuration network"
        )
    if spec.options:
        raise Forbidden(
            "network driver options are not supported if the network depends on a configuration network"
        )
    return found[0]


def check_removable(net: Network, intent: Intent) -> None:
    """Raise Forbidden unless *net* can go."""
    if net.predefined:
        raise Forbidden(f"{net.name} is a pre-defined network and cannot be removed")
    if net.config_only and any(n.config_from == net.name for n in intent.networks()):
        raise Forbidden(f'error while removing network: configuration network "{net.name}" is in use')
    active = [ep for ep in intent.endpoints(network=net.id) if not (net.tunnel and entry(ep.name))]
    if active:
        shown = ", ".join(f'name:"{ep.name}" id:"{ep.id[:12]}"' for ep in active)
        raise Forbidden(f"error while removing network: network {net.name} has active endpoints ({shown})")
    if net.link and not net.adopted and not stands(net):
        for other in intent.networks():
            if stands(other) and base(other) == net.link:
                raise Forbidden(
                    f"error while removing network: the bridge of network {net.name}, {net.link}, is the parent of"
                    f" network {other.name}"
                )


def check_endpoint(net: Network, spec: EndpointSpec) -> None:
    """Raise for what can be said no to without a running container."""
    if net.config_only:
        raise Forbidden("cannot create endpoint on configuration-only network")
    driver = find(net.driver)
    if net.driver == "host":
        raise Invalid("cannot connect container to host network - container must be created in host network mode")
    if not driver.TRAITS.connects:
        raise Invalid(
            "container cannot be connected to multiple networks with one of the networks in private (none) mode"
        )
    for address in spec.link_local:
        if not address.is_link_local:
            raise Invalid(f"invalid link local IP address: {address}")
    faults = _endpoint_faults(net, spec)
    if len(faults) == 1:
        raise Invalid(f"invalid endpoint settings:\n{faults[0]}")
    if faults:
        raise Invalid("invalid endpoint settings:\n" + "\n".join(f"* {fault}" for fault in faults))
    check_known(spec.options, service.KNOWN)
    driver.check_endpoint(net, dict(spec.options))
    if not net.tunnel and service.wanted(spec.options):
        raise Invalid(f"network {net.name}: services are on networks of several hosts (--driver overlay)")
    if spec.mac:
        parse_mac(spec.mac)
        if not driver.TRAITS.own_mac:
            raise Failed(f"{net.driver} interfaces do not support custom mac address assignment")


def _endpoint_faults(net: Network, spec: EndpointSpec) -> list[str]:
    default = net.predefined and net.name == DEFAULT
    faults = []
    if spec.aliases and default:
        faults.append("network-scoped alias is supported only for containers in user defined networks")
    if spec.addresses and default:
        faults.append("user specified IP address is supported on user defined networks only")
    for address in spec.addresses:
        faults += _address_faults(net, address)
    return list(dict.fromkeys(faults))


def _address_faults(net: Network, address: IPAddress) -> Sequence[str]:
    configured = [p.subnet for p in net.asked if p.subnet and p.subnet.version == address.version]
    if net.ipam_driver == DRIVER:
        return [f"network {net.name}: a DHCP server gives the addresses, {address} is not ours to choose"]
    if not configured:
        # Docker 28's sentence; Docker 29 allows it.  A subnet that was picked for the user may be another one
        # after the network is made anew, so an address in it is not a thing to rely on.
        return [
            "user specified IP address is supported only when connecting to networks with user configured subnets"
        ]
    if not any(address in subnet for subnet in configured):
        return [f"no configured subnet or ip-range contain the IP address {address}"]
    return []
