"""What is installed, and where, is what README and the unit files say."""

import re
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest

from bascule.cli.client import DEFAULT_HOST
from bascule.configuration import parser

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def unit(name: str) -> RawConfigParser:
    """A unit file; it has no key twice."""
    read = RawConfigParser(strict=True)
    read.optionxform = str  # type: ignore[assignment,method-assign]
    read.read(ROOT / "packaging" / name)
    return read


def test_the_service_starts_the_daemon_on_the_sockets_of_systemd() -> None:
    words = unit("bascule.service")["Service"]["ExecStart"].split()
    assert words[:2] == ["/usr/local/bin/bascule", "daemon"]
    assert parser().parse_args(words[2:]).host == ["fd://"]


def test_the_socket_is_where_the_command_line_looks() -> None:
    assert f"unix://{unit('bascule.socket')['Socket']['ListenStream']}" == DEFAULT_HOST


def test_service_and_socket_name_each_other() -> None:
    service = unit("bascule.service")
    assert (service["Unit"]["Requires"], service["Install"]["Also"]) == ("bascule.socket", "bascule.socket")


def test_every_file_that_readme_installs_is_there() -> None:
    files = re.findall(r"\bpackaging/[\w.-]+(?:/[\w.-]+)*", README)
    assert {"packaging/bascule.service", "packaging/bascule.socket"} <= set(files)
    assert [file for file in files if not (ROOT / file).exists()] == []


def test_every_package_has_a_reason() -> None:
    listed = (ROOT / "packaging" / "apt-packages").read_text().splitlines()
    assert [line for line in listed if len(line.split(maxsplit=1)) < 2] == []
    required = re.findall(r'^    "[^"]+",(.*)$', (ROOT / "pyproject.toml").read_text(), re.M)
    assert [reason for reason in required if not reason.startswith(" # ")] == []


def test_nothing_is_tracked_that_is_ours_only_by_accident() -> None:
    """No binary, and nothing that .gitignore names: the peer, for one, is 170 MB of another project."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout")
    listed = ["git", "-C", str(ROOT), "ls-files", "-z"]
    ignored = subprocess.run([*listed, "-ci", "--exclude-standard"], capture_output=True, text=True, check=True)
    assert ignored.stdout == ""
    tracked = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split("\0")[:-1]
    assert [name for name in tracked if (path := ROOT / name).exists() and b"\0" in path.read_bytes()] == []


def test_the_scripts_are_scripts() -> None:
    for name in ("setup", "test", "thin-command", "bench-setup", "vm-setup", "test-vm", "test-vm-all"):
        path = ROOT / "packaging" / name
        assert path.stat().st_mode & 0o111, name
        subprocess.run(["bash", "-n", str(path)], check=True)


def test_the_thin_command_is_a_command(tmp_path: Path) -> None:
    """The script beside an interpreter that finds us; what pip wrote there is replaced."""
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT}/src exec python3 "$@"\n')
    python.chmod(0o755)
    subprocess.run([str(ROOT / "packaging" / "thin-command"), str(tmp_path)], check=True)
    lines = (tmp_path / "bin" / "bascule").read_text().splitlines()
    assert (lines[0], lines[-1]) == (f"#!{python} -IS", "thin()")
    done = subprocess.run(
        ["python3", "-IS", str(tmp_path / "bin" / "bascule"), "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("Bascule version ")
