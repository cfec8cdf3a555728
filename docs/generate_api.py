"""Writes docs/api.md from the server's own table of routes: `python docs/generate_api.py`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from bascule.api.routes import archive, containers, elsewhere, events, images, networks, streams, system, volumes
from bascule.api.shapes.system import API, API_MIN
from bascule.api.shapes.system import text as version
from bascule.api.table import Route

PAGE = Path(__file__).with_name("api.md")
ABOUT = f"""\
# The API

This page is written by `docs/generate_api.py` from the server's own table of routes.

The daemon speaks Docker's Engine API, versions {version(API_MIN)} to {version(API)}, so that the docker
command line, docker-py and docker-compose work with `DOCKER_HOST=unix:///run/bascule/bascule.sock`. Fields,
statuses and messages are those of Docker 28.2.2. A path without version (`/networks`) means the newest.

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

- `?dryRun=1` on `POST /networks/create` and `prune`, `POST /networks/NAME/connect` and `disconnect`, and `DELETE
  /networks/NAME`: the answer is the `ip` and `nft` lines that the call comes to, as text, and nothing is changed.
- A port in `PortBindings` is published whether it is in `ExposedPorts` or not (as from Docker 29).
- Options that Bascule does not know to honour (`--userns`, `--oom-score-adj`, block-device limits, log drivers
  other than json-file) are accepted with a warning in the answer's `Warnings`; `--gpus` is refused.
- Health checks are not run: every container's health is `none`.
- `_ping` tells `Builder-Version: 1`: there is no BuildKit here, and no build at all.
- Swarm's calls answer as a Docker that is in no swarm (503); build, commit, push, search, login and plugins answer
  501 and say what to do instead.

## Requests
"""
TITLES: dict[str, tuple[Route, ...]] = {
    "Networks": networks.ROUTES,
    "Containers": (*containers.ROUTES, *streams.ROUTES, *archive.ROUTES),
    "Images": images.ROUTES,
    "Volumes": volumes.ROUTES,
    "The daemon": (*system.ROUTES, *events.ROUTES),
    "Answered with a reason why not": elsewhere.ROUTES,
}


def text() -> str:
    """The whole page."""
    parts = [ABOUT]
    for title, routes in TITLES.items():
        parts += [f"### {title}\n", "| | |", "| --- | --- |"]
        parts += [f"| {route.method} | `{route.path}` |" for route in routes]
        parts.append("")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(text())
