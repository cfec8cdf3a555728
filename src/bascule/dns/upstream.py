"""The host's own nameservers: where questions go that are none of ours, unless somebody said otherwise."""

import os
from functools import lru_cache
from pathlib import Path

from bascule.model.addresses import IPAddress, ip_address

RESOLV_CONF = "/etc/resolv.conf"


def host_servers(path: str = RESOLV_CONF) -> tuple[IPAddress, ...]:
    """The nameservers in *path* in order, as resolv.conf(5) reads it; () if there are none or no such file.

    A server on loopback (systemd-resolved's 127.0.0.53) stays in: the resolver asks it from the host's namespace.
    """
    try:
        is_now = os.stat(path)
    except FileNotFoundError:
        return ()
    return _read(path, (is_now.st_dev, is_now.st_ino, is_now.st_mtime_ns, is_now.st_size))


@lru_cache(maxsize=1)
def _read(path: str, _is: tuple[int, ...]) -> tuple[IPAddress, ...]:
    """What is in the file; asked again only when it is another, or was written."""
    try:
        text = Path(path).read_text(errors="replace")
    except FileNotFoundError:
        return ()
    found: list[IPAddress] = []
    for line in text.splitlines():
        match line.split():
            case ["nameserver", address, *_]:
                try:
                    found.append(ip_address(address))
                except ValueError:
                    # The C library skips what it cannot read, too.
                    continue
            case _:
                pass
    return tuple(dict.fromkeys(found))
