"""Life: containers between their start and their end, and what follows the end.

Every change of a container is made under its lock.  Nobody waits for an end while holding one: the end itself
needs it.
"""

import logging
import os
import shutil
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import replace

from bascule.containers import cgroups, signals
from bascule.containers.attach import Attachment
from bascule.containers.pauses import Pauses
from bascule.containers.records import running
from bascule.containers.restarts import delay, wanted
from bascule.containers.starting import Parts, start
from bascule.containers.volumes import Volumes
from bascule.containers.waiting import Waiter, Waiting
from bascule.containers.watcher import Watcher
from bascule.model.container import Container
from bascule.model.errors import BasculeError, Conflict, Failed, NotFound
from bascule.model.names import short

log = logging.getLogger(__name__)

STOP_SECONDS = 10
# How long a killed process may take to be gone (moby: daemon/kill.go).
KILL_SECONDS = 10
# A monitor that was killed wrote no exit code; what it watched over is killed as well.
LOST = 137
# What dockerd writes for a container that was lost with the machine (moby: daemon/daemon.go, restore).
VANISHED = 255


class Life:
    """Starting, stopping, ending, restarting, removing."""

    def __init__(self, parts: Parts, volumes: Volumes) -> None:
        self._parts = parts
        self._records = parts.records
        self._volumes = volumes
        self.waiting = Waiting()
        self.watcher = Watcher()
        self._enders = ThreadPoolExecutor(max_workers=8, thread_name_prefix="ended")
        self._lock = threading.Lock()
        self._processes: dict[str, int] = {}
        self._attachments: dict[str, list[Attachment]] = {}
        self._pauses = Pauses()
        self._closed = False

    def close(self) -> None:
        """Watch no more.  Containers live on."""
        self._closed = True
        self._pauses.close()
        self.watcher.close()
        self._enders.shutdown()
        self._parts.cleaning.close()
        for fd in self._processes.values():
            os.close(fd)

    # ---- beginning

    def start(self, container: Container, *, restarts: int = 0) -> None:
        """The container runs; nothing happens if it did.  Raises Conflict for one that is paused or going."""
        with self._records.lock(container.id):
            container = self._current(container)
            state = container.state
            if state.status == "paused":
                raise Conflict("cannot start a paused container, try unpause instead")
            if state.status in ("removing", "dead"):
                raise Conflict("container is marked for removal and cannot be started")
            if state.status == "running":
                return
            self._pauses.end(container.id)
            attachments = self._claim(container.id)
            self._records.tell_volumes(container, "mount")
            try:
                container, started = start(self._parts, container, attachments, restarts=restarts)
            except BasculeError as error:
                for attachment in attachments:
                    attachment.refuse(error)
                self._records.tell_volumes(container, "unmount")
                self._after_failure(container, error)
                raise
            self.watch(container, started.conmon)
        self._records.tell(container, "start")
        log.info("started container %s (%s)", container.name, short(container.id))

    def _after_failure(self, container: Container, error: BasculeError) -> None:
        current = self._records.get(container.id)
        if current is None:
            return
        if current.state.status == "restarting":
            current = self._records.state(container.id, status="exited")
        self._records.tell(current, "die", exitCode=str(current.state.exit_code))
        if current.spec.auto_remove:
            self._remove(current, volumes=True)
            return
        self.waiting.ended(container.id, current.state.exit_code)
        log.warning("could not start container %s: %s", container.name, error)

    def watch(self, container: Container, conmon: int) -> None:
        """Hear of the container's end from now on, by its monitor's."""
        try:
            fd = os.pidfd_open(container.state.pid)
        except ProcessLookupError:
            # It ended already; the monitor will tell.
            fd = -1
        with self._lock:
            if fd >= 0:
                self._processes[container.id] = fd
        self.watcher.watch(conmon, lambda: self._hand_over(container.id))

    def _hand_over(self, ident: str) -> None:
        if not self._closed:
            self._enders.submit(self._ended_safely, ident)

    def attach(self, ident: str, attachment: Attachment) -> None:
        """The attachment is connected when the container is next started."""
        with self._lock:
            self._attachments.setdefault(ident, []).append(attachment)

    def _claim(self, ident: str) -> list[Attachment]:
        with self._lock:
            return self._attachments.pop(ident, [])

    # ---- ending

    def _ended_safely(self, ident: str) -> None:
        try:
            self.ended(ident)
        except Exception:
            log.exception("could not record the end of container %s", ident)

    def ended(self, ident: str, *, alone: bool = True) -> None:
        """The container's monitor has gone: record how it ended, release what it had, and do what its policy
        says; not *alone*: whoever asks starts it again where it is to be."""
        with self._records.lock(ident):
            container = self._records.get(ident)
            if container is None or not running(container.state):
                return
            code, finished = self._outcome(container)
            self._release(ident)
            self._records.tell_volumes(container, "unmount")
            again = wanted(container, code)
            container = self._records.change(
                ident,
                sandbox="",
                state=replace(
                    container.state,
                    status="restarting" if again else "exited",
                    pid=0,
                    exit_code=code,
                    finished=finished,
                    oom_killed=cgroups.oom_killed(ident),
                ),
            )
            self._parts.cleaning.later(ident, lambda: self._sweep_up(ident))
            ran = max(0, finished - container.state.started)
            self._records.tell(container, "die", exitCode=str(code), execDuration=str(ran // 1_000_000_000))
            log.info("container %s ended with %d", container.name, code)
            if again and alone:
                self._again(container, ran)
            if container.spec.auto_remove:
                self._remove(container, volumes=True)
                return
        self.waiting.ended(ident, code)

    def _outcome(self, container: Container) -> tuple[int, int]:
        path = self._parts.paths.exit_file(container.id)
        try:
            with open(path, encoding="ascii") as source:
                code = int(source.read())
                finished = os.fstat(source.fileno()).st_mtime_ns
            os.unlink(path)
        except (FileNotFoundError, ValueError):
            # conmon was killed.  Nobody is left to tell how the process ends, so it ends now.
            lost = container.id in self._parts.runtime.known()
            self._parts.runtime.delete(container.id)
            return LOST if lost else VANISHED, self._records.now()
        return code, finished

    def _release(self, ident: str) -> None:
        container = self._records.get(ident)
        with self._lock:
            fd = self._processes.pop(ident, -1)
        if fd >= 0:
            os.close(fd)
        if container:
            try:
                self._parts.wiring.close(container.sandbox)
            except BasculeError as error:
                # The record must say that it ended; the start of the engine sweeps what is left.
                log.error("container %s: its sandbox could not be closed: %s", container.name, error)

    def _sweep_up(self, ident: str) -> None:
        self._parts.runtime.delete(ident)
        shutil.rmtree(self._parts.paths.bundle(ident), ignore_errors=True)

    # ---- again

    def _again(self, container: Container, ran: int) -> float:
        """Seconds until the next start."""
        pause, restarts = delay(container.state.restarts, ran), container.state.restarts + 1
        self._pauses.begin(container.id, pause, lambda: self._restart_now(container.id, restarts))
        return pause

    def _restart_now(self, ident: str, restarts: int) -> None:
        with self._records.lock(ident):
            current = self._records.get(ident)
            if current is not None and current.state.status == "restarting" and not self._closed:
                self._start_or_again(current, restarts)

    def bring_up(self, container: Container) -> None:
        """Its policy wants it to run: it does, or it is tried again ever later."""
        with self._records.lock(container.id):
            current = self._records.get(container.id)
            if current is not None:
                state = self._records.state(current.id, stopped_by_user=False).state
                self._start_or_again(current, state.restarts + 1 if state.status == "restarting" else 0)

    def _start_or_again(self, container: Container, restarts: int) -> None:
        try:
            self.start(container, restarts=restarts)
        except BasculeError as error:
            if self._records.get(container.id) is None:
                return
            failed = self._records.state(container.id, restarts=restarts)
            if not wanted(failed, failed.state.exit_code):
                log.error("could not restart container %s: %s", container.name, error)
                return
            # What it joins may not be up yet, or a link that it needs.
            pause = self._again(self._records.state(container.id, status="restarting"), 0)
            log.error("could not restart container %s, again in %g s: %s", container.name, pause, error)

    # ---- signals

    def kill(self, container: Container, number: int) -> None:
        """The container's first process has got the signal.  Raises Conflict when it has none."""
        with self._records.lock(container.id):
            container = self._current(container)
            if container.state.status == "restarting" and self._pauses.end(container.id):
                self._records.state(container.id, status="exited", stopped_by_user=True)
                return
            if container.state.status not in ("running", "paused"):
                raise Conflict(f"container {container.id} is not running")
            if number in (signal.SIGKILL, self.stop_signal(container)):
                self._records.state(container.id, stopped_by_user=True)
            self._send(container, number)
        self._records.tell(container, "kill", signal=signals.shown(number))

    def _send(self, container: Container, number: int) -> None:
        with self._lock:
            fd = self._processes.get(container.id, -1)
            try:
                if fd >= 0:
                    signal.pidfd_send_signal(fd, number)
            except ProcessLookupError:
                # It has ended; the record is about to say so.
                return
        if number == signal.SIGKILL and container.spec.pid_mode == "host":
            # Without a pid namespace the others do not go with the first.
            self._parts.runtime.kill(container.id, "KILL")
        if container.state.status == "paused":
            # A frozen process gets no signal before it is thawed.
            self._parts.runtime.resume(container.id)
            self._records.state(container.id, status="running")

    def stop_signal(self, container: Container) -> int:
        text = container.spec.stop_signal
        if not text:
            try:
                text = self._parts.images.image(container.image).config.stop_signal
            except NotFound:
                text = ""
        return signals.parse(text or "TERM")

    def stop(self, container: Container, timeout: int | None, wanted_signal: str) -> bool:
        """The container does not run: asked first, then killed after *timeout* seconds (negative: never).  False
        if it did not."""
        number = signals.parse(wanted_signal) if wanted_signal else self.stop_signal(container)
        if timeout is None:
            timeout = container.spec.stop_timeout if container.spec.stop_timeout is not None else STOP_SECONDS
        with self._records.lock(container.id):
            container = self._current(container)
            if not running(container.state):
                return False
            ended = self.waiting.add(container.id, "not-running")
            self._records.state(container.id, stopped_by_user=True)
            if self._pauses.end(container.id):
                self._records.state(container.id, status="exited")
                self.waiting.ended(container.id, container.state.exit_code)
            else:
                self._send(container, number)
                self._records.tell(container, "kill", signal=signals.shown(number))
        self._wait_or_kill(container, ended, None if timeout < 0 else timeout)
        self._records.tell(self._records.get(container.id) or container, "stop")
        return True

    def _wait_or_kill(self, container: Container, ended: Waiter, timeout: float | None) -> None:
        try:
            ended.result(timeout)
            return
        except NotYet:
            log.info("container %s did not stop in time and is killed", container.name)
        with self._records.lock(container.id):
            current = self._records.get(container.id)
            if current and running(current.state):
                self._send(current, signal.SIGKILL)
                self._records.tell(current, "kill", signal="9")
        try:
            ended.result(KILL_SECONDS)
        except NotYet:
            raise Failed(
                f"container {short(container.id)} PID {container.state.pid} is zombie and can not be killed."
                " Use the --init option when creating containers to run an init inside the container that forwards"
                " signals and reaps processes"
            ) from None

    # ---- removal

    def remove(self, container: Container, *, force: bool, volumes: bool) -> None:
        """The container is gone.  Raises Conflict while it runs, unless *force*, which kills it."""
        current = self._current(container)
        while not self._removed(container.id, volumes):
            # It runs, or has been started again since it was killed.
            if not force:
                raise Conflict(
                    f'cannot remove container "{current.name}": container is {current.state.status}: stop the'
                    " container before removing or force remove"
                )
            self._kill_and_wait(current)

    def _removed(self, ident: str, volumes: bool) -> bool:
        """Whether it is gone now, because it did not run or because --rm was quicker."""
        with self._records.lock(ident):
            left = self._records.get(ident)
            if left is None:
                return True
            if running(left.state):
                return False
            self._remove(left, volumes=volumes)
            return True

    def _kill_and_wait(self, container: Container) -> None:
        ended = self.waiting.add(container.id, "not-running")
        with self._records.lock(container.id):
            current = self._records.get(container.id)
            if current is None or not running(current.state):
                return
            self._records.state(container.id, stopped_by_user=True)
            if self._pauses.end(container.id):
                self._records.state(container.id, status="exited")
                return
            self._send(current, signal.SIGKILL)
            self._records.tell(current, "kill", signal="9")
        self._wait_or_kill(container, ended, KILL_SECONDS)

    def _remove(self, container: Container, *, volumes: bool) -> None:
        """Under its lock, and not running.  Gone for everybody now, from the disk soon."""
        ident = container.id
        self._pauses.end(ident)
        self._parts.wiring.close(container.sandbox)
        self._records.forget(container)
        self._parts.cleaning.later(ident, lambda: self._erase(ident))
        for attachment in self._claim(ident):
            attachment.refuse(NotFound(f"No such container: {ident}"))
        if volumes:
            self._drop_volumes(container)
        self._records.tell(container, "destroy")
        self.waiting.removed(ident, container.state.exit_code)

    def _erase(self, ident: str) -> None:
        self._sweep_up(ident)
        self._parts.rootfs.remove(ident)

    def _drop_volumes(self, container: Container) -> None:
        for mount in container.mounts:
            known = mount.kind == "volume" and next(
                (v for v in self._volumes.volumes() if v.id == mount.source), None
            )
            if known and known.anonymous:
                try:
                    self._volumes.remove(known.id)
                except (Conflict, NotFound):
                    # Another container took it over by --volumes-from, or removed it.
                    continue

    def _current(self, container: Container) -> Container:
        current = self._records.get(container.id)
        if current is None:
            raise NotFound(f"No such container: {container.id}")
        return current
