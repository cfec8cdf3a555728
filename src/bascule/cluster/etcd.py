"""The etcd that is this host's member of the cluster's store: a process that outlives the daemon, as the resolver.

Its peers need it while our daemon is being replaced.  The next daemon finds it by what EXEC_ROOT/etcd.json says: a
process id, and since when that process runs, so that nobody else's is taken for it.
"""

import contextlib
import json
import logging
import os
import platform
import select
import shutil
import signal
import subprocess
from pathlib import Path

from bascule.cluster.home import CLIENT, PEER, Home, Part, url
from bascule.model.errors import Failed

log = logging.getLogger("bascule.cluster")
# Seconds until one that was asked to end is killed.
_PATIENCE = 10.0
_LOG_MAX = 8 << 20


class Server:
    """Not for several threads at once."""

    def __init__(self, home: Home, part: Part) -> None:
        self._home = home
        self._part = part
        self._note = Path(home.exec_root) / "etcd.json"
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """0 while it does not run."""
        if self._child is not None and self._child.poll() is None:
            return self._child.pid
        try:
            told = json.loads(self._note.read_text())
        except (OSError, ValueError):
            return 0
        pid = int(told["pid"])
        # 0: it had ended before it was written down.
        return pid if told["since"] and _since(pid) == told["since"] else 0

    def ensure(self, *more: str) -> bool:
        """It runs; whether it had to be started, then with *more* words.  Raises Failed where there is no such
        program."""
        if self.pid:
            return False
        program = shutil.which(self._home.etcd)
        if program is None:
            raise Failed(f"{self._home.etcd}: no such program: install etcd-server, or say --etcd")
        path = Path(self._home.exec_root) / "etcd.log"
        if path.exists() and path.stat().st_size > _LOG_MAX:
            path.unlink()
        with path.open("ab") as said:
            self._child = subprocess.Popen(
                [program, *self._words(), *more],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env={"PATH": os.environ.get("PATH", ""), **_ARCH},
                start_new_session=True,
            )
        note = {"pid": self._child.pid, "since": _since(self._child.pid)}
        fresh = self._note.with_suffix(".new")
        fresh.write_text(json.dumps(note))
        fresh.rename(self._note)
        return True

    def stop(self) -> None:
        """It does not run."""
        pid = self.pid
        if pid:
            with contextlib.suppress(ProcessLookupError):
                _end(pid)
        if self._child is not None:
            self._child.wait()
            self._child = None
        self._note.unlink(missing_ok=True)

    def said(self) -> str:
        """The last of its log."""
        try:
            text = (Path(self._home.exec_root) / "etcd.log").read_text(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-5:])

    def _words(self) -> list[str]:
        part, place = self._part, self._home.path
        client, peer = url(part.address, CLIENT), url(part.address, PEER)
        files = (f"{place}/node.pem", f"{place}/node.key", f"{place}/ca.pem")
        return [
            *("--name", part.ident, "--data-dir", f"{place}/etcd"),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", part.initial, "--initial-cluster-state", "new" if part.fresh else "existing"),
            *("--cert-file", files[0], "--key-file", files[1], "--trusted-ca-file", files[2], "--client-cert-auth"),
            *("--peer-cert-file", f"{place}/peer.pem", "--peer-key-file", files[1]),
            *("--peer-trusted-ca-file", f"{place}/peers.pem"),
            "--peer-client-cert-auth",
            # Passwords are of chance, and need no stretching.
            *("--bcrypt-cost", "4"),
            # What was is of no use to us but for a moment: who has missed it lists.
            *("--auto-compaction-mode", "periodic", "--auto-compaction-retention", "10m"),
            *("--logger", "zap", "--log-level", "warn", "--log-outputs", "stderr"),
        ]


# etcd 3.4 runs there, and wants to be told that we know that its authors do not test it.
_ARCH = {"ETCD_UNSUPPORTED_ARCH": "arm64"} if platform.machine() == "aarch64" else {}


def _since(pid: int) -> int:
    """When the process began, in the kernel's ticks; 0: there is none, or it has ended."""
    try:
        after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if after[0] in "ZX" else int(after[19])


def _end(pid: int) -> None:
    """The process has ended.  Raises ProcessLookupError where it had."""
    handle = os.pidfd_open(pid)
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            signal.pidfd_send_signal(handle, number)
            if select.select([handle], [], [], _PATIENCE)[0]:
                return
    finally:
        os.close(handle)
