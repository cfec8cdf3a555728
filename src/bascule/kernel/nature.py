"""What kind of a link somebody else's is, as far as sysfs tells."""

from pathlib import Path

from bascule.model.hostlink import HostLink

SYSFS = Path("/sys/class/net")
WIRELESS = "wireless"


def nature(link: HostLink, classes: Path = SYSFS) -> str:
    """WIRELESS, the name of the driver of the device behind *link* (`virtio_net`), or "" where there is none or
    nobody can tell: sysfs is of one network namespace, and may not show this link but another of its name."""
    place = classes / link.name
    try:
        shown = (int((place / "ifindex").read_text()), (place / "address").read_text().strip())
        if shown != (link.index, link.mac):
            return ""
        if (place / "phy80211").exists() or (place / "wireless").exists():
            return WIRELESS
        return (place / "device" / "driver").readlink().name
    except (OSError, ValueError):
        return ""
