"""Who may speak to the daemon (S16), what leaves an internal network (S4), and what is no name (S15): the real
daemon, asked by Docker's command line."""

import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.clients.conftest import SRC, Ground
from tests.patience import patient
from tests.root.firewall_world import inside

needs_docker = pytest.mark.skipif(not shutil.which("docker"), reason="there is no docker CLI")
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo make test-root"),
    needs_docker,
]
UPSTREAM = "198.51.100.53"
TCP = "127.0.0.1:2376"


def openssl(home: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=home, check=True, capture_output=True)


def certify(home: Path) -> None:
    """Two authorities: ca signs the server and a client, other a stranger."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    (home / "names").write_text("subjectAltName=IP:127.0.0.1")
    for authority in ("ca", "other"):
        subject = ("-keyout", f"{authority}.key", "-out", f"{authority}.pem", "-subj", f"/CN={authority}")
        openssl(home, "req", "-x509", *key, "-days", "2", *subject)
    for name, authority in (("server", "ca"), ("client", "ca"), ("stranger", "other")):
        openssl(home, "req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signed = ("-CA", f"{authority}.pem", "-CAkey", f"{authority}.key", "-CAcreateserial", "-extfile", "names")
        openssl(home, "x509", "-req", "-days", "2", "-in", f"{name}.csr", "-out", f"{name}.pem", *signed)


@pytest.fixture(scope="module")
def shared() -> Iterator[Ground]:
    """A daemon on a Unix socket and on TCP, whose containers' names go to UPSTREAM."""
    directory = Path(f"/dev/shm/bsecurity-{os.getpid()}")
    home = directory / "tls"
    tls = [f"--tlscacert={home}/ca.pem", f"--tlscert={home}/server.pem", f"--tlskey={home}/server.key"]
    made = Ground(directory, f"--host=tcp://{TCP}", *tls, f"--dns={UPSTREAM}", "--group=root")
    try:
        home.mkdir()
        certify(home)
        subprocess.run(["ip", "-n", made.netns, "addr", "add", f"{UPSTREAM}/32", "dev", "lo"], check=True)
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture
def ground(shared: Ground) -> Iterator[Ground]:
    """The module's daemon, with nothing left behind by this test."""
    yield shared
    shared.sweep()


def over_tcp(ground: Ground, *flags: str) -> str:
    """What the docker CLI prints that asks for the default network by TCP."""
    words = ["docker", f"--host=tcp://{TCP}", *flags, "network", "ls", "-q", "--no-trunc", "-f", "name=host"]
    told = ground.run(["ip", "netns", "exec", ground.netns, *words])
    return str(told)


def tls(ground: Ground, client: str) -> list[str]:
    home = ground.directory / "tls"
    return [
        "--tlsverify",
        f"--tlscacert={home}/ca.pem",
        f"--tlscert={home}/{client}.pem",
        f"--tlskey={home}/{client}.key",
    ]


def test_s16_the_socket_is_its_groups_and_nobody_elses(ground: Ground) -> None:
    found = os.stat(ground.host.removeprefix("unix://"))
    assert (stat.filemode(found.st_mode), found.st_uid, found.st_gid) == ("srw-rw----", 0, 0)


def test_s16_tcp_is_for_clients_with_a_certificate_of_ours(ground: Ground) -> None:
    ident = str(ground.docker("network", "ls", "-q", "--no-trunc", "-f", "name=host"))
    assert over_tcp(ground, *tls(ground, "client")) == ident
    assert "certificate" in over_tcp(ground, *tls(ground, "stranger"))
    assert "certificate" in over_tcp(ground, "--tls", f"--tlscacert={ground.directory}/tls/ca.pem")
    assert "-> 1" in over_tcp(ground)


def test_s16_tcp_without_tls_is_refused_loudly(tmp_path: Path) -> None:
    words = ["daemon", "--host=tcp://127.0.0.1:2375", f"--data-root={tmp_path}/data", f"--exec-root={tmp_path}/run"]
    done = subprocess.run(
        [sys.executable, "-m", "bascule", *words],
        env={**os.environ, "PYTHONPATH": str(SRC)},
        capture_output=True,
        text=True,
        timeout=patient(60),
    )
    assert (done.returncode != 0, done.stderr.strip().splitlines()[-1], sorted(tmp_path.iterdir())) == (
        True,
        "bascule daemon: tcp://127.0.0.1:2375: the API is root on this machine: TCP is served with client"
        " certificates only (--tlscacert, --tlscert, --tlskey)",
        [],
    )


