"""An image's configuration as OCI and Docker write it (image-spec, config.md), to values and back; and what
`import --change` makes of it."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

from bascule.containers.logs import nanoseconds
from bascule.model.container import Image, ImageConfig, Step
from bascule.model.endpoint import Proto
from bascule.model.errors import Invalid

Document = dict[str, Any]


def read(document: Document, ident: str, *, tags: Sequence[str] = (), size: int = 0) -> Image:
    """The image that a configuration describes."""
    return Image(
        id=ident,
        created=nanoseconds(str(document.get("created") or "")) or 0,
        tags=tuple(tags),
        layers=tuple((document.get("rootfs") or {}).get("diff_ids") or ()),
        config=_config(document.get("config") or {}),
        size=size,
        architecture=str(document.get("architecture") or "amd64"),
        history=tuple(_step(step) for step in document.get("history") or ()),
        author=str(document.get("author") or ""),
        comment=str(document.get("comment") or ""),
    )


def _config(body: Document) -> ImageConfig:
    return ImageConfig(
        env=tuple(body.get("Env") or ()),
        command=tuple(body.get("Cmd") or ()),
        entrypoint=tuple(body.get("Entrypoint") or ()),
        workdir=str(body.get("WorkingDir") or ""),
        user=str(body.get("User") or ""),
        labels=dict(body.get("Labels") or {}),
        exposed=tuple(port(text) for text in body.get("ExposedPorts") or ()),
        volumes=tuple(body.get("Volumes") or ()),
        stop_signal=str(body.get("StopSignal") or ""),
    )


def _step(body: Document) -> Step:
    return Step(
        nanoseconds(str(body.get("created") or "")) or 0,
        str(body.get("created_by") or ""),
        str(body.get("comment") or ""),
        bool(body.get("empty_layer")),
    )


def port(text: str) -> tuple[Proto, int]:
    """`80/tcp` or `80`.  Raises Invalid."""
    number, _, proto = text.partition("/")
    proto = proto.lower() or "tcp"
    if proto not in ("tcp", "udp", "sctp") or not number.isdigit() or not 0 < int(number) < 65536:
        raise Invalid(f"invalid containerPort: {text}")
    return cast(Proto, proto), int(number)


def stamp(time: int) -> str:
    """Nanoseconds since the epoch as RFC 3339, as Docker writes them."""
    seconds, rest = divmod(time, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def write(image: Image) -> bytes:
    """The configuration's bytes, whose digest is the image's id."""
    config = image.config
    body: Document = {
        "Env": list(config.env) or None,
        "Cmd": list(config.command) or None,
        "Entrypoint": list(config.entrypoint) or None,
        "WorkingDir": config.workdir,
        "User": config.user,
        "Labels": dict(config.labels) or None,
        "ExposedPorts": {f"{number}/{proto}": {} for proto, number in config.exposed} or None,
        "Volumes": {path: {} for path in config.volumes} or None,
        "StopSignal": config.stop_signal,
    }
    document = {
        "architecture": image.architecture,
        "os": "linux",
        "created": stamp(image.created),
        "comment": image.comment,
        "config": {key: value for key, value in body.items() if value},
        "rootfs": {"type": "layers", "diff_ids": list(image.layers)},
        "history": [
            {"created": stamp(s.created), "created_by": s.created_by, "comment": s.comment, "empty_layer": s.empty}
            for s in image.history
        ],
    }
    return json.dumps(document, sort_keys=True).encode()


def change(config: ImageConfig, lines: Sequence[str]) -> ImageConfig:
    """*config* after Dockerfile instructions, as `import --change` takes them.  Raises Invalid."""
    for line in lines:
        word, _, rest = line.strip().partition(" ")
        if word:
            config = _change(config, word.upper(), rest.strip(), line)
    return config


def _change(config: ImageConfig, word: str, rest: str, line: str) -> ImageConfig:
    match word:
        case "CMD":
            return replace(config, command=_command(rest))
        case "ENTRYPOINT":
            return replace(config, entrypoint=_command(rest))
        case "ENV":
            return replace(config, env=merge_env(config.env, [f"{k}={v}" for k, v in _pairs(rest, line).items()]))
        case "LABEL":
            return replace(config, labels={**config.labels, **_pairs(rest, line)})
        case "EXPOSE":
            return replace(config, exposed=(*config.exposed, *(port(p) for p in rest.split())))
        case "VOLUME":
            return replace(config, volumes=(*config.volumes, *_words(rest)))
        case "USER":
            return replace(config, user=rest)
        case "WORKDIR":
            return replace(config, workdir=rest)
        case "STOPSIGNAL":
            return replace(config, stop_signal=rest)
        case _:
            raise Invalid(f"{word.upper()} is not a valid change command")


def _words(text: str) -> tuple[str, ...]:
    if text.startswith("["):
        try:
            return tuple(str(word) for word in json.loads(text))
        except ValueError:
            raise Invalid(f"not a JSON array of strings: {text}") from None
    return tuple(text.split())


def _command(text: str) -> tuple[str, ...]:
    return _words(text) if text.startswith("[") else ("/bin/sh", "-c", text)


def _pairs(text: str, line: str) -> Mapping[str, str]:
    key, blank, value = text.partition(" ")
    if "=" not in key and blank:
        return {key: value.strip()}
    found = dict(word.partition("=")[::2] for word in shlex.split(text))
    if not found or any("=" not in word for word in shlex.split(text)):
        raise Invalid(f"cannot read {line!r}: NAME=VALUE is wanted")
    return found


def merge_env(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    """*first* with the variables of *second* put over it, each in its first place."""
    found = {line.partition("=")[0]: line for line in first}
    for line in second:
        found[line.partition("=")[0]] = line
    return tuple(found.values())
