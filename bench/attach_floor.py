"""`python -m bench.attach_floor`: what Python adds to an attach.

An attach is a pair of links with its peer in a namespace, two addresses, up, two default routes.  LinuxKernel.add
makes it, and a C program sends the same messages in as many sends, in turn, each in a network namespace of the
bench's own that has one bridge.  Times swing on a shared machine, so rounds alternate, and the figure is the
median of their ratios.
"""

import gc
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address, ip_interface
from pathlib import Path

from bascule.kernel import namespaces
from bascule.kernel.linux import LinuxKernel
from bascule.model.links import Address, Bridge, Namespace, Route, Up, Veth
from bascule.model.thing import Thing

ROUNDS, EACH = 12, 30
WARM_UP = 2
SOURCE = Path(__file__).with_suffix(".c")
GATEWAYS = (ip_address("10.7.0.1"), ip_address("fd07::1"))
BRIDGE: list[Thing] = [
    Bridge("br0", mac="02:00:00:00:00:01"),
    Address("br0", ip_interface("10.7.0.1/16")),
    Address("br0", ip_interface("fd07::1/64")),
]


def attach(ns: str, number: int) -> list[Thing]:
    """An endpoint, as a driver states it."""
    own = f"{number >> 8}.{number & 255}"
    return [
        Veth(f"floor{number}", "eth0", ns, mac=f"02:00:00:01:{number >> 8:02x}:{number & 255:02x}", master="br0"),
        Address("eth0", ip_interface(f"10.7.{own}/16"), ns),
        Address("eth0", ip_interface(f"fd07::{number:x}/64"), ns),
        Up("eth0", ns),
        *(Route("eth0", None, via, ns=ns) for via in GATEWAYS),
    ]


@contextmanager
def workplace() -> Iterator[Path]:
    """A directory below /run with a namespace `host` in it; all of it goes afterwards."""
    place = Path(f"/run/bascule-floor-{os.getpid()}")
    (place / "netns").mkdir(parents=True)
    try:
        namespaces.make(str(place / "host"), lambda: None)
        yield place
    finally:
        for file in (*place.glob("netns/*"), place / "host"):
            namespaces.drop(str(file))
        shutil.rmtree(place)


def compiled(directory: str) -> str | None:
    """The C program; None where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    program = f"{directory}/attach_floor"
    subprocess.run([compiler, "-O2", "-o", program, str(SOURCE)], check=True)
    return program


def ours(kernel: LinuxKernel, paths: list[str], first: int) -> list[int]:
    """Nanoseconds of each attach."""
    times = []
    for number, path in enumerate(paths, first):
        things = attach(path, number)
        began = time.perf_counter_ns()
        outcomes = kernel.add(things)
        times.append(time.perf_counter_ns() - began)
        assert outcomes == ["made"] * len(things), outcomes
    kernel.remove([thing for number, path in enumerate(paths, first) for thing in attach(path, number)[:1]])
    return times


def floor(program: str, host: str, below: str, paths: list[str], first: int) -> list[int]:
    """The same, by the C program; its links are in group 77."""
    words = ["nsenter", f"--net={host}", program, below, str(first), *paths]
    told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return [int(line) for line in told.split()]


def measure(place: Path, program: str | None) -> dict[str, list[int]]:
    """Times by who made them, a round's median each."""
    kernel = namespaces.in_namespace(str(place / "host"), lambda: LinuxKernel(namespaces=str(place / "netns")))
    paths = [str(place / "netns" / str(i)) for i in range(EACH)]
    kernel.add([*BRIDGE, *(Namespace(path) for path in paths)])
    bridge = int(
        subprocess.check_output(
            ["nsenter", f"--net={place}/host", "ip", "-o", "link", "show", "br0"], text=True
        ).partition(":")[0]
    )
    times: dict[str, list[int]] = {"LinuxKernel.add": [], "C": []}
    gc.disable()
    for turn in range(WARM_UP + ROUNDS):
        one = ours(kernel, paths, 2)
        kernel.settle()
        other = floor(program, str(place / "host"), str(bridge), paths, 2) if program else []
        words = ["nsenter", f"--net={place}/host", "ip", "link", "del", "group", "77"]
        subprocess.run(words, check=bool(program))
        if turn >= WARM_UP:
            times["LinuxKernel.add"].append(int(statistics.median(one)))
            times["C"] += [int(statistics.median(other))] if other else []
    kernel.close()
    return times


def main() -> None:
    with tempfile.TemporaryDirectory() as directory, workplace() as place:
        times = measure(place, compiled(directory))
    for who, taken in times.items():
        if taken:
            low, middle = min(taken) / 1e6, statistics.median(taken) / 1e6
            print(f"{who:16} median {middle:.3f} ms, best {low:.3f} ms, of {len(taken)} rounds")
    if times["C"]:
        ratio = statistics.median(a / b for a, b in zip(times["LinuxKernel.add"], times["C"], strict=True))
        print(f"{'ratio':16} {ratio:.2f} (at most 1.2)")
    else:
        print("no C compiler here: no floor to compare with")


if __name__ == "__main__":
    main()
