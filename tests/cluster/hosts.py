"""Hosts of a cluster in this process, each an engine with a kernel in memory, on a real etcd."""

import os
import time
from collections.abc import Callable, Mapping

from bascule.cluster.gate import Gate
from bascule.engine.balance import NoBalance, Only, Shares
from bascule.engine.cluster import Joining
from bascule.engine.engine import Engine
from bascule.engine.names import Member, NoNames, Zone
from bascule.kernel.fake import FakeKernel
from bascule.model.addresses import ip_address, ip_network
from bascule.model.cluster import Seal, StoreAccess
from bascule.model.endpoint import Endpoint, EndpointSpec
from bascule.model.network import Network, NetworkSpec, PoolSpec
from bascule.model.sandbox import SandboxSpec
from bascule.store.memory import MemoryStore

DEADLINE = 30.0


def until(holds: Callable[[], bool], told: Callable[[], str] = lambda: "") -> None:
    """Return as soon as it holds; fail after a while, with what *told* says."""
    end = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < end, told()
        os.sched_yield()


class Book(NoNames):
    """A resolver that only remembers what it was told."""

    def __init__(self) -> None:
        self.zones: dict[str, dict[str, Member]] = {}

    def publish(self, zone: Zone, *, soon: bool = False) -> None:  # noqa: ARG002
        if zone.gone:
            self.zones.pop(zone.network, None)
        else:
            self.zones[zone.network] = {one.endpoint: one for one in zone.members}

    def join(self, zone: Zone, member: Member) -> None:
        self.zones.setdefault(zone.network, {})[member.endpoint] = member

    def part(self, network: str, endpoint: str) -> None:
        self.zones.get(network, {}).pop(endpoint, None)


class Divided(NoBalance):
    """Namespaces that only remember what they were told."""

    def __init__(self) -> None:
        self.shares: dict[str, dict[str, list[str]]] = {}

    def share(self, key: str, shares: Shares, only: Only = ()) -> None:  # noqa: ARG002
        self.shares[key] = {str(front): sorted(map(str, members)) for front, members in shares.items()}

    def forget(self, key: str) -> None:
        self.shares.pop(key, None)


class Host:
    """One host; its daemon comes and goes, its store and kernel stay."""

    def __init__(
        self,
        number: int,
        url: str,
        *,
        lease: int = 2,
        grace: float = 0.5,
        seals: tuple[Seal, ...] = ("wireguard", "esp"),
        mtu: int = 1500,
    ) -> None:
        self.name = f"host{number}"
        self.address = ip_address(f"192.0.2.{number}")
        own = [self.address, ip_address(f"2001:db8::{number}")]
        self.kernel = FakeKernel(addresses=own, seals=seals)
        self.kernel.mtu = mtu
        self.store = MemoryStore()
        self.url = url
        self._times = (lease, grace)
        self.start()

    def start(self, store: StoreAccess | None = None) -> None:
        """Its daemon, anew; *store* is what it is told of the cluster's etcd."""
        self.names = Book()
        self.divided = Divided()
        self.engine = Engine(
            self.kernel, self.store, names=self.names, cluster=Gate(*self._times, store), balance=self.divided
        )
        self.engine.start()

    def stop(self) -> None:
        self.engine.cluster.close()

    def enter(self, *, found: bool = False) -> None:
        self.engine.cluster.join(Joining(found, self.address, self.name, (self.url,)))

    def network(self, name: str, *subnets: str, options: Mapping[str, str] | None = None) -> Network:
        pools = tuple(PoolSpec(ip_network(subnet)) for subnet in subnets)
        return self.engine.create(
            NetworkSpec(
                name, driver="overlay", pools=pools, ipv6=any(":" in s for s in subnets), options=options or {}
            )
        )

    def box(
        self, name: str, network: str, *addresses: str, aliases: tuple[str, ...] = (), mac: str = ""
    ) -> Endpoint:
        box = self.engine.open(SandboxSpec(container=name * 8, name=name))
        spec = EndpointSpec(addresses=tuple(map(ip_address, addresses)), aliases=aliases, mac=mac)
        return self.engine.connect(network, box.id, spec)

    def serve(self, name: str, network: str, service: str = "web", **more: str) -> Endpoint:
        """One that belongs to a service; *more* are its options."""
        options = {"bascule.service": service, **{f"bascule.service.{key}": value for key, value in more.items()}}
        box = self.engine.open(SandboxSpec(container=name * 8, name=name))
        return self.engine.connect(network, box.id, EndpointSpec(options=options))

    def asks(self, ep: Endpoint) -> dict[str, list[str]]:
        """How what *ep*'s sandbox asks is divided."""
        return self.divided.shares.get(ep.key, {})

    def unbox(self, ep: Endpoint) -> None:
        self.engine.close_sandbox(ep.sandbox)

    def overlays(self) -> list[str]:
        return sorted(net.name for net in self.engine.networks() if net.driver == "overlay")

    def known(self, network: str) -> str:
        """Who can be found by name there: "name address", in order."""
        members = self.names.zones.get(self.engine.network(network).id, {}).values()
        return ", ".join(sorted(f"{m.names[0]} {m.addresses[0]}" for m in members))

    def entries(self) -> list[str]:
        """What the kernel has of endpoints elsewhere."""
        return sorted(
            line for line in self.kernel.dump().splitlines() if line.startswith(("bridge fdb", "ip neigh"))
        )

    def clean(self) -> bool:
        return not self.engine.cluster.verify()
