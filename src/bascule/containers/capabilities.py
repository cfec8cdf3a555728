"""Capabilities: Docker's fourteen, and what --cap-add, --cap-drop and --privileged make of them."""

from collections.abc import Iterable, Sequence

from bascule.model.errors import Invalid

# Docker's default set (moby: oci/caps/defaults.go).
DEFAULT = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
)
# include/uapi/linux/capability.h, in the order of their bits.
_ALL = (
    "CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_KILL CAP_SETGID CAP_SETUID"
    " CAP_SETPCAP CAP_LINUX_IMMUTABLE CAP_NET_BIND_SERVICE CAP_NET_BROADCAST CAP_NET_ADMIN CAP_NET_RAW"
    " CAP_IPC_LOCK CAP_IPC_OWNER CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_CHROOT CAP_SYS_PTRACE CAP_SYS_PACCT"
    " CAP_SYS_ADMIN CAP_SYS_BOOT CAP_SYS_NICE CAP_SYS_RESOURCE CAP_SYS_TIME CAP_SYS_TTY_CONFIG CAP_MKNOD"
    " CAP_LEASE CAP_AUDIT_WRITE CAP_AUDIT_CONTROL CAP_SETFCAP CAP_MAC_OVERRIDE CAP_MAC_ADMIN CAP_SYSLOG"
    " CAP_WAKE_ALARM CAP_BLOCK_SUSPEND CAP_AUDIT_READ CAP_PERFMON CAP_BPF CAP_CHECKPOINT_RESTORE"
)
ALL = _ALL.split()


def normal(name: str) -> str:
    """`net_admin` as `CAP_NET_ADMIN`; "ALL" stays.  Raises Invalid for what is none."""
    upper = name.upper()
    if upper == "ALL":
        return upper
    full = upper if upper.startswith("CAP_") else "CAP_" + upper
    if full not in ALL:
        raise Invalid(f'unknown capability: "{full}"')
    return full


def chosen(add: Sequence[str], drop: Sequence[str], *, privileged: bool, bounding: Iterable[str]) -> list[str]:
    """What a container's processes may have, in the order of the bits.  Nothing that is not in *bounding*, which
    is what we have ourselves: the kernel gives no more."""
    added, dropped = {normal(n) for n in add}, {normal(n) for n in drop}
    have = set(ALL) if privileged or "ALL" in added else set(DEFAULT)
    if "ALL" in dropped:
        have = set(ALL) if privileged else set()
    wanted = (have | (added - {"ALL"})) - (set() if privileged else dropped - {"ALL"})
    if "ALL" in added and not privileged:
        wanted -= dropped
    allowed = set(bounding)
    return [name for name in ALL if name in wanted and name in allowed]


def of_mask(mask: int) -> list[str]:
    """The names of the bits that are set in *mask*."""
    return [name for bit, name in enumerate(ALL) if mask >> bit & 1]
