"""Which containers come up with the daemon, and behind which others."""

import pytest

from bascule.containers.restarts import waves
from bascule.model.container import Container, ContainerSpec


def container(name: str, mode: str = "bridge", *links: str) -> Container:
    ident = name.encode().hex().ljust(64, "0")
    return Container(ident, name, 0, ContainerSpec(image="host", network_mode=mode, links=links), "sha256:0")


def names(*containers: Container) -> list[list[str]]:
    return [[one.name for one in wave] for wave in waves(containers)]


def test_each_comes_behind_those_it_needs_however_they_are_called() -> None:
    base = container("base")
    assert names(
        container("fourth", "bridge", "/third:t"),
        container("third", f"container:{container('second').id[:12]}"),
        container("second", f"container:{base.id}"),
        container("also", "container:base"),
        base,
        container("other", "container:of-somebody-who-runs"),
    ) == [["base", "other"], ["second", "also"], ["third"], ["fourth"]]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_ring_is_no_trap(count: int) -> None:
    ring = [container(f"c{n}", f"container:c{(n + 1) % count}") for n in range(count)]
    assert sorted(name for wave in names(*ring) for name in wave) == [one.name for one in ring]


def test_nothing_is_no_wave() -> None:
    assert names() == []
