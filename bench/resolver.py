"""`python -m bench.resolver`: the resolver beside dnsmasq, asked from inside one namespace, in alternating rounds.

Figures are medians of the rounds' ratios; both servers and dnsperf share the machine's cores.
"""

import argparse
import os
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Address
from pathlib import Path

from bascule.dns.client import ResolverClient
from bascule.engine.names import Member, View, Zone
from bascule.model.sandbox import Sandbox

PEER = "127.0.0.12"
OURS = "127.0.0.11"
FIRST = int(IPv4Address("10.64.0.1"))


def name(n: int) -> str:
    return f"container-{n}"


@contextmanager
def namespace() -> Iterator[str]:
    """A namespace with loopback, gone afterwards."""
    called = f"bascule-bench-dns-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", called], check=True)
    try:
        subprocess.run(["ip", "-n", called, "link", "set", "lo", "up"], check=True)
        yield called
    finally:
        subprocess.run(["ip", "netns", "del", called], check=True)


@contextmanager
def dnsmasq(called: str, place: Path, names: int) -> Iterator[None]:
    """dnsmasq with as many names on PEER."""
    hosts = place / "hosts"
    hosts.write_text("".join(f"{IPv4Address(FIRST + n)} {name(n)}\n" for n in range(names)))
    command = ["ip", "netns", "exec", called, "dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts"]
    command += [f"--addn-hosts={hosts}", f"--listen-address={PEER}", "--bind-interfaces", "--conf-file=/dev/null"]
    command += ["--user=root", f"--pid-file={place}/pid", "--no-poll", "--dns-forward-max=1000"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()


@contextmanager
def ours(called: str, place: Path, names: int) -> Iterator[ResolverClient]:
    """The resolver with as many names on OURS."""
    client = ResolverClient(str(place))
    try:
        members = [Member(f"e{n}", (name(n),), (IPv4Address(FIRST + n),)) for n in range(names)]
        client.publish(Zone("net", "app", tuple(members)))
        client.serve(Sandbox("box", "box", "box", f"/run/netns/{called}", 0), View("box", ("net",)))
        yield client
    finally:
        client.leave("box")
        client.close()


def ask(called: str, server: str, questions: Path, seconds: float) -> float:
    """Queries answered a second, nothing lost."""
    command = ["ip", "netns", "exec", called, "dnsperf", "-s", server, "-d", str(questions), "-l", str(seconds)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lost = re.search(r"Queries lost:\s+(\d+)", said)
    codes = re.search(r"Response codes:\s+(.*)", said)
    rate = re.search(r"Queries per second:\s+([\d.]+)", said)
    if not (lost and codes and rate) or int(lost[1]) or not codes[1].startswith("NOERROR") or "," in codes[1]:
        raise SystemExit(f"{server} did not answer all of it:\n{said}")
    return float(rate[1])


def wait_for(called: str, server: str, questions: Path) -> None:
    """Until the server answers."""
    for _ in range(100):
        command = [
            "ip",
            "netns",
            "exec",
            called,
            "dnsperf",
            "-s",
            server,
            "-d",
            str(questions),
            "-n",
            "1",
            "-t",
            "1",
        ]
        if "completed:    0 " not in subprocess.run(command, check=True, capture_output=True, text=True).stdout:
            return
        time.sleep(0.05)
    raise SystemExit(f"{server} does not answer")


def compare(names: int, rounds: int, seconds: float) -> float:
    """Our rate over the peer's with so many names; prints it."""
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        called = stack.enter_context(namespace())
        stack.enter_context(dnsmasq(called, place, names))
        client = stack.enter_context(ours(called, place, names))
        questions = place / "questions"
        questions.write_text("".join(f"{name(n)} A\n" for n in range(names)))
        wait_for(called, PEER, questions)
        pairs = [
            (ask(called, OURS, questions, seconds), ask(called, PEER, questions, seconds)) for _ in range(rounds)
        ]
        memory = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{client.pid}/status").read_text())
    ratio = statistics.median(mine / theirs for mine, theirs in pairs)
    mine, theirs = (statistics.median(rates) for rates in zip(*pairs, strict=True))
    size = int(memory[1]) // 1024 if memory else 0
    print(f"{names:>6} names: {mine:>8,.0f} q/s, dnsmasq {theirs:>8,.0f}, ratio {ratio:.2f}, {size} MB")
    return ratio


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__)
    told.add_argument("--rounds", type=int, default=5)
    told.add_argument("--seconds", type=float, default=2.0)
    told.add_argument("--names", type=int, nargs="*", default=[1, 500, 5000])
    arguments = told.parse_args()
    for names in arguments.names:
        compare(names, arguments.rounds, arguments.seconds)


if __name__ == "__main__":
    main()
