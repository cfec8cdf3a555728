"""Images that are there: list, inspect, tag, remove."""

import time
from typing import Any

from bascule.cli import units
from bascule.cli.ask import sure
from bascule.cli.client import Client, filters, quote
from bascule.cli.command import FILTER, FORMAT, MANY, Command
from bascule.cli.each import each
from bascule.cli.fields import Fields
from bascule.cli.look import inspect_each
from bascule.cli.options import Given
from bascule.cli.table import listing, show


def split_name(name: str) -> tuple[str, str]:
    """Repository and tag; the tag is "" where there is none.  A registry's port is no tag."""
    head, slash, last = name.rpartition("/")
    repository, _, tag = last.partition(":")
    return head + slash + repository, tag


def _short(ident: str) -> str:
    return ident.removeprefix("sha256:")[:12]


def rows(found: list[dict[str, Any]], *, digests: bool) -> list[dict[str, Any]]:
    """A line for each name of each image."""
    lines = []
    for image in found:
        named = {d.partition("@")[0]: d.partition("@")[2] for d in image.get("RepoDigests") or []}
        names = [split_name(t) for t in image.get("RepoTags") or [] if t != "<none>:<none>"]
        names = names or [(next(iter(named), "<none>"), "<none>")]
        for repository, tag in names:
            digest = named.get(repository, "<none>") if digests else "<none>"
            lines.append({**image, "Repository": repository, "Tag": tag, "Digest": digest})
    return lines


def fields(*, full: bool) -> Fields:
    now = time.time()
    return {
        "ID": ("IMAGE ID", lambda i: i["Id"] if full else _short(i["Id"])),
        "Repository": ("REPOSITORY", lambda i: i["Repository"]),
        "Tag": ("TAG", lambda i: i["Tag"]),
        "Digest": ("DIGEST", lambda i: i["Digest"]),
        "CreatedSince": (
            "CREATED",
            lambda i: units.duration(now - i["Created"]) + " ago",
        ),
        "CreatedAt": ("CREATED AT", lambda i: units.local(i["Created"])),
        "Size": ("SIZE", lambda i: units.size(i["Size"], 3)),
        "Containers": ("CONTAINERS", lambda i: "N/A" if i.get("Containers", -1) < 0 else str(i["Containers"])),
        "SharedSize": (
            "SHARED SIZE",
            lambda i: "N/A" if i.get("SharedSize", -1) < 0 else units.size(i["SharedSize"], 3),
        ),
        "UniqueSize": (
            "UNIQUE SIZE",
            lambda i: "N/A" if i.get("SharedSize", -1) < 0 else units.size(i["Size"] - i["SharedSize"], 3),
        ),
        "VirtualSize": ("SIZE", lambda i: units.size(i["Size"])),
    }


def ls(client: Client, given: Given) -> int:
    wanted = given.list("filter") + [f"reference={name}" for name in given.args]
    pairs = filters(wanted) | ({"all": "1"} if given.flag("all") else {})
    found = client.get("/images/json", pairs)
    form = given.text("format")
    lines = rows(found, digests=given.flag("digests"))
    if given.flag("quiet") and form in ("", "table"):
        form = "{{.ID}}"
    digest = "Digest " if given.flag("digests") else ""
    names = f"Repository Tag {digest}ID CreatedSince Size"
    show(listing(form, fields(full=given.flag("no-trunc")), names, lines), form=form)
    return 0


def inspect(client: Client, given: Given) -> int:
    return inspect_each(given, lambda name: client.get(f"/images/{quote(name)}/json"))


def tag(client: Client, given: Given) -> int:
    source, target = given.args
    repository, name = split_name(target)
    client.post(f"/images/{quote(source)}/tag", {"repo": repository, "tag": name} if name else {"repo": repository})
    return 0


def rm(client: Client, given: Given) -> int:
    pairs = {"force": "1"} if given.flag("force") else {}
    if given.flag("no-prune"):
        pairs["noprune"] = "1"

    def one(name: str) -> None:
        for gone in client.json("DELETE", f"/images/{quote(name)}", pairs) or []:
            print(f"Deleted: {gone['Deleted']}" if gone.get("Deleted") else f"Untagged: {gone['Untagged']}")

    return each(given.args, one)


