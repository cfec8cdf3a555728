"""Images that come and go: import, load, save, pull."""

import sys
from collections.abc import Iterator
from typing import Any, BinaryIO, TextIO

from bascule.cli.client import Answer, Client
from bascule.cli.command import MANY, Command
from bascule.cli.image import split_name
from bascule.cli.options import Given, UsageError
from bascule.cli.units import size

PIECE = 1 << 17


def _pieces(file: BinaryIO, *, told: bool) -> Iterator[bytes]:
    """The file's bytes; how many have gone is told on a terminal, since a large image takes its time."""
    told = told and sys.stderr.isatty()
    sent = shown = 0
    while piece := file.read(PIECE):
        yield piece
        sent += len(piece)
        if told and sent - shown >= 1 << 22:
            shown = sent
            print(f"\r\033[Ksent {size(sent)}", end="", file=sys.stderr, flush=True)
    if told and shown:
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def _opened(path: str) -> BinaryIO:
    if path in ("", "-"):
        if sys.stdin.isatty():
            raise UsageError("requested load from stdin, but stdin is empty")
        return sys.stdin.buffer
    try:
        return open(path, "rb")
    except OSError as why:
        raise UsageError(f"open {path}: {(why.strerror or '').lower()}") from None


def _follow(answer: Answer, out: TextIO, *, quiet: bool) -> str:
    """Print a stream of progress as it comes, and return its last word.  Raises UsageError for its error."""
    last = ""
    at_terminal = out.isatty()
    for message in answer.documents():
        if "error" in message or "errorDetail" in message:
            raise UsageError(message.get("error") or message["errorDetail"]["message"])
        text = message.get("stream", "").rstrip("\n") or message.get("status", "")
        if message.get("id") and text:
            text = f"{message['id']}: {text}"
        if message.get("progressDetail") or message.get("progress"):
            if at_terminal and not quiet:
                print(f"\r\033[K{text} {message.get('progress', '')}", end="", file=out, flush=True)
            continue
        if text:
            last = text
            if not quiet:
                print(("\r\033[K" if at_terminal else "") + text, file=out, flush=True)
    return last


def import_(client: Client, given: Given) -> int:
    source, *name = given.args
    pairs: list[tuple[str, str]] = [("fromSrc", "-"), ("message", given.text("message"))]
    if name:
        pairs.append(("repo", name[0]))
    if source.startswith(("http://", "https://")):
        pairs[0] = ("fromSrc", source)
    query = {k: v for k, v in pairs if v}
    changes = given.list("change")
    path = "/images/create" + _repeated("changes", changes, query)
    if query["fromSrc"] != "-":
        answer = client.ask("POST", path)
    else:
        with _opened(source) as file:
            answer = client.ask("POST", path, upload=_pieces(file, told=True))
    _follow(answer, sys.stdout, quiet=False)
    return 0


def _repeated(name: str, values: list[str], pairs: dict[str, str]) -> str:
    """A query in which one name stands several times."""
    from bascule.cli.client import quote

    parts = [f"{k}={quote(v)}" for k, v in sorted(pairs.items())] + [f"{name}={quote(v)}" for v in values]
    return "?" + "&".join(parts)


def load(client: Client, given: Given) -> int:
    with _opened(given.text("input")) as file:
        quiet = given.flag("quiet")
        pairs = {"quiet": "1"} if quiet or not sys.stdout.isatty() else {}
        answer = client.ask("POST", "/images/load", pairs, upload=_pieces(file, told=not quiet))
    _follow(answer, sys.stdout, quiet=False)
    return 0


def save(client: Client, given: Given) -> int:
    output = given.text("output")
    if not output and sys.stdout.isatty():
        raise UsageError("cowardly refusing to save to a terminal. Use the -o flag or redirect")
    answer = client.ask("GET", "/images/get" + _repeated("names", given.args, {}))
    with open(output, "wb") if output else sys.stdout.buffer as file:
        for piece in answer.pieces():
            file.write(piece)
    return 0


def pull_image(client: Client, image: str, *, platform: str, quiet: bool, out: TextIO) -> str:
    """The image's name, after the daemon has fetched it."""
    repository, tag = split_name(image)
    if "@" in image:
        repository, _, tag = image.partition("@")
    elif not tag:
        tag = "latest"
        if not quiet:
            print("Using default tag: latest", file=out)
    pairs: dict[str, Any] = {"fromImage": repository, "tag": tag, "platform": platform}
    answer = client.ask("POST", "/images/create", {k: v for k, v in pairs.items() if v})
    _follow(answer, out, quiet=quiet)
    return f"{repository}{'@' if tag.startswith('sha256:') else ':'}{tag}" if tag else repository


def pull(client: Client, given: Given) -> int:
    if given.flag("all-tags"):
        raise UsageError("--all-tags is not supported: name each tag")
    name = pull_image(
        client,
        given.args[0],
        platform=given.text("platform"),
        quiet=given.flag("quiet"),
        out=sys.stdout,
    )
    print(name)
    return 0


COMMANDS = {
    "import": Command(
        import_,
        "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
        "Make an image of a tar archive of files",
        """
    -c, --change list       A line of a Dockerfile: CMD, ENV, ENTRYPOINT, WORKDIR, …
    -m, --message string    A word about it
        --platform string   Which variant it is, os/arch
""",
        args=(1, 2),
        examples="tar -C rootfs -c . | bascule import -c 'CMD [\"sh\"]' - tiny",
    ),
    "load": Command(
        load,
        "[OPTIONS]",
        "Load images that `save` has written",
        """
    -i, --input string      From a file instead of the standard input
        --platform string   Only this variant, os/arch
    -q, --quiet             No word of how far it is
""",
        examples="bascule load -i images.tar",
    ),
    "save": Command(
        save,
        "[OPTIONS] IMAGE [IMAGE...]",
        "Write images to a tar archive",
        """
    -o, --output string     To a file instead of the standard output
        --platform string   Only this variant, os/arch
""",
        args=(1, MANY),
        examples="bascule save -o images.tar busybox nginx",
    ),
    "pull": Command(
        pull,
        "[OPTIONS] NAME[:TAG]",
        "Fetch an image from a registry",
        """
    -a, --all-tags          Refused: name each tag
        --platform string   Which variant, os/arch
    -q, --quiet             No word of how far it is
""",
        args=(1, 1),
        examples="bascule pull busybox",
    ),
}
