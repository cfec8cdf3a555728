"""Starting: from a record to a running process, or back to where it began.

The order is: sandbox and networks, files, root file system, bundle, conmon and the runtime's `create` (the
process exists and waits), attachments, the record says "running", the process is let go.  A crash before the
record leaves a half-made container, which the start of the daemon takes apart; a crash behind it leaves one that
the start lets go.  So the record decides, and nothing in between.
"""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from bascule.containers import bundle, files
from bascule.containers.attach import Attachment
from bascule.containers.cleaning import Cleaning
from bascule.containers.conmon import Conmon, Started, reap
from bascule.containers.images import Images
from bascule.containers.links import environment, hosts_line
from bascule.containers.paths import Paths
from bascule.containers.records import Records
from bascule.containers.rootfs import RootFs
from bascule.containers.runtime import Runtime
from bascule.containers.surroundings import Surroundings
from bascule.containers.wiring import Wired, Wiring, hosts_names, own_resolver
from bascule.model.container import Container, Image
from bascule.model.errors import BasculeError, Failed, Invalid
from bascule.model.names import short
from bascule.model.settings import Settings

# Which words of the runtime mean that the command, not the engine, is to blame; and the exit code for it
# (moby: daemon/start.go, translateContainerdStartErr).
NOT_FOUND = ("executable file not found", "no such file or directory", "system cannot find the file specified")
NOT_INVOKABLE = ("permission denied", "is a directory")
NOT_A_DIRECTORY = "not a directory"


@dataclass(slots=True)
class Parts:
    """What starting is done with."""

    settings: Settings
    paths: Paths
    records: Records
    images: Images
    rootfs: RootFs
    wiring: Wiring
    surroundings: Surroundings
    runtime: Runtime
    conmon: Conmon
    cleaning: Cleaning


def start(
    parts: Parts, container: Container, attachments: list[Attachment], *, restarts: int
) -> tuple[Container, Started]:
    """The container runs, and is recorded so.  Under its lock.  Raises what Docker says, with everything taken
    back and the failure recorded."""
    try:
        return _start(parts, container, attachments, restarts)
    except OSError as error:
        failure: BasculeError = Failed(f"cannot start container {short(container.id)}: {error}")
        _record_failure(parts, container, failure, 128)
        raise failure from error
    except BasculeError as error:
        _record_failure(parts, container, error, exit_code(str(error)))
        raise


def exit_code(message: str) -> int:
    """What `docker run` exits with when a start fails like that."""
    if any(words in message for words in NOT_FOUND) or NOT_A_DIRECTORY in message:
        return 127
    return 126 if any(words in message for words in NOT_INVOKABLE) else 128


def _record_failure(parts: Parts, container: Container, error: BasculeError, code: int) -> None:
    for_state = {"error": str(error), "exit_code": code, "pid": 0}
    if parts.records.get(container.id):
        parts.records.save(container)
        parts.records.state(container.id, **for_state)


def _start(
    parts: Parts, container: Container, attachments: list[Attachment], restarts: int
) -> tuple[Container, Started]:
    ident = container.id
    parts.cleaning.finish(ident)
    image = parts.images.image(container.image)
    hostname = parts.surroundings.hostname(container)
    with ExitStack() as undo:
        wired = parts.wiring.open(container, image, hostname)
        _back(undo, lambda: parts.wiring.close(wired.sandbox))
        container = parts.records.change(ident, sandbox=wired.sandbox)
        write_files(parts, container, hostname)
        _back(undo, lambda: shutil.rmtree(parts.paths.bundle(ident), ignore_errors=True))
        started = _create(parts, container, image, wired, undo)
        _back(undo, lambda: _abandon(parts, ident, started))
        for attachment in attachments:
            attachment.connect(os.path.join(parts.paths.bundle(ident), "attach"))
        container = parts.records.state(
            ident,
            status="running",
            pid=started.pid,
            exit_code=0,
            error="",
            oom_killed=False,
            stopped_by_user=False,
            started=parts.records.now(),
            restarts=restarts,
        )
        parts.runtime.start(ident)
        undo.pop_all()
    return container, started


def _back(undo: ExitStack, work: Callable[[], None]) -> None:
    """When the start fails, *work* takes one step back; what it raises becomes a note on the failure."""

    def step(_kind: object, error: BaseException | None, _trace: object) -> None:
        try:
            work()
        except (BasculeError, OSError) as second:
            if error is not None:
                error.add_note(f"and while taking it back: {second}")

    undo.push(step)


def _abandon(parts: Parts, ident: str, started: Started) -> None:
    """The created container and its conmon are gone, as if they had never been."""
    parts.runtime.delete(ident)
    reap(started.conmon)
    if os.path.exists(parts.paths.exit_file(ident)):
        os.unlink(parts.paths.exit_file(ident))


