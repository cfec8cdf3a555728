"""Mounts in Docker's notations: Binds, Mounts, Tmpfs, and a container's Mounts."""

import re
from collections.abc import Iterable, Mapping

from bascule.api.shapes import container_answer as answer
from bascule.api.shapes.container_body import MountBody
from bascule.model.container import MUST_EXIST, Mount
from bascule.model.errors import Invalid

# volume/mounts/linux_parser.go
_PROPAGATIONS = ("private", "rprivate", "slave", "rslave", "shared", "rshared")
_MODES = ("ro", "rw", "z", "Z", "nocopy", "cached", "consistent", "delegated", *_PROPAGATIONS)


_UNNAMED = re.compile(r"[0-9a-f]{64}")


def _not_absolute(kind: str, path: str) -> str:
    return f"invalid mount config for type \"{kind}\": invalid mount path: '{path}' mount path must be absolute"


def bind(text: str) -> Mount:
    """`source:target[:options]`, or a target alone for an anonymous volume.  Raises Invalid."""
    source, _, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    if not source or ":" in mode or (":" in text and not target):
        raise Invalid(f"invalid volume specification: '{text}'")
    if not target:
        source, target = "", source
    if not target.startswith("/"):
        target = f"/{target}"  # As Docker takes it since 28.
    return _bound(source, target, mode, text)


def _bound(source: str, target: str, mode: str, text: str) -> Mount:
    words = [word for word in mode.split(",") if word]
    for word in words:
        if word not in _MODES:
            raise Invalid(f"invalid mode: {mode}")
    if target.rstrip("/") == "":
        raise Invalid(f"invalid volume specification: '{text}': destination can't be '/'")
    return Mount(
        "bind" if source.startswith("/") else "volume",
        target,
        source,
        read_only="ro" in words,
        options=tuple(word for word in words if word not in ("ro", "rw")),
        mode=mode,
    )


def mount(body: MountBody) -> Mount:
    """An entry of Mounts.  Raises Invalid."""
    kind, target, source = body.Type or "", body.Target or "", body.Source or ""
    if kind not in ("bind", "volume", "tmpfs"):
        raise Invalid(f'mount type "{kind}" unknown' if kind else "mount type unknown")
    wrong = f'invalid mount config for type "{kind}": '
    if not target:
        raise Invalid(f"{wrong}field Target must not be empty")
    if not target.startswith("/"):
        raise Invalid(_not_absolute(kind, target))
    match kind:
        case "bind":
            if not source:
                raise Invalid(f"{wrong}field Source must not be empty")
            if not source.startswith("/"):
                raise Invalid(_not_absolute(kind, source))
            return Mount("bind", target, source, bool(body.ReadOnly), _bind_options(body))
        case "tmpfs":
            if source:
                raise Invalid(f"{wrong}field Source must not be specified")
            return Mount("tmpfs", target, "", bool(body.ReadOnly), _tmpfs_options(body))
        case _:
            nocopy = ("nocopy",) if body.VolumeOptions and body.VolumeOptions.NoCopy else ()
            return Mount("volume", target, source, bool(body.ReadOnly), nocopy)


def _bind_options(body: MountBody) -> tuple[str, ...]:
    propagation = body.BindOptions.Propagation if body.BindOptions else None
    if propagation and propagation not in _PROPAGATIONS:
        raise Invalid(f'invalid mount config for type "bind": invalid propagation mode: {propagation}')
    made = bool(body.BindOptions and body.BindOptions.CreateMountpoint)
    return (*([propagation] if propagation else []), *([] if made else [MUST_EXIST]))


def _tmpfs_options(body: MountBody) -> tuple[str, ...]:
    asked = body.TmpfsOptions
    if asked is None:
        return ()
    size = (f"size={asked.SizeBytes}",) if asked.SizeBytes else ()
    return size + ((f"mode={asked.Mode:o}",) if asked.Mode else ())


def tmpfs(told: Mapping[str, str]) -> tuple[Mount, ...]:
    """HostConfig.Tmpfs: target to comma-separated options.  Raises Invalid."""
    found = []
    for target, options in told.items():
        if not target.startswith("/"):
            raise Invalid(_not_absolute("tmpfs", target))
        words = tuple(word for word in options.split(",") if word)
        found.append(Mount("tmpfs", target, "", "ro" in words, tuple(w for w in words if w not in ("ro", "rw"))))
    return tuple(found)


def all_different(mounts: Iterable[Mount]) -> tuple[Mount, ...]:
    """The mounts; raises Invalid where two have one target."""
    seen: dict[str, Mount] = {}
    for one in mounts:
        if one.target in seen:
            raise Invalid(f"Duplicate mount point: {one.target}")
        seen[one.target] = one
    return tuple(seen.values())


def show(mounts: Iterable[Mount], volumes: Mapping[str, str]) -> list[answer.MountPoint]:
    """A container's Mounts; *volumes* are mount points by name."""
    return [_show(one, volumes) for one in mounts]


def _show(one: Mount, volumes: Mapping[str, str]) -> answer.MountPoint:
    propagation = next((word for word in one.options if word in _PROPAGATIONS), "")
    mode = one.mode or ",".join(word for word in one.options if word not in (*_PROPAGATIONS, MUST_EXIST))
    if one.kind == "volume":
        return {
            "Type": one.kind,
            "Name": one.source,
            "Source": volumes.get(one.source, ""),
            "Destination": one.target,
            "Driver": "local",
            # Docker's default for whatever has a name of its own; ours does nothing by it either.
            "Mode": mode or ("" if _UNNAMED.fullmatch(one.source) else "z"),
            "RW": not one.read_only,
            "Propagation": propagation,
        }
    return {
        "Type": one.kind,
        "Source": one.source,
        "Destination": one.target,
        "Mode": mode,
        "RW": not one.read_only,
        "Propagation": propagation or ("rprivate" if one.kind == "bind" else ""),
    }


def binds(mounts: Iterable[Mount]) -> list[str] | None:
    """HostConfig.Binds again."""
    shown = []
    for one in mounts:
        if one.kind != "tmpfs" and one.source:
            words = [*(["ro"] if one.read_only else []), *(o for o in one.options if o != MUST_EXIST)]
            mode = one.mode or ",".join(words)
            shown.append(f"{one.source}:{one.target}" + (f":{mode}" if mode else ""))
    return shown or None
