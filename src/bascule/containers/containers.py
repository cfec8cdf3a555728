"""The use cases behind `docker run`: what can be asked of containers.

Each finds the container that is meant and has the room's other modules do it: life.py (start to end), starting.py
(one start, step by step), wiring.py (networks), execs.py, archive.py.
"""

import os
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import IO, Any

from bascule.containers import archive, bundle, cgroups, creating, layers, processes, signals, starting
from bascule.containers.attach import Attachment
from bascule.containers.cleaning import Cleaning
from bascule.containers.conmon import Conmon
from bascule.containers.execs import Execs, resize
from bascule.containers.images import Images
from bascule.containers.life import Life
from bascule.containers.logs import LogLine, LogStream
from bascule.containers.paths import Paths
from bascule.containers.planning import Plans
from bascule.containers.records import Records, running
from bascule.containers.recovery import start_up
from bascule.containers.rootfs import RootFs
from bascule.containers.runtime import Runtime, choose
from bascule.containers.starting import Parts
from bascule.containers.stats import stats
from bascule.containers.surroundings import Surroundings
from bascule.containers.volumes import Volumes
from bascule.containers.waiting import Waiter
from bascule.containers.wiring import Wiring, own_resolver, prefixed
from bascule.engine.engine import Engine
from bascule.model.container import Container, ContainerSpec, Exec, ExecSpec, Resources, RestartPolicy
from bascule.model.endpoint import Endpoint, EndpointSpec
from bascule.model.errors import BasculeError, Conflict, Invalid, NotFound
from bascule.model.events import Event
from bascule.model.names import container_name
from bascule.model.settings import Settings


