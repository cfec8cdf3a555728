"""Run a command under a distribution's kernel, in a guest that has this machine's root, read-only below a tmpfs.

    python -m tests.vmrun [--hosts N] [--seconds S] [--out DIR] [-e NAME=VALUE] -- COMMAND...

What the command says is streamed, its exit status is ours (124: no time left, 125: a guest died or never came up).
Files that it writes are thrown away, but those in /run/vm/out.  With --hosts there are N guests, h1 to hN, each
with a kernel of its own, on one Ethernet segment (eth0, 10.99.0.i/24, fd99::i/64); the command runs on the first.
docs/testing.md tells the rest.
"""

import argparse
import os
import sys
from pathlib import Path

from tests.vmrun.accelerator import accelerator
from tests.vmrun.kernel import META, Lacking, kernel
from tests.vmrun.run import DIED, Wish, run

# What a guest has of our environment: nothing that could hold a secret.
KEPT = ("HOME", "LANG", "PATH")
GIVEN = {"TMPDIR": "/run/tmp"}
"""What it has instead: a place for temporary files that can be part of an overlay, as the guest's root cannot."""


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vmrun", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hosts", type=int, default=1, help="how many guests")
    parser.add_argument("--seconds", type=float, default=600, help="when all is ended, whatever is running")
    parser.add_argument("--boot-seconds", type=float, default=120, help="until when all guests must be up")
    parser.add_argument("--memory", type=int, default=1024, help="a guest's, in MB")
    parser.add_argument("--out", type=Path, help="a directory for what the command writes to /run/vm/out")
    parser.add_argument("-e", "--env", action="append", default=[], metavar="NAME=VALUE", help="for the command")
    parser.add_argument("--setup", action="store_true", help="fetch the kernel, find out about KVM, and end")
    parser.add_argument("command", nargs="*")
    return parser


def main() -> int:
    parser = options()
    given = parser.parse_args()
    if not given.command and not given.setup:
        parser.error("no COMMAND")
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    try:
        found = kernel(os.environ.get("BASCULE_VM_KERNEL", META))
        how = accelerator(found, os.environ.get("BASCULE_VM_ACCELERATOR", ""))
        if given.setup:
            print(f"vmrun: {found.release}, {how}")
            return 0
        named = dict(each.split("=", 1) for each in given.env)
        environment = {**kept, **GIVEN, **named, "BASCULE_VM": str(given.hosts)}
        wish = Wish(
            given.command, given.hosts, given.seconds, given.boot_seconds, given.memory, environment, given.out
        )
        outcome = run(wish, found, how)
    except Lacking as why:
        print(f"vmrun: {why}", file=sys.stderr)
        return DIED
    if outcome.why:
        print(f"vmrun: {outcome.why}", file=sys.stderr)
    return outcome.status


if __name__ == "__main__":
    sys.exit(main())
