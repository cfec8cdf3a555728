"""`bascule network`: what looks, and what tidies up."""

from __future__ import annotations

from bascule.cli.client import Client, filters, quote
from bascule.cli.command import FILTER, FORMAT, MANY, Command
from bascule.cli.dry import dry_run
from bascule.cli.options import Given

TYPE_CHECKING = False  # As in typing, whose import costs 5 ms: docs/decisions/010.
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from bascule.cli.fields import Fields


def natural(name: str) -> list[tuple[int, str]]:
    """A sort key by which net2 comes before net10."""
    parts: list[str] = []
    digits = False
    for char in name:
        if parts and char.isdigit() == digits:
            parts[-1] += char
        else:
            parts.append(char)
        digits = char.isdigit()
    return [(int(p), "") if p.isdigit() and p.isascii() else (1 << 62, p) for p in parts]


def _labels(item: Any) -> str:
    return ",".join(f"{k}={v}" for k, v in sorted((item.get("Labels") or {}).items()))


def _label(item: Any) -> Callable[[str], str]:
    return lambda key: str((item.get("Labels") or {}).get(key, ""))


def _created(item: Any) -> str:
    from bascule.cli import units

    return units.exact(item["Created"])


def _yes(key: str) -> Callable[[Any], str]:
    return lambda item: "true" if item.get(key) else "false"


def fields(*, full: bool) -> Fields:
    return {
        "ID": ("NETWORK ID", lambda n: n["Id"] if full else n["Id"][:12]),
        "Name": ("NAME", lambda n: n["Name"]),
        "Driver": ("DRIVER", lambda n: n["Driver"]),
        "Scope": ("SCOPE", lambda n: n["Scope"]),
        "IPv4": ("IPV4", _yes("EnableIPv4")),
        "IPv6": ("IPV6", _yes("EnableIPv6")),
        "Internal": ("INTERNAL", _yes("Internal")),
        "Labels": ("LABELS", _labels),
        "Label": ("", _label),
        "CreatedAt": ("CREATED AT", _created),
    }


def ls(client: Client, given: Given) -> int:
    found = client.get("/networks", filters(given.list("filter")))
    found.sort(key=lambda n: natural(n["Name"]))
    shown = fields(full=given.flag("no-trunc"))
    form = given.text("format")
    from bascule.cli.table import listing, show

    if given.flag("quiet") and form in ("", "table"):
        form = "{{.ID}}"
    show(listing(form, shown, "ID Name Driver Scope", found), form=form)
    return 0


def inspect(client: Client, given: Given) -> int:
    from bascule.cli.look import inspect_each

    pairs = {"verbose": "true"} if given.flag("verbose") else {}
    return inspect_each(given, lambda name: client.get(f"/networks/{quote(name)}", pairs))


def prune(client: Client, given: Given) -> int:
    pairs = filters(given.list("filter"))
    if given.flag("dry-run"):
        return dry_run(client, "POST", "/networks/prune", pairs)
    from bascule.cli.ask import sure

    if not given.flag("force") and not sure(
        "WARNING! This will remove all custom networks not used by at least one container.\n"
        "Are you sure you want to continue?"
    ):
        return 0
    gone = (client.post("/networks/prune", pairs) or {}).get("NetworksDeleted") or []
    if gone:
        print("Deleted Networks:", *gone, "", sep="\n")
    return 0


COMMANDS = {
    "network ls": Command(
        ls,
        "[OPTIONS]",
        "List networks",
        FILTER % "driver=bridge"
        + FORMAT
        + """
        --no-trunc   Show whole ids
    -q, --quiet      Show ids alone
""",
        examples="""
bascule network ls
# the user's own networks that nothing is on
bascule network ls --filter type=custom --filter dangling=true
bascule network ls --format 'table {{.Name}}\\t{{.Internal}}\\t{{.Labels}}'
""",
    ),
    "network inspect": Command(
        inspect,
        "[OPTIONS] NETWORK [NETWORK...]",
        "Show all that is known of networks",
        """
    -f, --format string   Print with a Go template, or 'json'
    -v, --verbose         Also what helps a diagnosis
""",
        args=(1, MANY),
        examples="""
bascule network inspect app
bascule network inspect -f '{{range .Containers}}{{.Name}} {{.IPv4Address}}{{println}}{{end}}' app
""",
    ),
    "network prune": Command(
        prune,
        "[OPTIONS]",
        "Remove the networks that no container is on",
        """
        --dry-run         Print the command lines that this comes to, and do nothing
        --filter filter   Only what matches, e.g. "until=24h" or "label!=keep"
    -f, --force           Do not ask
""",
        examples="""
bascule network prune --filter until=24h --force
# what would go
bascule network prune --dry-run
""",
    ),
}
