"""Three hosts whose cluster has a store of its own: as `daemons.Cluster`, but nobody started an etcd for them."""

import json
from pathlib import Path
from typing import Any

from tests.cluster.daemons import HOSTS, Cluster
from tests.etcd_server import ETCD
from tests.root.ground import until


class Own(Cluster):
    def __init__(self, directory: Path, *flags: str, hosts: tuple[str, ...] = HOSTS) -> None:
        super().__init__(directory, f"--etcd={ETCD}", *flags, etcds=0, hosts=hosts)

    def found(self, name: str = "one") -> str:
        """The host is the cluster's first; the token that lets in others."""
        self.daemons[name].ask("POST", "/cluster/init", {**self._who(name), "Embedded": True})
        return self.token(name)

    def token(self, name: str = "one") -> str:
        return str(self.daemons[name].ask("GET", "/cluster/token")["Token"])

    def join(self, name: str, token: str, via: str = "one", **more: Any) -> None:
        body = {**self._who(name), "Token": token, "Remote": str(self.wire.address(via)), **more}
        self.daemons[name].ask("POST", "/cluster/join", body)

    def everybody(self) -> None:
        """All are members, the first of which founded the cluster."""
        token = self.found()
        for name in self.wire.names[1:]:
            self.join(name, token)

    def _who(self, name: str) -> dict[str, str]:
        return {"Address": str(self.wire.address(name)), "Name": name}

    # ---- the store

    def home(self, name: str) -> Path:
        return self.daemons[name].directory / "data/cluster"

    def ask_store(self, name: str, path: str, body: str = "{}") -> Any:
        """What the member of *name* answers to that host."""
        login = json.loads((self.home(name) / "login.json").read_text())
        names = json.dumps({"name": login["user"], "password": login["password"]})
        token = self._post(name, "auth/authenticate", names)["token"]
        return self._post(name, path, body, f"-H 'Authorization: {token}'")

    def _post(self, name: str, path: str, body: str, more: str = "") -> Any:
        home = self.home(name)
        files = f"--cacert {home}/ca.pem --cert {home}/node.pem --key {home}/node.key"
        url = f"https://{self.wire.address(name)}:2379/v3/{path}"
        return json.loads(self.wire.sh(name, f"curl -sS --max-time 5 {files} {more} -d '{body}' {url}"))

    def voices(self, asked: str = "one") -> list[str]:
        """The hosts that have a member of the store, as the others count it."""
        found = self.ask_store(asked, "cluster/member/list")["members"]
        return sorted(self._host(one["clientURLs"][0]) for one in found if not one.get("isLearner"))

    def _host(self, url: str) -> str:
        return next(name for name in self.wire.names if f"//{self.wire.address(name)}:" in url)

    def etcd(self, name: str) -> int:
        """The process that is the host's member of the store, 0: there is none."""
        words = f"--data-dir {self.home(name)}/etcd "
        found = [pid for pid, line in self.daemons[name].processes().items() if words in line]
        assert len(found) < 2, found
        return found[0] if found else 0

    def known_at(self, name: str) -> list[str]:
        """The hosts at which *name* asks the store."""
        return sorted(map(self._host, self.daemons[name].ask("GET", "/cluster")["Store"]))

    def settled(self) -> None:
        """Every member asks the store wherever it is, and it answers."""
        for name in self.daemons:
            until(lambda name=name: self.known_at(name) == self.voices(), self.daemons[name].said)  # type: ignore[misc]
            until(lambda name=name: not self.daemons[name].ask("GET", "/cluster")["Trouble"])  # type: ignore[misc]
