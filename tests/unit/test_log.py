"""The log: one line for each decision, whatever people call things."""

import json
import logging
from collections.abc import Iterator

import pytest

from bascule.log import configure, logger


@pytest.fixture(autouse=True)
def kept() -> Iterator[None]:
    """Other tests' logging is as it was."""
    handlers, level, propagate = list(logger.handlers), logger.level, logger.propagate
    found = logging.logThreads, logging.logProcesses, logging.logMultiprocessing, logging._srcfile
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)
    logger.propagate = propagate
    logging.logThreads, logging.logProcesses, logging.logMultiprocessing, logging._srcfile = found


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("evil", "shown"),
    [
        ("a\n2026-01-01T00:00:00.000Z info    forged", r"a\n2026-01-01T00:00:00.000Z info    forged"),
        ("a\rb", r"a\rb"),
        ("a\0b", r"a\x00b"),
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("a\x85b\u2028c", r"a\x85b\u2028c"),
        ("a\u202eb", r"a\u202eb"),
        ("a\udc80b", r"a\udc80b"),
        ("é ü 網", "é ü 網"),
        ("back\\slash", "back\\slash"),
    ],
)
def test_nothing_that_is_named_makes_a_line_of_its_own(
    capsys: pytest.CaptureFixture[str], evil: str, shown: str
) -> None:
    configure("info", "text")
    logger.info("no user %s", evil, extra={"fields": {"error": evil, f"k{evil}": 1}})
    (line,) = lines(capsys)
    assert line.partition("Z ")[2] == f"info    no user {shown} error={shown} k{shown}=1"


def test_a_trace_is_set_in(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "text")
    try:
        raise ValueError("a\n2026-01-01T00:00:00.000Z info    forged\x1b[2J")
    except ValueError:
        logger.exception("could not")
    first, *rest = lines(capsys)
    assert first.endswith("error   could not")
    assert rest[-2:] == ["    ValueError: a", r"    2026-01-01T00:00:00.000Z info    forged\x1b[2J"]
    assert all(line.startswith("    ") for line in rest)


def test_json_is_one_line_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json")
    logger.info("no user %s", "a\nb\0", extra={"fields": {"error": "a\nb"}})
    (line,) = lines(capsys)
    assert (json.loads(line)["msg"], json.loads(line)["error"]) == ("no user a\nb\0", "a\nb")
