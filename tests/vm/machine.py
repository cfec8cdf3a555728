"""An engine whose host is the guest itself, and one on another guest, which is told the same by lines of JSON."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from tests.patience import FACTOR
from tests.vm.daemon import Daemon
from tests.vm.member import Member
from tests.vmrun.guest import CONTROL, SHELL_PORT

from bascule.engine.engine import Engine
from bascule.kernel import namespaces
from bascule.kernel.linux import LinuxKernel
from bascule.model.addresses import ip_address
from bascule.model.cluster import Seal
from bascule.model.errors import BasculeError
from bascule.model.network import NetworkSpec, PoolSpec
from bascule.model.sandbox import SandboxSpec
from bascule.model.settings import Settings
from bascule.store.memory import MemoryStore

ROOT = Path(__file__).parents[2]
PLACE = Path("/run/bascule-vm")
PORT = 80
NO_ANSWER = "no answer"
# Silence is waited for in full, and an answer may have to be emulated on both ends.
PATIENCE = 3.0
DEADLINE = 120.0


class Machine:
    """What `call` does, it does on this guest.  Boxes are namespaces that answer on PORT with guest and box."""

    def __init__(self) -> None:
        PLACE.mkdir()
        self._boxes: dict[str, str] = {}
        self._servers: list[socket.socket] = []
        kernel = LinuxKernel(namespaces=str(PLACE / "netns"))
        self.engine = Engine(kernel, MemoryStore(), Settings(exec_root=str(PLACE)))
        self.engine.start()

    def call(self, what: str, *words: Any) -> Any:
        """The answer of the method *what*, in terms of JSON.  Raises BasculeError where the engine does."""
        return getattr(self, what)(*words)

    def network(
        self, driver: str, pools: Mapping[str, str], gateways: list[str], options: Mapping[str, str]
    ) -> None:
        """A network `wire`; *pools* are ranges by their subnets."""
        given = tuple(
            PoolSpec(ip_network(subnet), ip_network(range_), ip_address(gateway))
            for (subnet, range_), gateway in zip(pools.items(), gateways, strict=True)
        )
        # The segment's own subnet, as on any network that others are on as well.
        asked = {"bascule.allow_overlap": "true", **options}
        self.engine.create(NetworkSpec("wire", driver, pools=given, ipv6=True, options=asked))

    def box(self, name: str) -> list[str]:
        """A box on `wire`; its addresses."""
        sandbox = self.engine.open(SandboxSpec(container=name * 8, name=name))
        try:
            end = self.engine.connect("wire", sandbox.id)
        except BasculeError:
            self.engine.close_sandbox(sandbox.id)
            raise
        self._boxes[name] = sandbox.key
        for family, everywhere in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            self._serve(f"{socket.gethostname()} {name}", sandbox.key, family, everywhere)
        return [str(address.ip) for address in end.addresses]

    def join(self, number: int, seal: Seal | None, version: int) -> None:
        """This guest is the member *number* of a cluster over IP *version* that has a network `wire`: see
        `member`."""
        self.member = Member(self.engine, number, seal, version)

    def cluster(self, what: str, *words: Any, **named: Any) -> Any:
        """As the member *what* would."""
        return getattr(self.member, what)(*words, **named)

    def daemon(self, what: str, *words: Any) -> Any:
        """What is asked of the whole daemon on this guest: see `daemon.Daemon`, which `begin` makes."""
        if what == "begin":
            self._daemon = Daemon(*words)
            return None
        return getattr(self._daemon, what)(*words)

    def key(self, name: str) -> str:
        """The path of a box's namespace."""
        return self._boxes[name]

    def ping(self, name: str, address: str) -> None:
        """A box pings until `cluster("pinged")`."""
        self.member.ping(self._boxes[name], address)

    def ask(self, name: str, address: str) -> str:
        """Who answers at *address* when a box asks, or with no name the guest itself."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with self._socket(self._boxes.get(name, ""), family) as asker:
            asker.settimeout(PATIENCE)
            try:
                asker.connect((address, PORT))
                return asker.recv(100).decode() or NO_ANSWER
            except OSError:
                return NO_ANSWER

    def sh(self, command: str) -> str:
        """What a shell *command* prints."""
        done = subprocess.run(["sh", "-ec", command], capture_output=True, text=True, timeout=DEADLINE)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def clear(self) -> None:
        """There is no box, and no network of ours."""
        for server in self._servers:
            # Whoever waits for a guest hears of it; who closes it is the thread that serves.
            server.shutdown(socket.SHUT_RDWR)
        self._servers.clear()
        self._boxes.clear()
        for sandbox in self.engine.sandboxes():
            self.engine.close_sandbox(sandbox.id)
        if self.engine.shared.membership():
            self.member.close()
        self.engine.prune(lambda _: True)
        self.engine.kernel.settle()
        # The kernel's worker takes namespaces in the order in which they were dropped: after this one none is left.
        self.sh(
            "ip netns add last\nip link add last type veth peer name end netns last\nip netns del last\n"
            "while [ -e /sys/class/net/last ]; do :; done"
        )

    def close(self) -> None:
        self.clear()
        self.engine.close()

    @staticmethod
    def _socket(key: str, family: int) -> socket.socket:
        """A TCP socket of the namespace at *key*, or of the guest's own."""
        if not key:
            return socket.socket(family)
        return namespaces.in_namespace(key, lambda: socket.socket(family))

    def _serve(self, word: str, key: str, family: int, address: str) -> None:
        server = self._socket(key, family)
        if family == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.bind((address, PORT))
        server.listen()
        self._servers.append(server)
        threading.Thread(target=_answer, args=(server, word), daemon=True).start()


def _answer(server: socket.socket, word: str) -> None:
    """Say *word* to everybody until the socket is shut down."""
    with server:
        while True:
            try:
                caller, _ = server.accept()
            except OSError:
                return
            with caller:
                caller.sendall(word.encode())


class Far:
    """A Machine on the guest with this *number*."""

    def __init__(self, number: int) -> None:
        self._wire = socket.create_connection((f"{CONTROL}.{number}", SHELL_PORT), DEADLINE)
        self._said: list[str] = []
        self._lines = self._wire.makefile("rw", encoding="utf-8")
        # A shell is at the other end.
        words = f"PYTHONPATH=src:. BASCULE_PATIENCE={FACTOR} exec {sys.executable} -m tests.vm.machine"
        self._say(f"cd {ROOT} && {words} 2>&1")

    def wait(self) -> None:
        """It listens."""
        assert self._hear() == "ready"

    def call(self, what: str, *words: Any) -> Any:
        """As Machine.call."""
        self._say(json.dumps([what, words]))
        return self._hear()

    def close(self) -> None:
        """It has cleared up and ended."""
        self.call("close")
        self._lines.close()
        self._wire.close()

    def _say(self, line: str) -> None:
        self._lines.write(f"{line}\n")
        self._lines.flush()

    def _hear(self) -> Any:
        # Between answers is what its engine logs.
        while not (line := self._lines.readline()).startswith("{"):
            self._said.append(line)
            assert line, f"the other guest has ended, and said: {''.join(self._said[-40:])}"
        heard = json.loads(line)
        if "refused" in heard:
            raise BasculeError(heard["refused"])
        return heard["answer"]


def listen() -> None:
    """Do what the lines on standard input say; their answers are lines, too."""
    machine = Machine()
    print(json.dumps({"answer": "ready"}), flush=True)
    for line in sys.stdin:
        what, words = json.loads(line)
        try:
            told = {"answer": machine.call(what, *words)}
        except BasculeError as refusal:
            told = {"refused": str(refusal)}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    listen()
