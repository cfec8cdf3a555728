"""The daemon itself: info, version, events, what takes room, and tidying up."""

import time
from typing import Any

import bascule
from bascule.cli import units
from bascule.cli.ask import sure
from bascule.cli.client import Client, Refusal, Unreachable, filters
from bascule.cli.command import FILTER, FORMAT, Command
from bascule.cli.fields import Fields
from bascule.cli.options import Given, UsageError
from bascule.cli.table import inspection, listing, show

FORMAT_ALONE = "    -f, --format string   Print with a Go template, or 'json'\n"
# What a time of an event looks like: nine digits of its second, always.
NANO = 1_000_000_000
INFO = (
    ("Server Version", "ServerVersion"),
    ("Storage Driver", "Driver"),
    ("Logging Driver", "LoggingDriver"),
    ("Cgroup Driver", "CgroupDriver"),
    ("Cgroup Version", "CgroupVersion"),
    ("Default Runtime", "DefaultRuntime"),
    ("Kernel Version", "KernelVersion"),
    ("Operating System", "OperatingSystem"),
    ("OSType", "OSType"),
    ("Architecture", "Architecture"),
    ("CPUs", "NCPU"),
    ("Name", "Name"),
    ("ID", "ID"),
    ("Root Dir", "DockerRootDir"),
)


def info(client: Client, given: Given) -> int:
    found = client.get("/info")
    if given.text("format"):
        print(inspection(given.text("format"), [{**found, "ClientInfo": {"Version": bascule.__version__}}]), end="")
        return 0
    print(f"Client: Bascule\n Version:    {bascule.__version__}\n\nServer:")
    print(f" Containers: {found.get('Containers', 0)}")
    for state in ("Running", "Paused", "Stopped"):
        print(f"  {state}: {found.get(f'Containers{state}', 0)}")
    print(f" Images: {found.get('Images', 0)}")
    for title, key in INFO:
        if found.get(key):
            print(f" {title}: {found[key]}")
    print(f" Total Memory: {units.binary_size(found.get('MemTotal', 0))}")
    plugins = found.get("Plugins") or {}
    for kind in ("Volume", "Network"):
        if plugins.get(kind):
            print(f" {kind} types: {' '.join(plugins[kind])}")
    for warning in found.get("Warnings") or []:
        print(warning)
    return 0


def version(client: Client, given: Given) -> int:
    own = {"Version": bascule.__version__, "ApiVersion": "1.50", "Os": "linux"}
    failure: Exception | None = None
    try:
        server = client.get("/version")
    except (Refusal, Unreachable) as gone:
        server, failure = None, gone
    if given.text("format"):
        if given.text("format") != "json":  # Docker's client has both spellings, this one in templates.
            own["APIVersion"] = own["ApiVersion"]
            server = server and {**server, "APIVersion": server["ApiVersion"]}
        print(inspection(given.text("format"), [{"Client": own, "Server": server}]), end="")
    else:
        print(f"Client: Bascule\n Version:           {own['Version']}\n API version:       {own['ApiVersion']}")
    if failure:
        raise failure
    if not given.text("format"):
        print(f"\nServer:\n Engine:\n  Version:          {server['Version']}")
        print(f"  API version:      {server['ApiVersion']} (minimum version {server.get('MinAPIVersion', '')})")
        print(f"  OS/Arch:          {server['Os']}/{server['Arch']}\n  Kernel:           {server['KernelVersion']}")
    return 0


