"""Volumes: directories that outlive containers."""

import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Mapping

from bascule.containers.paths import Paths
from bascule.model.container import Container, Volume
from bascule.model.errors import Conflict, Invalid, NotFound
from bascule.store.protocol import Store

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
# The mark Docker puts on what nobody named; clients read it.
ANONYMOUS = "com.docker.volume.anonymous"

Tell = Callable[[str, str, dict[str, str]], None]


class Volumes:
    """Every volume of one data root.  *tell* hears action, name, attributes."""

    def __init__(self, store: Store, paths: Paths, *, tell: Tell = lambda *_: None) -> None:
        self._store = store
        self._paths = paths
        self._tell = tell
        self._lock = threading.RLock()

    def volumes(self) -> list[Volume]:
        return self._store.all(Volume)

    def volume(self, name: str) -> Volume:
        found = self._store.get(Volume, name)
        if found is None:
            raise NotFound(f"get {name}: no such volume")
        return found

    def is_anonymous(self, name: str) -> bool:
        """Whether the volume is there, and nobody named it."""
        found = self._store.get(Volume, name)
        return found is not None and found.anonymous

    def create(
        self, name: str = "", labels: Mapping[str, str] | None = None, options: Mapping[str, str] | None = None
    ) -> Volume:
        """The volume is there; one of that name that was there before is left as it is.  "" is made up."""
        if name and not _NAME.fullmatch(name):
            raise Invalid(
                f'create {name}: "{name}" includes invalid characters for a local volume name,'
                ' only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host'
                " directory, use absolute path"
            )
        if options:
            raise Invalid(f'create {name}: invalid option: "{next(iter(options))}"')
        anonymous = not name
        name = name or secrets.token_hex(32)
        with self._lock:
            known = self._store.get(Volume, name)
            if known:
                return known
            marks = {**(labels or {}), **({ANONYMOUS: ""} if anonymous else {})}
            path = self._paths.volume(name)
            volume = Volume(name, time.time_ns(), path, labels=marks, anonymous=anonymous)
            self._store.commit(put=[volume])
            os.makedirs(path, mode=0o755, exist_ok=True)
        self._tell("create", name, {"driver": "local"})
        return volume

    def remove(self, name: str, *, force: bool = False) -> None:
        """The volume and what is in it are gone.  Raises Conflict while a container has it, NotFound unless
        *force*."""
        with self._lock:
            volume = self._store.get(Volume, name)
            if volume is None:
                if force:
                    return
                raise NotFound(f"get {name}: no such volume")
            users = [c.id for c in self._store.all(Container) if _uses(c, name)]
            if users:
                raise Conflict(f"remove {name}: volume is in use - [{', '.join(users)}]")
            self._store.commit(delete=[volume])
            shutil.rmtree(os.path.dirname(volume.mountpoint), ignore_errors=True)
        self._tell("destroy", name, {"driver": "local"})

    def prune(self, wanted: Callable[[Volume], bool]) -> list[Volume]:
        """Remove every volume that is *wanted* gone and that no container has."""
        gone = []
        for volume in self.volumes():
            if wanted(volume):
                try:
                    self.remove(volume.id)
                except (Conflict, NotFound):
                    # In use, or somebody else was quicker.
                    continue
                gone.append(volume)
        self._tell("prune", "", {"reclaimed": "0"})
        return gone

    def sweep(self) -> None:
        """Directories whose volume was removed before a crash are gone; those of the store exist."""
        known = {v.id for v in self.volumes()}
        for name in os.listdir(self._paths.volumes):
            if name not in known:
                shutil.rmtree(os.path.join(self._paths.volumes, name), ignore_errors=True)
        for volume in self.volumes():
            os.makedirs(volume.mountpoint, mode=0o755, exist_ok=True)


def _uses(container: Container, name: str) -> bool:
    return any(m.kind == "volume" and m.source == name for m in container.mounts)
