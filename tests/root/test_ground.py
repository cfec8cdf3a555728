"""The grounds on which bench and demo stand: nothing outlives them, and differences to what was found are seen."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from bench.ground import Found, Ground, clear, tie, workplace

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo make test-root")

KEEPER = """\
import sys, time
from pathlib import Path
from bench.ground import Ground
ground = Ground()
ground.start(["sh", "-c", "setsid sleep 1000000 & echo $! >$0.new; mv $0.new $0", sys.argv[1]], Path("/dev/null"))
while not Path(sys.argv[1]).exists():
    time.sleep(0.01)
print("made", flush=True)
sys.stdin.read()
"""


def test_what_a_killed_owner_left_running_dies_with_its_ground() -> None:
    place = workplace()
    try:
        argv = [sys.executable, "-c", KEEPER, str(place / "pid")]
        owner = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert owner.stdout
        assert owner.stdin
        assert owner.stdout.readline() == "made\n"
        orphan = os.pidfd_open(int((place / "pid").read_text()))
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        ended = select.select([orphan], [], [], 10)[0]
        os.close(orphan)
        owner.stdout.close()
        owner.stdin.close()
        assert ended
    finally:
        clear(place)


def test_a_mount_made_on_a_ground_is_seen_there_and_nowhere_else() -> None:
    found, place = Found(), workplace()
    try:
        with Ground([str(place)]) as ground:
            inside = Path(f"/proc/{ground.pid}/mountinfo").read_text()
            assert (str(place) in inside, found.differences([str(place)])) == (True, [])
    finally:
        clear(place)


def test_two_grounds_reach_each_other_by_the_cable_between_them() -> None:
    with Ground() as one, Ground() as other:
        tie(one, "198.51.100.1/24", other, "198.51.100.2/24")
        assert "1 received" in one.run("ping", "-c", "1", "-W", "5", "198.51.100.2")


def test_a_stopped_process_gives_its_exit_status() -> None:
    with Ground() as ground:
        pid = ground.start(["sleep", "1000000"], Path("/dev/null"))
        assert ground.stop(pid) == -signal.SIGTERM
