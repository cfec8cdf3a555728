"""A lease for each endpoint and family, kept alive by a client of its own (dhcp.programs) in its namespace.

The processes outlive the daemon, as containers do: renewing must not stop for its restart.  Each has a directory
below the exec root.  There lies `lease`, which it has written; `pid` and `words` say who it is.  One thread watches
all of them: for leases that were written or run out, and for processes that ended, which are begun again.
"""

import logging
import os
import select
import shutil
import signal
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from bascule.dhcp.programs import PAUSE, RELEASES, TRIES, prepare
from bascule.engine.leases import Tell, Wanted
from bascule.kernel import inotify
from bascule.model.addresses import FAMILIES, Family, IPAddress, IPInterface, ip_address, ip_interface
from bascule.model.endpoint import Lease
from bascule.model.errors import BasculeError, Failed

log = logging.getLogger(__name__)

PATIENCE = 10.0
"""Seconds after which a client that has neither a lease nor ended is given up."""
RELEASE_PATIENCE = 2.0
LONGEST = 86400.0
"""Seconds after which the clients are looked at in any case.  A lease may be for ever, and poll(2) counts in an int
of milliseconds, which 24.9 days fill."""
AGAIN, AGAIN_MOST = 1.0, 30.0
"""Seconds before a client that ended is begun again: the first time, and at most.  Each time that it ends without a
lease (its link is away, say) they are twice as many."""

Key = tuple[str, Family]
"""An endpoint's id, and a family."""


class DhcpClient:
    """Keeps engine.leases.Leases' promises."""

    def __init__(self, exec_root: str) -> None:
        self._root = Path(exec_root) / "dhcp"
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._kept: dict[Key, _Client] = {}
        self._tell: Tell = lambda _endpoint, _family, _lease: None
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._watching: threading.Thread | None = None
        self._closed = False
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for place in self._root.iterdir():
            endpoint, _, version = place.name.partition(".")
            family: Family = 6 if version else 4
            client = _Client(place, family)
            if client.find():
                self._kept[endpoint, family] = client
            else:
                shutil.rmtree(place)
        if self._kept:
            self._watch()

    def obtain(self, wanted: Wanted) -> Lease:
        client = self._begin(wanted, once=True)
        end = time.monotonic() + PATIENCE
        with self._changed:
            while client.lease is None and not client.ended and time.monotonic() < end:
                self._changed.wait(end - time.monotonic())
            client.awaited = False
            if client.lease:
                return client.lease
            answered = not client.ended
        self.release(wanted.endpoint)
        if answered:
            # It goes on asking only where what it was offered is in use, or the server changed its mind.
            raise Failed(f"no address could be had on {wanted.link} within {PATIENCE:.0f} seconds")
        raise Failed(f"no DHCP server answered on {wanted.link} within {TRIES * PAUSE} seconds")

    def resume(self, wanted: Wanted) -> None:
        self._begin(wanted, once=False)

    def release(self, endpoint: str) -> None:
        with self._lock:
            clients = [client for family in FAMILIES if (client := self._kept.pop((endpoint, family), None))]
        for client in clients:
            client.end()
            os.eventfd_write(self._wake, 1)

    def kept(self) -> Mapping[Key, Lease | None]:
        with self._lock:
            return {key: client.lease for key, client in self._kept.items()}

    def on_change(self, tell: Tell) -> None:
        self._tell = tell

    def close(self) -> None:
        """Let go of the clients; they go on."""
        self._closed = True
        os.eventfd_write(self._wake, 1)
        if self._watching:
            self._watching.join()
        with self._lock:
            for client in self._kept.values():
                client.close()
            self._kept.clear()
        os.close(self._wake)

    def _begin(self, wanted: Wanted, *, once: bool) -> "_Client":
        name = wanted.endpoint if wanted.family == 4 else f"{wanted.endpoint}.{wanted.family}"
        client = _Client(self._root / name, wanted.family)
        client.awaited = once
        client.begin(wanted, once=once)
        with self._lock:
            self._kept[wanted.endpoint, wanted.family] = client
        self._watch()
        return client

    def _watch(self) -> None:
        with self._lock:
            if self._watching is None:
                self._watching = threading.Thread(target=self._run, name="dhcp-watch", daemon=True)
                self._watching.start()
        os.eventfd_write(self._wake, 1)

    def _run(self) -> None:
        while not self._closed:
            poll = select.poll()
            poll.register(self._wake, select.POLLIN)
            with self._lock:
                clients = list(self._kept.items())
            for _, client in clients:
                for fd in client.descriptors():
                    poll.register(fd, select.POLLIN)
            # A lease that runs out makes no event of its own.
            poll.poll(self._until_the_next(client for _, client in clients))
            try:
                os.eventfd_read(self._wake)
            except BlockingIOError:
                pass
            for key, client in clients:
                try:
                    self._look(key, client)
                except Exception:
                    # The thread is everybody's: whatever is wrong with one lease, the others are looked after.
                    log.exception("a lease cannot be looked after", extra={"fields": {"id": key[0][:12]}})

    @staticmethod
    def _until_the_next(clients: "Iterable[_Client]") -> float:
        """In milliseconds."""
        ends = [client.next_look() for client in clients]
        soon = min((end - time.time() for end in ends if end is not None), default=LONGEST)
        return max(0.0, min(soon, LONGEST)) * 1000

    def _look(self, key: Key, client: "_Client") -> None:
        with self._changed:
            if self._kept.get(key) is not client:
                return
            before, told_already = client.lease, client.awaited
            client.look(time.time())
            now = client.lease
            self._changed.notify_all()
        if now != before and not told_already:
            self._tell(*key, now)


