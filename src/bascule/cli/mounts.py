"""`--volume`, `--mount` and `--tmpfs`."""

import posix
from typing import Any

from bascule.cli.options import UsageError, parse_bool, split_csv
from bascule.cli.units import parse_size

KINDS = ("bind", "volume", "tmpfs")


def parse_mount(text: str) -> dict[str, Any]:
    """One `--mount` as the API's Mount.  Raises ValueError in Docker's words."""
    mount: dict[str, Any] = {"Type": "volume"}
    for field in split_csv(text):
        key, eq, value = field.partition("=")
        key = key.lower().strip()
        if not eq and key not in ("readonly", "ro", "volume-nocopy", "bind-nonrecursive"):
            raise ValueError(f"invalid field '{field}' must be a key=value pair")
        _put(mount, key, value, field, given=bool(eq))
    if not mount.get("Target"):
        raise ValueError("target is required")
    for kind in KINDS:
        options = mount.get(f"{kind.capitalize()}Options")
        if options and mount["Type"] != kind:
            raise ValueError(f"cannot mix '{kind}-*' options with mount type '{mount['Type']}'")
    return mount


def _put(mount: dict[str, Any], key: str, value: str, field: str, *, given: bool) -> None:
    def switch() -> bool:
        try:
            return parse_bool(value) if given else True
        except ValueError:
            raise ValueError(f"invalid value for {key}: {value}") from None

    match key:
        case "type":
            mount["Type"] = value.lower()
        case "source" | "src":
            mount["Source"] = absolute(value) if value.startswith("./") or value in (".", "..") else value
        case "target" | "dst" | "destination":
            mount["Target"] = value
        case "readonly" | "ro":
            mount["ReadOnly"] = switch()
        case "bind-propagation":
            mount.setdefault("BindOptions", {})["Propagation"] = value.lower()
        case "volume-nocopy":
            mount.setdefault("VolumeOptions", {})["NoCopy"] = switch()
        case "volume-driver":
            mount.setdefault("VolumeOptions", {}).setdefault("DriverConfig", {})["Name"] = value
        case "volume-label":
            name, _, label = value.partition("=")
            mount.setdefault("VolumeOptions", {}).setdefault("Labels", {})[name] = label
        case "tmpfs-size":
            try:
                mount.setdefault("TmpfsOptions", {})["SizeBytes"] = parse_size(value)
            except ValueError:
                raise ValueError(f"invalid value for {key}: {value}") from None
        case "tmpfs-mode":
            try:
                mount.setdefault("TmpfsOptions", {})["Mode"] = int(value, 8)
            except ValueError:
                raise ValueError(f"invalid value for {key}: {value}") from None
        case _:
            raise ValueError(f"unexpected key '{key}' in '{field}'")


def absolute(path: str) -> str:
    """*path* from the root, without dots."""
    parts: list[str] = []
    for part in (path if path.startswith("/") else f"{posix.getcwd()}/{path}").split("/"):
        if part == "..":
            parts[-1:] = []
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def volumes(typed: list[str]) -> tuple[list[str], dict[str, Any]]:
    """`--volume` as the API's Binds and anonymous Volumes.  Raises UsageError."""
    binds: list[str] = []
    anonymous: dict[str, Any] = {}
    for text in typed:
        parts = text.split(":")
        if not all(parts[:2]):
            raise UsageError(f"invalid spec: {text}: empty section between colons")
        if len(parts) == 1:
            anonymous[text] = {}
            continue
        if parts[0].startswith("."):
            parts[0] = absolute(parts[0])
        binds.append(":".join(parts))
    return binds, anonymous


def tmpfs(typed: list[str]) -> dict[str, str]:
    return {path: options for path, _, options in (text.partition(":") for text in typed)}
