"""`import bascule`, as a stranger does: what README shows of it is run, and what it offers is there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import bascule

ROOT = Path(__file__).parents[2]
EXAMPLE, IN_TESTS = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.S | re.M)


def test_readmes_example_prints_what_would_be_typed(capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(EXAMPLE, "README.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert [line.split("/netns/")[-1].partition(" ")[2] for line in printed if line.startswith("nsenter")] == [
        "ip -4 route del default via 172.18.0.1 dev eth0",
        "ip addr del 172.18.0.2/16 dev eth0",
    ]


def test_readmes_tests_run_in_a_strangers_pytest(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(IN_TESTS)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:hypothesispytest",
            "-p",
            "no:xdist",
        ],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1].startswith("2 passed")


def test_every_name_that_is_offered_is_there() -> None:
    assert [name for name in bascule.__all__ if not hasattr(bascule, name)] == []


def test_a_name_that_is_not_offered_is_told() -> None:
    with pytest.raises(AttributeError, match="module 'bascule' has no attribute 'Manager'"):
        _ = bascule.Manager


def test_it_says_that_it_has_types() -> None:
    assert Path(bascule.__file__).with_name("py.typed").exists()


def test_its_version_is_that_of_the_package() -> None:
    assert f'version = "{bascule.__version__}"' in (ROOT / "pyproject.toml").read_text()


def test_the_kernel_and_the_store_outlive_an_engine() -> None:
    kernel, store = bascule.FakeKernel(), bascule.MemoryStore()
    with bascule.Engine(kernel, store) as engine:
        net = engine.create(bascule.NetworkSpec("web"))
        before = kernel.dump()
    with bascule.Engine(kernel, store) as engine:
        assert (engine.network("web"), kernel.dump()) == (net, before)
