"""Bascule: Docker's networks without Docker, as a library.

    from bascule import Engine, FakeKernel, MemoryStore, NetworkSpec

    with Engine(FakeKernel(), MemoryStore()) as engine:
        engine.create(NetworkSpec("web"))
        print(engine.kernel.dump())

Names are loaded when they are first used, because the command line must start in tens of milliseconds.
"""

# Without `typing`, which takes longer to load than all the rest of a short command.
TYPE_CHECKING = False

if TYPE_CHECKING:
    # The same names for the type checker, which does not run __getattr__.
    from bascule.engine.engine import Engine
    from bascule.kernel.fake import FakeKernel
    from bascule.kernel.linux import LinuxKernel
    from bascule.model.endpoint import Endpoint, EndpointSpec, PortSpec, PublishedPort
    from bascule.model.errors import (
        BasculeError,
        Conflict,
        Failed,
        Forbidden,
        Invalid,
        KernelError,
        NotFound,
    )
    from bascule.model.network import Network, NetworkSpec, Pool, PoolSpec
    from bascule.model.sandbox import Sandbox, SandboxSpec
    from bascule.model.settings import AddressPool, Settings
    from bascule.store.memory import MemoryStore
    from bascule.store.sqlite import SqliteStore

__version__ = "0.1.0"

_HOME = {
    "Engine": "engine.engine",
    "SandboxSpec": "model.sandbox",
    "FakeKernel": "kernel.fake",
    "LinuxKernel": "kernel.linux",
    "MemoryStore": "store.memory",
    "SqliteStore": "store.sqlite",
    "Endpoint": "model.endpoint",
    "EndpointSpec": "model.endpoint",
    "PortSpec": "model.endpoint",
    "PublishedPort": "model.endpoint",
    "BasculeError": "model.errors",
    "Conflict": "model.errors",
    "Failed": "model.errors",
    "Forbidden": "model.errors",
    "Invalid": "model.errors",
    "KernelError": "model.errors",
    "NotFound": "model.errors",
    "Network": "model.network",
    "NetworkSpec": "model.network",
    "Pool": "model.network",
    "PoolSpec": "model.network",
    "Sandbox": "model.sandbox",
    "AddressPool": "model.settings",
    "Settings": "model.settings",
}

__all__ = [
    "AddressPool",
    "BasculeError",
    "Conflict",
    "Endpoint",
    "EndpointSpec",
    "Engine",
    "Failed",
    "FakeKernel",
    "Forbidden",
    "Invalid",
    "KernelError",
    "LinuxKernel",
    "MemoryStore",
    "Network",
    "NetworkSpec",
    "NotFound",
    "Pool",
    "PoolSpec",
    "PortSpec",
    "PublishedPort",
    "Sandbox",
    "SandboxSpec",
    "Settings",
    "SqliteStore",
    "__version__",
]


def __getattr__(name: str) -> object:
    from importlib import import_module

    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'bascule' has no attribute {name!r}")
    return getattr(import_module(f"bascule.{home}"), name)