def _create(parts: Parts, container: Container, image: Image, wired: Wired, undo: ExitStack) -> Started:
    ident, spec = container.id, container.spec
    env = environment(container.name, parts.wiring.links(container))
    parts.rootfs.make(ident)
    root = parts.rootfs.mount(container, image)
    try:
        chosen = parts.surroundings.start(container, image, wired, root, env)
        place = write_bundle(parts.paths.bundle(ident), bundle.config(container, image, chosen))
        _back(undo, lambda: parts.runtime.delete(ident))
        try:
            return parts.conmon.create(
                ident,
                container.name,
                place,
                log=parts.paths.log(ident),
                exits=parts.paths.exits,
                tty=spec.tty,
                stdin=spec.open_stdin,
                keep_stdin=spec.open_stdin and not spec.stdin_once,
            )
        except Failed as error:
            raise _translated(str(error)) from error
    finally:
        parts.rootfs.unmount(ident)


def _translated(words: str) -> BasculeError:
    """The runtime's refusal as Docker words it: clients look for these phrases."""
    task = "failed to create task for container: failed to create shim task"
    message = f"{task}: OCI runtime create failed: {words}: unknown"
    if NOT_A_DIRECTORY in words:
        message += (
            ": Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path"
            " exists and is the expected type"
        )
    return Invalid(message) if exit_code(words) != 128 else Failed(message)


def write_bundle(place: str, config: bundle.Config) -> str:
    """The bundle's directory, new, with its config.json."""
    shutil.rmtree(place, ignore_errors=True)
    os.makedirs(place, mode=0o711)
    with open(os.path.join(place, "config.json"), "w", encoding="utf-8") as target:
        json.dump(config, target)
    return place


def write_files(parts: Parts, container: Container, hostname: str) -> None:
    """hosts, hostname and resolv.conf are as they should be at the start."""
    home = parts.paths.home(container.id)
    os.makedirs(home, mode=0o711, exist_ok=True)
    if container.spec.network_mode == "host":
        # The host's own words, with what the user adds.
        added = "".join(f"{address}\t{name}\n" for name, address in extra_hosts(parts, container))
        hosts = (files.read("/etc/hosts") or files.LOCAL) + added
    else:
        hosts = hosts_text(parts, container, hostname)
    files.write(os.path.join(home, "hosts"), hosts)
    files.write(os.path.join(home, "hostname"), hostname + "\n")
    if os.path.exists(resolv_path(parts, container)):
        os.unlink(resolv_path(parts, container))
    write_resolv(parts, container, own_resolver(parts.wiring.live(container)))


def resolv_path(parts: Parts, container: Container) -> str:
    return os.path.join(parts.paths.home(container.id), "resolv.conf")


def write_resolv(parts: Parts, container: Container, own: bool) -> None:
    """resolv.conf is as the container's networks want it, with a resolver of its *own* or not, unless somebody has
    edited it."""
    path = resolv_path(parts, container)
    before = files.read(path)
    if before and not files.generated(before):
        return
    spec = container.spec
    text = files.read("/etc/resolv.conf")
    host = files.parse_resolv(text)
    if spec.network_mode == "host":
        if spec.dns or spec.dns_search or spec.dns_options:
            text = str(files.Resolv(spec.dns or host.servers, spec.dns_search or host.search, spec.dns_options))
        files.write(path, text)
        return
    dns = spec.dns or tuple(str(a) for a in parts.settings.nameservers)
    body = files.resolv(host, dns=dns, search=spec.dns_search, options=spec.dns_options, own_resolver=own)
    files.write(path, files.sealed(body))


def hosts_text(parts: Parts, container: Container, hostname: str) -> str:
    own = [str(a.ip) for _, ep in parts.wiring.live(container) for a in ep.addresses]
    links = [hosts_line(link) for link in parts.wiring.links(container)]
    return files.hosts(extra_hosts(parts, container), own, hosts_names(container, hostname), links)


def update_files(
    parts: Parts, container: Container, gone: Sequence[str] | None = None, resolver: bool | None = None
) -> None:
    """hosts and resolv.conf of the running container follow its networks: its lines for the addresses of *gone*
    (None: any that it had) are not there any more, and what somebody else wrote is.  *resolver*: whether it had its
    own before, as far as that is known."""
    path = os.path.join(parts.paths.home(container.id), "hosts")
    names = hosts_names(container, parts.surroundings.hostname(container))
    live = parts.wiring.live(container)
    own = [str(a.ip) for _, ep in live for a in ep.addresses]
    text = files.read(path)
    if gone is None:
        gone = [line.partition("\t")[0] for line in text.splitlines()]
    files.write(path, files.with_addresses(text, gone, own, names))
    if own_resolver(live) != resolver:
        write_resolv(parts, container, own_resolver(live))


def extra_hosts(parts: Parts, container: Container) -> list[tuple[str, str]]:
    """--add-host as (name, address).  `host-gateway` is the default bridge's own address.  Raises Invalid."""
    found = []
    for text in container.spec.extra_hosts:
        name, mark, address = text.partition("=") if "=" in text else text.partition(":")
        if not mark or not name or not address:
            raise Invalid(f"bad format for add-host: {text!r}")
        if address == "host-gateway":
            address = parts.wiring.host_gateway()
        found.append((name, address.strip("[]")))
    return found