class _Client:
    """One client, in *place*."""

    def __init__(self, place: Path, family: Family) -> None:
        self._place = place
        self._family = family
        self._pid = 0
        self._pidfd = -1
        self._inotify = -1
        self._again = 0.0
        self._pause = AGAIN
        self._began = 0
        self.lease: Lease | None = None
        self.awaited = False
        """Somebody waits in `obtain`, and will be told."""
        self.ended = False

    def begin(self, wanted: Wanted, *, once: bool) -> None:
        """It asks.  With *once* it ends when nobody answers; without, it asks for ever."""
        self._place.mkdir(parents=True, exist_ok=True)
        try:
            self._words = prepare(wanted, self._place)
            (self._place / "words").write_text("\0".join(self._words))
            self._start(["-n"] if once else [])
        except OSError as why:
            shutil.rmtree(self._place)
            raise Failed(f"no DHCP client can be begun on {wanted.link}: {why}") from why
        except BasculeError:
            shutil.rmtree(self._place)
            raise

    def _start(self, more: list[str]) -> None:
        self._close()
        self._began = time.time_ns()
        self._pid = os.posix_spawnp(
            self._words[0],
            [*self._words, *more],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1, 2)],
            setsid=True,
        )
        (self._place / "pid").write_text(str(self._pid))
        self._open()

    def find(self) -> bool:
        """Whether an earlier daemon's still runs, and is ours now."""
        try:
            self._pid = int((self._place / "pid").read_text())
            self._words = (self._place / "words").read_text().split("\0")
            running = Path(f"/proc/{self._pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
            if not any(word.startswith(f"{self._place}/") for word in running):
                return False
            self._open()
        except (OSError, ValueError):
            return False
        self.look(time.time())
        return True

    def _open(self) -> None:
        self._pidfd = os.pidfd_open(self._pid)
        self._inotify = inotify.watch(str(self._place), inotify.IN_MOVED_TO)
        self.ended = False

    def descriptors(self) -> list[int]:
        return [fd for fd in (self._pidfd, self._inotify) if fd >= 0]

    def next_look(self) -> float | None:
        """When to look though nothing happened, in seconds since the epoch."""
        times = [self._again] if self._again else []
        if self.lease:
            times.append(self.lease.since / 1e9 + self.lease.seconds)
        return min(times, default=None)

    def look(self, now: float) -> None:
        """Notice what happened: a lease that was written or ran out, a process that ended."""
        if self._inotify >= 0:
            inotify.drain(self._inotify)
        self.lease = _read(self._place / "lease", now)
        if self._pidfd >= 0 and select.select([self._pidfd], [], [], 0)[0]:
            self._reap()
            self._close()
            self.ended = True
            self._again = 0.0 if self.awaited else now + self._next_pause()
        if self._again and now >= self._again:
            self._again = 0.0
            log.warning("a DHCP client ended and is begun again: %s", self._place.name[:12])
            try:
                self._start([])
            except OSError as why:
                log.error(
                    "a DHCP client cannot be begun: %s",
                    self._place.name[:12],
                    extra={"fields": {"error": str(why)}},
                )
                self._again = now + self._next_pause()

    def _next_pause(self) -> float:
        served = self.lease is not None and self.lease.since > self._began
        pause = AGAIN if served else self._pause
        self._pause = min(pause * 2, AGAIN_MOST)
        return pause

    def end(self) -> None:
        """It has given the address back and ended."""
        self._again = 0.0
        if self._pidfd >= 0:
            for number in (RELEASES[self._family], signal.SIGKILL):
                self._send(number)
                if select.select([self._pidfd], [], [], RELEASE_PATIENCE)[0]:
                    break
            self._reap()
        self.close()
        shutil.rmtree(self._place, ignore_errors=True)

    def _send(self, number: int) -> None:
        """The client's own process is the one that we began, or (in a process namespace) the child of that."""
        try:
            if self._family == 4:
                signal.pidfd_send_signal(self._pidfd, number)
                return
            inside = Path(f"/proc/{self._pid}/task/{self._pid}/children").read_text().split()
            for pid in map(int, inside):
                os.kill(pid, number)
            if not inside:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError):
            return  # It has ended meanwhile.

    def _reap(self) -> None:
        try:
            os.waitpid(self._pid, 0)
        except ChildProcessError:
            pass  # An earlier daemon's: init does.

    def _close(self) -> None:
        for fd in self.descriptors():
            os.close(fd)
        self._pidfd = self._inotify = -1

    close = _close


def _read(file: Path, now: float) -> Lease | None:
    """The lease that was written, unless it has run out."""
    try:
        address, router, server, seconds = file.read_text().splitlines()
        since, own = file.stat().st_mtime_ns, ip_interface(address)
        lease = Lease(own, _next_hop(router, own), server, int(seconds or 0), since)
    except (OSError, ValueError):
        return None
    return lease if since / 1e9 + lease.seconds > now else None


def _next_hop(router: str, own: IPInterface) -> IPAddress | None:
    """The router that a server named, where packets can be sent to it at all."""
    found = ip_address(router) if router else None
    if found is None or not int(found) or found == own.ip or found.is_multicast or found.is_loopback:
        return None
    return found
