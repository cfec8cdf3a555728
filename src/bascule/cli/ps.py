"""`bascule ps`."""

import time
from typing import Any

from bascule.cli import units
from bascule.cli.client import Client, filters
from bascule.cli.command import FILTER, FORMAT, Command
from bascule.cli.fields import Fields
from bascule.cli.options import Given
from bascule.cli.table import listing, show


def ports(found: list[dict[str, Any]]) -> str:
    """A container's ports in one cell: neighbours as ranges, then those whose number is another on the host."""
    groups: dict[tuple[str, str], tuple[int, int]] = {}
    done, moved = [], []
    order = sorted(found, key=lambda p: (p["PrivatePort"], p.get("IP", ""), p.get("PublicPort", 0), p["Type"]))
    for port in order:
        host, number, proto = port.get("IP", ""), port["PrivatePort"], port["Type"]
        if host and port.get("PublicPort") != number:
            moved.append(f"{_joined(host, str(port.get('PublicPort', 0)))}->{number}/{proto}")
            continue
        first, last = groups.get((host, proto), (0, -2))
        if number == last + 1:
            groups[host, proto] = (first, number)
            continue
        if first:
            done.append(_group(host, proto, first, last))
        groups[host, proto] = (number, number)
    done += [_group(host, proto, *ends) for (host, proto), ends in groups.items()]
    return ", ".join(done + moved)


def _group(host: str, proto: str, first: int, last: int) -> str:
    text = str(first) if first == last else f"{first}-{last}"
    return f"{_joined(host, text)}->{text}/{proto}" if host else f"{text}/{proto}"


def _joined(host: str, port: str) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _names(item: Any, *, full: bool) -> str:
    """Its names without the slash; names that links gave it only on request."""
    names = [name.removeprefix("/") for name in item.get("Names") or []]
    return ",".join(name for name in names if full or "/" not in name)


def _command(item: Any, *, full: bool) -> str:
    text = item.get("Command", "")
    quoted = (text if full else shortened(text, 20)).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"'


def _image(item: Any, *, full: bool) -> str:
    image = str(item.get("Image") or "<no image>")
    ident = str(item.get("ImageID", "")).removeprefix("sha256:")[:12]
    if full:
        return image
    return ident if ident and image.removeprefix("sha256:")[:12] == ident else image.partition("@sha256:")[0]


def _size(item: Any) -> str:
    written, root = item.get("SizeRw", 0), item.get("SizeRootFs", 0)
    return units.size(written, 3) + (f" (virtual {units.size(root, 3)})" if root else "")


def _mounts(item: Any, *, full: bool) -> str:
    names = [m.get("Name") or m.get("Source", "") for m in item.get("Mounts") or []]
    return ",".join(name if full else shortened(name, 15) for name in names)


def labels(item: Any) -> str:
    return ",".join(f"{k}={v}" for k, v in sorted((item.get("Labels") or {}).items()))


def fields(*, full: bool) -> Fields:
    now = time.time()
    return {
        "ID": ("CONTAINER ID", lambda c: c["Id"] if full else c["Id"][:12]),
        "Names": ("NAMES", lambda c: _names(c, full=full)),
        "Image": ("IMAGE", lambda c: _image(c, full=full)),
        "Command": ("COMMAND", lambda c: _command(c, full=full)),
        "CreatedAt": ("CREATED AT", lambda c: units.local(c["Created"])),
        "RunningFor": ("CREATED", lambda c: units.duration(now - c["Created"]) + " ago"),
        "Ports": ("PORTS", lambda c: ports(c.get("Ports") or [])),
        "State": ("STATE", lambda c: c["State"]),
        "Status": ("STATUS", lambda c: c["Status"]),
        "Size": ("SIZE", _size),
        "Labels": ("LABELS", labels),
        "Label": ("", lambda c: lambda key: (c.get("Labels") or {}).get(key, "")),
        "Mounts": ("MOUNTS", lambda c: _mounts(c, full=full)),
        "LocalVolumes": (
            "LOCAL VOLUMES",
            lambda c: str(sum(m.get("Driver") == "local" for m in c.get("Mounts") or [])),
        ),
        "Networks": (
            "NETWORKS",
            lambda c: ",".join(sorted((c.get("NetworkSettings") or {}).get("Networks") or {})),
        ),
    }


def ps(client: Client, given: Given) -> int:
    pairs = filters(given.list("filter"))
    form = given.text("format")
    limit = 1 if given.flag("latest") and "last" not in given.typed else given.number("last")
    if given.flag("all"):
        pairs["all"] = "1"
    if limit > 0:
        pairs |= {"limit": str(limit)}
    if given.flag("size") or "{{.Size}}" in form:
        pairs["size"] = "1"
    found = client.get("/containers/json", pairs)
    if given.flag("quiet") and form in ("", "table"):
        form = "{{.ID}}"
    names = "ID Image Command RunningFor Status Ports Names" + (" Size" if given.flag("size") else "")
    show(listing(form, fields(full=given.flag("no-trunc")), names, found), form=form)
    return 0


COMMANDS = {
    "ps": Command(
        ps,
        "[OPTIONS]",
        "List containers",
        "    -a, --all             Also those that do not run\n"
        + FILTER % "network=app"
        + FORMAT
        + """
    -n, --last int=-1     The last ones created, so many, in whatever state
    -l, --latest          The last one created, in whatever state
        --no-trunc        Show whole ids and commands
    -q, --quiet           Show ids alone
    -s, --size            Show sizes
""",
        examples="""
bascule ps --filter network=app
bascule ps -a --format '{{.Names}}: {{.Status}}'
""",
    ),
}
