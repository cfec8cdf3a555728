"""Writes docs/api.md from the server's own table of routes: `python docs/generate_api.py`."""

import sys
import tomllib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from bascule.api.openapi import Schema, document, operations
from bascule.api.routes import (
    ROUTES,
    archive,
    cluster,
    containers,
    elsewhere,
    events,
    images,
    networks,
    streams,
    system,
    volumes,
)
from bascule.api.shapes.system import API, API_MIN
from bascule.api.shapes.system import text as version
from bascule.api.table import Route

TABLE = Path(__file__).parents[1] / "tests/clients/differences.toml"
DIFFERENCES = "\n".join(f"- {one['says']}" for one in tomllib.loads(TABLE.read_text()).values())
PAGE = Path(__file__).with_name("api.md")
BAD_REQUEST = 400
ABOUT = f"""\
# The API

This page is written by `docs/generate_api.py` from the server's own table of routes.

The daemon speaks Docker's Engine API, versions {version(API_MIN)} to {version(API)}, so that the docker
command line, docker-py and docker-compose work with `DOCKER_HOST=unix:///run/bascule/bascule.sock`. Fields,
statuses and messages are those of Docker 28.2.2. A path without version (`/networks`) means the newest.
`GET /openapi.json` describes every request for programs (OpenAPI 3.1), from the same table.

**Who may ask.** The API is root on the machine. A Unix socket is made with mode 0660 for root and one group
(`--group`, else `docker` if there is such a group, else root). TCP is served with client certificates only
(`--tlscacert`, `--tlscert`, `--tlskey`); without them the daemon does not start. `fd://` takes the sockets that
systemd opened; a TCP socket among them needs the certificates too.

**What one client may cost.** 64 KiB of head within 30 seconds, 8 MiB of JSON within a minute, five minutes idle.
Uploads are streamed, and may pause for ten minutes. Who reads slowly is waited for and costs its own buffer; who
falls 16,384 events behind is cut off. Calls that wait (stop, wait, logs, uploads) have threads of their own or
none, and hold up nobody.

**Streams.** `attach` and `exec` change the connection (`101 UPGRADED`, or `200` for a client that does not ask for
an upgrade); each direction ends on its own, over TLS as well. Without a terminal the output is framed: stream
(1 stdout, 2 stderr), three zeros, four bytes of length, bytes.

## What differs from Docker's

A script of the docker command line is played to both (`tests/clients/script`).  What it shows is the same but for
this:

{DIFFERENCES}

What it does not reach:

- `?dryRun=1` on `POST /networks/create` and `prune`, `POST /networks/NAME/connect` and `disconnect`, and `DELETE
  /networks/NAME`: the answer is the `ip` and `nft` lines that the call comes to, as text, and nothing is changed.
- `?dryRun=1` on `POST /containers/create` (and its start), `POST /containers/NAME/start`, `stop`, `restart` and `kill`
  (if it ends), and `DELETE /containers/NAME`: the same, of what it is to the networks. Root file system, mounts,
  control groups and processes are the runtime's; of them there are no lines.
- A port in `PortBindings` is published whether it is in `ExposedPorts` or not (as from Docker 29).
- Options that Bascule does not know to honour (`--userns`, `--oom-score-adj`, block-device limits) are
  accepted with a warning in the answer's `Warnings`; `--gpus` is refused.
- A pull is of one tag (`latest` where none is given), and images are known by tags and ids, not by digests.
- A container whose restart policy wants it, and whose start fails, is tried again with growing pauses; in Docker it
  stays down. It is `restarting` meanwhile.
- Health checks are not run: every container's health is `none`.
- `_ping` tells `Builder-Version: 1`: there is no BuildKit here, and no build at all.
- A MAC address is given on `connect` as well (Docker does so from API 1.54 on), and the filter `dangling` leaves out
  networks that have containers (Docker 28.5 takes every network of a user's for dangling).
- A bridge network is not removed or pruned while its bridge is the parent of a macvlan or ipvlan network (403); Docker
  takes the bridge away, and the other network's containers lose their link. What was lost with a parent, and published ports
  that the container's default route takes away, Docker does not tell.
- A container whose restart policy starts it with the daemon is tried again while its network's parent is away; Docker leaves it.
- Swarm's calls answer as a Docker that is in no swarm (503); build, commit, push, search, login and plugins answer
  501 and say what to do instead.

## Requests
"""
TITLES: dict[str, tuple[Route, ...]] = {
    "Networks": networks.ROUTES,
    "Containers": (*containers.ROUTES, *streams.ROUTES, *archive.ROUTES),
    "Images": images.ROUTES,
    "Volumes": volumes.ROUTES,
    "Several hosts": cluster.ROUTES,
    "The daemon": (*system.ROUTES, *events.ROUTES),
    "Answered with a reason why not": elsewhere.ROUTES,
}


