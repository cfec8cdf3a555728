"""Where a host keeps what belongs to a cluster with a store of its own: below the daemon's data root, root's alone.

`ca.pem`; `node.pem`, `node.key`; `login.json`: who this node is to etcd.  And on hosts with a member of the store
`ca.key`; `root.secret`: out of which all passwords follow; `peers.pem`, `peers.key`: the authority of etcd's
members, and `peer.pem`; `member.json`: how etcd is started; `etcd/`: its data.
"""

import hashlib
import hmac
import json
import os
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bascule.model.addresses import IPAddress, ip_address
from bascule.model.cluster import StoreAccess
from bascule.model.errors import Failed

CLIENT, PEER, DOOR = 2379, 2380, 2377
"""Ports: etcd's own two, and Docker's for hosts that join."""

KEEPERS = ("ca.key", "root.secret", "peers.pem", "peers.key")
"""What hosts with a member of the store have, and no others."""
ROOT = "root"
"""etcd's user that may everything."""


def derived(secret: str, name: str) -> str:
    """The password of etcd's user *name*.  Whoever has the secret can give it again to an etcd that lost it."""
    return hmac.new(secret.encode(), name.encode(), hashlib.sha256).hexdigest()


def url(address: IPAddress, port: int) -> str:
    return f"https://[{address}]:{port}" if address.version == 6 else f"https://{address}:{port}"


@dataclass(frozen=True, slots=True)
class Part:
    """This host's member of the store: node *ident* at *address*.  *initial*: every member's `id=peer URL`, with
    commas between; *fresh*: of a store that begins with it."""

    ident: str
    address: IPAddress
    initial: str
    fresh: bool


@dataclass(frozen=True, slots=True)
class Home:
    """*etcd* is the program.  *life*: seconds for which a certificate that is signed here is good."""

    data_root: str
    exec_root: str
    etcd: str = "etcd"
    life: float = 7 * 86400.0

    @property
    def path(self) -> Path:
        return Path(self.data_root) / "cluster"

    def read(self, name: str) -> str:
        """Raises Failed."""
        try:
            return (self.path / name).read_text()
        except OSError as why:
            raise Failed(f"{self.path / name}: {why.strerror}") from why

    def write(self, name: str, text: str) -> None:
        """Whole or not at all, whenever we are killed: etcd reads certificates at each new connection."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self.path / f"{name}.new"
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(self.path / name)

    def clear(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def signs(self) -> bool:
        """Whether the authority's key is here, and all that comes with it."""
        return all((self.path / name).exists() for name in KEEPERS)

    def plain(self, *endpoints: str) -> StoreAccess:
        """The store, to which we are nobody: it answers while it has no users."""
        ca, cert, key = (str(self.path / name) for name in ("ca.pem", "node.pem", "node.key"))
        return StoreAccess(endpoints, ca=ca, cert=cert, key=key)

    def access(self, *endpoints: str) -> StoreAccess:
        """As this node.  Raises Failed."""
        login = json.loads(self.read("login.json"))
        return replace(self.plain(*endpoints), user=login["user"], password=login["password"])

    def root(self, *endpoints: str) -> StoreAccess:
        """As who may everything, on a host with a member of the store.  Raises Failed."""
        return replace(self.plain(*endpoints), user=ROOT, password=derived(self.read("root.secret"), ROOT))

    def log_in(self, user: str, password: str) -> None:
        self.write("login.json", json.dumps({"user": user, "password": password}))

    def part(self) -> Part | None:
        """None: this host has no member of the store.  Raises Failed."""
        if not (self.path / "member.json").exists():
            return None
        try:
            told = json.loads(self.read("member.json"))
            return Part(told["ident"], ip_address(told["address"]), told["initial"], told["fresh"])
        except (ValueError, KeyError, TypeError) as why:
            raise Failed(f"{self.path / 'member.json'}: {why}") from why

    def keep(self, part: Part) -> None:
        told = {**asdict(part), "address": str(part.address)}
        self.write("member.json", json.dumps(told, sort_keys=True, indent=1) + "\n")
