"""Creating: what can be decided, or said no to, before a container is ever started."""

import os
import random
import secrets
from collections.abc import Sequence
from dataclasses import replace

from bascule.containers import bundle, capabilities, cgroups, madeup, signals, wiring
from bascule.containers.records import Records
from bascule.containers.volumes import Volumes
from bascule.model.container import MUST_EXIST, Container, ContainerSpec, Image, Mount
from bascule.model.errors import BasculeError, Invalid
from bascule.model.names import container_name

MAC_WARNING = (
    "The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead."
)
PORTS_WARNING = "Published ports are discarded when using host network mode"


def check(spec: ContainerSpec, image: Image, controllers: frozenset[str]) -> list[str]:
    """Warnings.  Raises Invalid for what can never be started."""
    wiring.check(spec)
    cgroups.check(spec.resources, controllers)
    if spec.resources.shm_size < 0:
        raise Invalid("SHM size can not be less than 0")
    bundle.command(spec.entrypoint, spec.command, image)
    for field, names in (("CapAdd", spec.cap_add), ("CapDrop", spec.cap_drop)):
        for name in names:
            try:
                capabilities.normal(name)
            except Invalid as error:
                raise Invalid(f"invalid {field}: {error}") from None
    if spec.stop_signal:
        signals.parse(spec.stop_signal)
    if spec.auto_remove and spec.restart.name != "no":
        raise Invalid("can't create 'AutoRemove' container with restart policy")
    if spec.restart.max_retries and spec.restart.name != "on-failure":
        raise Invalid("invalid restart policy: maximum retry count can only be used with 'on-failure'")
    if spec.workdir and not spec.workdir.startswith("/"):
        raise Invalid(f"the working directory '{spec.workdir}' is invalid, it needs to be an absolute path")
    for line in spec.env:
        if not line.partition("=")[0]:
            raise Invalid(f"invalid environment variable: {line}")
    warnings = [MAC_WARNING] if spec.mac else []
    if wiring.mode(spec) == "host" and (spec.ports or spec.publish_all):
        warnings.append(PORTS_WARNING)
    return warnings


def make(records: Records, name: str, spec: ContainerSpec, image: Image, mounts: tuple[Mount, ...]) -> Container:
    """The container is in the store, under *name* or one that is made up.  Raises Conflict for a taken one."""
    with records.names:
        return records.save(draft(records, name, spec, image, mounts))


def draft(
    records: Records, name: str, spec: ContainerSpec, image: Image, mounts: tuple[Mount, ...] = ()
) -> Container:
    """The container that `make` would save."""
    words = bundle.command(spec.entrypoint, spec.command, image)
    if name:
        name = container_name(name)
        records.check_free(name)
    return Container(
        id=secrets.token_hex(32),
        name=name or madeup.name(random.choice, lambda n: records.named(n) is not None),
        created=records.now(),
        spec=spec,
        image=image.id,
        path=words[0],
        args=tuple(words[1:]),
        networks=wiring.wishes(spec),
        mounts=mounts,
    )


def mounts(spec: ContainerSpec, image: Image, records: Records, volumes: Volumes) -> tuple[Mount, ...]:
    """Everything that is mounted: the user's, then --volumes-from's, then the image's volumes, each place once;
    volumes are there, and have names.  Raises Invalid, and NotFound for a container."""
    found: dict[str, Mount] = {}
    for mount in spec.mounts:
        _check_target(mount)
        if mount.target in found:
            raise Invalid(f"Duplicate mount point: {mount.target}")
        found[mount.target] = mount
    for text in spec.volumes_from:
        ref, _, how = text.partition(":")
        for mount in records.find(ref).mounts:
            if mount.kind != "tmpfs":
                lent = replace(mount, read_only=mount.read_only or how == "ro")
                found.setdefault(mount.target, lent)
    for target in image.config.volumes:
        found.setdefault(target, Mount("volume", target))
    return tuple(_named(mount, volumes) for mount in found.values())


def _named(mount: Mount, volumes: Volumes) -> Mount:
    if mount.kind != "volume":
        return mount
    return replace(mount, source=volumes.create(mount.source).id)


def _check_target(mount: Mount) -> None:
    if not mount.target.startswith("/"):
        raise Invalid(f"invalid mount path: '{mount.target}' mount path must be absolute")
    if not mount.target.strip("/"):
        raise Invalid("invalid specification: destination can't be '/'")
    if ".." in mount.target.split("/"):
        raise Invalid(f"invalid mount path: '{mount.target}' must not have '..' in it")
    if mount.kind == "bind" and not mount.source.startswith("/"):
        raise Invalid(f"invalid mount path: '{mount.source}' mount path must be absolute")
    if MUST_EXIST in mount.options and not os.path.exists(mount.source):
        raise Invalid(f'invalid mount config for type "bind": bind source path does not exist: {mount.source}')


def undo_volumes(made: Sequence[Mount], volumes: Volumes) -> None:
    """Anonymous volumes of a container that could not be made are gone again."""
    for mount in made:
        if mount.kind == "volume" and volumes.is_anonymous(mount.source):
            try:
                volumes.remove(mount.source)
            except BasculeError:
                # Somebody uses it: then it is not ours to take back.
                continue
