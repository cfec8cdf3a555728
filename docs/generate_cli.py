"""Writes docs/cli.md from the command line's own tables: `python docs/generate_cli.py`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from bascule.cli import manual
from bascule.cli.commands import MODULES, NOUNS
from bascule.cli.start import GLOBAL, load

PAGE = Path(__file__).with_name("cli.md")
ABOUT = """\
# The command line

This page is written by `docs/generate_cli.py` from the tables that `--help` shows.

`bascule` has Docker's nouns, verbs and options. It is a thin client of the daemon: it reads the words, makes
one request and prints the answer. The daemon is found by `--host`, else `$BASCULE_HOST`, else `$DOCKER_HOST` if
that is a Unix socket, else at `unix:///run/bascule/bascule.sock`.

**What Docker's has not**: `--dry-run` on `network create`, `rm`, `prune`, `connect` and `disconnect` prints the `ip`
and `nft` lines that the change comes to, as one would type them in a root shell, and changes nothing.

**Exit status.** 0 done; 1 refused, or not all of it done; 125 for words that are no command line, and for a
`run` or `create` that the daemon refused; 126 and 127 for a container's command that may not run or is not
there; else the container's own.

**`--format`** takes a Go template over an object's fields (`{{.Name}}`, `{{json .Labels}}`, `{{range
.Containers}}{{.Name}} {{end}}`), `table` and a template for columns with headers, or `json` for an object a
line. The functions are Go's and Docker's: `and or not eq ne lt le gt ge len index slice print printf println
html json split join title lower upper pad truncate`.

**Completion**: `source <(bascule completion bash)`, or the files in `packaging/completions`.
"""


def section(name: str) -> str:
    page = manual.command_page(name, load(name)).rstrip()
    return f"### bascule {name}\n\n```text\n{page}\n```\n"


def text() -> str:
    """The whole page."""
    parts = [ABOUT, f"## Options before the command\n\n```text\n{manual.options(GLOBAL)}\n```\n"]
    titles = {
        "Networks": [n for n in manual.names() if n.startswith("network ")],
        "Containers": [
            n for m in ("run", "attach", "execute", "ps", "container", "look", "stats", "copy") for n in MODULES[m]
        ],
        "Images": [n for m in ("image", "image_transfer") for n in MODULES[m]],
        "Volumes": [n for n in manual.names() if n.startswith("volume ")],
        "Several hosts": [n for n in manual.names() if n.startswith("cluster ")],
        "The rest": [n for m in ("system", "completion", "daemon") for n in MODULES[m]],
    }
    for title, names in titles.items():
        parts.append(f"## {title}\n")
        parts += [section(name) for name in names]
    nouns = ", ".join(f"`bascule {noun}`" for noun in sorted(NOUNS))
    parts.append(f"{nouns} alone list their commands. The daemon's options: [daemon.md](daemon.md).\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(text())
