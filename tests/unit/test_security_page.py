"""docs/security.md names tests; each of them is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "security.md"


def test_every_test_that_the_page_names_exists() -> None:
    told = set(re.findall(r"`(test_\w+)`", PAGE.read_text()))
    there = {
        name
        for file in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    assert sorted(told - there) == []


def test_every_test_named_after_a_row_is_on_the_page() -> None:
    told = PAGE.read_text()
    named = {
        name
        for file in (ROOT / "tests").rglob("test_security*.py")
        for name in re.findall(r"^def (test_s\d\w+)", file.read_text(), re.MULTILINE)
    }
    assert sorted(name for name in named if f"`{name}`" not in told) == []


def test_every_row_has_a_number_of_its_own_and_a_test_or_a_reason() -> None:
    rows = re.findall(r"^\| (S\d+) \|(.*)\|(.*)\|$", PAGE.read_text(), re.MULTILINE)
    numbers = [number for number, _, _ in rows]
    bare = [number for number, holds, shown in rows if "`test_" not in shown and "not yet" not in holds]
    assert (numbers, bare) == ([f"S{n}" for n in range(1, 21)], [])
