"""A whole daemon on a guest, whose host is a namespace with a link of its own on the guests' segment.

The guest's own namespace has an engine of the tests' in it, and hears all that is said on eth0.
"""

import base64
import json
import os
import shutil
import signal
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.cluster.daemons import CLIENT, PEER, Container, command, docker
from tests.etcd_server import Member
from tests.root.ground import DaemonGround
from tests.vm.pings import Pings
from tests.vm.wire import Ear, forge

from bascule.cluster import keys
from bascule.cluster.sealing import RING
from bascule.kernel.namespaces import in_namespace

NS = "daemon"
HOME = f"/run/netns/{NS}"
ETCD_PLACE = Path("/run/bascule-etcd")
PORT = 80
NO_ANSWER = "no answer"
PATIENCE = 3.0
FORGED = 0x88B5
"""The kind of frames that nobody else sends."""
_RING = base64.b64encode(f"{keys.SHARED}ring/{RING}".encode()).decode()
_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


class Daemon:
    """On the guest *number*: 10.99.0.1N, fd99::1N and 02:00:00:00:00:1N.  The first one's host has the etcd."""

    def __init__(self, number: int, marker: str) -> None:
        """*marker* is in everything that containers answer."""
        self.number = number
        self._marker = marker
        self._boxes: dict[str, Container] = {}
        self._sockets: list[socket.socket] = []
        self._pings: list[Pings] = []
        self._etcd: Member | None = None
        DaemonGround.ip("netns", "add", NS)
        self._url = f"http://10.99.0.11:{CLIENT}"
        self.ground = DaemonGround(Path("/run/bascule-daemon"), f"--cluster-store={self._url}", netns=NS)
        self._place()
        if number == 1:
            ETCD_PLACE.mkdir()
            etcd = Member(ETCD_PLACE, "one", CLIENT, {"one": PEER}, hosts={"one": "10.99.0.11"}, netns=HOME)
            self._etcd = etcd
        self.ground.start()
        if self._etcd:
            self._etcd.wait()

    def _place(self) -> None:
        made = f"link add link eth0 name d0 address 02:00:00:00:00:1{self.number} type macvlan mode bridge"
        for words in (made, f"link set d0 netns {NS} name eth0"):
            DaemonGround.ip(*words.split())
        self.ground.sh(
            "echo 1 > /proc/sys/net/ipv6/conf/default/addr_gen_mode\n"
            f"ip link set lo up\nip link set eth0 up\nip addr add 10.99.0.1{self.number}/24 dev eth0\n"
            f"ip addr add fd99::1{self.number}/64 dev eth0 nodad"
        )

    def close(self) -> None:
        """Nothing of it is left but what the guest takes along: a daemon that has been killed is not begun anew."""
        for sock in self._sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        if self.ground.alive():
            self.ground.sweep()
            self.ground.kill()
        for pid in self.ground.processes():
            os.kill(pid, signal.SIGKILL)
        DaemonGround.ip("netns", "del", NS)

    def end(self) -> None:
        """The etcd has ended, which both needed to tidy up."""
        assert self._etcd
        self._etcd.kill()
        shutil.rmtree(ETCD_PLACE)

    # ---- the daemon

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return self.ground.ask(method, path, body)

    def command(self, *words: str) -> str:
        """What our own command line prints."""
        return command(self.ground, *words)

    def docker(self, *words: str) -> str:
        return docker(self.ground, *words)

    def kill(self) -> None:
        self.ground.kill()

    def start(self) -> None:
        self.ground.start()

    def sh(self, line: str) -> str:
        """What a shell says on the host."""
        return self.ground.sh(line)

    # ---- containers

    def run(self, name: str, ends: Mapping[str, Mapping[str, str]]) -> dict[str, list[str]]:
        """A container on the networks in *ends*, with options for each, which answers on PORT to whoever asks; its
        addresses by network."""
        first = next(iter(ends))
        told = {network: {"DriverOpts": dict(options)} for network, options in ends.items()}
        self.ground.run(name, first, "sleep", "1000", NetworkingConfig={"EndpointsConfig": told})
        boxes = {network: Container(self.ground, name, network) for network in ends}
        self._boxes[name] = boxes[first]
        self._serve(boxes[first].path)
        return {network: [str(address) for address in box.addresses] for network, box in boxes.items()}

    def macs(self, name: str) -> dict[str, str]:
        """A container's, by network."""
        told = self.ask("GET", f"/containers/{name}/json")["NetworkSettings"]["Networks"]
        return {network: str(end["MacAddress"]) for network, end in told.items()}

    def name(self, box: str, name: str) -> str:
        """What the resolver says to a container that asks for *name*."""
        return self._boxes[box].asks(name)

    def says(self, box: str, to: str, kind: str = "tcp", port: int = PORT) -> str:
        """Who answers when a container asks, or with no name the host: the guest's name and the marker."""
        path = self._boxes[box].path if box else HOME
        family = socket.AF_INET6 if ":" in to else socket.AF_INET
        with in_namespace(path, lambda: socket.socket(family, _KINDS[kind])) as asker:
            asker.settimeout(PATIENCE)
            try:
                asker.connect((to, port))
                asker.sendall(b"who?")
                return asker.recv(100).decode() or NO_ANSWER
            except OSError:
                return NO_ANSWER

    def among(self, box: str, to: str, port: int = PORT) -> list[str]:
        """Who answers when a dozen ask."""
        return sorted({self.says(box, to, "tcp", port) for _ in range(12)})

    def _serve(self, path: str) -> None:
        def opened() -> tuple[socket.socket, socket.socket]:
            made = [socket.socket(socket.AF_INET6, kind) for kind in _KINDS.values()]
            for sock in made:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                sock.bind(("::", PORT))
            made[0].listen()
            return made[0], made[1]

        stream, datagrams = in_namespace(path, opened)
        self._sockets += [stream, datagrams]
        word = f"{socket.gethostname()} {self._marker}".encode()
        for work, sock in ((_accept, stream), (_answer, datagrams)):
            threading.Thread(target=work, args=(sock, word), daemon=True).start()

    # ---- a stream, and the wire

    def ping(self, box: str, *to: str) -> None:
        """To each address, from now on."""
        self._pings = [Pings(self._boxes[box].path, address) for address in to]

    def pinged(self) -> list[dict[str, Any]]:
        return [pings.end() for pings in self._pings]

    def listen(self) -> None:
        self._ear = Ear(self._marker.encode())

    def heard(self) -> dict[str, int]:
        return self._ear.stop()

    def forge(self, source: str, target: int, vni: int, macs: Sequence[str]) -> None:
        """A frame in VXLAN, in the clear, from *source* to the other host: *macs* are whom it is for and from."""
        inner = "".join(macs).replace(":", "") + f"{FORGED:04x}" + self._marker.encode().hex().ljust(92, "0")
        forge(f"02:00:00:00:00:1{target}", source, f"fd99::1{target}", vni, bytes.fromhex(inner))

    def watch(self, box: str) -> None:
        """Forged frames that get to a container are counted from now on."""
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
        path = self._boxes[box].path
        self._watching = in_namespace(path, lambda: socket.socket(socket.AF_PACKET, kind, socket.htons(FORGED)))
        self._sockets.append(self._watching)

    def taken(self) -> int:
        """How many since somebody asked."""
        return sum(1 for _ in _drained(self._watching))

    # ---- secrets

    def turns(self) -> int:
        """How often ESP's secrets have turned."""
        return int(self._ring()["turns"])

    def due(self) -> None:
        """Somebody is to turn them now: as they are, they have not turned since 1970."""
        value = json.dumps({**self._ring(), "turned": 0})
        self._etcd_says("put", {"key": _RING, "value": base64.b64encode(value.encode()).decode()})

    def _ring(self) -> dict[str, Any]:
        found = self._etcd_says("range", {"key": _RING})["kvs"][0]
        return dict(json.loads(base64.b64decode(found["value"])))

    def _etcd_says(self, what: str, body: Mapping[str, str]) -> Any:
        return json.loads(self.ground.sh(f"curl -sS -X POST {self._url}/v3/kv/{what} -d '{json.dumps(body)}'"))


def _drained(sock: socket.socket) -> Iterator[bytes]:
    with suppress(BlockingIOError):
        while True:
            yield sock.recv(2000)


def _accept(stream: socket.socket, word: bytes) -> None:
    while True:
        try:
            caller, _ = stream.accept()
        except OSError:
            return  # It is over.
        with caller, suppress(OSError):
            caller.recv(100)
            caller.sendall(word)


def _answer(datagrams: socket.socket, word: bytes) -> None:
    while True:
        try:
            _, caller = datagrams.recvfrom(100)
            if caller is None:
                return  # It is over.
            datagrams.sendto(word, caller)
        except OSError:
            return  # The network went.
