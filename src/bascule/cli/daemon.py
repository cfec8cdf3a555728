"""`bascule daemon`: gives the words to the root that puts the daemon together."""

import os
import sys

from bascule.cli.client import Client
from bascule.cli.command import MANY, Command
from bascule.cli.options import Given


def daemon(_: Client, given: Given) -> int:
    """The daemon in place of this process: an interpreter of its own, with what is installed beside it."""
    os.execv(sys.executable, [sys.executable, "-m", "bascule", "daemon", *given.args])


COMMANDS = {
    "daemon": Command(
        daemon,
        "[OPTIONS]",
        "Run the daemon (bascule daemon --help has its options)",
        args=(0, MANY),
        raw=True,
        examples="""
bascule daemon
bascule daemon --host unix:///run/two/bascule.sock --data-root /var/lib/two --exec-root /run/two
""",
    ),
}
