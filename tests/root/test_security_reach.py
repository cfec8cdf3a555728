"""What may reach a container from where, by gateway mode: an engine on the real kernel, and real packets.

Each container serves 80 and 81; 80 is published, 81 is not.  An answer is the address that the server saw.
"""

import os
from collections.abc import Iterator

import pytest
from tests.root.engine_world import EngineWorld, at, port

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo make test-root")

A, A6 = "10.71.0.2", "fd71::2"


@pytest.fixture
def world() -> Iterator[EngineWorld]:
    with EngineWorld() as made:
        yield made


def modes(mode: str) -> dict[str, str]:
    return {"gateway_mode_ipv4": mode, "gateway_mode_ipv6": mode}


@pytest.mark.parametrize(
    ("mode", "answers"),
    [
        ("nat", "no answer, no answer, no answer, no answer, 192.0.2.2, 2001:db8::2"),
        ("nat-unprotected", "192.0.2.2, 2001:db8::2, 192.0.2.2, 2001:db8::2, 192.0.2.2, 2001:db8::2"),
        ("routed", "192.0.2.2, 2001:db8::2, no answer, no answer, refused, refused"),
    ],
)
def test_s3_a_neighbour_that_routes_to_the_subnet_reaches_published_ports_only(
    world: EngineWorld, mode: str, answers: str
) -> None:
    world.network("n", "10.71.0.0/24", "fd71::/64", **modes(mode))
    world.box("a", "n", ports=(port(80, 8080),), spec=at(A, A6))
    told = world.table(
        *(f"lan {a} {p}" for p in (80, 81) for a in (A, A6)), "lan 192.0.2.1 8080", "lan 2001:db8::1 8080"
    )
    assert ", ".join(line.split(": ", 1)[1] for line in told.splitlines()) == answers