def prune(client: Client, given: Given) -> int:
    every = given.flag("all")
    what = "images without at least one container associated to them" if every else "dangling images"
    if not given.flag("force") and not sure(
        f"WARNING! This will remove all {what}.\nAre you sure you want to continue?"
    ):
        return 0
    wanted = [*given.list("filter"), f"dangling={'false' if every else 'true'}"]
    found = client.post("/images/prune", filters(wanted))
    gone = found.get("ImagesDeleted") or []
    if gone:
        print("Deleted Images:")
        for image in gone:
            print(f"untagged: {image['Untagged']}" if image.get("Untagged") else f"deleted: {image['Deleted']}")
        print()
    print(f"Total reclaimed space: {units.size(found.get('SpaceReclaimed', 0))}")
    return 0


def history(client: Client, given: Given) -> int:
    full, human, now = given.flag("no-trunc"), given.flag("human"), time.time()

    def created(step: Any) -> str:
        return units.duration(now - step["Created"]) + " ago" if human else units.local(step["Created"])

    def by(step: Any) -> str:
        text = str(step.get("CreatedBy", "")).replace("\t", " ")
        return text if full or len(text) <= 45 else text[:44] + "…"

    shown: Fields = {
        "ID": ("IMAGE", lambda s: s["Id"] if full else _short(s["Id"])),
        "CreatedSince": ("CREATED", created),
        "CreatedAt": ("CREATED AT", lambda s: units.local(s["Created"])),
        "CreatedBy": ("CREATED BY", by),
        "Size": ("SIZE", lambda s: units.size(s["Size"], 3) if human else str(s["Size"])),
        "Comment": ("COMMENT", lambda s: s.get("Comment", "")),
    }
    form = given.text("format") or ("{{.ID}}" if given.flag("quiet") else "")
    found = client.get(f"/images/{quote(given.args[0])}/history")
    show(listing(form, shown, "ID CreatedSince CreatedBy Size Comment", found), form=form)
    return 0


COMMANDS = {
    "image ls": Command(
        ls,
        "[OPTIONS] [REPOSITORY[:TAG]]",
        "List images",
        """
    -a, --all             Also those between, which only other images use
        --digests         Show digests
"""
        + FILTER % "dangling=true"
        + FORMAT
        + """
        --no-trunc        Show whole ids
    -q, --quiet           Show ids alone
""",
        args=(0, 1),
        examples="bascule image ls",
    ),
    "image inspect": Command(
        inspect,
        "[OPTIONS] IMAGE [IMAGE...]",
        "Show all that is known of images",
        "    -f, --format string   Print with a Go template, or 'json'\n",
        args=(1, MANY),
        examples="bascule image inspect -f '{{json .Config.Env}}' busybox",
    ),
    "tag": Command(
        tag,
        "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
        "Give an image another name",
        args=(2, 2),
        examples="bascule tag busybox:latest busybox:good",
    ),
    "image rm": Command(
        rm,
        "[OPTIONS] IMAGE [IMAGE...]",
        "Remove images",
        """
    -f, --force      Also if containers use it
        --no-prune   Keep what it stood on
""",
        args=(1, MANY),
        examples="bascule rmi busybox",
    ),
    "image prune": Command(
        prune,
        "[OPTIONS]",
        "Remove the images that have no name",
        """
    -a, --all             All that no container uses
        --filter filter   Only what matches, e.g. "until=24h"
    -f, --force           Do not ask
""",
        examples="bascule image prune -a",
    ),
    "history": Command(
        history,
        "[OPTIONS] IMAGE",
        "Show what an image was made of",
        FORMAT
        + """
    -H, --human bool=true   Sizes and times in people's words
        --no-trunc          Show all of the text
    -q, --quiet             Show ids alone
""",
        args=(1, 1),
        examples="bascule history busybox",
    ),
}
