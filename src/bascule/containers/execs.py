"""Execs: further processes in running containers."""

import json
import logging
import os
import secrets
import shutil
import threading
from collections import OrderedDict
from dataclasses import replace

from bascule.containers import bundle
from bascule.containers.attach import Attachment
from bascule.containers.bundle import Start
from bascule.containers.starting import Parts, exit_code
from bascule.containers.unpack import Root
from bascule.containers.watcher import Watcher
from bascule.model.container import Container, Exec, ExecSpec
from bascule.model.errors import Conflict, Failed, Invalid, NotFound

log = logging.getLogger(__name__)

# How many execs are remembered; the oldest that have ended are forgotten first.
KEPT = 1024
# How long an exec whose process is gone may be asked for before its exit code is known: its monitor writes it down
# and ends, which takes milliseconds.
SETTLING = 2.0


class Execs:
    """In memory: execs are forgotten with the daemon, while their processes live on."""

    def __init__(self, parts: Parts, watcher: Watcher) -> None:
        self._parts = parts
        self._watcher = watcher
        self._lock = threading.Condition()
        self._execs: OrderedDict[str, Exec] = OrderedDict()

    def create(self, container: Container, spec: ExecSpec) -> str:
        """An exec that has not been started.  Raises Conflict unless the container runs."""
        if not spec.command:
            raise Invalid("No exec command specified")
        _check_running(container)
        if spec.user:
            with Root(f"/proc/{container.state.pid}/root") as root:
                self._parts.surroundings.user(root, spec.user, ())
        found = Exec(secrets.token_hex(32), container.id, spec)
        with self._lock:
            self._execs[found.id] = found
            ended = [e.id for e in self._execs.values() if not e.running and e.exit_code is not None]
            for ident in ended[: max(0, len(self._execs) - KEPT)]:
                del self._execs[ident]
        self._parts.records.tell(container, f"exec_create: {_told(spec)}", execID=found.id)
        return found.id

    def get(self, ident: str) -> Exec:
        with self._lock:
            found = self._execs.get(ident)
        if found is None:
            raise NotFound(f"No such exec instance: {ident}")
        return found

    def settled(self, ident: str) -> Exec:
        """As `get`, and with its exit code once its process is gone: clients ask as soon as its output ends, which
        is before its monitor has ended."""
        found = self.get(ident)
        if found.running and found.pid and not os.path.exists(f"/proc/{found.pid}"):
            with self._lock:
                self._lock.wait_for(lambda: ident not in self._execs or not self._execs[ident].running, SETTLING)
            return self.get(ident)
        return found

    def of(self, container: Container) -> list[str]:
        """The ids of those that run in *container*."""
        with self._lock:
            return [e.id for e in self._execs.values() if e.container == container.id and e.running]

    def start(self, ident: str, container: Container, *, detach: bool) -> Attachment | None:
        """The process runs; its attachment, unless *detach*.  Raises Invalid or Failed with Docker's sentence when
        it could not be run, and then its exit code is 126 or 127."""
        with self._lock:
            found = self._execs.get(ident)
            if found is None:
                raise NotFound(f"No such exec instance: {ident}")
            if found.exit_code is not None:
                raise Conflict(f"exec command {ident} has already run")
            if found.running:
                raise Conflict(f"exec command {ident} is already running")
            self._execs[ident] = replace(found, running=True)
        try:
            return self._start(found, container, detach=detach)
        except (Invalid, Failed, Conflict, OSError) as error:
            self._change(ident, running=False, exit_code=exit_code(str(error)))
            if isinstance(error, OSError):
                raise Failed(f"exec {ident}: {error}") from error
            raise

    def _start(self, found: Exec, container: Container, *, detach: bool) -> Attachment | None:
        _check_running(container)
        spec = found.spec
        place = self._place(found)
        os.makedirs(place, mode=0o700)
        try:
            with open(os.path.join(place, "process.json"), "w", encoding="utf-8") as target:
                json.dump(self._process(found, container), target)
            session = self._parts.conmon.execute(container.id, found.id, place, tty=spec.tty, stdin=spec.stdin)
            session.attached()
            attachment = None if detach else Attachment(tty=spec.tty, stdin=spec.stdin)
            if attachment and os.path.exists(os.path.join(place, "attach")):
                attachment.connect(os.path.join(place, "attach"))
            try:
                started = session.made()
            except Failed as error:
                if attachment:
                    attachment.close()
                code = exit_code(str(error))
                raise (Invalid if code != 128 else Failed)(f"OCI runtime exec failed: {error}: unknown") from error
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        self._change(found.id, pid=started.pid)
        self._parts.records.tell(container, f"exec_start: {_told(spec)}", execID=found.id)
        self._watcher.watch(started.conmon, lambda: self._ended(found, container))
        return attachment

    def _process(self, found: Exec, container: Container) -> bundle.Config:
        image = self._parts.images.image(container.image)
        surroundings = self._parts.surroundings
        spec = container.spec
        with Root(f"/proc/{container.state.pid}/root") as root:
            own = surroundings.user(root, spec.user or image.config.user, spec.groups)
            user = surroundings.user(root, found.spec.user, spec.groups) if found.spec.user else own
        start = Start(
            rootfs="/", user=user, hostname=surroundings.hostname(container), bounding=surroundings.bounding
        )
        return bundle.exec_process(container, image, start, found.spec, user)

    def _place(self, found: Exec) -> str:
        return os.path.join(self._parts.paths.bundle(found.container), "exec", found.id[:16])

    def _ended(self, found: Exec, container: Container) -> None:
        place = self._place(found)
        try:
            with open(os.path.join(place, container.id), encoding="ascii") as source:
                code = int(source.read())
        except (OSError, ValueError):
            # Its monitor was killed, or the container ended and took the bundle with it.
            code = 137
        self._change(found.id, running=False, exit_code=code)
        shutil.rmtree(place, ignore_errors=True)
        # It may have been given another name meanwhile.
        current = self._parts.records.get(container.id) or container
        self._parts.records.tell(current, "exec_die", execID=found.id, exitCode=str(code))

    def _change(self, ident: str, **fields: object) -> None:
        with self._lock:
            if ident in self._execs:
                self._execs[ident] = replace(self._execs[ident], **fields)  # type: ignore[arg-type]
                self._lock.notify_all()

    def resize(self, ident: str, height: int, width: int) -> None:
        """The process's terminal has this size."""
        found = self.get(ident)
        if not found.running:
            raise Conflict(f"exec {ident} is not running")
        resize(self._place(found), height, width)


def resize(place: str, height: int, width: int) -> None:
    """Tell the conmon of the bundle *place* a terminal's size: a line in its fifo (conmon, src/ctrl.c)."""
    try:
        fd = os.open(os.path.join(place, "winsz"), os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Conflict(f"cannot resize: nobody is at the terminal: {error.strerror}") from None
    with os.fdopen(fd, "wb", buffering=0) as target:
        target.write(f"{height} {width}\n".encode())


def _told(spec: ExecSpec) -> str:
    """The command as events tell it: with a blank after its first word even if that is all (daemon/exec.go)."""
    return f"{spec.command[0]} {' '.join(spec.command[1:])}"


def _check_running(container: Container) -> None:
    if container.state.status == "paused":
        raise Conflict(f"Container {container.name} is paused, unpause the container before exec")
    if container.state.status != "running":
        raise Conflict(f"container {container.id} is not running")
