"""`make demo` shows what it says, and leaves the machine as it was found, also when it is interrupted."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from bench.ground import Found
from tests.patience import patient

ROOT = Path(__file__).parents[2]
CHOSEN = re.compile(r"br-[0-9a-f]{12}|\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}|\b172\.\d+\.\d+\.\d+")
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo make test-root")


def test_every_claim_of_the_demo_holds() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "demo"], cwd=ROOT, capture_output=True, text=True, timeout=patient(300)
    )
    false = [line for line in done.stdout.splitlines() if line.lstrip().startswith("✗")]
    assert (false, done.returncode) == ([], 0), done.stdout + done.stderr
    assert missing(done.stdout) == [], "README shows what the demo does not print"


def missing(printed: str) -> list[str]:
    """README's lines of the demo that are not among those *printed*, whatever their ids and addresses are."""
    blocks = re.findall(r"^```text\n(.*?)^```", (ROOT / "README.md").read_text(), re.S | re.M)
    shown = {CHOSEN.sub("X", line) for line in printed.splitlines()}
    lines = [line for block in blocks for line in block.splitlines()]
    return [line for line in lines if CHOSEN.sub("X", line) not in shown]


def test_an_interrupted_demo_leaves_nothing() -> None:
    found = Found()
    # Whoever runs us in the background may have us ignore it.
    command = ["env", "--default-signal=INT", sys.executable, "-u", "-m", "demo"]
    demo = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
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
    assert (demo.wait(timeout=patient(60)), Path(place).exists(), found.differences([place])) == (130, False, []), (
        rest
    )
    held = subprocess.run(["pgrep", "-f", place], capture_output=True, text=True).stdout
    assert held == ""
