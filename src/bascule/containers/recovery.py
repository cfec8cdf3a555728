"""Recovery: after a stop, a crash or a reboot, what lives is found again, what ended is recorded, and what was
half made is taken apart.  The record decides which is which."""

import logging
import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor

from bascule.containers import cgroups
from bascule.containers.conmon import find
from bascule.containers.life import Life
from bascule.containers.restarts import wanted_at_start, waves
from bascule.containers.starting import Parts, update_files
from bascule.engine.engine import Engine
from bascule.model.container import Container
from bascule.model.errors import BasculeError

log = logging.getLogger(__name__)

# Containers started together with the daemon: conmon and the runtime wait more than they work.
AT_ONCE = 8


def start_up(engine: Engine, life: Life, parts: Parts) -> None:
    """See above.  Containers whose policy wants it have been started when this returns, as far as they can be; the
    others are tried again."""
    parts.rootfs.sweep()
    alive = find(parts.paths.bundles)
    left = {*parts.runtime.known(), *os.listdir(parts.paths.bundles)}
    for container in parts.records.all():
        # A crash may have come between the record and them.
        parts.rootfs.make(container.id)
        monitor = alive.get(parts.paths.bundle(container.id), 0)
        if container.state.status in ("running", "paused"):
            _find_again(life, parts, container, monitor)
        elif monitor or container.sandbox or container.id in left:
            take_apart(parts, container.id)
            parts.records.change(container.id, sandbox="")
    _close_sandboxes(engine, parts)
    _sweep(parts)
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="restart") as pool:
        for wave in waves([c for c in parts.records.all() if wanted_at_start(c)]):
            list(pool.map(life.bring_up, wave))


def _find_again(life: Life, parts: Parts, container: Container, monitor: int) -> None:
    if not monitor:
        life.ended(container.id, alone=False)
        return
    if parts.runtime.created(container.id):
        # The record says that it runs, and it was about to.
        try:
            parts.runtime.finish_start(container.id, container.state.pid)
        except (BasculeError, OSError) as error:
            log.error("container %s: could not be let go: %s", container.name, error)
            take_apart(parts, container.id)
    if container.state.stopped_by_user:
        # A stop that did not come to its end, and it lives: nothing has happened.
        container = parts.records.state(container.id, stopped_by_user=False)
    if container.sandbox:
        update_files(parts, parts.wiring.agree(container))
    life.watch(container, monitor)
    log.info("found container %s again (process %d)", container.name, container.state.pid)


def take_apart(parts: Parts, ident: str) -> None:
    """Nothing is left of a start that was not finished, or of a container nobody knows; its files stay."""
    bundle = parts.paths.bundle(ident)
    for pid in [*_naming(bundle), *_members(ident)]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            # It went with the one before.
            continue
    parts.runtime.delete(ident)
    cgroups.remove(ident)
    parts.rootfs.unmount(ident)
    shutil.rmtree(bundle, ignore_errors=True)
    if os.path.exists(parts.paths.exit_file(ident)):
        os.unlink(parts.paths.exit_file(ident))


def _naming(bundle: str) -> list[int]:
    """The processes that have the bundle's path among their arguments: conmon, and the runtime while it creates."""
    word = os.fsencode(bundle)
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as source:
                    words = source.read().split(b"\0")
            except OSError:
                # It ended while we looked.
                continue
            if word in words:
                found.append(int(entry))
    return found


def _members(ident: str) -> list[int]:
    try:
        return cgroups.processes(ident)
    except BasculeError:
        # It had not got that far.
        return []


def _close_sandboxes(engine: Engine, parts: Parts) -> None:
    """Sandboxes that a start of one of our containers had made, and no record of it mentions."""
    containers = {c.id: c for c in parts.records.all()}
    for sandbox in engine.sandboxes():
        owner = containers.get(sandbox.container)
        if owner and owner.sandbox != sandbox.id:
            engine.close_sandbox(sandbox.id)


def _sweep(parts: Parts) -> None:
    """What has no record is gone from below our own directories."""
    known = {c.id for c in parts.records.all()}
    strays = {*os.listdir(parts.paths.bundles), *parts.runtime.known(), *os.listdir(parts.paths.containers)}
    for ident in strays - known:
        take_apart(parts, ident)
        parts.rootfs.remove(ident)
    for name in os.listdir(parts.paths.exits):
        if name not in known:
            os.unlink(os.path.join(parts.paths.exits, name))
