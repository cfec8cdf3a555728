"""What is looked at: inspect, logs, port, top, diff."""

import sys
from collections.abc import Callable
from typing import Any

from bascule.cli import units
from bascule.cli.client import Client, Refusal, quote
from bascule.cli.command import MANY, Command
from bascule.cli.options import Given, UsageError
from bascule.cli.table import columns, inspection

# Where `inspect` looks, in this order.
PLACES = {
    "container": "/containers/{}/json",
    "image": "/images/{}/json",
    "network": "/networks/{}",
    "volume": "/volumes/{}",
}


def inspect_each(given: Given, find: Callable[[str], Any]) -> int:
    """Print what *find* finds for every name; what is not found is told, and makes the exit status 1."""
    found, missing = [], []
    for name in given.args:
        try:
            found.append(find(name))
        except Refusal as no:
            missing.append(str(no))
    form = given.text("format")
    if found or form in ("", "json"):
        sys.stdout.write(inspection(form, found))
        sys.stdout.flush()
    for text in missing:
        print(text, file=sys.stderr)
    return 1 if missing else 0


class _Nowhere(Refusal):
    def __init__(self, what: str, name: str) -> None:
        super().__init__(404, "")
        self.args = (f"Error: No such {what}: {name}",)


def inspect(client: Client, given: Given) -> int:
    kind = given.text("type")
    if kind and kind not in PLACES:
        raise UsageError(f'unknown type: "{kind}"; must be one of {", ".join(PLACES)}')
    pairs = {"size": "1"} if given.flag("size") else {}

    def find(name: str) -> Any:
        for place, path in PLACES.items():
            if kind in ("", place):
                try:
                    return client.get(path.format(quote(name)), pairs if place == "container" else {})
                except Refusal as no:
                    if kind or no.status != 404:
                        raise
        raise _Nowhere("object", name)

    return inspect_each(given, find)


def inspect_container(client: Client, given: Given) -> int:
    pairs = {"size": "1"} if given.flag("size") else {}
    return inspect_each(given, lambda name: client.get(f"/containers/{quote(name)}/json", pairs))


def logs(client: Client, given: Given) -> int:
    import time

    from bascule.cli import terminal

    path = f"/containers/{quote(given.args[0])}"
    tty = client.get(f"{path}/json")["Config"]["Tty"]
    pairs = {"stdout": "1", "stderr": "1", "tail": given.text("tail")}
    pairs |= {name: "1" for name in ("follow", "timestamps", "details") if given.flag(name)}
    for name in ("since", "until"):
        if given.text(name):
            try:
                pairs[name] = units.moment(given.text(name), time.time())
            except ValueError as why:
                raise UsageError(f'invalid value for "{name}": {why}') from None
    out = terminal.writer(framed=not tty)
    for piece in client.ask("GET", f"{path}/logs", pairs).pieces():
        out(piece)
    return 0


def port(client: Client, given: Given) -> int:
    name, *wanted = given.args
    published = client.get(f"/containers/{quote(name)}/json")["NetworkSettings"].get("Ports") or {}
    lines = []
    if wanted:
        number, _, proto = wanted[0].partition("/")
        key = f"{number}/{proto or 'tcp'}"
        lines = [_address(b) for b in published.get(key) or []]
        if not lines:
            raise UsageError(f"Error: No public port '{wanted[0]}' published for {name}")
    else:
        keys = sorted(published, key=lambda k: (int(k.partition("/")[0]), k))
        lines = [f"{key} -> {_address(b)}" for key in keys for b in published[key] or []]
    sys.stdout.write("".join(line + "\n" for line in lines))
    return 0


def _address(binding: dict[str, str]) -> str:
    host = binding["HostIp"]
    return f"[{host}]:{binding['HostPort']}" if ":" in host else f"{host}:{binding['HostPort']}"


def top(client: Client, given: Given) -> int:
    name, *options = given.args
    pairs = {"ps_args": " ".join(options)} if options else {}
    found = client.get(f"/containers/{quote(name)}/top", pairs)
    lines = ["\t".join(row) for row in [found["Titles"], *(found["Processes"] or [])]]
    sys.stdout.write("".join(line + "\n" for line in columns(lines, min_width=20)))
    return 0


def diff(client: Client, given: Given) -> int:
    for change in client.get(f"/containers/{quote(given.args[0])}/changes") or []:
        print("CAD"[change["Kind"]], change["Path"])
    return 0


INSPECT = """
    -f, --format string   Print with a Go template, or 'json'
    -s, --size            Also the sizes of a container's files
"""
COMMANDS = {
    "inspect": Command(
        inspect,
        "[OPTIONS] NAME|ID [NAME|ID...]",
        "Show all that is known of anything",
        INSPECT + "        --type string     What it is: container, image, network or volume\n",
        args=(1, MANY),
        examples="""
bascule inspect web
bascule inspect -f '{{range $n, $e := .NetworkSettings.Networks}}{{$n}} {{$e.IPAddress}}{{println}}{{end}}' web
""",
    ),
    "container inspect": Command(
        inspect_container,
        "[OPTIONS] CONTAINER [CONTAINER...]",
        "Show all that is known of containers",
        INSPECT,
        args=(1, MANY),
        examples="bascule container inspect -f '{{.State.Pid}}' web",
    ),
    "logs": Command(
        logs,
        "[OPTIONS] CONTAINER",
        "Show what a container has written",
        """
        --details         Also what the log's driver adds
    -f, --follow          Go on as more comes
        --since string    From a time, or so long ago: 2026-01-02T13:23:37Z, 42m
    -n, --tail string=all   So many lines from the end
    -t, --timestamps      With times
        --until string    Up to a time, or so long ago
""",
        args=(1, 1),
        examples="bascule logs -f --tail 20 web",
    ),
    "port": Command(
        port,
        "CONTAINER [PRIVATE_PORT[/PROTO]]",
        "Show where a container's ports are published",
        args=(1, 2),
        examples="""
bascule port web
bascule port web 80/tcp
""",
    ),
    "top": Command(
        top,
        "CONTAINER [ps OPTIONS]",
        "Show a container's processes",
        args=(1, MANY),
        examples="bascule top web -o pid,comm",
        mixed=False,
    ),
    "diff": Command(
        diff,
        "CONTAINER",
        "Show which files a container has changed",
        args=(1, 1),
        examples="bascule diff web",
    ),
}
