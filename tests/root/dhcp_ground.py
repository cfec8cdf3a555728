"""A segment with a real DHCP server and router: dnsmasq in a namespace, behind the uplink of a bridge."""

import re
import shutil
import subprocess
from typing import Any

from tests.root.ground import DaemonGround, until

from bascule.kernel import namespaces

ROUTER = ("--enable-ra", "--dhcp-range=fd07::,ra-only,64,2m")
OPTIONS = {"com.docker.network.bridge.name": "br-lan"}


class Server:
    """dnsmasq on 10.7.0.1, at the other end of the host's uplink; it may come and go."""

    def __init__(self, ground: DaemonGround) -> None:
        self.directory = ground.directory.with_name(ground.directory.name + "-lan")
        self.directory.mkdir()
        self.path = str(self.directory / "netns")
        namespaces.make(self.path, lambda: None)
        self._log = self.directory / "log"
        self._process: subprocess.Popen[bytes] | None = None
        ground.sh(
            "ip link add br-lan type bridge; ip link set br-lan up;"
            f"ip link add up0 master br-lan type veth peer name lan0 netns {self.path}; ip link set up0 up"
        )
        ground.sh("ip link set lo up; ip link set lan0 up; ip addr add 10.7.0.1/24 dev lan0", self.path)

    def start(self, first: int = 50, last: int = 60, *more: str, good: str = "2m") -> None:
        self._process = subprocess.Popen(
            [
                *("nsenter", f"--net={self.path}", "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null"),
                *(
                    "--port=0",
                    "--user=root",
                    "--interface=lan0",
                    "--bind-interfaces",
                    "--log-dhcp",
                    "--dhcp-authoritative",
                ),
                *(f"--log-facility={self._log}", f"--dhcp-leasefile={self.directory}/leases", "--pid-file="),
                f"--dhcp-range=10.7.0.{first},10.7.0.{last},255.255.255.0,{good}",
                *more,
            ],
        )
        until(lambda: "DHCP, IP range" in self.said())

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait()
            self._process = None
            self._log.unlink()

    def said(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def count(self, what: str) -> int:
        return len(re.findall(rf"{what}\(lan0\)", self.said()))

    def close(self) -> None:
        self.stop()
        namespaces.drop(self.path)
        shutil.rmtree(self.directory)


def network(ground: DaemonGround, **more: object) -> None:
    """`lan`, on the bridge with the uplink."""
    ipam = {"Driver": "dhcp"}
    ground.ask("POST", "/networks/create", {"Name": "lan", "IPAM": ipam, "Options": OPTIONS, **more})


def shown(ground: DaemonGround, name: str) -> dict[str, Any]:
    """What inspect tells of the container's place on the network."""
    found: dict[str, Any] = ground.ask("GET", f"/containers/{name}/json")["NetworkSettings"]["Networks"]["lan"]
    return found


def clients(ground: DaemonGround) -> list[int]:
    return [pid for pid, words in ground.processes().items() if "udhcpc" in words]


def macvlan(ground: DaemonGround, **more: object) -> None:
    """`lan`, on a link that leads to the server's bridge."""
    # As on a host without br_netfilter; with it, a host that only forwards because of us drops what others bridge.
    ground.sh("sysctl -qw net.bridge.bridge-nf-call-iptables=0 2>/dev/null || true")
    ground.sh("sysctl -qw net.bridge.bridge-nf-call-ip6tables=0 2>/dev/null || true")
    ground.sh("ip link add lan9 master br-lan type veth peer name up9; ip link set lan9 up; ip link set up9 up")
    body = {"Name": "lan", "Driver": "macvlan", "IPAM": {"Driver": "dhcp"}, "Options": {"parent": "up9"}}
    ground.ask("POST", "/networks/create", {**body, **more})


def answers(ground: DaemonGround, server: Server, address: str) -> bool:
    said = ground.sh(f"ping -q -c 1 -W 1 {address} >/dev/null 2>&1 && echo yes || echo no", server.path)
    return said.strip() == "yes"
