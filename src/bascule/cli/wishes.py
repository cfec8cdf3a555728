"""`--network` in its short and long form, and what the other network options add to the first of them.

Messages and order of checks are those of Docker's client (cli/command/container/opts.go, opts/network.go).
"""

from typing import Any

from bascule.cli.options import Given, UsageError, split_csv

NOT_USERS = ("", "default", "bridge", "host", "none")


class Wish:
    """A network that a new container shall be on, as it was typed."""

    __slots__ = ("aliases", "gw_priority", "ip", "ip6", "link_local", "links", "mac", "options", "target")

    def __init__(self, target: str = "") -> None:
        self.target = target
        self.aliases: list[str] = []
        self.ip = self.ip6 = self.mac = ""
        self.link_local: list[str] = []
        self.links: list[str] = []
        self.options: dict[str, str] = {}
        self.gw_priority = 0

    @property
    def is_users(self) -> bool:
        return self.target not in NOT_USERS and not self.target.startswith("container:")


def _is_long(text: str) -> bool:
    """Docker's test for the long form: somewhere an equals sign between word characters."""

    def word(char: str) -> bool:
        return char == "_" or (char.isascii() and char.isalnum())

    return any(
        c == "=" and 0 < n < len(text) - 1 and word(text[n - 1]) and word(text[n + 1]) for n, c in enumerate(text)
    )


def parse_network(text: str) -> Wish:
    """One `--network`.  Raises ValueError in Docker's words."""
    if not _is_long(text):
        return Wish(text)
    wish = Wish()
    for field in split_csv(text):
        # Docker's client writes the whole field small, values too; drivers' option names rely on it.
        key, eq, value = (part.strip() for part in field.lower().partition("="))
        if not eq or not key:
            raise ValueError(f"invalid field {field}")
        _put(wish, key, value)
    if not wish.target:
        raise ValueError("network name/id is not specified")
    return wish


def _put(wish: Wish, key: str, value: str) -> None:
    match key:
        case "name":
            wish.target = value
        case "alias":
            wish.aliases.append(value)
        case "ip":
            wish.ip = value
        case "ip6":
            wish.ip6 = value
        case "mac-address":
            wish.mac = value
        case "link-local-ip":
            wish.link_local.append(value)
        case "driver-opt":
            name, eq, option = value.partition("=")
            if not eq or not name:
                raise ValueError("invalid key value pair format in driver options")
            wish.options[name.strip()] = option.strip()
        case "gw-priority":
            try:
                wish.gw_priority = int(value)
            except ValueError:
                raise ValueError(f"invalid gw-priority ({value}): invalid syntax") from None
        case _:
            raise ValueError(f"invalid field key {key}")


def check_mac(text: str) -> str:
    """*text* if it is a MAC address, or none.  Raises UsageError."""
    if not text.strip():
        return ""
    pairs = text.strip().replace("-", ":").split(":")
    if not all(len(p) == 2 and all(c in "0123456789abcdefABCDEF" for c in p) for p in pairs) or len(pairs) != 6:
        raise UsageError(f"{text} is not a valid mac address")
    return text.strip()


def endpoints(given: Given) -> dict[str, dict[str, Any]]:
    """The API's EndpointsConfig, the first network first.  Raises UsageError."""
    wishes: list[Wish] = given.each("network") or [Wish("default")]
    found: dict[str, dict[str, Any]] = {}
    for n, wish in enumerate(wishes):
        if n == 0:
            _apply(wish, given)
        if not wish.is_users and wish.aliases:
            raise UsageError("network-scoped aliases are only supported for user-defined networks")
        if not wish.is_users and wish.links and not given.list("link"):
            raise UsageError("links are only supported for user-defined networks")
        check_mac(wish.mac)
        if wish.target in found:
            raise UsageError(f'network "{wish.target}" is specified multiple times')
        found[wish.target] = _endpoint(wish)
    if any(w.is_users for w in wishes) and not all(w.is_users for w in wishes):
        raise UsageError("conflicting options: cannot attach both user-defined and non-user-defined network-modes")
    return found


def _apply(wish: Wish, given: Given) -> None:
    """Options that Docker had before a container could have several networks are the first one's."""
    clashes = (
        (wish.aliases, given.list("network-alias"), "--network-alias and per-network alias"),
        (wish.links, given.list("link"), "--link and per-network links"),
        (wish.ip, given.text("ip"), "--ip and per-network IPv4 address"),
        (wish.ip6, given.text("ip6"), "--ip6 and per-network IPv6 address"),
        (wish.mac, given.text("mac-address"), "--mac-address and per-network MAC address"),
        (wish.link_local, given.list("link-local-ip"), "--link-local-ip and per-network link-local IP addresses"),
    )
    for own, general, what in clashes:
        if own and general:
            raise UsageError(f"conflicting options: cannot specify both {what}")
    wish.aliases = wish.aliases or given.list("network-alias")
    wish.ip = wish.ip or given.text("ip")
    wish.ip6 = wish.ip6 or given.text("ip6")
    wish.mac = wish.mac or given.text("mac-address")
    wish.link_local = wish.link_local or given.list("link-local-ip")
    if wish.is_users:
        wish.links = given.list("link")


def _endpoint(wish: Wish) -> dict[str, Any]:
    ipam: dict[str, Any] = {}
    for key, value in (("IPv4Address", wish.ip), ("IPv6Address", wish.ip6), ("LinkLocalIPs", wish.link_local)):
        if value:
            ipam[key] = value
    endpoint: dict[str, Any] = {
        "IPAMConfig": ipam,
        "Links": wish.links,
        "Aliases": wish.aliases,
        "DriverOpts": wish.options,
        "MacAddress": wish.mac,
        "GwPriority": wish.gw_priority,
    }
    return {key: value for key, value in endpoint.items() if value}
