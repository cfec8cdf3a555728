"""What QEMU is told of guests, as text."""

import itertools
import shlex
import subprocess
from pathlib import Path

from tests.vmrun.guest import Guest, job

CARDS = {
    1: """\
-netdev hubport,id=card0,hubid=0
-netdev dgram,id=cable0-2,local.type=unix,local.path=/p/0-1-2,remote.type=unix,remote.path=/p/0-2-1
-netdev hubport,id=port0-2,hubid=0,netdev=cable0-2
-netdev dgram,id=cable0-3,local.type=unix,local.path=/p/0-1-3,remote.type=unix,remote.path=/p/0-3-1
-netdev hubport,id=port0-3,hubid=0,netdev=cable0-3
-device virtio-net-pci,netdev=card0,mac=52:54:00:00:00:01
-netdev hubport,id=card1,hubid=1
-netdev dgram,id=cable1-2,local.type=unix,local.path=/p/1-1-2,remote.type=unix,remote.path=/p/1-2-1
-netdev hubport,id=port1-2,hubid=1,netdev=cable1-2
-netdev dgram,id=cable1-3,local.type=unix,local.path=/p/1-1-3,remote.type=unix,remote.path=/p/1-3-1
-netdev hubport,id=port1-3,hubid=1,netdev=cable1-3
-device virtio-net-pci,netdev=card1,mac=52:54:00:01:00:01
""",
    3: """\
-netdev dgram,id=card0,local.type=unix,local.path=/p/0-3-1,remote.type=unix,remote.path=/p/0-1-3
-device virtio-net-pci,netdev=card0,mac=52:54:00:00:00:03
-netdev dgram,id=card1,local.type=unix,local.path=/p/1-3-1,remote.type=unix,remote.path=/p/1-1-3
-device virtio-net-pci,netdev=card1,mac=52:54:00:01:00:03
""",
}


def cards(guest: Guest) -> str:
    """An option a line, of those about cards."""
    argv = guest.argv()
    first = argv.index("-netdev") if "-netdev" in argv else len(argv)
    return "".join(
        f"{option} {value}\n" for option, value in zip(argv[first::2], argv[first + 1 :: 2], strict=True)
    )


def test_several_guests_are_a_star_whose_hub_is_in_the_first_ones_emulator() -> None:
    assert {number: cards(Guest(number, 3, "/p", "/k")) for number in (1, 3)} == CARDS


def test_a_guest_alone_has_no_card() -> None:
    assert cards(Guest(1, 1, "/p", "/k")) == ""


def test_the_machines_root_is_never_written() -> None:
    shares = [word for word in Guest(1, 1, "/p", "/k").argv() if word.startswith("local,")]
    held = "security_model=none,multidevs=remap,readonly"
    assert shares == [f"local,id=root,path=/,{held}=on", f"local,id=job,path=/p/h1,{held}=off"]


def test_a_guest_is_told_its_variables_as_a_shell_reads_them() -> None:
    text = Guest(2, 3, "/p", "/k").variables("6.1", "/a cache/lib/modules/6.1")
    told = subprocess.run(["sh", "-ec", f"{text}echo $NUMBER $HOSTS $RELEASE; echo $MODULES"], capture_output=True)
    assert told.stdout.decode() == "2 3 6.1\n/a cache/lib/modules/6.1\n"


def test_a_job_has_its_words_its_place_and_its_environment_as_they_were_given(tmp_path: Path) -> None:
    words = ["sh", "-c", 'pwd; echo "$ODD" "$1"; exit 3', "sh", "a 'b' $c"]
    done = subprocess.run(
        ["sh", "-c", job(words, {"ODD": 'it\'s "so"'}, str(tmp_path))], capture_output=True, text=True
    )
    assert (done.stdout, done.returncode) == (f"{tmp_path}\nit's \"so\" a 'b' $c\n", 3)


def test_a_job_whose_directory_is_not_there_does_not_run() -> None:
    done = subprocess.run(["sh", "-c", job(["echo", "ran"], {}, "/nosuch place")], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("", 125)


def test_a_command_is_one_line_that_can_be_pasted() -> None:
    argv = Guest(1, 1, "/p", "/k", "kvm", 2048).argv()
    assert shlex.split(shlex.join(argv)) == argv
    assert {"-accel kvm", "-cpu host,-aes,-pclmulqdq", "-m 2048"} <= {
        f"{a} {b}" for a, b in itertools.pairwise(argv)
    }
