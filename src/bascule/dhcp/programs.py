"""The clients that ask for addresses: udhcpc (BusyBox's) for IPv4, dhcpcd for IPv6.

Both are begun for one link in its namespace, leave the link alone, and run `tell`, a script of ours, at each event;
it writes `lease` in one rename: the address, the router, the server, and the seconds that it is good for.

dhcpcd has its files and its socket in fixed places, so that two of them would be in each other's way.  `begin`
gives each a mount namespace in which those places are its own, and in which nothing else of the host's is mounted
that it could keep from going (a container's root, somebody's network namespace).  What dhcpcd forks outlives it
when it is killed; in a process namespace that it is the first of, it cannot.
"""

import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

from bascule.engine.leases import Wanted
from bascule.model.addresses import Family
from bascule.model.errors import Failed

# Four questions, a second apart: a server on the segment answers in milliseconds, and a user waits for this.
TRIES, PAUSE = 4, 1
PROBE = 300
"""Milliseconds in which a machine that has the address already says so: as long as kernel.asking waits."""

RELEASES: Mapping[Family, int] = {4: signal.SIGTERM, 6: signal.SIGALRM}
"""The signal at which a client of the family gives its address back and ends."""

_UDHCPC_TELL = """\
#!/bin/sh
# udhcpc runs this at each event, with what it was given in the environment.
cd "${0%/*}" || exit
case $1 in
# Where a server says nothing of a time, udhcpc takes it for an hour.
bound | renew) printf '%s\\n' "$ip/${mask:-32}" "${router%% *}" "$serverid" "${lease:-3600}" >new && mv new lease ;;
esac
"""

_DHCPCD_TELL = """\
#!/bin/sh
# dhcpcd runs this at each event, with what it was given in the environment.
cd "${0%/*}" || exit
# It has the kernel make no link-local address, to make one itself, and with --noconfigure makes none.
echo 0 2>/dev/null >"/proc/sys/net/ipv6/conf/$interface/addr_gen_mode"
case $reason in
BOUND6 | RENEW6 | REBIND6 | REBOOT6)
  seconds=$new_dhcp6_ia_na1_ia_addr1_vltime
  printf '%s\\n' "$new_dhcp6_ia_na1_ia_addr1/128" "" "$new_dhcp6_server_id" "$seconds" >new && mv new lease
  ;;
esac
"""

_DHCPCD_BEGIN = """\
#!/bin/sh
mount --bind "${0%/*}" /var/lib/dhcpcd || exit
while read -r _ where _; do
  case $where in
  / | /proc | /dev | /sys | /usr | /etc | /var | /var/lib | /var/lib/dhcpcd) ;;
  *) printf '%b\\0' "$where" ;;
  esac
done </proc/mounts | xargs -0 umount -l 2>/dev/null
mount -t tmpfs tmpfs /run || exit
exec "$@"
"""


def prepare(wanted: Wanted, place: Path) -> list[str]:
    """The words that begin a client for *wanted*, with its files in *place*.  Raises Failed where there is none."""
    words = _udhcpc(wanted, place) if wanted.family == 4 else _dhcpcd(wanted, place)
    return ["nsenter", f"--net={wanted.key}", "--", *words]


def _udhcpc(wanted: Wanted, place: Path) -> list[str]:
    _script(place / "tell", _UDHCPC_TELL)
    return [
        *_found(),
        *(
            "-f",
            "-R",
            "-C",
            "-i",
            wanted.link,
            "-s",
            str(place / "tell"),
            "-t",
            str(TRIES),
            "-T",
            str(PAUSE),
            "-A",
            "5",
        ),
        *([f"-a{PROBE}"] if wanted.probe else []),
        # Type 0, which is no hardware address (RFC 2132, 9.14).
        *("-x", f"0x3d:00{wanted.client}", "-x", f"hostname:{wanted.hostname}"),
    ]


def _found() -> list[str]:
    found = shutil.which("udhcpc")
    if found:
        return [found]
    busybox = shutil.which("busybox")
    if busybox:
        return [busybox, "udhcpc"]
    raise Failed("--ipam-driver dhcp needs udhcpc, and there is none (apt-get install udhcpc or busybox-static)")


def _dhcpcd(wanted: Wanted, place: Path) -> list[str]:
    found = shutil.which("dhcpcd")
    if not found:
        raise Failed("--ipam-driver dhcp with --ipv6 needs dhcpcd, and there is none (apt-get install dhcpcd-base)")
    _script(place / "tell", _DHCPCD_TELL)
    _script(place / "begin", _DHCPCD_BEGIN)
    # A DUID that is an UUID (RFC 6355).
    (place / "duid").write_text(bytes.fromhex("0004" + wanted.client).hex(":") + "\n")
    return [
        *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--", str(place / "begin")),
        *(found, "--nobackground", "--ipv6only", "--noipv6rs", "--noconfigure", "--nodev", "--config", "/dev/null"),
        *("--script", "/var/lib/dhcpcd/tell", "--ia_na=1", f"--hostname={wanted.hostname}", "--fqdn=both"),
        wanted.link,
    ]


def _script(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o700)
