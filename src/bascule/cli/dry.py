"""`--dry-run`: what a change comes to, as lines for a shell."""

from __future__ import annotations

from bascule.cli.client import Client

TYPE_CHECKING = False  # As in typing, whose import costs 5 ms: docs/decisions/010.
if TYPE_CHECKING:
    from typing import Any

OPTION = "        --dry-run   Print the command lines that this comes to, and do nothing\n"
NETWORKS = "        --dry-run   Print the lines that this is to the networks, and do nothing\n"


def dry_run(client: Client, method: str, path: str, pairs: dict[str, str], body: Any = None) -> int:
    """Print the command lines that the change would come to; nothing is changed."""
    told = client.ask(method, path, {**pairs, "dryRun": "1"}, body).body().decode().rstrip("\n")
    if told:
        print(told)
    return 0
