"""Three hosts on one wire, each a namespace with a daemon of its own and a member of one etcd."""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.etcd_server import Member
from tests.root.ground import ROOT, DaemonGround, Inside, until
from tests.root.overlay_world import Wire, ping

from bascule.model.addresses import IPAddress, ip_address

CLIENT, PEER = 2379, 2380
HOSTS = ("one", "two", "three")


class Container:
    """One that runs, on one network of the cluster."""

    def __init__(self, daemon: DaemonGround, name: str, network: str) -> None:
        told = daemon.ask("GET", f"/containers/{name}/json")["NetworkSettings"]
        self.daemon = daemon
        self.name = name
        self.path = str(told["SandboxKey"])
        end = told["Networks"][network]
        self.addresses: list[IPAddress] = [
            ip_address(end[key]) for key in ("IPAddress", "GlobalIPv6Address") if end[key]
        ]

    def asks(self, name: str) -> str:
        """What it is told, or why it is told nothing."""
        try:
            return Inside(self.name, self.path).ask(name)
        except OSError as why:
            # As whoever asks by a resolver does, the test asks again.
            return str(why)

    def sh(self, command: str) -> str:
        return self.daemon.sh(command, self.path).strip()

    def ping(self, to: IPAddress, **how: int) -> str:
        return ping(self.path, to, **how)


