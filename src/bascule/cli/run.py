"""`bascule run` and `bascule create`."""

import os
import sys
from typing import Any

from bascule.cli import runoptions
from bascule.cli.attach import Sitting, check_terminal, status, waiting
from bascule.cli.client import Client, Refusal
from bascule.cli.command import MANY, Command
from bascule.cli.dry import dry_run
from bascule.cli.options import Given, UsageError
from bascule.cli.runbody import body

# What in the runtime's complaint says that there is no such program, or none that may run: as a shell has them.
NOT_FOUND = ("executable file not found", "no such file or directory")
NOT_ALLOWED = ("permission denied", "is a directory")


def create(client: Client, given: Given) -> int:
    if given.flag("dry-run"):
        return _planned(client, given, body(given))
    print(_create(client, given, body(given)))
    return 0


def _planned(client: Client, given: Given, wanted: dict[str, Any]) -> int:
    """An image that is missing is refused: pulling it would be a change."""
    return dry_run(client, "POST", "/containers/create", _pairs(given), wanted)


def _pairs(given: Given) -> dict[str, str]:
    return {option: given.text(option) for option in ("name", "platform") if given.text(option)}


def run(client: Client, given: Given) -> int:
    detach = given.flag("detach")
    wanted = body(given, detach=detach)
    if given.flag("dry-run"):
        return _planned(client, given, wanted)
    stdin = wanted["AttachStdin"]
    if not detach:
        check_terminal(stdin=stdin, tty=wanted["Tty"])
    ident = _create(client, given, wanted)
    if detach:
        # Before the start, as Docker does it: the container is there also if it does not start.
        print(ident, flush=True)
        _start(client, ident, given)
        return 0
    outputs = " ".join(o for o in ("stdout", "stderr") if wanted[f"Attach{o.capitalize()}"])
    keys = given.text("detach-keys")
    sitting = Sitting(client, ident, tty=wanted["Tty"], stdin=stdin, outputs=outputs, keys=keys)
    wait = waiting(client, ident, "removed" if given.flag("rm") else "next-exit")
    _start(client, ident, given)
    if not sitting.sit(proxy=given.flag("sig-proxy")):
        return 0
    return status(wait)


def _start(client: Client, ident: str, given: Given) -> None:
    try:
        client.post(f"/containers/{ident}/start")
    except Refusal as no:
        text = str(no)
        code = 127 if any(t in text for t in NOT_FOUND) else 126 if any(t in text for t in NOT_ALLOWED) else 125
        if given.flag("rm"):
            _forget(client, ident)
        raise UsageError(text, code=code) from None


def _forget(client: Client, ident: str) -> None:
    """Remove a container that could not start and was to be removed at its end; the daemon may have done so."""
    try:
        client.ask("DELETE", f"/containers/{ident}", {"force": "1", "v": "1"})
    except Refusal as no:
        if no.status not in (404, 409):
            raise


def _create(client: Client, given: Given, wanted: dict[str, Any]) -> str:
    """The id of the new container, whose image has been pulled if it was missing and that is wanted."""
    pull = given.text("pull")
    if pull not in ("always", "missing", "never", ""):
        raise UsageError(f'invalid pull option: \'{pull}\': must be one of "always", "missing" or "never"')
    cidfile = given.text("cidfile")
    if cidfile and os.path.exists(cidfile):
        raise UsageError(
            f"container ID file found, make sure the other container isn't running or delete {cidfile}"
        )
    if pull == "always":
        _pull(client, given, wanted["Image"])
    pairs = _pairs(given)
    try:
        answer = client.post("/containers/create", pairs, wanted)
    except Refusal as no:
        if no.status != 404 or pull == "never":
            raise
        if not given.flag("quiet"):
            name = wanted["Image"]
            tagged = name if ":" in name.rpartition("/")[2] or "@" in name else f"{name}:latest"
            print(f"Unable to find image '{tagged}' locally", file=sys.stderr)
        _pull(client, given, wanted["Image"])
        answer = client.post("/containers/create", pairs, wanted)
    for warning in answer.get("Warnings") or []:
        print(f"WARNING: {warning}", file=sys.stderr)
    if cidfile:
        with open(cidfile, "w", encoding="ascii") as file:
            file.write(answer["Id"])
    return str(answer["Id"])


def _pull(client: Client, given: Given, image: str) -> None:
    from bascule.cli.image_transfer import pull_image

    pull_image(client, image, platform=given.text("platform"), quiet=given.flag("quiet"), out=sys.stderr)


COMMANDS = {
    "run": Command(
        run,
        "[OPTIONS] IMAGE [COMMAND] [ARG...]",
        "Create a container and run it",
        runoptions.OPTIONS
        + """
    -d, --detach                       In the background; print the container's id
        --sig-proxy bool=true          Pass signals on to the container
""",
        args=(1, MANY),
        examples="""
# the image "host" is always there: this machine's own root, not writable from inside
bascule run --rm -it host bash
bascule run -d --name web --network app -p 8080:80 --restart unless-stopped nginx
# the namespace, links, addresses, routes and firewall elements that it would have
bascule run --dry-run --network app -p 8080:80 host true
bascule run --rm --network app --ip 10.7.0.9 host ping -c 1 web
bascule run -d --network name=app,alias=db,gw-priority=1 --network backend postgres
""",
        checks=runoptions.CHECKS,
        mixed=False,
        code=125,
    ),
    "create": Command(
        create,
        "[OPTIONS] IMAGE [COMMAND] [ARG...]",
        "Create a container, to be started later",
        runoptions.OPTIONS,
        args=(1, MANY),
        examples="bascule create --name web --network app nginx",
        checks=runoptions.CHECKS,
        mixed=False,
        code=125,
    ),
}
