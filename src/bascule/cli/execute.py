"""`bascule exec`."""

import contextlib
import sys
from typing import Any

from bascule.cli.attach import check_terminal
from bascule.cli.client import Client, quote
from bascule.cli.command import MANY, Command
from bascule.cli.options import Given
from bascule.cli.runbody import environment
from bascule.cli.runoptions import CHECKS


def execute(client: Client, given: Given) -> int:
    name, *words = given.args
    detach, tty = given.flag("detach"), given.flag("tty")
    stdin = given.flag("interactive") and not detach
    check_terminal(stdin=stdin, tty=tty)
    wanted: dict[str, Any] = {
        "User": given.text("user"),
        "Privileged": given.flag("privileged"),
        "Tty": tty,
        "AttachStdin": stdin,
        "AttachStdout": not detach,
        "AttachStderr": not detach,
        "Detach": detach,
        "DetachKeys": given.text("detach-keys"),
        "Env": environment(given) or None,
        "WorkingDir": given.text("workdir"),
        "Cmd": words,
    }
    ident = client.post(f"/containers/{quote(name)}/exec", body=wanted)["Id"]
    if detach:
        client.post(f"/exec/{ident}/start", body={"Detach": True, "Tty": tty})
        return 0
    return _sit(client, ident, tty=tty, stdin=stdin, keys=given.text("detach-keys"))


def _sit(client: Client, ident: str, *, tty: bool, stdin: bool, keys: str) -> int:
    from bascule.cli import terminal

    wanted = terminal.parse_keys(keys) if tty and stdin else b""
    answer = client.ask("POST", f"/exec/{ident}/start", body={"Detach": False, "Tty": tty}, upgrade=True)
    stream, first = answer.taken_over()
    with contextlib.ExitStack() as until:
        if tty:
            until.enter_context(terminal.resizing(client, f"/exec/{ident}/resize"))
        if tty and stdin and sys.stdin.isatty():
            until.enter_context(terminal.raw(0))
        try:
            terminal.copy(stream, first, framed=not tty, stdin=stdin, keys=wanted)
        except terminal.Detached:
            print("read escape sequence", file=sys.stderr)
            return 0
        finally:
            stream.close()
    return int(client.get(f"/exec/{ident}/json")["ExitCode"] or 0)


COMMANDS = {
    "exec": Command(
        execute,
        "[OPTIONS] CONTAINER COMMAND [ARG...]",
        "Run one more command in a running container",
        """
    -d, --detach               In the background
        --detach-keys string   The keys that leave it running, e.g. ctrl-p,ctrl-q
    -e, --env list             A variable, NAME=value, or NAME to pass on the own one
        --env-file list        A file of variables, one a line
    -i, --interactive          Connect the standard input
        --privileged           Nearly everything that root of the host may
    -t, --tty                  With a terminal
    -u, --user string          User, or id, and group, name[:group]
    -w, --workdir string       The directory to start in
""",
        args=(2, MANY),
        examples="""
bascule exec -it web sh
bascule exec web ip addr
""",
        checks=CHECKS,
        mixed=False,
    ),
}
