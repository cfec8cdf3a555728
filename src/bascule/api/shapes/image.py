"""Images and volumes in Docker's words."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from msgspec import Struct

from bascule.api.shapes import image_answer as answer
from bascule.api.shapes import times
from bascule.api.shapes.filters import Filters
from bascule.model.container import Image, ImageConfig, Step, Volume
from bascule.model.errors import Invalid

FILTERS = ("before", "dangling", "label", "reference", "since", "until")
UNNAMED = "<none>:<none>"


def summary(image: Image, users: int | None, version: tuple[int, int]) -> answer.ImageSummary:
    """One line of GET /images/json."""
    shown: answer.ImageSummary = {
        "Id": image.id,
        "ParentId": "",
        "RepoTags": sorted(image.tags, key=_whole) or ([] if version >= (1, 43) else [UNNAMED]),
        "RepoDigests": [],
        "Created": image.created // times.SECOND,
        "Size": image.size,
        "SharedSize": -1,
        "Labels": dict(image.config.labels) or None,
        # Docker counts them for `system df` alone.
        "Containers": -1 if users is None else users,
    }
    return shown if version >= (1, 44) else {**shown, "VirtualSize": image.size}


def _whole(tag: str) -> str:
    """A name with its registry, by which Docker sorts."""
    head = tag.partition("/")[0]
    return tag if "/" in tag and set(".:") & set(head) else f"docker.io/library/{tag}"


def inspect(image: Image, version: tuple[int, int]) -> answer.Image:
    """GET /images/{name}/json."""
    shown: answer.Image = {
        "Id": image.id,
        "RepoTags": sorted(image.tags, key=_whole),
        "RepoDigests": [],
        "Parent": "",
        "Comment": image.comment,
        "Created": times.rfc3339(image.created),
        "DockerVersion": "",
        "Author": image.author,
        "Architecture": image.architecture,
        "Os": "linux",
        "Size": image.size,
        "GraphDriver": {"Data": {}, "Name": "overlay2"},
        "RootFS": {"Type": "layers", "Layers": list(image.layers)},
        "Metadata": {"LastTagTime": times.rfc3339(image.tagged)},
        "Config": config(image.config, version),
    }
    return shown if version >= (1, 44) else {**shown, "VirtualSize": image.size}


# What was a container's and never an image's: left out from 1.50 on, which sorts the rest.
_CONTAINERS = (
    *("Hostname", "Domainname", "AttachStdin", "AttachStdout", "AttachStderr"),
    *("Tty", "OpenStdin", "StdinOnce", "Image"),
)


def config(of: ImageConfig, version: tuple[int, int]) -> answer.ImageConfig:
    shown: answer.ImageConfig = {
        "Hostname": "",
        "Domainname": "",
        "User": of.user,
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
        "Tty": False,
        "OpenStdin": False,
        "StdinOnce": False,
        "Env": list(of.env) or None,
        "Cmd": list(of.command) or None,
        "Image": "",
        "Volumes": {path: {} for path in of.volumes} or None,
        "WorkingDir": of.workdir,
        "Entrypoint": list(of.entrypoint) or None,
        "OnBuild": None,
        "Labels": dict(of.labels) or None,
    }
    if of.exposed:
        shown["ExposedPorts"] = {f"{number}/{proto}": {} for proto, number in of.exposed}
    if of.stop_signal:
        shown["StopSignal"] = of.stop_signal
    if version < (1, 50):
        return shown
    return cast(answer.ImageConfig, {key: shown[key] for key in sorted(shown) if key not in _CONTAINERS})  # type: ignore[literal-required]


def history(steps: Sequence[Step], image: Image) -> list[answer.HistoryStep]:
    """GET /images/{name}/history, newest first: only the newest line has an id and names."""
    return [
        {
            "Id": image.id if at == 0 else "<missing>",
            "Created": step.created // times.SECOND,
            "CreatedBy": step.created_by,
            "Tags": (list(image.tags) or None) if at == 0 else None,
            "Size": step.size,
            "Comment": step.comment,
        }
        for at, step in enumerate(steps)
    ]


def removed(done: Sequence[tuple[str, str]]) -> list[answer.ImageRemoved]:
    """What a removal tells: [{"Untagged": …}, {"Deleted": …}]."""
    return [{"Untagged": what} if action == "untagged" else {"Deleted": what} for action, what in done]


def matching(
    images: Sequence[Image], asked: Filters, *, before: Image | None, since: Image | None, now: int
) -> list[Image]:
    """The images that a list's filters accept."""
    dangling, until = asked.flag("dangling"), asked.until(now)
    return [
        image
        for image in images
        if (dangling is None or dangling == (not image.tags and not image.host_root))
        and asked.labels(image.config.labels)
        and (before is None or image.created < before.created)
        and (since is None or image.created > since.created)
        and (until is None or image.created <= until)
        and _referenced(image, asked.get("reference"))
    ]


def _referenced(image: Image, patterns: Sequence[str]) -> bool:
    return not patterns or bool(named(image, patterns).tags)


def named(image: Image, patterns: Sequence[str]) -> Image:
    """The image with those of its names that *patterns* mean; with all, where there are no patterns."""
    kept = (
        tag
        for tag in image.tags
        if any(_glob(pattern, tag) or _glob(pattern, tag.rpartition(":")[0]) for pattern in patterns)
    )
    return replace(image, tags=tuple(kept)) if patterns else image


def _glob(pattern: str, text: str) -> bool:
    """path.Match: a star does not cross a slash."""
    parts, words = pattern.split("/"), text.split("/")
    return len(parts) == len(words) and all(_part(p, w) for p, w in zip(parts, words, strict=True))


def _part(pattern: str, word: str) -> bool:
    if not pattern:
        return not word
    if pattern[0] == "*":
        return any(_part(pattern[1:], word[at:]) for at in range(len(word) + 1))
    return bool(word) and pattern[0] in ("?", word[0]) and _part(pattern[1:], word[1:])


PRUNE = ("dangling", "label", "label!", "until")


class VolumeBody(Struct):
    """POST /volumes/create."""

    Name: str | None = None
    Driver: str | None = None
    DriverOpts: dict[str, str] | None = None
    Labels: dict[str, str] | None = None


def check_driver(body: VolumeBody) -> None:
    """Raise Invalid for a driver that is not there."""
    if body.Driver not in (None, "", "local", "default"):
        raise Invalid(
            f'create {body.Name or ""}: error looking up volume plugin {body.Driver}: plugin "{body.Driver}"'
            " not found"
        )


def volume(of: Volume) -> answer.Volume:
    return {
        "CreatedAt": times.rfc3339(of.created - of.created % times.SECOND),
        "Driver": of.driver,
        "Labels": dict(of.labels) or None,
        "Mountpoint": of.mountpoint,
        "Name": of.id,
        "Options": dict(of.options) or None,
        "Scope": "local",
    }


VOLUMES = ("dangling", "driver", "label", "name")


def volumes_matching(volumes: Sequence[Volume], asked: Filters, used: Mapping[str, int]) -> list[Volume]:
    """The volumes that a list's filters accept; *used* counts containers by volume name."""
    dangling = asked.flag("dangling")
    return [
        one
        for one in volumes
        if asked.match("name", one.id)
        and asked.exact("driver", one.driver)
        and asked.labels(one.labels)
        and (dangling is None or dangling == (one.id not in used))
    ]
