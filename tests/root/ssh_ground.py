"""A daemon's host on a switch, and a machine on the same one that logs in to a container by ssh: Debian's own
server, in a container, and Debian's own client.

    machine 10.213.0.200 --- switch --- lan0, the host: parent of the container's link
    fd13::200
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Self

import pytest
from tests.patience import patient
from tests.root.ground import ROOT, DaemonGround, until

SSHD = ROOT / ".sshd"
needs = pytest.mark.skipif(
    not (SSHD / "usr/sbin/sshd").exists() or not shutil.which("ssh"),
    reason="needs Debian's sshd and ssh: packaging/sshd-setup, apt-get install openssh-client",
)
# The container's root may have no user for the server's unprivileged half.
SERVE = """\
mkdir -p /run/sshd
grep -q ^sshd: /etc/passwd || echo sshd:x:74:65534::/run/sshd:/usr/sbin/nologin >>/etc/passwd
sed -i 's/^root:[^:]*:/root:*:/' /etc/shadow
exec /sshd/usr/sbin/sshd -D -e -f /dev/null -h /keys/host -o PidFile=none -o UsePAM=no -o StrictModes=no \
  -o PasswordAuthentication=no -o AuthorizedKeysFile=/keys/user.pub -o PermitRootLogin=yes"""


class Segment:
    """A switch and a machine on it, the daemon's host on the same, and keys for one login."""

    def __init__(self, name: str) -> None:
        self.ground = DaemonGround(Path(f"/dev/shm/{name}"), f"--bridge=br{os.getpid()}")
        self.keys = Path(f"/run/{name}-keys")
        self._made: list[str] = []

    def __enter__(self) -> Self:
        try:
            self._build()
            self.ground.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _build(self) -> None:
        self.keys.mkdir(mode=0o700)
        for key in ("host", "user"):
            words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(self.keys / key)]
            subprocess.run(words, check=True)
        for what in ("switch", "machine"):
            self.ground.ip("netns", "add", self.netns(what))
            self._made.append(self.netns(what))
        self.sh("switch", "ip link add sw0 type bridge; ip link set sw0 up")
        for port, link, netns in (("p1", "lan0", self.ground.netns), ("p2", "eth0", self.netns("machine"))):
            self.sh("switch", f"ip link add {port} master sw0 up type veth peer name {link} netns {netns}")
        self.sh("machine", "ip link set lo up; ip link set eth0 up; ip addr add 10.213.0.200/24 dev eth0")
        self.sh("machine", "ip addr add fd13::200/64 dev eth0 nodad")
        self.ground.sh("ip link set lan0 up")

    def __exit__(self, *_: object) -> None:
        self.ground.close()
        for netns in self._made:
            self.ground.ip("netns", "del", netns)
        shutil.rmtree(self.keys, ignore_errors=True)

    def netns(self, what: str) -> str:
        return f"{self.ground.netns}-{what}"

    def sh(self, what: str, command: str) -> str:
        return self.ground.sh(command, f"/run/netns/{self.netns(what)}")

    def network(self, driver: str) -> None:
        """`lan`, on the machine's subnets."""
        pools = [{"Subnet": "10.213.0.0/24", "IPRange": "10.213.0.128/26"}, {"Subnet": "fd13::/64"}]
        body = {"Name": "lan", "Driver": driver, "EnableIPv6": True, "IPAM": {"Config": pools}}
        self.ground.ask("POST", "/networks/create", {**body, "Options": {"parent": "lan0"}})

    def serve(self) -> list[str]:
        """A container called `shell` in which sshd listens; its addresses."""
        binds = [f"{SSHD}:/sshd:ro", f"{self.keys}:/keys:ro"]
        libraries = ":".join(
            str(Path("/sshd") / path.relative_to(SSHD)) for path in SSHD.glob("usr/lib/*-linux-gnu")
        )
        env = [f"LD_LIBRARY_PATH={libraries}"]
        command = ("sh", "-ec", SERVE)
        self.ground.run("shell", "lan", *command, Hostname="shell", Env=env, HostConfig={"Binds": binds})
        end = self.ground.ask("GET", "/containers/shell/json")["NetworkSettings"]["Networks"]["lan"]
        return [end["IPAddress"], end["GlobalIPv6Address"]]

    def log_in(self, address: str, command: str) -> str:
        """What *command* prints that the machine runs in whatever is at *address*, which has the host's key."""
        known = self.keys / "known"
        known.write_text(f"{address} {(self.keys / 'host.pub').read_text()}")
        options = (
            "BatchMode=yes",
            "StrictHostKeyChecking=yes",
            f"UserKnownHostsFile={known}",
            f"ConnectTimeout={patient(5):.0f}",
        )
        words = [word for option in options for word in ("-o", option)]
        line = ["ssh", "-F", "none", *words, "-i", str(self.keys / "user"), f"root@{address}", command]
        done = subprocess.run(
            ["nsenter", f"--net=/run/netns/{self.netns('machine')}", *line],
            capture_output=True,
            text=True,
            timeout=patient(30),
        )
        return done.stdout.strip() or f"nothing: {done.stderr}"

    def logs_in(self) -> None:
        """The machine comes to log in to the container at each of its addresses, and is the one it is there."""
        for address in self.serve():
            self._waits_for(address)
            name, connection = self.log_in(address, "hostname; echo $SSH_CONNECTION").splitlines()
            machine = "fd13::200" if ":" in address else "10.213.0.200"
            peer, _, own, port = connection.split()
            assert (name, peer, own, port) == ("shell", machine, address, "22")

    def _waits_for(self, address: str) -> None:
        """Somebody listens at *address*."""

        def said() -> str:
            return self.log_in(address, "echo here")

        until(lambda: said() == "here", lambda: f"{said()}\n{self.ground.said()}")