class Containers:
    """Every container of one engine.  Safe to call from several threads."""

    def __init__(self, engine: Engine, settings: Settings, *, runtime: str = "", conmon: str = "conmon") -> None:
        """*runtime* "": crun where it accepts this host, else runc.  Raises Unavailable without one, or without
        *conmon*."""
        paths = Paths.of(settings)
        paths.make()
        self.engine = engine
        self._paths = paths
        self._records = Records(engine.store, engine.events)
        self.images = Images(engine.store, paths, tell=self._teller("image"))
        self.volumes = Volumes(engine.store, paths, tell=self._teller("volume"))
        self._wiring = Wiring(engine, self._records)
        oci = Runtime(choose(runtime), paths.runtime)
        self._parts = Parts(
            settings=settings,
            paths=paths,
            records=self._records,
            images=self.images,
            rootfs=RootFs(paths, self.images.layers),
            wiring=self._wiring,
            surroundings=Surroundings(paths, self._records),
            runtime=oci,
            conmon=Conmon(conmon, oci),
            cleaning=Cleaning(),
        )
        self.runtime = os.path.basename(oci.path)
        """The OCI runtime's name."""
        self.cgroup_namespace = cgroups.unified()
        """Whether containers have one of their own."""
        self._life = Life(self._parts, self.volumes)
        self.plans = Plans(engine, self._parts)
        self._execs = Execs(self._parts, self._life.watcher)
        self._archives = archive.Archives(self._parts.rootfs, self.images)

    def start_up(self) -> None:
        """Containers that live are found again, exits that were missed recorded, the half-made cleaned away, and
        those started that want it.  The engine has been started before."""
        self.images.sweep()
        self.volumes.sweep()
        start_up(self.engine, self._life, self._parts)

    def close(self) -> None:
        """Stop watching and finish cleaning.  Containers live on.  To be called before the engine's close."""
        self._life.close()

    # ---- being there

    def create(self, name: str, spec: ContainerSpec) -> tuple[Container, list[str]]:
        """A container that has not run, and warnings.  *name* "" is made up.  A network that it names need not
        exist.  Raises NotFound for its image, Conflict for a taken name, Invalid."""
        image = self.images.image(spec.image)
        spec = self._wiring.settled(spec)
        warnings = creating.check(spec, image, self._parts.surroundings.controllers) + self._wiring.warnings(spec)
        mounts = creating.mounts(spec, image, self._records, self.volumes)
        try:
            container = creating.make(self._records, name, spec, image, mounts)
        except BasculeError:
            creating.undo_volumes(mounts, self.volumes)
            raise
        self._parts.rootfs.make(container.id)
        self._records.tell(container, "create")
        return container, warnings

    def containers(self) -> list[Container]:
        """All of them, whether they run or not, oldest first."""
        return self._records.all()

    def container(self, ref: str) -> Container:
        """By full id, name (with or without its slash), or unambiguous id prefix.  Raises NotFound, Invalid."""
        return self._records.find(ref)

    def rename(self, ref: str, name: str) -> None:
        """The container is called *name*, on its networks as well.  Raises Conflict for a taken one."""
        with self._records.lock(self.container(ref).id), self._records.names:
            container = self.container(ref)
            if name.removeprefix("/") == container.name:
                raise Invalid("Renaming a container with the same name as its current name")
            try:
                name = container_name("/" + name.removeprefix("/"))
                self._records.check_free(name)
            except (Conflict, Invalid) as error:
                raise type(error)(f"Error when allocating new name: {error}") from None
            self._records.save(replace(container, name=name))
            if container.sandbox:
                self.engine.rename(container.sandbox, name)
        self._records.tell(replace(container, name=name), "rename", oldName="/" + container.name)

    def remove(self, ref: str, *, force: bool = False, volumes: bool = False) -> None:
        """The container is gone, and with *volumes* those that nobody named.  Raises Conflict while it runs, unless
        *force*."""
        self._life.remove(self.container(ref), force=force, volumes=volumes)

    def prune(self, wanted: Callable[[Container], bool]) -> list[Container]:
        """Remove every container that does not run and is *wanted* gone."""
        gone = []
        for container in self.containers():
            if not running(container.state) and wanted(container):
                try:
                    self._life.remove(container, force=False, volumes=False)
                except (Conflict, NotFound):
                    # Started, or removed by somebody else, meanwhile.
                    continue
                gone.append(container)
        self._teller("container")("prune", "", {"reclaimed": "0"})
        return gone

    # ---- living

    def start(self, ref: str) -> None:
        """The container runs; nothing happens if it did."""
        self._life.start(self.container(ref))

    def stop(self, ref: str, timeout: int | None = None, signal: str = "") -> None:
        """The container does not run: asked with its signal, killed after *timeout* seconds (-1: never)."""
        self._life.stop(self.container(ref), timeout, signal)

    def restart(self, ref: str, timeout: int | None = None, signal: str = "") -> None:
        """The container has been stopped, and runs."""
        container = self.container(ref)
        try:
            self._life.stop(container, timeout, signal)
            self._life.start(container)
        except BasculeError as error:
            raise prefixed(f"Cannot restart container {ref}: ", error) from error
        self._records.tell(container, "restart")

    def kill(self, ref: str, signal: str = "KILL") -> None:
        """Its first process has got the signal.  Raises Conflict when it does not run."""
        try:
            self._life.kill(self.container(ref), signals.parse(signal or "KILL"))
        except BasculeError as error:
            raise prefixed(f"cannot kill container: {ref}: ", error) from error

    def pause(self, ref: str) -> None:
        """Its processes are frozen."""
        with self._records.lock(self.container(ref).id):
            container = self.container(ref)
            if container.state.status == "paused":
                raise Conflict(f"Container {container.id} is already paused")
            if container.state.status != "running":
                raise Conflict(f"container {container.id} is not running")
            self._parts.runtime.pause(container.id)
            self._records.state(container.id, status="paused")
        self._records.tell(container, "pause")

    def unpause(self, ref: str) -> None:
        """Its processes go on."""
        with self._records.lock(self.container(ref).id):
            container = self.container(ref)
            if container.state.status != "paused":
                raise Conflict(f"Container {container.id} is not paused")
            self._parts.runtime.resume(container.id)
            self._records.state(container.id, status="running")
        self._records.tell(container, "unpause")

    def update(
        self, ref: str, *, resources: Resources | None = None, restart: RestartPolicy | None = None
    ) -> list[str]:
        """The container has these limits and this policy; None leaves what is.  Warnings."""
        with self._records.lock(self.container(ref).id):
            container = self.container(ref)
            spec = container.spec
            if resources is not None:
                cgroups.check(resources, self._parts.surroundings.controllers)
                if running(container.state):
                    self._parts.runtime.update(
                        container.id, bundle.limits(resources, self._parts.surroundings.controllers)
                    )
                spec = replace(spec, resources=resources)
            if restart is not None:
                spec = replace(spec, restart=restart)
            self._records.change(container.id, spec=spec)
        self._records.tell(container, "update")
        return []

    def wait(self, ref: str, condition: str = "not-running") -> Waiter:
        """A future of the exit code, registered when this returns."""
        container = self.container(ref)
        with self._records.lock(container.id):
            current = self._records.get(container.id) or container
            waiter = self._life.waiting.add(container.id, condition)
            if condition == "not-running" and not running(current.state):
                self._life.waiting.ended(container.id, current.state.exit_code)
        return waiter

    # ---- networks

    def connect(self, network: str, ref: str, spec: EndpointSpec) -> None:
        """The container is on the network: at once if it runs, else when it is started."""
        with self._records.lock(self.container(ref).id):
            before = self.container(ref)
            resolver = own_resolver(self._wiring.live(before))
            container = self._wiring.connect(network, before, spec)
            if container.sandbox:
                starting.update_files(self._parts, container, (), resolver)

    def disconnect(self, network: str, ref: str, *, force: bool = False) -> None:
        """The container is not on the network.  *force*: the network may be gone, and a container that is unknown
        is an endpoint that is not found."""
        try:
            ident = self.container(ref).id
        except NotFound as error:
            raise NotFound(f"endpoint {ref} not found") if force else error from None
        with self._records.lock(ident):
            before = self.container(ref)
            live = self._wiring.live(before)
            gone = [str(a.ip) for _, ep in live for a in ep.addresses]
            after = self._wiring.disconnect(network, before, force=force)
            if after.sandbox:
                starting.update_files(self._parts, after, gone, own_resolver(live))

    def endpoints(self, container: Container) -> dict[str, tuple[EndpointSpec, Endpoint | None]]:
        """By network's name: what was wished, and what is while it runs."""
        return self._wiring.endpoints(container)

    # ---- talking

    def attach(self, ref: str, *, stdin: bool, logs: bool = False, stream: bool = True) -> Attachment:
        """A place at its standard streams: now if it runs, else as soon as it is made by a start, before its
        process has run.  The backlog is what it wrote before, with *logs*.  Without *stream* only that."""
        container = self.container(ref)
        with self._records.lock(container.id):
            current = self.container(container.id)
            if current.state.status == "paused" and stream:
                raise Conflict(f"container {current.id} is paused, unpause the container before attach")
            backlog = tuple(self.logs(current.id)) if logs else ()
            attachment = Attachment(tty=current.spec.tty, stdin=stdin and current.spec.open_stdin, backlog=backlog)
            if not stream:
                attachment.refuse(Conflict("only the log was asked for"))
            elif current.state.status == "running":
                attachment.connect(f"{self._paths.bundle(current.id)}/attach")
            else:
                self._life.attach(current.id, attachment)
        self._records.tell(current, "attach")
        return attachment

    def logs(
        self, ref: str, *, follow: bool = False, tail: int | None = None, since: int = 0, until: int = 0
    ) -> Iterator[LogLine]:
        """What it wrote.  With *follow* it goes on until the container has stopped, or the iterator's close()."""
        container = self.container(ref)
        stream = LogStream(self._paths.log(container.id), follow=follow, tail=tail, since=since, until=until)
        if follow:
            # The wait may outlast whoever reads by days: it holds neither the reader nor its descriptors.
            found = weakref.ref(stream)

            def ended(_: Waiter) -> None:
                left = found()
                if left:
                    left.stop()

            self.wait(container.id).add_done_callback(ended)
        return stream

    def resize(self, ref: str, height: int, width: int) -> None:
        """Its terminal has this size."""
        container = self.container(ref)
        if container.state.status != "running":
            raise Conflict(f"container {container.id} is not running")
        resize(self._paths.bundle(container.id), height, width)
        self._records.tell(container, "resize", height=str(height), width=str(width))

    # ---- execs

    def exec_create(self, ref: str, spec: ExecSpec) -> str:
        """The id of a further process that can be started.  Raises Conflict unless the container runs."""
        return self._execs.create(self.container(ref), spec)

    def exec_start(self, ident: str, *, detach: bool, tty: bool) -> Attachment | None:
        """The process runs; its attachment unless *detach*.  *tty* must be what it was created with."""
        found = self._execs.get(ident)
        if not detach and tty != found.spec.tty:
            # Docker decides by what was created, and clients send both; a difference is harmless.
            tty = found.spec.tty
        return self._execs.start(ident, self.container(found.container), detach=detach)

    def exec_inspect(self, ident: str) -> Exec:
        """What became of it.  Raises NotFound."""
        return self._execs.settled(ident)

    def exec_resize(self, ident: str, height: int, width: int) -> None:
        """Its terminal has this size."""
        self._execs.resize(ident, height, width)

    def execs(self, ref: str) -> list[str]:
        """The ids of those that run in the container."""
        return self._execs.of(self.container(ref))

    # ---- looking

    def top(self, ref: str, ps_args: str = "") -> tuple[list[str], list[list[str]]]:
        """Titles and rows of ps, of its processes."""
        container = self._running(ref)
        found = processes.top(cgroups.processes(container.id), ps_args)
        self._records.tell(container, "top")
        return found

    def stats(self, ref: str) -> dict[str, Any]:
        """What it uses: see stats.py."""
        return stats(self._running(ref))

    def changes(self, ref: str) -> list[tuple[int, str]]:
        """(0 modified, 1 added, 2 deleted; path)."""
        container = self.container(ref)
        return archive.changes(
            self._paths.upper(container.id), self._parts.rootfs.lower(self.images.image(container.image))
        )

    def sizes(self, container: Container) -> tuple[int, int]:
        """Bytes that it has written, and all that it sees."""
        written = layers.files_size(self._paths.upper(container.id))
        return written, written + self.images.image(container.image).size

    def stat_archive(self, ref: str, path: str) -> dict[str, Any]:
        """name, size, mode (as stat(2)), mtime (nanoseconds), link (a symbolic link's target)."""
        return self._archives.stat(self.container(ref), path)

    def read_archive(self, ref: str, path: str) -> tuple[IO[bytes], dict[str, Any]]:
        """What is at *path* as a tar, and its stat.  The caller closes the stream."""
        container = self.container(ref)
        found = self._archives.read(container, path)
        self._records.tell(container, "archive-path")
        return found

    def export(self, ref: str) -> IO[bytes]:
        """All its files as a tar.  The caller closes the stream."""
        container = self.container(ref)
        stream, _ = self._archives.read(container, "/", called="")
        self._records.tell(container, "export")
        return stream

    def write_archive(self, ref: str, path: str, stream: IO[bytes], *, strict: bool = False) -> None:
        """What the tar has is below the directory *path*."""
        container = self.container(ref)
        self._archives.write(container, path, stream, strict=strict)
        self._records.tell(container, "extract-to-dir")

    def _running(self, ref: str) -> Container:
        container = self.container(ref)
        if container.state.status not in ("running", "paused"):
            raise Conflict(f"container {container.id} is not running")
        return container

    def _teller(self, kind: str) -> Callable[[str, str, dict[str, str]], None]:
        def tell(action: str, ident: str, attributes: dict[str, str]) -> None:
            self.engine.events.tell(Event(kind, action, ident, self._records.now(), attributes))

        return tell
