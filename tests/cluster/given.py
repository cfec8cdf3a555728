"""Hosts whose cluster is in somebody's etcd: it serves clients with a certificate, by user and password, and its
administrator has typed what `bascule cluster rights` prints."""

import shlex
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID
from tests.cluster.daemons import CLIENT, PEER, Cluster, command
from tests.etcd_server import Member
from tests.root.firewall_world import inside
from tests.root.ground import DaemonGround, until

from bascule.cluster import authority
from bascule.model.errors import BasculeError
from bascule.store import etcdwire as wire
from bascule.store.etcdclient import Access, Etcd

HOSTS = ("one", "two")
ROOT_PASSWORD = "swordfish"


class Given(Cluster):
    def __init__(self, directory: Path) -> None:
        self.etcd: Member | None = None
        super().__init__(directory, etcds=0, hosts=HOSTS)

    def _begin(self, directory: Path, *_: tuple[str, ...]) -> None:
        self._files = directory
        for name in ("ours", "theirs"):
            self._authority(name)
        self._certificate("ours", "server")
        self._certificate("ours", "root")
        self.etcd = Member(
            directory, "m0", CLIENT, {"m0": PEER}, self._secured(), "https",
            hosts={"m0": str(self.wire.address("one"))}, netns=self.wire.path("one"),
        )  # fmt: skip
        plain, self.root = self._client(), self._client("root", ROOT_PASSWORD)
        inside(self.wire.ns("one"), lambda: self._users(plain))
        for name in self.wire.names:
            self._certificate("ours", name)
            place = Path(f"/run/bascule-{self.wire.name}-{name}")
            self.daemons[name] = DaemonGround(place, *self.flags(name), netns=self.wire.ns(name))
            self.daemons[name].start()
        for line in command(self.daemons["one"], "cluster", "rights", *HOSTS).splitlines():
            inside(self.wire.ns("one"), lambda line=line: self._typed(shlex.split(line)))  # type: ignore[misc]

    def close(self) -> None:
        with ExitStack() as rest:
            if self.etcd is not None:
                rest.callback(self.etcd.kill)
                rest.callback(self.root.close)
            super().close()

    # ---- certificates

    def file(self, name: str) -> str:
        return str(self._files / name)

    def _authority(self, name: str) -> None:
        cert, key = authority.found_authority(authority.now())
        Path(self.file(f"{name}.ca.pem")).write_text(cert)
        Path(self.file(f"{name}.ca.key")).write_text(key)

    def _certificate(self, by: str, name: str) -> None:
        signer = authority.Authority(*(Path(self.file(f"{by}.ca.{end}")).read_text() for end in ("pem", "key")))
        key = authority.new_key()
        at = self.wire.address("one")
        made = signer.sign(authority.request(name, key), at, timedelta(days=1), authority.now())
        Path(self.file(f"{name}.pem")).write_text(made)
        Path(self.file(f"{name}.key")).write_text(key)

    def certificates(self) -> None:
        """Those that are wrong."""
        self._certificate("theirs", "stranger")
        self._common_name("named")

    def _common_name(self, name: str) -> None:
        """A certificate with a common name, as most have one."""
        key = serialization.load_pem_private_key(Path(self.file("root.key")).read_bytes(), None)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        asked = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())  # type: ignore[arg-type]
        signer = authority.Authority(*(Path(self.file(f"ours.ca.{end}")).read_text() for end in ("pem", "key")))
        text = asked.public_bytes(serialization.Encoding.PEM).decode()
        at = self.wire.address("one")
        Path(self.file(f"{name}.pem")).write_text(signer.sign(text, at, timedelta(days=1), authority.now()))
        Path(self.file(f"{name}.key")).write_text(Path(self.file("root.key")).read_text())

    def _secured(self) -> tuple[str, ...]:
        return (
            *("--cert-file", self.file("server.pem"), "--key-file", self.file("server.key")),
            *("--trusted-ca-file", self.file("ours.ca.pem"), "--client-cert-auth", "--bcrypt-cost", "4"),
        )

    # ---- etcd's administrator

    @property
    def url(self) -> str:
        return f"https://{self.wire.address('one')}:{CLIENT}"

    def _client(self, user: str = "", password: str = "") -> Etcd:
        files = (self.file("ours.ca.pem"), self.file("root.pem"), self.file("root.key"))
        return Etcd(Access((self.url,), user, password, *files))

    def as_user(self, name: str) -> Etcd:
        """What has the host's certificate and password, and is not our daemon."""
        files = (self.file("ours.ca.pem"), self.file(f"{name}.pem"), self.file(f"{name}.key"))
        return Etcd(Access((self.url,), name, f"{name}'s", *files))

    def _users(self, plain: Etcd) -> None:
        def answers() -> bool:
            try:
                plain.list("/")
            except BasculeError:
                return False
            return True

        until(answers)
        for name, password in (("root", ROOT_PASSWORD), *((name, f"{name}'s") for name in HOSTS)):
            plain.auth("user/add", {"name": name, "password": password})
        plain.auth("user/grant", {"user": "root", "role": "root"})
        plain.auth("enable", {})
        plain.close()

    def _typed(self, words: list[str]) -> None:
        """What etcdctl, which Debian has in another package, would do."""
        match words:
            case ["etcdctl", "role", "add", name]:
                self.root.auth("role/add", {"name": name})
            case ["etcdctl", "role", "grant-permission", role, "--prefix=true", kind, key]:
                self._grant(role, kind, wire.below(key))
            case ["etcdctl", "role", "grant-permission", role, kind, key]:
                self._grant(role, kind, {"key": wire.b64(key)})
            case ["etcdctl", "user", "grant-role", user, role]:
                self.root.auth("user/grant", {"user": user, "role": role})
            case _:
                raise AssertionError(words)

    def _grant(self, role: str, kind: str, keys: wire.Body) -> None:
        self.root.auth("role/grant", {"name": role, "perm": {"permType": kind.upper(), **keys}})

    # ---- daemons

    def flags(
        self, name: str, *, user: str = "", password: str = "", authority: str = "ours", cert: str = ""
    ) -> tuple[str, ...]:
        """As its administrator says them, right where nothing else is said."""
        file = Path(self.file(f"{name}.password"))
        file.write_text(password or f"{user or name}'s\n")
        told = {
            "": self.url,
            "-cacert": self.file(f"{authority}.ca.pem"),
            "-cert": self.file(f"{cert or name}.pem"),
            "-key": self.file(f"{cert or name}.key"),
            "-user": user or name,
            "-password-file": str(file),
        }
        return (*(f"--cluster-store{key}={value}" for key, value in told.items()), "--cluster-lease=3")

    def again(self, name: str, **how: str) -> None:
        """Its daemon is started with other flags."""
        daemon = self.daemons[name]
        daemon.stop()
        daemon.tell(*self.flags(name, **how))
        daemon.start()
