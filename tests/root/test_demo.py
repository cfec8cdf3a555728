"""`make demo` shows what it says, and leaves the machine as it was found, also when it is interrupted."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from bench.ground import Found

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo make test-root")


def test_every_claim_of_the_demo_holds() -> None:
    done = subprocess.run([sys.executable, "-m", "demo"], cwd=ROOT, capture_output=True, text=True, timeout=300)
    false = [line for line in done.stdout.splitlines() if line.lstrip().startswith("✗")]
    assert (false, done.returncode) == ([], 0), done.stdout + done.stderr


def test_an_interrupted_demo_leaves_nothing() -> None:
    found = Found()
    demo = subprocess.Popen([sys.executable, "-u", "-m", "demo"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert demo.stdout
    place = ""
    for line in demo.stdout:
        if "export" in line:
            place = line.partition("unix://")[2].partition("/d/s")[0]
        # Two containers run, a third is being made.
        if "run --rm" in line:
            demo.send_signal(signal.SIGINT)
            break
    rest = demo.stdout.read()
    demo.stdout.close()
    assert (demo.wait(timeout=60), Path(place).exists(), found.differences([place])) == (130, False, []), rest
    held = subprocess.run(["pgrep", "-f", place], capture_output=True, text=True).stdout
    assert held == ""