def line(event: dict[str, Any]) -> str:
    """An event as people read it."""
    actor = event.get("Actor") or {}
    nanos = event.get("timeNano") or event.get("time", 0) * NANO
    at = time.localtime(nanos // NANO)
    zone = time.strftime("%z", at)
    zone = "Z" if zone in ("+0000", "") else f"{zone[:3]}:{zone[3:]}"
    told = ", ".join(f"{k}={v}" for k, v in sorted((actor.get("Attributes") or {}).items()))
    words = [f"{time.strftime('%Y-%m-%dT%H:%M:%S', at)}.{nanos % NANO:09}{zone}", event["Type"], event["Action"]]
    return " ".join([*words, actor.get("ID", "")]) + (f" ({told})" if told else "")


def events(client: Client, given: Given) -> int:
    pairs = filters(given.list("filter"))
    for name in ("since", "until"):
        if given.text(name):
            try:
                pairs[name] = units.moment(given.text(name), time.time())
            except ValueError as why:
                raise UsageError(f'invalid value for "{name}": {why}') from None
    form = given.text("format")
    for event in client.ask("GET", "/events", pairs).documents():
        text = inspection(form, [event])[:-1] if form not in ("", "json") else line(event)
        if form == "json":
            text = inspection("json", [event])[1:-2]
        print(text, flush=True)
    return 0


def df(client: Client, given: Given) -> int:
    found = client.get("/system/df")
    images, containers = found.get("Images") or [], found.get("Containers") or []
    volumes = found.get("Volumes") or []
    used = [i for i in images if i.get("Containers", 0) > 0]
    running = [c for c in containers if c.get("State") in ("running", "paused", "restarting")]
    mounted = [v for v in volumes if (v.get("UsageData") or {}).get("RefCount", 0) > 0]
    lines = [
        _use("Images", images, used, _own_room, found.get("LayersSize") or 0),
        _use("Containers", containers, running, lambda c: int(c.get("SizeRw", 0))),
        _use("Local Volumes", volumes, mounted, lambda v: max(0, int((v.get("UsageData") or {}).get("Size", 0)))),
        _use("Build Cache", [], [], int),
    ]
    shown: Fields = {
        "Type": ("TYPE", lambda r: r["Type"]),
        "TotalCount": ("TOTAL", lambda r: r["Total"]),
        "Active": ("ACTIVE", lambda r: r["Active"]),
        "Size": ("SIZE", lambda r: r["Size"]),
        "Reclaimable": ("RECLAIMABLE", lambda r: r["Free"]),
    }
    show(
        listing(given.text("format"), shown, "Type TotalCount Active Size Reclaimable", lines),
        form=given.text("format"),
    )
    return 0


def _own_room(image: Any) -> int:
    """What would be free without the image; what it shares with others is not, nor what nobody has measured."""
    size, shared = int(image.get("Size", -1)), int(image.get("SharedSize", -1))
    return 0 if -1 in (size, shared) else size - shared


def _use(kind: str, every: list[Any], active: list[Any], room: Any, total: int | None = None) -> dict[str, str]:
    whole = total if total is not None else sum(room(item) for item in every)
    free = max(0, whole - sum(room(item) for item in active))
    share = f" ({free * 100 // whole}%)" if whole else ""
    return {
        "Type": kind,
        "Total": str(len(every)),
        "Active": str(len(active)),
        "Size": units.size(whole),
        "Free": units.size(free) + share,
    }


def prune(client: Client, given: Given) -> int:
    images = (
        "all images without at least one container associated to them"
        if given.flag("all")
        else "all dangling images"
    )
    what = ["all stopped containers", "all networks not used by at least one container"]
    what += ["all anonymous volumes not used by at least one container"] if given.flag("volumes") else []
    listed = "".join(f"  - {text}\n" for text in [*what, images])
    if not given.flag("force") and not sure(
        f"WARNING! This will remove:\n{listed}\nAre you sure you want to continue?"
    ):
        return 1
    wanted = given.list("filter")
    freed = 0
    for place, key, title in (
        ("containers", "ContainersDeleted", "Containers"),
        ("networks", "NetworksDeleted", "Networks"),
        *((("volumes", "VolumesDeleted", "Volumes"),) if given.flag("volumes") else ()),
        ("images", "ImagesDeleted", "Images"),
    ):
        extra = [f"dangling={'false' if given.flag('all') else 'true'}"] if place == "images" else []
        found = client.post(f"/{place}/prune", filters(wanted + extra)) or {}
        freed += found.get("SpaceReclaimed", 0)
        gone = [g if isinstance(g, str) else g.get("Untagged") or g["Deleted"] for g in found.get(key) or []]
        if gone:
            print(f"Deleted {title}:", *gone, "", sep="\n")
    print(f"Total reclaimed space: {units.size(freed)}")
    return 0


COMMANDS = {
    "info": Command(
        info, "[OPTIONS]", "Show what the daemon knows of itself", FORMAT_ALONE, examples="bascule info"
    ),
    "version": Command(
        version, "[OPTIONS]", "Show the versions of client and daemon", FORMAT_ALONE, examples="bascule version"
    ),
    "events": Command(
        events,
        "[OPTIONS]",
        "Show what happens, as it happens",
        FILTER % "type=network"
        + FORMAT
        + """
        --since string    From a time, or so long ago: 2026-01-02T13:23:37Z, 42m
        --until string    Up to a time, or so long ago
""",
        examples="""
bascule events --filter type=network
# what happened in the last ten minutes
bascule events --since 10m --until 0s
""",
    ),
    "system df": Command(
        df,
        "[OPTIONS]",
        "Show what takes how much room",
        FORMAT + "    -v, --verbose         Accepted; every line is shown in any case\n",
        examples="bascule system df",
    ),
    "system prune": Command(
        prune,
        "[OPTIONS]",
        "Remove what nobody uses",
        """
    -a, --all             All images that no container uses, not only nameless ones
        --filter filter   Only what matches, e.g. "until=24h"
    -f, --force           Do not ask
        --volumes         Also nameless volumes
""",
        examples="bascule system prune -f",
    ),
}