TYPES = """\
## Types

Whoever writes them out in JSON writes every field but those with a question mark; who sends one may leave out
whatever is not needed, or send null. [openapi.json](openapi.json) has all of this for programs.
"""


def text() -> str:
    """The whole page."""
    told = document(ROUTES)
    parts = [ABOUT]
    for title, routes in TITLES.items():
        parts += [f"### {title}\n", "| | | |", "| --- | --- | --- |"]
        parts += [f"| {route.method} | `{route.path}` | {route.says} |" for route in routes]
        parts.append("")
    parts.append("## Requests in full\n")
    parts += [
        section(method, path, one) for method, path, one in operations(told) if one["summary"] != elsewhere.REFUSED
    ]
    parts.append(TYPES)
    parts += [kind(name, one) for name, one in told["components"]["schemas"].items()]
    return "\n".join(parts)


def section(method: str, path: str, one: Schema) -> str:
    """One request: its query, its body, its answers."""
    lines = [f"### {method} {path}\n", f"{one['summary']}.\n"]
    lines += [
        f"- `?{asked['name']}` ({_parameter(asked)}): {asked['description']}"
        for asked in one["parameters"]
        if asked["in"] == "query"
    ]
    for media, body in one.get("requestBody", {}).get("content", {}).items():
        lines.append(f"- the body: {word(body['schema']) if 'schema' in body else f'`{media}`'}")
    lines += [
        f"- {status}: {_answer(given)}" for status, given in one["responses"].items() if int(status) < BAD_REQUEST
    ]
    lines.append("- refused with " + ", ".join(s for s in one["responses"] if int(s) >= BAD_REQUEST) + "\n")
    return "\n".join(lines)


def _parameter(asked: Schema) -> str:
    if "content" in asked:
        keys = asked["content"]["application/json"]["schema"]["properties"]
        return "JSON: " + ", ".join(f"`{key}`" for key in keys)
    return word(asked["schema"])


def _answer(given: Schema) -> str:
    content = given.get("content", {})
    told = []
    for media, one in content.items():
        if "schema" in one:
            told.append(word(one["schema"]))
        elif "x-item-schema" in one:
            told.append(f"{word(one['x-item-schema'])}, one after the other")
        else:
            told.append(f"`{media}`")
    return " or ".join(told) or "nothing"


def kind(name: str, one: Schema) -> str:
    """A type, a field a line."""
    needed = one.get("required", [])
    lines = [f"### {name}\n"]
    if one.get("description"):
        lines.append(f"{one['description']}\n")
    lines += [
        f"- `{field}`{'' if field in needed else '?'}: {word(of)}"
        for field, of in one.get("properties", {}).items()
    ]
    return "\n".join(lines) + "\n"


def word(schema: Schema) -> str:
    """A type in a few words."""
    match schema:
        case {"$ref": ref}:
            name = ref.rpartition("/")[2]
            return f"[{name}](#{name.lower()})"
        case {"anyOf": several}:
            return " or ".join(word(one) for one in several)
        case {"enum": values}:
            return ", ".join(f"`{value}`" if value else "nothing" for value in values)
        case {"type": "array", "items": of}:
            return f"list of {word(of)}"
        case {"type": "object", "additionalProperties": dict(of)}:
            return f"{word(of)} by name"
        case {"type": str(name)}:
            return {"string": "text", "boolean": "true or false", "integer": "number"}.get(name, name)
        case _:
            return "anything"


if __name__ == "__main__":
    PAGE.write_text(text())
