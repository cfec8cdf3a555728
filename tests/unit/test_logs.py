"""The last lines of a log, of a file that is read from its end."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bascule.containers import logs
from bascule.containers.logs import LogStream, tail_offset

STAMP = "2026-01-02T03:04:05.123456789+00:00"


def written(path: Path, *pieces: str) -> str:
    path.write_text("".join(f"{STAMP} {piece}\n" for piece in pieces))
    return str(path)


def tail(path: str, lines: int) -> list[tuple[int, str]]:
    return [(line.stream, line.data.decode()) for line in LogStream(path, tail=lines)]


def test_a_line_that_was_written_in_pieces_is_one(tmp_path: Path) -> None:
    path = written(
        tmp_path / "log", "stdout F one", "stdout P loading ", "stdout P ... ", "stdout F done", "stdout P end"
    )
    end, line = [(1, "end")], [(1, "loading "), (1, "... "), (1, "done\n")]
    wanted = [[], end, line + end, [(1, "one\n"), *line, *end]]
    assert [tail(path, lines) for lines in range(4)] == wanted
    assert tail(path, 9) == wanted[-1]


def test_the_pieces_of_two_streams_are_told_apart(tmp_path: Path) -> None:
    path = written(tmp_path / "log", "stdout F one", "stdout P two ", "stderr F three", "stdout F two")
    assert tail(path, 2) == [(1, "two "), (2, "three\n"), (1, "two\n")]
    assert tail(path, 3) == [(1, "one\n"), (1, "two "), (2, "three\n"), (1, "two\n")]


def test_there_may_be_no_line(tmp_path: Path) -> None:
    assert tail(written(tmp_path / "log"), 3) == []


@given(st.lists(st.text("xy ", max_size=30), max_size=8), st.integers(1, 10), st.integers(1, 200))
def test_it_does_not_matter_where_the_blocks_end(texts: Sequence[str], lines: int, block: int) -> None:
    records = [f"{STAMP} stdout F {text}\n".encode() for text in texts]
    file = os.memfd_create("log")
    try:
        os.write(file, b"".join(records))
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(logs, "BLOCK", block)
            found = tail_offset(file, lines)
    finally:
        os.close(file)
    assert found == sum(map(len, records[:-lines]))
