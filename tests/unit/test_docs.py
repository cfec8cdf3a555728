"""Documentation is tested: every command and option is in it, links lead somewhere, examples can be typed."""

import doctest
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from docs import generate_cli
from tests.unit.typed import commands, read

from bascule.cli import completion
from bascule.cli.manual import names
from bascule.cli.options import Help, UsageError, table
from bascule.cli.start import GLOBAL, load
from bascule.configuration import parser

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def test_every_room_has_a_page() -> None:
    rooms = {path.parent.name for path in (ROOT / "src" / "bascule").glob("*/__init__.py")}
    assert len(rooms) >= 12
    assert sorted(rooms - {page.stem for page in PAGES if page.parent.name == "docs"}) == []


SESSIONS = [page for page in PAGES if "\n>>> " in page.read_text()]


@pytest.mark.parametrize("page", SESSIONS, ids=lambda page: page.name)
def test_what_a_page_shows_of_python_is_what_python_says(page: Path) -> None:
    options = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
    assert doctest.testfile(str(page), module_relative=False, optionflags=options).failed == 0


def test_the_page_of_the_command_line_is_what_its_generator_writes() -> None:
    assert generate_cli.PAGE.read_text() == generate_cli.text(), "run: python docs/generate_cli.py"


@pytest.mark.parametrize("name", names())
def test_every_command_and_option_is_documented(name: str) -> None:
    command, page = load(name), generate_cli.PAGE.read_text()
    assert f"### bascule {name}\n" in page
    assert command.summary
    assert command.examples.strip()
    section = page.split(f"### bascule {name}\n")[1].split("\n### ")[0]
    missing = [o.name for o in command.table() if o.help and f"--{o.name}" not in section]
    assert not missing


@pytest.mark.parametrize("name", names())
def test_every_option_has_a_help_text_or_stands_for_one_that_has(name: str) -> None:
    options = {o.name: o for o in load(name).table()}
    silent = [o.name for o in options.values() if not o.help and not options[o.alias_of].help]
    assert not silent


def test_every_option_before_the_command_has_a_help_text() -> None:
    assert [o.name for o in table(GLOBAL) if not o.help] == []


@pytest.mark.parametrize("name", names())
def test_no_option_is_there_twice(name: str) -> None:
    options = load(name).table()
    for found in ([o.name for o in options], [o.short for o in options if o.short]):
        assert sorted(found) == sorted(set(found))


@pytest.mark.parametrize("name", names())
def test_every_example_of_help_can_be_typed(name: str) -> None:
    lines = [line for line in load(name).examples.splitlines() if not line.startswith("#")]
    typed = [words for line in lines for words in commands(line)]
    assert typed
    for words in typed:
        if words[0] == "daemon":
            parser().parse_args(words[1:])
        else:
            read(words)


def local_links() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for link in LINK.findall(page.read_text()):
            if "://" not in link and not link.startswith(("#", "mailto:")):
                yield page, link.partition("#")[0]


def test_every_local_link_leads_to_a_file() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {link}" for page, link in local_links() if not (page.parent / link).exists()
    ]
    assert not broken, "\n".join(broken)


def consoles() -> Iterator[tuple[str, str]]:
    """The lines typed in console blocks, and where they are."""
    for page in PAGES:
        for block in re.findall(r"^```console\n(.*?)^```", page.read_text(), re.S | re.M):
            for line in block.splitlines():
                if line.startswith(("# ", "$ ")):
                    yield f"{page.name}: {line}", line[2:]


def test_every_console_line_of_ours_can_be_typed() -> None:
    wrong = []
    for where, line in consoles():
        for words in commands(line):
            try:
                if words and words[0] == "daemon":
                    parser().parse_args(words[1:])
                elif words:
                    read(words)
            except Help:
                continue
            except (UsageError, SystemExit) as why:
                wrong.append(f"{where}: {why}")
    assert not wrong, "\n".join(wrong)


def test_the_readme_has_console_lines_of_ours() -> None:
    assert [line for where, line in consoles() if where.startswith("README") and "bascule" in line]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_packaged_completion_is_what_the_command_prints(shell: str) -> None:
    assert (ROOT / "packaging" / "completions" / shell).read_text() == completion.SCRIPTS[shell]
