"""`make demo-cluster` shows what it says, and leaves the machine as it was found."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.etcd_server import ETCD, REASON

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not ETCD, reason=REASON)
def test_every_claim_of_the_demo_holds() -> None:
    words = [sys.executable, "-m", "demo.cluster"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300)
    false = [line for line in done.stdout.splitlines() if line.lstrip().startswith("✗")]
    assert (false, done.returncode) == ([], 0), done.stdout + done.stderr
