"""`bascule volume`."""

from typing import Any

from bascule.cli import units
from bascule.cli.ask import sure
from bascule.cli.client import Client, filters, quote
from bascule.cli.command import FILTER, FORMAT, MANY, Command
from bascule.cli.each import each
from bascule.cli.fields import Fields
from bascule.cli.look import inspect_each
from bascule.cli.network import natural
from bascule.cli.options import Given, UsageError, label
from bascule.cli.ps import labels
from bascule.cli.table import listing, show


def create(client: Client, given: Given) -> int:
    body: dict[str, Any] = {
        "Name": given.args[0] if given.args else "",
        "Driver": given.text("driver"),
        "DriverOpts": given.map("opt"),
        "Labels": given.map("label"),
    }
    print(client.post("/volumes/create", body=body)["Name"])
    return 0


def inspect(client: Client, given: Given) -> int:
    return inspect_each(given, lambda name: client.get(f"/volumes/{quote(name)}"))


FIELDS: Fields = {
    "Name": ("VOLUME NAME", lambda v: v["Name"]),
    "Driver": ("DRIVER", lambda v: v["Driver"]),
    "Scope": ("SCOPE", lambda v: v.get("Scope", "local")),
    "Mountpoint": ("MOUNTPOINT", lambda v: v.get("Mountpoint", "")),
    "Labels": ("LABELS", labels),
    "Label": ("", lambda v: lambda key: (v.get("Labels") or {}).get(key, "")),
    "Links": ("LINKS", lambda v: str(v["UsageData"]["RefCount"]) if v.get("UsageData") else "N/A"),
    "Size": ("SIZE", lambda v: units.size(v["UsageData"]["Size"]) if v.get("UsageData") else "N/A"),
    "Availability": ("AVAILABILITY", lambda _: "N/A"),
    "Group": ("GROUP", lambda _: "N/A"),
    "Status": ("STATUS", lambda _: "N/A"),
}


def ls(client: Client, given: Given) -> int:
    found = client.get("/volumes", filters(given.list("filter"))).get("Volumes") or []
    found.sort(key=lambda v: natural(v["Name"]))
    form = given.text("format")
    if given.flag("quiet") and form in ("", "table"):
        form = "{{.Name}}"
    show(listing(form, FIELDS, "Driver Name", found), form=form)
    return 0


def rm(client: Client, given: Given) -> int:
    pairs = {"force": "1"} if given.flag("force") else {}

    def one(name: str) -> None:
        client.ask("DELETE", f"/volumes/{quote(name)}", pairs)
        print(name)

    return each(given.args, one)


def prune(client: Client, given: Given) -> int:
    every = given.flag("all")
    wanted = given.list("filter")
    if every and any(text.startswith("all=") for text in wanted):
        raise UsageError("conflicting options: cannot specify both --all and --filter all=1")
    what = "all local volumes" if every else "anonymous local volumes"
    if not given.flag("force") and not sure(
        f"WARNING! This will remove {what} not used by at least one container.\nAre you sure you want to continue?"
    ):
        return 0
    found = client.post("/volumes/prune", filters([*wanted, *(["all=true"] if every else [])]))
    gone = found.get("VolumesDeleted") or []
    if gone:
        print("Deleted Volumes:", *gone, "", sep="\n")
    print(f"Total reclaimed space: {units.size(found.get('SpaceReclaimed', 0))}")
    return 0


COMMANDS = {
    "volume create": Command(
        create,
        "[OPTIONS] [VOLUME]",
        "Create a volume",
        """
    -d, --driver string=local   Who keeps it
        --label list            Metadata, key=value
    -o, --opt map               Options of the driver, key=value
""",
        args=(0, 1),
        examples="bascule volume create data",
        checks={"label": label},
    ),
    "volume inspect": Command(
        inspect,
        "[OPTIONS] VOLUME [VOLUME...]",
        "Show all that is known of volumes",
        "    -f, --format string   Print with a Go template, or 'json'\n",
        args=(1, MANY),
        examples="bascule volume inspect -f '{{.Mountpoint}}' data",
    ),
    "volume ls": Command(
        ls,
        "[OPTIONS]",
        "List volumes",
        FILTER % "dangling=true" + FORMAT + "    -q, --quiet           Show names alone\n",
        examples="bascule volume ls",
    ),
    "volume prune": Command(
        prune,
        "[OPTIONS]",
        "Remove the volumes that no container uses",
        """
    -a, --all             Also those with a name
        --filter filter   Only what matches, e.g. "label=scratch"
    -f, --force           Do not ask
""",
        examples="bascule volume prune -f",
    ),
    "volume rm": Command(
        rm,
        "[OPTIONS] VOLUME [VOLUME...]",
        "Remove volumes",
        "    -f, --force   A volume that does not exist is no error\n",
        args=(1, MANY),
        examples="bascule volume rm data",
    ),
}
