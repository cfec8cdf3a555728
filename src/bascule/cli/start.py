"""Where the command line begins: the words before the command, the command, and its exit status.

Nothing here imports more than the interpreter has loaded by itself and two of its C modules; a command's module
is imported when it is typed.  docs/decisions/010 has the measurements, and why `posix` stands here for `os`.
"""

from __future__ import annotations

import posix
import sys

from bascule.cli.client import DEFAULT_HOST, Client, Refusal, Unreachable
from bascule.cli.commands import ALIASES, MODULES, NOUNS
from bascule.cli.options import Given, Help, Parser, UsageError, table

TYPE_CHECKING = False  # As in typing, whose import costs 5 ms: docs/decisions/010.
if TYPE_CHECKING:
    from bascule.cli.command import Command

GLOBAL = """
        --config string      Accepted for scripts written for Docker, and ignored
    -D, --debug              Show where in the program a failure came from
    -H, --host list          The daemon's socket: unix:///path or tcp://host:port
        --tls                Use TLS; implied by --tlsverify
        --tlscacert string   Trust certificates signed by this authority only
        --tlscert string     Path of the client's certificate
        --tlskey string      Path of the client's key
        --tlsverify          Use TLS and verify the daemon
    -v, --version            Print the version and quit
"""
HINT = "Run 'bascule{name} --help' for more information"


class Exit(Exception):
    """Leave with this status; all has been said."""

    def __init__(self, code: int) -> None:
        self.code = code


def find(words: list[str]) -> tuple[str, list[str]]:
    """The command that *words* begin with, by its first name, and the words after it.  Raises UsageError."""
    noun = words[0]
    count = 2 if noun in NOUNS and len(words) > 1 else 1
    typed = " ".join(words[:count])
    name = ALIASES.get(typed, typed)
    if any(name in names for names in MODULES.values()):
        return name, words[count:]
    raise UsageError(f"bascule: unknown command: bascule {typed}", code=1)


def load(name: str) -> Command:
    """The command called *name*."""
    module = next(m for m, names in MODULES.items() if name in names)
    path = f"bascule.cli.{module}"
    __import__(path)
    commands: dict[str, Command] = sys.modules[path].COMMANDS
    return commands[name]


def environment(name: str) -> str:
    return posix.environ.get(name.encode(), b"").decode(errors="surrogateescape")


def daemon_address(given: Given) -> str:
    """Where the daemon listens: --host, BASCULE_HOST, DOCKER_HOST if it is a Unix socket, the default."""
    typed = given.list("host")
    if len(typed) > 1:
        raise UsageError("specify only one -H", code=1)
    docker = environment("DOCKER_HOST")
    host = (typed[0] if typed else "") or environment("BASCULE_HOST")
    host = host or (docker if docker.startswith("unix://") else "") or DEFAULT_HOST
    return f"unix://{host}" if host.startswith("/") else host


def tls_paths(given: Given) -> dict[str, str] | None:
    if not any(given.flag(name) for name in ("tls", "tlsverify")) and not given.text("tlscacert"):
        return None
    home = environment("DOCKER_CERT_PATH") or environment("HOME") + "/.bascule"
    names = {"ca": "ca", "cert": "cert", "key": "key"}
    return {
        key: given.text(f"tls{'cacert' if key == 'ca' else key}") or f"{home}/{n}.pem" for key, n in names.items()
    }


def main(argv: list[str] | None = None) -> int:
    """Do what the words say.  The exit status."""
    words = sys.argv[1:] if argv is None else argv
    try:
        return _main(words)
    except Exit as leave:
        return leave.code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 141  # As a shell says of what SIGPIPE ended: whoever reads our output has seen enough.


def _main(words: list[str]) -> int:
    given = _global(words)
    if not given.args:
        return _help(given.args)
    if given.args[0] == "help":
        return _help(given.args[1:])
    if given.args[0] in NOUNS and given.args[1:2] in ([], ["--help"], ["-h"]):
        return _help(given.args[:1])
    name = ""
    try:
        name, rest = find(given.args)
        command = load(name)
        typed = command.parse(rest)
        command.check_count(name, len(typed.args))
    except Help:
        return _help(name.split())
    except UsageError as wrong:
        return _wrong(name, given.args, wrong)
    return _run(name, command, Client(daemon_address(given), tls_paths(given)), typed, debug=given.flag("debug"))


def _global(words: list[str]) -> Given:
    try:
        given = Parser(table(GLOBAL)).parse(words, mixed=False)
    except Help:
        raise Exit(_help([])) from None
    except UsageError as wrong:
        _say(f"{wrong}\n\nUsage:  bascule [OPTIONS] COMMAND [ARG...]\n\n{HINT.format(name='')}")
        raise Exit(wrong.code) from None
    if given.flag("version"):
        import bascule

        print(f"Bascule version {bascule.__version__}")
        raise Exit(0)
    return given


def _run(name: str, command: Command, client: Client, typed: Given, *, debug: bool) -> int:
    prefix = "bascule: " if command.code == 125 else ""
    tail = f"\n\n{HINT.format(name=' ' + name)}" if command.code == 125 else ""
    try:
        code = command.run(client, typed)
        sys.stdout.flush()
        return code
    except Refusal as no:
        _say(f"{prefix}{no}{tail}")
    except UsageError as wrong:
        _say(str(wrong) if wrong.code == 1 else f"{prefix}{wrong}{tail}")
        return wrong.code if command.code == 125 else 1
    except Unreachable as gone:
        _say(f"{prefix}{gone}{tail}")
    except BrokenPipeError:
        raise
    except OSError as why:
        if debug:
            raise
        _say(f"{prefix}{why}")
    return command.code


def _wrong(name: str, words: list[str], wrong: UsageError) -> int:
    """Say what is wrong with the words, how the command is used, and where there is more."""
    if not name:
        noun = f" {words[0]}" if words[0] in NOUNS else ""
        usage = f"Usage:  bascule{noun} COMMAND\n\n" if noun else ""
        _say(f"{wrong}\n\n{usage}{HINT.format(name=noun)}")
        return wrong.code
    prefix = "bascule: " if wrong.code == 1 else ""
    hint = HINT.format(name=" " + name)
    if "requires at least" in str(wrong):
        hint = hint.replace("Run", "See", 1)  # Docker says it in two ways.
    _say(f"{prefix}{wrong}\n\nUsage:  bascule {name} {load(name).usage}\n\n{hint}")
    return wrong.code


def _help(words: list[str]) -> int:
    from bascule.cli import manual

    try:
        sys.stdout.write(manual.page(words))
    except UsageError as wrong:
        return _wrong("", words, wrong)
    return 0


def _say(text: str) -> None:
    sys.stdout.flush()
    sys.stderr.write(text + "\n")


def thin() -> None:
    """`main` for the thin script: leaves at once, without the interpreter's tidying (2 ms)."""
    code = main()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        code = 141
    posix._exit(code)
