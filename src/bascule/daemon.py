"""The daemon: the root where real parts are put together and served.

It goes when asked (SIGTERM, SIGINT) and leaves networks and containers as they are: the kernel forwards, conmon
watches, the resolver answers, and the next daemon finds them again.
"""

import argparse
import asyncio
import contextlib
import ctypes
import fcntl
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from zlib import crc32

from bascule.api.listen import certified, group_id
from bascule.api.server import Server
from bascule.cluster.gate import Gate
from bascule.cluster.home import Home
from bascule.configuration import Configuration, load, parser
from bascule.containers.conmon import program
from bascule.containers.containers import Containers
from bascule.containers.runtime import choose
from bascule.dhcp.client import DhcpClient
from bascule.dns.client import ResolverClient
from bascule.dns.upstream import host_servers
from bascule.engine.engine import Engine
from bascule.kernel.balance import Balancer
from bascule.kernel.linux import GROUP, LinuxKernel
from bascule.log import configure, logger, tell
from bascule.model.errors import BasculeError, Failed
from bascule.model.settings import Settings
from bascule.proxy.client import ProxyClient
from bascule.store.sqlite import SqliteStore

_M_ARENA_MAX = -8
"""malloc.h."""


def link_group(settings: Settings) -> int:
    """The kernel's link group by which this engine knows its links, and others know that they are an engine's: the
    lower half is its own.  Even, the odd one above is for the trash."""
    return GROUP | (crc32(settings.data_root.encode()) & 0xFFFE)


def build_kernel(settings: Settings) -> LinuxKernel:
    """This host's kernel."""
    return LinuxKernel(table=settings.table, group=link_group(settings), namespaces=f"{settings.exec_root}/netns")


def build_engine(
    settings: Settings,
    kernel: LinuxKernel,
    names: ResolverClient,
    proxy: ProxyClient,
    leases: DhcpClient,
    cluster: Gate | None = None,
) -> Engine:
    """An engine on *kernel*, its store on disk."""
    store = SqliteStore(f"{settings.data_root}/bascule.db")
    upstream = lambda: settings.nameservers or host_servers()  # noqa: E731
    return Engine(
        kernel,
        store,
        settings,
        names=names,
        proxy=proxy,
        leases=leases,
        cluster=cluster,
        balance=Balancer(),
        upstream=upstream,
    )


class Daemon:
    """One engine behind its sockets."""

    def __init__(self, told: Configuration, arguments: argparse.Namespace) -> None:
        self.told = told
        self._arguments = arguments
        self._held = hold(told.settings.exec_root)
        for path in (told.settings.data_root, f"{told.settings.exec_root}/netns"):
            Path(path).mkdir(mode=0o711, parents=True, exist_ok=True)
        self._names = ResolverClient(told.settings.exec_root)
        self._proxy = ProxyClient(told.settings.exec_root)
        self._leases = DhcpClient(told.settings.exec_root)
        self._kernel = build_kernel(told.settings)
        home = Home(told.settings.data_root, told.settings.exec_root, told.etcd, told.cluster_certs)
        gate = Gate(*told.cluster_times, told.cluster_store, home)
        self.engine = build_engine(told.settings, self._kernel, self._names, self._proxy, self._leases, gate)
        self.containers = Containers(self.engine, told.settings, runtime=told.runtime, conmon=told.conmon)
        self.server = Server(self.engine, self.containers, told)
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Serve until asked to stop."""
        began = time.monotonic()
        self.engine.events.subscribe(tell)
        self.engine.kernel.on_repair(lambda text: logger.warning("%s", text))
        self.engine.start()
        for chain in self._kernel.foreign_drops():
            logger.warning("%s drops what it does not know: containers may not reach the world", chain)
        self.containers.start_up()
        # What is there now stays: the collector need not look through it again and again.
        gc.collect()
        gc.freeze()
        await self.server.listen(self.told.hosts, group=self.told.group, tls=self.told.tls)
        self._answer_signals()
        _notify("READY=1")
        logger.info(
            "listening",
            extra={"fields": {"path": ",".join(self.told.hosts), "took": f"{time.monotonic() - began:.3f}s"}},
        )
        await self._stop.wait()
        _notify("STOPPING=1")
        await self.server.drain()
        self.containers.close()
        self._names.close()
        self._proxy.close()
        self._leases.close()
        self.engine.close()
        logger.info("stopped; networks and containers stay")

    def _answer_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)

    def _reload(self) -> None:
        """What may change while running: log level and format, pools, default options, nameservers.  And what
        somebody took away from our networks is put back."""
        _notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            fresh = load(self._arguments)
        except BasculeError as refusal:
            logger.error("reload refused, nothing changed", extra={"fields": {"error": str(refusal)}})
        else:
            configure(fresh.log_level, fresh.log_format)
            self.engine.reload(
                replace(
                    self.engine.settings,
                    pools=fresh.settings.pools,
                    default_options=fresh.settings.default_options,
                    nameservers=fresh.settings.nameservers,
                )
            )
            logger.info("configuration reloaded")
        self._put_back()
        _notify("READY=1")

    def _put_back(self) -> None:
        try:
            for thing in self.engine.repair():
                logger.warning("was gone and is back: %s", thing)
        except BasculeError as refusal:
            logger.error("what is gone could not be put back", extra={"fields": {"error": str(refusal)}})


def _notify(state: str) -> None:
    """Tell systemd (sd_notify(3)); nothing happens without it."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
        # Whoever asked for notice may have gone; the daemon goes on.
        sock.sendto(state.encode(), "\0" + path[1:] if path.startswith("@") else path)


