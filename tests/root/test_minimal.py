"""A minimal Debian has no netbase: neither /etc/protocols nor /etc/services, from which libnftables has names."""

import os
import subprocess
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[1] / "unit" / "golden"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo make test-root")

WITHOUT_NAMES = """\
for file in /etc/protocols /etc/services; do
    test ! -e $file || mount --bind /dev/null $file
done
exec nft -c -f -
"""


def test_the_rules_are_understood_where_protocols_and_services_have_no_names() -> None:
    rules = "".join((GOLDEN / f"firewall-{part}.nft").read_text() for part in ("rules", "elements"))
    done = subprocess.run(
        ["unshare", "-n", "-m", "sh", "-ec", WITHOUT_NAMES],
        input=rules,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 0
