"""Names: what may be one, what an id looks like, and what links of ours are called."""

import re

from bascule.model.errors import Invalid

# Docker's rule for container names (daemon/names/names.go); networks accept nearly anything.
CONTAINER_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
# IFNAMSIZ is 16 with its final NUL (include/uapi/linux/if.h).
LINK_NAME_MAX = 15
NETWORK_NAME_MAX = 255
# limits.h
HOST_NAME_MAX = 64
_NODE_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
ID = re.compile(r"[0-9a-f]{64}")
MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")


def short(ident: str) -> str:
    """The twelve characters of an id that people see."""
    return ident[:12]


def link_name(prefix: str, ident: str) -> str:
    """A link's name that contains as much of the id as the kernel's fifteen characters allow, twelve at most."""
    return prefix + ident[: min(12, LINK_NAME_MAX - len(prefix))]


def printable(text: str) -> str:
    """*text* on one line, with what cannot be printed as Python writes it: what users name things by must make
    neither a line of its own nor move a terminal's cursor."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def check_network_name(name: str) -> None:
    """Raise Invalid unless *name* can name a network.  Slash, colon and blank are fine, as in Docker."""
    if not name.strip():
        raise Invalid("invalid name: name is empty")
    if len(name) > NETWORK_NAME_MAX:
        raise Invalid(f"invalid name: {len(name)} characters, {NETWORK_NAME_MAX} at most")
    if not name.isprintable():
        raise Invalid(f"invalid name: {name!r} has a character that cannot be printed")


def container_name(text: str) -> str:
    """The name that *text*, with its slash or without, gives a container.  Raises Invalid, with *text* as it is."""
    name = text.removeprefix("/")
    if not CONTAINER_NAME.fullmatch(name) or len(name) > NETWORK_NAME_MAX:
        raise Invalid(f"Invalid container name ({text}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
    return name


def check_node_name(name: str) -> None:
    """Raise Invalid unless *name* can name a host of a cluster: as a host's own name, 64 characters at most
    (HOST_NAME_MAX)."""
    if not _NODE_NAME.fullmatch(name) or len(name) > HOST_NAME_MAX:
        raise Invalid(
            f"invalid node name {name!r}: [a-zA-Z0-9][a-zA-Z0-9_.-], {HOST_NAME_MAX} characters at most (--name)"
        )


def check_link_name(name: str) -> None:
    """Raise Invalid unless the kernel would take *name* for a link (net/core/dev.c: dev_valid_name)."""
    if not name or len(name) > LINK_NAME_MAX:
        raise Invalid(f"invalid interface name {name!r}: 1 to {LINK_NAME_MAX} characters")
    if (
        name in (".", "..")
        or any(c in '/:%"\\{}*' or c.isspace() or not c.isprintable() for c in name)
        or not name.isascii()
    ):
        raise Invalid(f"invalid interface name {name!r}")


def parse_mac(text: str) -> str:
    """A unicast MAC as six lower-case pairs with colons.  Raises Invalid."""
    mac = text.strip().lower().replace("-", ":")
    if not MAC.fullmatch(mac) or int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        raise Invalid(f"invalid MAC address {text}")
    return mac
