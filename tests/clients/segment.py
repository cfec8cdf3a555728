"""A switch, a machine on it, and the cable to a daemon's host, whose end is the parent of containers' links.

machine 10.213.0.200 fd13::200 --- switch --- lan0 10.213.0.100 fd13::100, the host
"""

import os
import subprocess
from typing import Self

from tests.clients.conftest import Client

AT = {"one": "10.213.0.10", "two": "10.213.0.20", "machine": "10.213.0.200", "host": "10.213.0.100"}
# IPv6 as well: the same links, other addresses.
AT6 = {"one": "fd13::10", "two": "fd13::20", "machine": "fd13::200", "host": "fd13::100"}


class Segment:
    """A switch and a machine on it, in namespaces of their own, and the cable to the host at *host*."""

    def __init__(self, client: Client, host: str) -> None:
        self.client = client
        self.host = host
        self.names = [f"bseg{os.getpid()}-{what}" for what in ("switch", "machine")]
        switch, machine = self.names
        for name in self.names:
            subprocess.run(["ip", "netns", "add", name], check=True)
        self.at(switch, "ip link add sw0 type bridge; ip link set sw0 up")
        for port, link, other in (("p1", "lan0", host), ("p2", "eth0", f"/run/netns/{machine}")):
            self.at(switch, f"ip link add {port} master sw0 type veth peer name {link} netns {other}")
            self.at(switch, f"ip link set {port} up")
        self.at(machine, f"ip link set lo up; {self.up('eth0', 'machine')}")
        self.in_host(self.up("lan0", "host"))

    @staticmethod
    def up(link: str, who: str) -> str:
        addresses = f"ip addr add {AT[who]}/24 dev {link}; ip addr add {AT6[who]}/64 dev {link} nodad"
        return f"ip link set {link} up; {addresses}"

    def at(self, name: str, script: str) -> str:
        return self._run(f"/run/netns/{name}", script)

    def in_host(self, script: str) -> str:
        return self._run(self.host, script)

    @staticmethod
    def _run(path: str, script: str) -> str:
        done = subprocess.run(["nsenter", f"--net={path}", "sh", "-ec", script], capture_output=True, text=True)
        assert done.returncode == 0, f"{script}: {done.stderr}"
        return done.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing of it is left, nor of the client's."""
        self.client.sweep()
        self.close()

    def close(self) -> None:
        self.in_host("ip link del lan0")
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], check=True)
