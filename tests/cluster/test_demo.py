"""`make demo-cluster` shows what docs/cluster.md says, and leaves the machine as it was found."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from bench.ground import Found
from bench.warden import offspring
from tests.etcd_server import ETCD, REASON
from tests.patience import patient

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/cluster.md"
pytestmark = pytest.mark.skipif(not ETCD, reason=REASON)


def test_every_claim_of_the_demo_holds_and_the_page_shows_them() -> None:
    command = [sys.executable, "-m", "demo", "--cluster"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=patient(400))
    lines = done.stdout.splitlines()
    assert ([line for line in lines if line.lstrip().startswith("✗")], done.returncode) == ([], 0), done.stdout
    blocks = re.findall(r"^```text\n(.*?)^```", PAGE.read_text(), re.S | re.M)
    shown = [line for block in blocks for line in block.splitlines()]
    assert shown
    assert shown == [line for line in shown if line in lines], "docs/cluster.md shows what the demo does not print"


def test_an_interrupted_demo_leaves_nothing() -> None:
    found = Found()
    # Whoever runs us in the background may have us ignore it.
    command = ["env", "--default-signal=INT", sys.executable, "-u", "-m", "demo", "--cluster"]
    demo = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert demo.stdout
    lines = iter(demo.stdout)
    # All hosts have an etcd, and a container is being made.
    assert any("bascule run -d" in line for line in lines)
    words = [Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0") for pid in offspring(demo.pid)]
    (place,) = {Path(line[line.index("--data-dir") + 1]).parents[3] for line in words if "--data-dir" in line}
    demo.send_signal(signal.SIGINT)
    rest = demo.stdout.read()
    demo.stdout.close()
    assert (demo.wait(timeout=patient(60)), place.exists(), found.differences([str(place)])) == (130, False, []), (
        rest
    )
    assert subprocess.run(["pgrep", "-f", str(place)], capture_output=True, text=True).stdout == ""