class Cluster:
    """Daemons by the names of their hosts; they come and go, and the wire can be cut."""

    def __init__(self, directory: Path, *flags: str, etcds: int = 3, hosts: tuple[str, ...] = HOSTS) -> None:
        """*flags* of every daemon; the first *etcds* hosts have a member of the store."""
        self.wire = Wire(*hosts)
        self.daemons: dict[str, DaemonGround] = {}
        self.store: dict[str, Member] = {}
        try:
            self._begin(directory, flags, hosts[:etcds])
        except BaseException:
            self.close()
            raise

    def _begin(self, directory: Path, flags: tuple[str, ...], stores: tuple[str, ...]) -> None:
        hosts = {name: str(self.wire.address(name)) for name in stores}
        peers = dict.fromkeys(stores, PEER)
        for name in stores:
            self.store[name] = Member(
                directory, name, CLIENT, peers, _QUICK, hosts=hosts, netns=self.wire.path(name)
            )
        for member in self.store.values():
            member.wait()
        at = [f"--cluster-store={member.url}" for member in self.store.values()]
        for name in self.wire.names:
            place = Path(f"/run/bascule-{self.wire.name}-{name}")
            # Every daemon has a table of its own: the hosts are one machine to whoever looks at processes.
            self.daemons[name] = DaemonGround(place, *at, *flags, netns=self.wire.ns(name))
            self.daemons[name].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def whole(self) -> None:
        """Every wire is mended, and every member of the store runs."""
        self.mend(*self.daemons)
        self.lose_nothing()
        for member in self.store.values():
            member.revive()
        for member in self.store.values():
            member.wait()

    def close(self) -> None:
        """Nothing is left, of whatever state the test left it in."""
        with ExitStack() as rest:
            rest.callback(self.wire.close)
            for member in self.store.values():
                rest.callback(member.kill)
            for daemon in self.daemons.values():
                rest.callback(daemon.close)
            self.whole()

    # ---- the cluster

    def enter(self, *names: str) -> None:
        """The hosts are members; the first founds the cluster."""
        for name in names or HOSTS:
            how = "init" if name == (names or HOSTS)[0] else "join"
            body = {"Address": str(self.wire.address(name)), "Name": name}
            self.daemons[name].ask("POST", f"/cluster/{how}", body)

    def network(self, host: str, name: str, *subnets: str, **more: Any) -> str:
        """An overlay network that all members know."""
        body = {
            "Name": name,
            "Driver": "overlay",
            "Attachable": True,
            "EnableIPv6": any(":" in subnet for subnet in subnets),
            "IPAM": {"Config": [{"Subnet": subnet} for subnet in subnets]},
            **more,
        }
        ident = str(self.daemons[host].ask("POST", "/networks/create", body)["Id"])
        until(lambda: all(name in self.networks(h) for h in self.daemons))
        return ident

    def networks(self, host: str) -> list[str]:
        found = self.daemons[host].ask("GET", "/networks")
        return sorted(net["Name"] for net in found if net["Scope"] == "global")

    def run(
        self, host: str, name: str, network: str, *, aliases: tuple[str, ...] = (), address: str = ""
    ) -> Container:
        """A container of the host's image that waits to be told."""
        ipam = {"IPv4Address": address} if address else {}
        end = {"Aliases": list(aliases), "IPAMConfig": ipam}
        daemon = self.daemons[host]
        daemon.run(name, network, "sleep", "1000", NetworkingConfig={"EndpointsConfig": {network: end}})
        return Container(daemon, name, network)

    def verified(self) -> str:
        """What `verify` says on any of them, once everything has arrived."""
        until(lambda: not self.differences(), lambda: "\n".join(self.differences()))
        return ""

    def differences(self) -> list[str]:
        return [
            f"{name}: {line}"
            for name, daemon in self.daemons.items()
            if daemon.alive()
            for line in daemon.ask("GET", "/cluster/verify")["Differences"]
        ]

    def state(self, asked: str, of: str) -> str:
        """How one host sees another."""
        return str(self.daemons[asked].ask("GET", f"/cluster/nodes/{of}")["State"])

    def leader(self) -> str:
        """The host whose member leads the store."""
        for name, member in self.store.items():
            told = self.wire.sh(name, f"curl -s -X POST {member.url}/v3/maintenance/status -d '{{}}'")
            status = json.loads(told)
            if status["header"]["member_id"] == status["leader"]:
                return name
        raise AssertionError("nobody leads the store")

    def cut(self, *names: str) -> None:
        """The hosts are off the wire."""
        for name in names:
            self.wire.ip("wire", f"link set {name} down")

    def mend(self, *names: str) -> None:
        for name in names:
            self.wire.ip("wire", f"link set {name} up")

    def lose_power(self, host: str) -> None:
        """The host is off the wire, nothing runs on it, and its kernel has forgotten everything."""
        daemon = self.daemons[host]
        there = daemon.ask("GET", "/containers/json")
        pids = [daemon.ask("GET", f"/containers/{one['Id']}/json")["State"]["Pid"] for one in there]
        self.cut(host)
        daemon.kill()
        self.store[host].kill()
        for pid in [*daemon.processes(), *self._at(host), *pids]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for mount in daemon.mounts():
            daemon.sh(f"umount -l {mount}")
        shutil.rmtree(daemon.directory / "run")
        links = "ip -o link | cut -d: -f2 | cut -d@ -f1 | grep -v -w -e lo -e eth0"
        self.wire.sh(host, f"nft flush ruleset; for l in $({links}); do ip link del $l || true; done")

    def _at(self, host: str) -> list[int]:
        """Processes in the host's own namespace: the resolver, whose words do not say whose it is."""
        inode, found = os.stat(self.wire.path(host)).st_ino, []
        for entry in os.listdir("/proc"):
            with suppress(OSError):
                if entry.isdigit() and os.stat(f"/proc/{entry}/ns/net").st_ino == inode:
                    found.append(int(entry))
        return found

    def restore_power(self, host: str) -> None:
        self.mend(host)
        self.store[host].start()
        self.daemons[host].start()

    def lose(self, *what: str) -> None:
        """The wire loses *what*, each as nft says it, and nothing else."""
        rules = "\n".join(f"add rule bridge lost wire {one} drop" for one in what)
        chain = "add chain bridge lost wire { type filter hook forward priority 0; }"
        self.wire.sh("wire", f"nft -f - <<'END'\n{_NOTHING_LOST}\nadd table bridge lost\n{chain}\n{rules}\nEND")

    def lose_nothing(self) -> None:
        """The wire loses nothing any more."""
        self.wire.sh("wire", f"nft -f - <<'END'\n{_NOTHING_LOST}\nEND")

    def compact(self) -> None:
        """The store forgets everything but what it has now."""
        (url,) = [self.store[self.leader()].url]
        revision = json.loads(self.wire.sh(self.leader(), f'curl -s -d \'{{"key":"AA=="}}\' {url}/v3/kv/range'))
        body = json.dumps({"revision": revision["header"]["revision"], "physical": True})
        self.wire.sh(self.leader(), f"curl -s --fail -d '{body}' {url}/v3/kv/compaction")


# Also where there is none.
_NOTHING_LOST = "add table bridge lost\ndelete table bridge lost"
# The members are on one busy machine, and a test waits for elections.
_QUICK = ("--heartbeat-interval", "100", "--election-timeout", "1000")


def docker(daemon: DaemonGround, *words: str) -> str:
    """What the docker command line prints."""
    done = subprocess.run(
        ["docker", "-H", f"unix://{daemon.directory}/s", *words], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def shown(daemon: DaemonGround, network: str) -> Any:
    return json.loads(docker(daemon, "network", "inspect", network))[0]


def command(daemon: DaemonGround, *words: str) -> str:
    """What our own prints."""
    done = subprocess.run(
        [sys.executable, "-m", "bascule", "-H", f"unix://{daemon.directory}/s", *words],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": f"{ROOT}/src", "PATH": os.environ["PATH"]},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
