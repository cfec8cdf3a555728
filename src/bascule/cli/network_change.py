"""`bascule network`: what changes networks and who is on them.  Each can say what it would do (`--dry-run`)."""

from __future__ import annotations

import sys

from bascule.cli.client import Client, Refusal, quote
from bascule.cli.command import MANY, Command
from bascule.cli.dry import OPTION, dry_run
from bascule.cli.options import Given, UsageError, label

TYPE_CHECKING = False  # As in typing, whose import costs 5 ms: docs/decisions/010.
if TYPE_CHECKING:
    from typing import Any


def create(client: Client, given: Given) -> int:
    body: dict[str, Any] = {
        "Name": given.args[0],
        "Driver": given.text("driver"),
        "Scope": given.text("scope"),
        "IPAM": {
            "Driver": given.text("ipam-driver"),
            "Options": given.map("ipam-opt"),
            "Config": subnets(given) if _names_addresses(given) else [],
        },
        "Internal": given.flag("internal"),
        "Attachable": given.flag("attachable"),
        "Ingress": given.flag("ingress"),
        "ConfigOnly": given.flag("config-only"),
        "Options": given.map("opt"),
        "Labels": given.map("label"),
    }
    if given.text("config-from"):
        body["ConfigFrom"] = {"Network": given.text("config-from")}
    for option, key in (("ipv4", "EnableIPv4"), ("ipv6", "EnableIPv6")):
        if option in given.typed:
            body[key] = given.flag(option)
    if given.flag("dry-run"):
        return dry_run(client, "POST", "/networks/create", {}, body)
    answer = client.post("/networks/create", body=body)
    if answer.get("Warning"):
        print(f"WARNING: {answer['Warning']}", file=sys.stderr)
    print(answer["Id"])
    return 0


def _names_addresses(given: Given) -> bool:
    return any(given.list(name) for name in ("subnet", "ip-range", "gateway", "aux-address"))


def subnets(given: Given) -> list[dict[str, Any]]:
    """The subnets with the ranges, gateways and reserved addresses that lie in each.  Raises UsageError for
    what belongs to none of them or to more than it may, in Docker's words."""
    from bascule.cli.pools import Pools

    pools = Pools()
    typed, ranges, gateways = (given.list(name) for name in ("subnet", "ip-range", "gateway"))
    if len(typed) < max(len(ranges), len(gateways)):
        raise UsageError("every ip-range or gateway must have a corresponding subnet")
    for subnet in typed:
        pools.add(subnet)
    for text in ranges:
        pools.put(text, "IPRange", "range", "cannot configure multiple ranges ({}, {}) on the same subnet ({})")
    for text in gateways:
        pools.put(
            text, "Gateway", "gateway", "cannot configure multiple gateways ({}, {}) for the same subnet ({})"
        )
    for name, address in given.map("aux-address").items():
        pools.reserve(name, address)
    return pools.config()


def connect(client: Client, given: Given) -> int:
    network, container = given.args
    spec: dict[str, Any] = {
        "IPAMConfig": {
            "IPv4Address": given.text("ip"),
            "IPv6Address": given.text("ip6"),
            "LinkLocalIPs": given.list("link-local-ip"),
        },
        "Links": given.list("link"),
        "Aliases": given.list("alias"),
        "DriverOpts": driver_options(given.list("driver-opt")),
        "GwPriority": given.number("gw-priority"),
    }
    body = {"Container": container, "EndpointConfig": spec}
    path = f"/networks/{quote(network)}/connect"
    if given.flag("dry-run"):
        return dry_run(client, "POST", path, {}, body)
    client.post(path, body=body)
    return 0


def driver_options(typed: list[str]) -> dict[str, str]:
    """`k=v` pairs as a mapping.  Raises UsageError."""
    pairs = [text.partition("=") for text in typed]
    if not all(key and eq for key, eq, _ in pairs):
        raise UsageError("invalid key/value pair format in driver options")
    return {key.strip(): value.strip() for key, _, value in pairs}


def disconnect(client: Client, given: Given) -> int:
    network, container = given.args
    body = {"Container": container, "Force": given.flag("force")}
    path = f"/networks/{quote(network)}/disconnect"
    if given.flag("dry-run"):
        return dry_run(client, "POST", path, {}, body)
    client.post(path, body=body)
    return 0


def rm(client: Client, given: Given) -> int:
    from bascule.cli.each import each

    def one(name: str) -> None:
        try:
            if given.flag("dry-run"):
                dry_run(client, "DELETE", f"/networks/{quote(name)}", {})
                return
            client.ask("DELETE", f"/networks/{quote(name)}")
        except Refusal as no:
            if not (given.flag("force") and no.status == 404):
                raise
            return
        print(name)

    return each(given.args, one)


COMMANDS = {
    "network create": Command(
        create,
        "[OPTIONS] NETWORK",
        "Create a network",
        """
        --attachable           Accepted for Docker's swarm; every network is
        --aux-address map      Addresses that are somebody else's, name=address
        --config-from string   Take the subnets and options of this configuration
        --config-only          Only a configuration, for other networks to take theirs from
    -d, --driver string=bridge   What kind of network: bridge, macvlan, ipvlan, overlay
        --dry-run              Print the command lines that this comes to, and do nothing
        --gateway strings      The subnet's gateway
        --ingress              Docker's swarm routing mesh; no network is
        --internal             Keep the network to itself: nothing goes out, nothing comes in
        --ip-range strings     The part of the subnet that containers' addresses are taken from
        --ipam-driver string=default   Who gives the addresses: default, null, or dhcp (a server on the segment)
        --ipam-opt map         Options for who gives the addresses
        --ipv4 bool=true       Give IPv4 addresses
        --ipv6                 Give IPv6 addresses
        --label list           Metadata, key=value
    -o, --opt map              Options of the driver, key=value
        --scope string         How far the network reaches
        --subnet strings       Its subnet in CIDR notation, once for each
""",
        args=(1, 1),
        examples="""
bascule network create app
# what that would do to the machine, as lines for a shell
bascule network create --dry-run app
bascule network create --subnet 10.7.0.0/24 --gateway 10.7.0.1 --ip-range 10.7.0.128/25 app
bascule network create --ipv6 --subnet fd00:7::/64 --internal backend
bascule network create -d macvlan --subnet 192.168.1.0/24 -o parent=eth0 lan
""",
        checks={"label": label},
    ),
    "network rm": Command(
        rm,
        "[OPTIONS] NETWORK [NETWORK...]",
        "Remove networks",
        OPTION + "    -f, --force     A network that does not exist is no error\n",
        args=(1, MANY),
        examples="bascule network rm app backend",
    ),
    "network connect": Command(
        connect,
        "[OPTIONS] NETWORK CONTAINER",
        "Put a container on a network, also while it runs",
        """
        --alias strings           Another name for the container on this network
        --driver-opt strings      Options of the driver for this endpoint, key=value
        --dry-run                 Print the command lines that this comes to, and do nothing
        --gw-priority int         The network with the highest gives the default gateway; may be negative
        --ip string               Its IPv4 address
        --ip6 string              Its IPv6 address
        --link list               A container to know under another name, container:alias
        --link-local-ip strings   A link-local address
""",
        args=(2, 2),
        examples="""
bascule network connect app web
bascule network connect --ip 10.7.0.20 --alias db app postgres
""",
    ),
    "network disconnect": Command(
        disconnect,
        "[OPTIONS] NETWORK CONTAINER",
        "Take a container off a network, also while it runs",
        OPTION + "    -f, --force     Also if the container is gone\n",
        args=(2, 2),
        examples="bascule network disconnect app web",
    ),
}
