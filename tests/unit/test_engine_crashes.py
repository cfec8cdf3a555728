"""Crashes at every step of every use case, and random walks with random crashes, on a kernel in memory.

After each crash a new engine starts on the same store and kernel, and the kernel must be exactly what a kernel
that was empty would be made into from that store.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.faults import Countdown, Crash, FaultyKernel, FaultyStore

from bascule import (
    BasculeError,
    Endpoint,
    Engine,
    FakeKernel,
    MemoryStore,
    Network,
    NetworkSpec,
    PortSpec,
    Sandbox,
    SandboxSpec,
    Settings,
)
from bascule.engine.intent import Intent
from bascule.model.thing import Namespace, Rule, Sysctl

SETTINGS = Settings(exec_root="/x")


class World:
    """One kernel and one store that engines come and go on."""

    def __init__(self) -> None:
        self.settings = SETTINGS
        self.kernel = FakeKernel(links={"eth9": "veth"})
        self.store = MemoryStore()
        self._ids = count(1)
        self.engine(Countdown()).start()

    def engine(self, countdown: Countdown) -> Engine:
        return Engine(
            FaultyKernel(self.kernel, countdown),
            FaultyStore(self.store, countdown),
            self.settings,
            new_id=lambda: f"{next(self._ids):064x}"[::-1],
            chance=lambda n: next(self._ids).to_bytes(n, "little"),
        )

    def crash(self, work: Callable[[Engine], object], after: int) -> bool:
        """Do *work* and crash after so many steps; whether it came to its end instead."""
        try:
            work(self.engine(Countdown(after)))
        except Crash:
            return False
        except BasculeError:
            pass
        return True

    def restart(self) -> Engine:
        engine = self.engine(Countdown())
        engine.start()
        return engine

    def check(self) -> None:
        """The kernel is what the store says, and nothing else."""
        clean = FakeKernel(links={"eth9": "veth"})
        mirror = MemoryStore()
        mirror.commit(put=[*self.store.all(Network), *self.store.all(Sandbox), *self.store.all(Endpoint)])
        from_nothing = Engine(clean, mirror, self.settings)
        for box in from_nothing.sandboxes():
            clean.add([Namespace(box.key)])
        from_nothing.start()
        assert self.kernel.dump() == clean.dump()


def box(engine: Engine, name: str) -> str:
    port = (PortSpec(80, host_ports=(8080, 8080)),)
    return engine.open(SandboxSpec(container=name.ljust(64, "0"), name=name, ports=port)).id


def first_box(engine: Engine) -> str:
    return engine.sandboxes()[0].id


def prepared(world: World) -> None:
    engine = world.restart()
    for name in ("a", "b"):
        engine.create(NetworkSpec(name, ipv6=True))
    engine.connect("b", box(engine, "one"))


USE_CASES: dict[str, Callable[[Engine], object]] = {
    "create": lambda e: e.create(NetworkSpec("new", ipv6=True)),
    "remove": lambda e: e.remove("a"),
    "open": lambda e: box(e, "two"),
    "connect": lambda e: e.connect("a", first_box(e)),
    "disconnect": lambda e: e.disconnect("b", first_box(e)),
    "close": lambda e: e.close_sandbox(first_box(e)),
    "rename": lambda e: e.rename(first_box(e), "other"),
    "start": lambda e: e.start(),
}


OTHERS = {
    "bridge": {"bridge": "bb1"},
    "subnet": {"bip": "10.96.0.1/24"},
    "both": {"bridge": "bb1", "bip": "10.96.0.1/24"},
    "the rest": {"icc": False, "mtu": 1400},
}


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("name", OTHERS)
def test_a_crash_while_the_default_network_follows_other_settings_is_put_right(name: str, back: bool) -> None:
    """Whether the next start has those as well, or the ones from before."""
    for after in range(1000):
        world = World()
        prepared(world)
        world.settings = replace(SETTINGS, **OTHERS[name])  # type: ignore[arg-type]
        ended = world.crash(lambda e: e.start(), after)
        world.settings = SETTINGS if back else world.settings
        world.restart()
        world.check()
        assert [net.left for net in world.store.all(Network) if net.left] == []
        if ended:
            return
    raise AssertionError("it never comes to its end")


@pytest.mark.parametrize("name", USE_CASES)
def test_a_crash_between_any_two_steps_is_put_right_by_the_next_start(name: str) -> None:
    for after in range(1000):
        world = World()
        prepared(world)
        ended = world.crash(USE_CASES[name], after)
        world.restart()
        world.check()
        if ended:
            assert after > 0
            return
    pytest.fail("the use case never ended")


class Walk(RuleBasedStateMachine):
    """Random operations, some of which crash."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    def do(self, work: Callable[[Engine], object], steps: int | None) -> None:
        if steps is None:
            self.world.crash(work, 10**9)
        elif not self.world.crash(work, steps):
            self.world.restart()

    steps = st.one_of(st.none(), st.integers(0, 25))
    names = st.sampled_from(["a", "b", "c"])

    @rule(name=names, six=st.booleans(), inner=st.booleans(), steps=steps)
    def create(self, name: str, six: bool, inner: bool, steps: int | None) -> None:
        self.do(lambda e: e.create(NetworkSpec(name, ipv6=six, internal=inner)), steps)

    @rule(
        name=names,
        driver=st.sampled_from(["macvlan", "ipvlan"]),
        parent=st.sampled_from(["", "eth9", "eth9.7"]),
        host=st.booleans(),
        steps=steps,
    )
    def create_on_a_parent(self, name: str, driver: str, parent: str, host: bool, steps: int | None) -> None:
        options = {"parent": parent, "bascule.host_access": str(host).lower()}
        self.do(lambda e: e.create(NetworkSpec(name, driver, options=options)), steps)

    @rule(name=names, steps=steps)
    def remove(self, name: str, steps: int | None) -> None:
        self.do(lambda e: e.remove(name), steps)

    @rule(name=st.sampled_from(["x", "y"]), steps=steps)
    def open(self, name: str, steps: int | None) -> None:
        if len(self.world.restart().sandboxes()) < 3:
            self.do(lambda e: box(e, name), steps)

    @rule(name=names, which=st.integers(0, 2), steps=steps)
    def connect(self, name: str, which: int, steps: int | None) -> None:
        self.do(lambda e: [e.connect(name, b.id) for b in e.sandboxes()[which : which + 1]], steps)

    @rule(name=names, which=st.integers(0, 2), steps=steps)
    def disconnect(self, name: str, which: int, steps: int | None) -> None:
        self.do(lambda e: [e.disconnect(name, b.id) for b in e.sandboxes()[which : which + 1]], steps)

    @rule(which=st.integers(0, 2), steps=steps)
    def close(self, which: int, steps: int | None) -> None:
        self.do(lambda e: list(map(e.close_sandbox, [b.id for b in e.sandboxes()[which : which + 1]])), steps)

    @rule(steps=steps)
    def start(self, steps: int | None) -> None:
        self.do(lambda e: e.start(), steps)

    @rule(which=st.integers(0, 40), steps=steps)
    def somebody_takes_away(self, which: int, steps: int | None) -> None:
        things = [t for t in Intent(self.world.store).things() if not isinstance(t, Rule | Namespace | Sysctl)]
        self.world.kernel.remove([things[which % len(things)]])
        self.do(lambda e: e.repair(), steps)

    @invariant()
    def the_kernel_is_what_the_store_says(self) -> None:
        self.world.check()


TestWalk = Walk.TestCase
TestWalk.settings = hypothesis_settings(stateful_step_count=25)
