"""The warden of a ground: run as a process, it enters namespaces of its own and starts what it is told to.

It is a subreaper, so whatever its children leave behind (shims, monitors, proxies) becomes its own, and when
its standard input closes - its owner closed it, or died by whatever signal - it kills all of them and goes; the
namespaces, with every mount and link in them, go with the last.  One JSON request a line, one JSON answer a line:

    {"start": [argv], "log": path, "env": {..}}   ->  {"pid": 812}
    {"stop": 812, "within": 10.0}                 ->  {"code": 0}      SIGTERM, then SIGKILL

Standard library alone, and no import of ours: it runs as a file.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
MS_REC_SLAVE = 0x4000 | (1 << 19)
PR_SET_CHILD_SUBREAPER = 36

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def enter(masks: list[str]) -> None:
    """New network and mount namespaces; *masks* are covered by empty directories nobody else sees."""
    check(libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")
    check(libc.unshare(CLONE_NEWNET | CLONE_NEWNS), "unshare")
    # Mounts of the host may still come in; none of ours goes out.
    check(libc.mount(b"none", b"/", None, MS_REC_SLAVE, None), "mount --make-rslave /")
    for path in masks:
        check(libc.mount(b"tmpfs", path.encode(), b"tmpfs", 0, b"mode=755"), f"mount {path}")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    # As on a Debian where nobody has loaded br_netfilter, which some kernels have built in.  Who wants bridged
    # packets to pass the IP hooks turns it on: dockerd does where it needs that.
    for switch in Path("/proc/sys/net/bridge").glob("bridge-nf-call-*"):
        switch.write_text("0")


def offspring(root: int) -> list[int]:
    """Every process below *root*, zombies left out."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # It went while we looked.
            continue
        if fields[0] != "Z":
            children.setdefault(int(fields[1]), []).append(int(entry))
    found: list[int] = []
    todo = [root]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def reap() -> dict[int, int]:
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = os.waitstatus_to_exitcode(status)


def end_all() -> None:
    while below := offspring(os.getpid()):
        for pid in below:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:  # Killed with its parent's namespace.
                continue
        reap()
        time.sleep(0.01)
    reap()


def stop(pid: int, within: float, ended: dict[int, int]) -> int:
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + within
    while pid not in ended:
        ended |= reap()
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            deadline = float("inf")
        time.sleep(0.002)
    return ended[pid]


def start(request: dict[str, Any]) -> int:
    with open(request["log"], "ab") as log:
        child = subprocess.Popen(
            request["start"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=request["env"],
            start_new_session=True,
        )
    # It is reaped with all the others, by number.
    child.returncode = 0
    return child.pid


def main() -> None:
    # Ctrl-C and the like are its owner's business, who closes our input; not SIG_IGN, which children would
    # inherit.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    enter(sys.argv[1:])
    print(json.dumps({"pid": os.getpid()}), flush=True)
    ended: dict[int, int] = {}
    answer: dict[str, int | str]
    try:
        for line in sys.stdin:
            request = json.loads(line)
            try:
                if "start" in request:
                    answer = {"pid": start(request)}
                else:
                    answer = {"code": stop(request["stop"], request["within"], ended)}
            except OSError as error:
                answer = {"error": str(error)}
            print(json.dumps(answer), flush=True)
    finally:
        end_all()


if __name__ == "__main__":
    main()
