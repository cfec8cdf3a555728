"""README's lines for a root shell, typed against a real daemon."""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.clients.conftest import Ground, Told

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes namespaces: sudo make test-clients")


class Ours(Ground):
    """The ground, swept and asked with our own command line."""

    def docker(self, *words: str, stdin: str | None = None) -> Told:
        return self.run([sys.executable, "-m", "bascule", *words], stdin)


@pytest.fixture
def ground() -> Iterator[Ours]:
    made = Ours(Path(f"/dev/shm/breadme-{os.getpid()}"))
    try:
        made.start()
        yield made
    finally:
        made.close()


def typed() -> list[str]:
    """The lines of the first console block, but those that start the daemon and find the command."""
    block = re.findall(r"^```console\n(.*?)^```", (ROOT / "README.md").read_text(), re.S | re.M)[0]
    lines = [line.removeprefix("# ") for line in block.splitlines()]
    return [line for line in lines if "daemon" not in line and not line.startswith("export")]


def test_ten_lines_that_work(ground: Ours) -> None:
    command = ground.directory / "bascule"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m bascule "$@"\n')
    command.chmod(0o755)
    script = f"export PATH={ground.directory}:$PATH\n" + "".join(f"{line}\n" for line in typed())
    told = ground.run(["nsenter", f"--net=/run/netns/{ground.netns}", "sh", "-ec", script])
    assert told.status == 0, told
    said = told.out.splitlines()
    for wanted in (
        "1 packets transmitted, 1 received, 0% packet loss",  # by name
        "shop",  # the host name, fetched through the published port
        '        "Name": "web",',
        "nsenter",  # the dry run
    ):
        assert [line for line in said if line.startswith(wanted)], told