class Upstream:
    """A nameserver that answers nothing and remembers what it was asked."""

    def __init__(self, ground: Ground) -> None:
        self.asked: list[bytes] = []
        self._socket = inside(ground.netns, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self._socket.bind((UPSTREAM, 53))
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while (heard := self._socket.recvfrom(512))[0] != b"end":
            # REFUSED: the asker is told at once.
            self.asked.append(heard[0])
            self._socket.sendto(heard[0][:2] + b"\x81\x85" + heard[0][4:], heard[1])

    def close(self) -> None:
        self._socket.sendto(b"end", (UPSTREAM, 53))
        self._thread.join()
        self._socket.close()


@pytest.mark.parametrize(("flags", "leaves"), [((), True), (("--internal",), False)], ids=["user", "internal"])
def test_s4_no_question_leaves_an_internal_network(ground: Ground, flags: tuple[str, ...], leaves: bool) -> None:
    """Nor does the resolver ask for its containers, nor can they by themselves."""
    ground.docker("network", "create", *flags, "n")
    upstream = Upstream(ground)
    try:
        ask = f"getent hosts leak.example; echo leak | nc -u -w1 {UPSTREAM} 53 >/dev/null; true"
        assert ground.docker("run", "--rm", "--network", "n", "host", "sh", "-c", ask).status == 0
    finally:
        upstream.close()
    assert any(b"leak" in question for question in upstream.asked) == leaves


def test_s4_a_container_on_both_asks_by_the_one_that_leads_outside(ground: Ground) -> None:
    ground.docker("network", "create", "--internal", "inner")
    ground.docker("network", "create", "outer")
    upstream = Upstream(ground)
    try:
        made = ground.docker(
            "create", "--name", "both", "--network", "inner", "host", "getent", "hosts", "leak.example"
        )
        assert made.status == 0
        ground.docker("network", "connect", "outer", "both")
        ground.docker("start", "-a", "both")
    finally:
        upstream.close()
    assert any(b"leak" in question for question in upstream.asked)


@pytest.mark.parametrize(
    "name",
    ["../../etc", "a/../b", "$(reboot)", "x; drop", '" } ; flush ruleset ; {"', "n" * 300, "a\tb", "é\u202e"],
)
def test_s15_a_name_is_only_a_name(ground: Ground, name: str) -> None:
    """It may be what Docker takes, and leads nowhere: no path, no command, no line of the firewall's text."""
    files = sorted(p for p in ground.directory.rglob("*") if "sqlite" not in p.name)
    told = ground.docker("network", "create", "--", name)
    shown = ground.docker("network", "ls", "--format", "{{.Name}}").out.splitlines()
    if told.status == 0:
        assert name in shown
        assert ground.docker("network", "rm", told.out.strip()).status == 0
    else:
        assert "invalid" in told.err
    assert sorted(p for p in ground.directory.rglob("*") if "sqlite" not in p.name) == files


@pytest.mark.parametrize(
    "option",
    [
        "com.docker.network.bridge.name=../x",
        'com.docker.network.bridge.name=a"b',
        "com.docker.network.bridge.name=a b",
        "com.docker.network.bridge.name=..",
        "com.docker.network.bridge.name=sixteencharacters",
        'com.docker.network.bridge.trusted_host_interfaces=eth0:" drop',
        "com.docker.network.container_iface_prefix=a/b",
    ],
)
def test_s15_a_links_name_is_what_the_kernel_takes(ground: Ground, option: str) -> None:
    told = ground.docker("network", "create", "-o", option, "n")
    assert (told.status, ground.docker("network", "ls", "-q", "-f", "name=n$").out) == (1, ""), str(told)


def test_s19_containers_reach_the_hosts_services_as_in_docker(ground: Ground) -> None:
    """The documented default: what listens on every address of the host is reached by the gateway's; what listens
    on loopback alone is not."""
    servers = [
        inside(ground.netns, lambda: socket.create_server(("0.0.0.0", 7000))),
        inside(ground.netns, lambda: socket.create_server(("127.0.0.1", 7001))),
    ]
    ground.docker("network", "create", "--subnet", "10.79.0.0/24", "n")
    try:
        ask = "for p in 7000 7001; do nc -z -w1 10.79.0.1 $p && echo $p; done; true"
        assert ground.docker("run", "--rm", "--network", "n", "host", "sh", "-c", ask).out.split() == ["7000"]
    finally:
        for server in servers:
            server.close()
