"""`bascule attach` and `bascule start`, and the sitting at a container that `run` shares with them."""

import contextlib
import sys
from typing import Any

from bascule.cli.client import Answer, Client, Refusal, quote
from bascule.cli.command import MANY, Command
from bascule.cli.dry import dry_run
from bascule.cli.each import each
from bascule.cli.options import Given, UsageError


class Sitting:
    """Attached to a container: made before it starts, so that no byte is lost."""

    def __init__(self, client: Client, ident: str, *, tty: bool, stdin: bool, outputs: str, keys: str) -> None:
        self.client, self.ident, self.tty, self.stdin = client, ident, tty, stdin
        pairs = {"stream": "1", **({"stdin": "1"} if stdin else {}), **dict.fromkeys(outputs.split(), "1")}
        if keys:
            pairs["detachKeys"] = keys
        self.keys = keys
        self.answer: Answer = client.ask("POST", f"/containers/{quote(ident)}/attach", pairs, upgrade=True)

    def sit(self, *, proxy: bool) -> bool:
        """Copy until the container ends.  False if the user left it by the detach keys."""
        from bascule.cli import terminal

        stream, first = self.answer.taken_over()
        at_terminal = self.tty and self.stdin and sys.stdin.isatty()
        path = f"/containers/{quote(self.ident)}"
        keys = terminal.parse_keys(self.keys) if self.tty and self.stdin else b""
        with contextlib.ExitStack() as until:
            if self.tty:
                until.enter_context(terminal.resizing(self.client, f"{path}/resize"))
            if proxy:
                until.enter_context(terminal.proxied(self.client, quote(self.ident)))
            if at_terminal:
                until.enter_context(terminal.raw(0))
            try:
                terminal.copy(stream, first, framed=not self.tty, stdin=self.stdin, keys=keys)
            except terminal.Detached:
                return False
            finally:
                stream.close()
        return True


def check_terminal(*, stdin: bool, tty: bool) -> None:
    """Raise UsageError if a terminal is wanted for input that is none."""
    if stdin and tty and not sys.stdin.isatty():
        raise UsageError("the input device is not a TTY", code=1)


def status(wait: Answer) -> int:
    """The exit status, when the container has ended."""
    from bascule.cli import jsontext

    found: dict[str, Any] = jsontext.loads(wait.body().decode())
    error = (found.get("Error") or {}).get("Message")
    if error:
        raise Refusal(500, error)
    return int(found["StatusCode"])


def waiting(client: Client, ident: str, condition: str) -> Answer:
    """A wait that has begun: the daemon sends the answer's head at once, and its body at the end."""
    return client.ask("POST", f"/containers/{quote(ident)}/wait", {"condition": condition})


def attach(client: Client, given: Given) -> int:
    name = given.args[0]
    found = client.get(f"/containers/{quote(name)}/json")
    for state, word in (("Paused", "paused"), ("Restarting", "restarting")):
        if found["State"].get(state):
            verb = "unpause it first" if state == "Paused" else "wait until it is running"
            raise UsageError(f"You cannot attach to a {word} container, {verb}")
    if not found["State"]["Running"]:
        raise UsageError("You cannot attach to a stopped container, start it first")
    stdin = not given.flag("no-stdin") and found["Config"]["OpenStdin"]
    tty = found["Config"]["Tty"]
    check_terminal(stdin=stdin, tty=tty)
    keys = given.text("detach-keys")
    wait = waiting(client, found["Id"], "not-running")
    sitting = Sitting(client, found["Id"], tty=tty, stdin=stdin, outputs="stdout stderr", keys=keys)
    if not sitting.sit(proxy=given.flag("sig-proxy") and not tty):
        print("read escape sequence", file=sys.stderr)
        return 0
    return status(wait)


def start(client: Client, given: Given) -> int:
    if (given.flag("attach") or given.flag("interactive")) and not given.flag("dry-run"):
        return _start_attached(client, given)

    started: list[str] = []

    def one(name: str) -> None:
        if given.flag("dry-run"):
            dry_run(client, "POST", f"/containers/{quote(name)}/start", {})
            return
        client.post(f"/containers/{quote(name)}/start")
        print(name)
        started.append(name)

    code = each(given.args, one)
    if code and not given.flag("dry-run"):
        failed = [name for name in given.args if name not in started]
        print(f"Error: failed to start containers: {', '.join(failed)}", file=sys.stderr)
    return code


def _start_attached(client: Client, given: Given) -> int:
    if len(given.args) > 1:
        raise UsageError("you cannot start and attach multiple containers at once")
    found = client.get(f"/containers/{quote(given.args[0])}/json")
    ident, config = found["Id"], found["Config"]
    stdin = given.flag("interactive") and config["OpenStdin"]
    keys = given.text("detach-keys")
    sitting = Sitting(client, ident, tty=config["Tty"], stdin=stdin, outputs="stdout stderr", keys=keys)
    wait = waiting(client, ident, "removed" if found["HostConfig"]["AutoRemove"] else "next-exit")
    client.post(f"/containers/{ident}/start")
    if not sitting.sit(proxy=not config["Tty"]):
        return 0
    return status(wait)


COMMANDS = {
    "attach": Command(
        attach,
        "[OPTIONS] CONTAINER",
        "Connect the terminal to a running container",
        """
        --detach-keys string   The keys that leave the container running, e.g. ctrl-p,ctrl-q
        --no-stdin             Without the standard input
        --sig-proxy bool=true   Pass signals on to the container
""",
        args=(1, 1),
        examples="bascule attach web",
    ),
    "start": Command(
        start,
        "[OPTIONS] CONTAINER [CONTAINER...]",
        "Start containers that are stopped",
        """
    -a, --attach               Connect its output, and pass signals on
        --detach-keys string   The keys that leave the container running, e.g. ctrl-p,ctrl-q
        --dry-run              Print the lines that this is to the networks, and do nothing
    -i, --interactive          Connect the standard input
""",
        args=(1, MANY),
        examples="""
bascule start web
bascule start -ai shell
""",
    ),
}
