"""Images' names."""

import pytest

from bascule.containers.references import on_loopback


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("localhost/app:1", True),
        ("localhost:5000/team/app:1", True),
        ("127.0.0.1:5000/app:1", True),
        ("127.9.9.9/app:1", True),
        ("localhost:1", False),
        ("192.0.2.1:5000/app:1", False),
        ("localhost.example/app:1", False),
        ("team/app:1", False),
    ],
)
def test_a_registry_on_loopback_is_told_by_its_name(name: str, ours: bool) -> None:
    assert on_loopback(name) is ours
