"""The runner, from outside: what it brings back, and that nothing of it stays, however it ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.vmrun.kernel import Kernel, Lacking, kernel

ROOT = Path(__file__).parents[2]
VMRUN = (sys.executable, "-m", "tests.vmrun")
FOREVER = ("sh", "-c", "echo here; exec sleep 100000")


@pytest.fixture(scope="module")
def booted() -> Kernel:
    try:
        return kernel()
    except Lacking as why:
        pytest.skip(str(why))


@pytest.fixture
def room(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment whose directory for temporary files is nobody else's, and is empty again afterwards."""
    yield {**os.environ, "TMPDIR": str(tmp_path)}
    assert list(tmp_path.iterdir()) == []


def vmrun(room: dict[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*VMRUN, *words], cwd=ROOT, env=room, capture_output=True, text=True, timeout=180)


def started(room: dict[str, str]) -> "subprocess.Popen[str]":
    """A runner whose command has begun and has no end."""
    words = [*VMRUN, "--", *FOREVER]
    made = subprocess.Popen(words, cwd=ROOT, env=room, stdout=subprocess.PIPE, text=True)
    assert made.stdout
    assert made.stdout.readline() == "here\n"
    return made


def emulators(room: dict[str, str]) -> Sequence[int]:
    """The QEMUs that were told of the room."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                line = (process / "cmdline").read_bytes()
            except OSError:  # It ended.
                continue
            if line.startswith(b"qemu") and room["TMPDIR"].encode() in line:
                found.append(int(process.name))
    return found


def test_status_output_and_files_come_back_and_the_machine_is_as_it_was(
    room: dict[str, str], booted: Kernel, tmp_path_factory: pytest.TempPathFactory
) -> None:
    out, mine = tmp_path_factory.mktemp("out"), tmp_path_factory.mktemp("mine")
    (mine / "file").write_text("from the machine\n")
    script = f"uname -r; cat {mine}/file; echo changed >{mine}/file; cp {mine}/file /run/vm/out/; exit 7"
    done = vmrun(room, "--out", str(out), "--", "sh", "-c", script)
    assert (done.stdout, done.returncode) == (f"{booted.release}\nfrom the machine\n", 7), done.stderr
    assert (out / "file").read_text() == "changed\n"
    assert (mine / "file").read_text() == "from the machine\n"


@pytest.mark.usefixtures("booted")
def test_what_has_no_end_is_given_one(room: dict[str, str]) -> None:
    done = vmrun(room, "--seconds", "15", "--", *FOREVER)
    assert (done.stdout, done.stderr, done.returncode) == ("here\n", "vmrun: no end within 15 s\n", 124)
    assert emulators(room) == []


@pytest.mark.usefixtures("booted")
def test_a_guest_that_dies_is_told_with_its_last_words(room: dict[str, str]) -> None:
    done = vmrun(room, "--", "sh", "-c", "echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger")
    assert done.returncode == 125
    assert done.stderr.startswith("vmrun: h1 died\n")
    assert "Kernel panic" in done.stderr


@pytest.mark.usefixtures("booted")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_neither_processes_nor_files(room: dict[str, str], number: signal.Signals) -> None:
    with started(room) as runner:
        assert len(emulators(room)) == 1
        runner.send_signal(number)
        assert runner.wait(30) == 128 + number
    assert emulators(room) == []
