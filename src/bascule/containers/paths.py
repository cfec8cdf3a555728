"""Where things of the containers room lie.

Below data_root, surviving a reboot: `containers/<id>` (upper, work, merged, log, hosts, hostname, resolv.conf),
`layers/<name>`, `volumes/<name>/_data`.  Below exec_root, gone with a reboot: `containers/<id>` (the OCI bundle
with conmon's socket and fifos), `runtime` (the runtime's own state), `exits/<id>` (conmon's exit files).
"""

import os
from dataclasses import dataclass

from bascule.model.settings import Settings


@dataclass(frozen=True, slots=True)
class Paths:
    data_root: str
    exec_root: str

    @classmethod
    def of(cls, settings: Settings) -> "Paths":
        return cls(settings.data_root, settings.exec_root)

    @property
    def containers(self) -> str:
        return os.path.join(self.data_root, "containers")

    @property
    def bundles(self) -> str:
        return os.path.join(self.exec_root, "containers")

    @property
    def runtime(self) -> str:
        return os.path.join(self.exec_root, "runtime")

    @property
    def exits(self) -> str:
        return os.path.join(self.exec_root, "exits")

    @property
    def layers(self) -> str:
        return os.path.join(self.data_root, "layers")

    @property
    def volumes(self) -> str:
        return os.path.join(self.data_root, "volumes")

    def home(self, ident: str) -> str:
        """The container's own directory."""
        return os.path.join(self.containers, ident)

    def bundle(self, ident: str) -> str:
        return os.path.join(self.bundles, ident)

    def log(self, ident: str) -> str:
        return os.path.join(self.home(ident), "log")

    def exit_file(self, ident: str) -> str:
        return os.path.join(self.exits, ident)

    def merged(self, ident: str) -> str:
        """Where the root file system is mounted while it is being handed to the runtime."""
        return os.path.join(self.home(ident), "merged")

    def upper(self, ident: str) -> str:
        return os.path.join(self.home(ident), "upper")

    def volume(self, name: str) -> str:
        return os.path.join(self.volumes, name, "_data")

    def make(self) -> None:
        """All the directories exist; nobody but root looks into them."""
        for path in (self.containers, self.bundles, self.runtime, self.exits, self.layers, self.volumes):
            os.makedirs(path, mode=0o711, exist_ok=True)
