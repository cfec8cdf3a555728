"""Records: the containers in the store, found as people call them, changed one at a time, and told of."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from bascule.engine.events import Events
from bascule.model.container import Container, State
from bascule.model.errors import Conflict, Invalid, NotFound
from bascule.model.events import Event
from bascule.store.protocol import Store


class Records:
    """Reading and changing containers.  Whoever changes one holds its lock."""

    def __init__(self, store: Store, events: Events, *, now: Callable[[], int] = time.time_ns) -> None:
        self.store = store
        self.now = now
        self.events = events
        self.names = threading.Lock()
        """Held while a name is chosen and kept."""
        self._table = threading.Lock()
        self._locks: dict[str, threading.RLock] = {}

    def all(self) -> list[Container]:
        return self.store.all(Container)

    def find(self, ref: str) -> Container:
        """By full id, then by name (with or without its slash), then by a prefix of the id that only one has.
        Raises NotFound, Invalid."""
        found = self.get(ref)
        if found:
            return found
        name = ref.removeprefix("/")
        if not name:
            raise Invalid(f'invalid name or ID supplied: "{ref}"')
        holder = self.named(name)
        if holder:
            return holder
        prefixed = [container for container in self.all() if container.id.startswith(ref)]
        if len(prefixed) == 1:
            return prefixed[0]
        if prefixed:
            raise Invalid(f"multiple IDs found with provided prefix: {ref}")
        raise NotFound(f"No such container: {ref}")

    def get(self, ident: str) -> Container | None:
        return self.store.get(Container, ident)

    def named(self, name: str) -> Container | None:
        return next(iter(self.store.where(Container, "name", name)), None)

    def check_free(self, name: str) -> None:
        """Raises Conflict when *name* is taken.  Under the `names` lock."""
        holder = self.named(name)
        if holder:
            raise Conflict(
                f'Conflict. The container name "/{name}" is already in use by container "{holder.id}". You have to'
                " remove (or rename) that container to be able to reuse that name."
            )

    def lock(self, ident: str) -> AbstractContextManager[Any]:
        """One container's lock."""
        with self._table:
            return self._locks.setdefault(ident, threading.RLock())

    def save(self, container: Container) -> Container:
        self.store.commit(put=[container])
        return container

    def change(self, ident: str, **fields: Any) -> Container:
        """The stored container with these fields changed.  Raises NotFound when it is gone."""
        container = self.get(ident)
        if container is None:
            raise NotFound(f"No such container: {ident}")
        return self.save(replace(container, **fields))

    def state(self, ident: str, **fields: Any) -> Container:
        """The stored container with these fields of its state changed."""
        container = self.get(ident)
        if container is None:
            raise NotFound(f"No such container: {ident}")
        return self.save(replace(container, state=replace(container.state, **fields)))

    def forget(self, container: Container) -> None:
        self.store.commit(delete=[container])
        with self._table:
            self._locks.pop(container.id, None)

    def tell(self, container: Container, action: str, **attributes: str) -> None:
        """Tell an event of the container, with Docker's attributes."""
        more = {**container.spec.labels, "image": container.spec.image, "name": container.name, **attributes}
        self.events.tell(Event("container", action, container.id, self.now(), more))

    def tell_volumes(self, container: Container, action: str) -> None:
        """Its volumes are mounted, or unmounted."""
        for mount in container.mounts:
            if mount.kind != "volume":
                continue
            more = {"container": container.id, "driver": "local"}
            if action == "mount":
                more |= {
                    "destination": mount.target,
                    "propagation": "",
                    "read/write": str(not mount.read_only).lower(),
                }
            self.events.tell(Event("volume", action, mount.source, self.now(), more))


def running(state: State) -> bool:
    """As Docker counts: a paused container and one between two starts run."""
    return state.status in ("running", "paused", "restarting")