def hold(exec_root: str) -> int:
    """The directory is ours until this process ends, however it does.  Raises Failed when it is another's: each
    would sweep away what the other has in it."""
    Path(exec_root).mkdir(mode=0o711, parents=True, exist_ok=True)
    held = os.open(exec_root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        raise Failed(f"{exec_root}: another daemon has it for its --exec-root") from None
    return held


@contextlib.contextmanager
def pidfile(path: str) -> Iterator[None]:
    """*path* holds our process id meanwhile.  Raises Failed when a living daemon's is in it."""
    file = Path(path)
    if file.exists():
        text = file.read_text().strip()
        if text.isdigit() and int(text) != os.getpid() and Path(f"/proc/{text}/comm").exists():
            command = Path(f"/proc/{text}/cmdline").read_bytes()
            if b"bascule" in command:
                raise Failed(f"{path}: a daemon runs already (pid {text})")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{os.getpid()}\n")
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def check(told: Configuration) -> None:
    """What the configuration names is on this host, so that a daemon can start with it.  Raises Invalid,
    Unavailable or Failed."""
    group_id(told.group)
    choose(told.runtime)
    program(told.conmon)
    if told.tls:
        certified(told.tls)


def main(argv: Sequence[str]) -> int:
    """`bascule daemon`: 0 when asked to stop, 1 with one line on standard error when it could not start."""
    arguments = parser().parse_args(list(argv))
    try:
        told = load(arguments)
        check(told)
        if arguments.validate:
            print("configuration OK")
            return 0
        if os.geteuid() != 0:
            raise Failed("the daemon makes namespaces and links: it must run as root")
        configure(told.log_level, told.log_format)
        use_one_heap()
        with pidfile(told.pidfile):
            asyncio.run(_serve(told, arguments))
    except BasculeError as refusal:
        print(f"bascule daemon: {refusal}", file=sys.stderr)
        return refusal.code
    return 0


def use_one_heap() -> None:
    """All threads, of which one alone runs at a time, take memory from one place (mallopt(3)).  Otherwise the C
    library gives each some of its own, and what one of them has freed the others do not use: 4 of 60 MB after a
    network of 5,000 endpoints was read (tests/cluster/test_scale.py)."""
    with contextlib.suppress(AttributeError):  # Not every C library has it.
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


async def _serve(told: Configuration, arguments: argparse.Namespace) -> None:
    await Daemon(told, arguments).run()
