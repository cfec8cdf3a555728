"""What `cp` makes of a container's archive: names, links, and archives that lead elsewhere."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from bascule.cli.copy import _unpack
from bascule.cli.options import UsageError

Member = tuple[str, bytes, str]
"""Its name, its type, and its contents or where it leads."""


def unpack(target: Path | str, *members: Member, whole: bool = False, mode: int = 0o644) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, kind, text in members:
            member = tarfile.TarInfo(name)
            member.type, member.uid, member.gid = kind, os.geteuid(), os.getegid()
            member.mode = 0o755 if kind == tarfile.DIRTYPE else mode
            if kind == tarfile.REGTYPE:
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text.encode()))
            else:
                member.linkname = text
                archive.addfile(member)
    file.seek(0)
    with tarfile.open(fileobj=file, mode="r|") as read:
        _unpack(read, str(target), whole=whole)


def tree(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


FILES: tuple[Member, ...] = (
    ("tmp/", tarfile.DIRTYPE, ""),
    ("tmp/one", tarfile.REGTYPE, "1"),
    ("tmp/two", tarfile.LNKTYPE, "tmp/one"),
)


def test_into_a_directory_it_keeps_its_name(tmp_path: Path) -> None:
    unpack(tmp_path, *FILES)
    assert tree(tmp_path) == ["tmp", "tmp/one", "tmp/two"]


def test_as_what_is_not_there_yet_it_has_the_new_name_and_its_hard_links_with_it(tmp_path: Path) -> None:
    unpack(tmp_path / "new", *FILES)
    assert tree(tmp_path) == ["new", "new/one", "new/two"]
    assert (tmp_path / "new/one").samefile(tmp_path / "new/two")


def test_what_is_in_it_goes_into_the_directory_itself(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    unpack(tmp_path / "there", *FILES, whole=True)
    assert tree(tmp_path) == ["there", "there/one", "there/two"]


def test_a_file_may_be_called_otherwise(tmp_path: Path) -> None:
    unpack(tmp_path / "mine", ("passwd", tarfile.REGTYPE, "root"))
    assert (tmp_path / "mine").read_text() == "root"


@pytest.mark.parametrize(
    "members",
    [
        [("x/../../theirs", tarfile.REGTYPE, "bad")],
        [
            ("x/", tarfile.DIRTYPE, ""),
            ("x/link", tarfile.SYMTYPE, "../.."),
            ("x/link/theirs", tarfile.REGTYPE, "bad"),
        ],
        [("x/", tarfile.DIRTYPE, ""), ("x/link", tarfile.LNKTYPE, "x/../../theirs")],
    ],
    ids=["dots", "link", "hard link"],
)
def test_an_archive_that_leads_elsewhere_is_refused(tmp_path: Path, members: list[Member]) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "theirs").write_text("as it was")
    with pytest.raises(UsageError, match="leads out of"):
        unpack(tmp_path / "target", *members)
    assert (tmp_path / "theirs").read_text() == "as it was"
    assert (tmp_path / "theirs").stat().st_nlink == 1


def test_no_file_comes_with_rights_that_it_gives_away(tmp_path: Path) -> None:
    unpack(tmp_path, ("root", tarfile.REGTYPE, "sh"), mode=0o6777)
    assert oct((tmp_path / "root").stat().st_mode & 0o7777) == "0o755"
