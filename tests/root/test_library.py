"""What README shows of the library, on the real kernel."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.S | re.M)[0]
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo make test-root")

# The engine binds namespaces below /run/bascule: here that is nobody else's.
ALONE = 'mount -t tmpfs tmpfs /run && exec "$0" -c "$1"'


def test_readmes_example_is_true_on_the_real_kernel() -> None:
    real = EXAMPLE.replace("FakeKernel", "LinuxKernel")
    done = subprocess.run(
        ["unshare", "-n", "-m", "sh", "-ec", ALONE, sys.executable, f"{real}\n    print(engine.kernel.links())"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert "ip addr del 172.18.0.2/16 dev eth0" in done.stdout
    assert re.search(r"'br-\w{12}'.*'bv-\w{12}'|'bv-\w{12}'.*'br-\w{12}'", done.stdout.splitlines()[-1])
