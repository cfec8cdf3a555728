"""Tests that are guests in the full sense: they have a whole virtual machine to themselves, and its links."""

import os
from collections.abc import Iterator

import pytest
from tests.vm.machine import Far, Machine

GUESTS = int(os.environ.get("BASCULE_VM", "0"))
FAR = pytest.StashKey[Far]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """The second guest's engine is imported, which takes it seconds, while the first runs other tests."""
    if GUESTS > 1 and not session.config.option.collectonly:
        session.config.stash[FAR] = Far(2)


@pytest.fixture(scope="session", autouse=True)
def _guest() -> None:
    if GUESTS < 2:
        pytest.skip("they change a machine's own links, and run in guests: make test-vm")


@pytest.fixture(scope="session")
def machines(request: pytest.FixtureRequest) -> Iterator[tuple[Machine, Far]]:
    """An engine on this guest and one on the second, whose eth0 are on one segment."""
    far = request.config.stash[FAR]
    far.wait()
    near = Machine()
    try:
        yield near, far
    finally:
        far.close()
        near.close()


@pytest.fixture
def pair(machines: tuple[Machine, Far]) -> Iterator[tuple[Machine, Far]]:
    """Both, without a network or a box."""
    yield machines
    for machine in machines:
        machine.call("clear")
