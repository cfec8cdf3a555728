"""An endpoint's sysctls: `net.X.Y.IFNAME.Z=V` with commas between, IFNAME standing for its interface."""

import re
from collections.abc import Iterator

from bascule.model.errors import Invalid
from bascule.model.thing import Sysctl

# The docker command line writes all of `--network name=…` in small letters.
# No dot or slash in a part: a key never leads out of its interface's directory.
_SETTING = re.compile(r"net\.(ipv4|ipv6|mpls)\.([a-z0-9_]+)\.(?:IFNAME|ifname)\.([a-z0-9_]+)=([^\x00-\x1f\x7f]*)")


def check(text: str) -> None:
    """Raise Invalid, in Docker's words, with every setting that is not one of an interface."""
    faults = [
        f"unrecognised network interface sysctl '{setting}'; represent 'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V',"
        " 'X' must be 'ipv4', 'ipv6' or 'mpls'"
        for setting in _settings(text)
        if not _SETTING.fullmatch(setting)
    ]
    if len(faults) == 1:
        raise Invalid(f"invalid endpoint settings:\n{faults[0]}")
    if faults:
        raise Invalid("invalid endpoint settings:\n" + "\n".join(f"* {fault}" for fault in faults))


def things(text: str, ifname: str, ns: str) -> Iterator[Sysctl]:
    """What a checked *text* states of the interface."""
    for setting in _settings(text):
        if match := _SETTING.fullmatch(setting):
            of, about, key, value = match.groups()
            yield Sysctl(f"net/{of}/{about}/{ifname}/{key}", value, ns)


def _settings(text: str) -> list[str]:
    return [setting for setting in text.split(",") if setting]
