"""The daemon's options: flags over the file over the defaults, and one clear sentence for each mistake."""

import json
from pathlib import Path

import pytest

from bascule.configuration import KEYS, Configuration, load, parser
from bascule.model.errors import Invalid

DOCS = Path(__file__).parents[2] / "docs" / "daemon.md"


def told(*argv: str) -> Configuration:
    return load(parser().parse_args(list(argv)))


def written(path: Path, content: object) -> str:
    path.write_text(json.dumps(content))
    return str(path)


def test_the_defaults_are_those_of_a_single_engine(tmp_path: Path) -> None:
    config = told("--config", written(tmp_path / "c", {}))
    assert (config.hosts, config.settings.bridge, config.settings.table) == (
        ("unix:///run/bascule/bascule.sock",),
        "bascule0",
        "bascule",
    )
    assert config.pidfile == "/run/bascule/bascule.pid"


def test_dockers_file_is_understood(tmp_path: Path) -> None:
    file = written(
        tmp_path / "daemon.json",
        {
            "data-root": "/d",
            "default-address-pools": [{"base": "10.10.0.0/16", "size": 24}],
            "default-network-opts": {"bridge": {"com.docker.network.driver.mtu": "1400"}},
            "dns": ["192.0.2.53"],
            "bip": "10.0.0.1/24",
        },
    )
    settings = told("--config", file).settings
    assert settings.data_root == "/d"
    assert [(str(p.base), p.size) for p in settings.pools] == [("10.10.0.0/16", 24)]
    assert settings.default_options == {"bridge": {"com.docker.network.driver.mtu": "1400"}}
    assert [str(n) for n in settings.nameservers] == ["192.0.2.53"]


def test_a_flag_wins_over_the_file(tmp_path: Path) -> None:
    file = written(tmp_path / "daemon.json", {"mtu": 1400})
    assert told("--config", file, "--mtu", "1300").settings.mtu == 1300


def test_another_bridge_means_other_tables(tmp_path: Path) -> None:
    file = written(tmp_path / "c", {})
    assert told("--config", file, "--bridge", "lab0").settings.table == "bascule-lab0"


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (("--mtu", "x"), "invalid MTU number: x"),
        (("--mtu", "20"), "invalid MTU number: 20"),
        (("--bridge", "a-name-that-is-too-long"), "invalid interface name"),
        (("--host", "tcp://127.0.0.1:2375"), "client certificates only"),
        (("--host", "/run/x.sock"), "invalid host"),
        (("--log-level", "loud"), "invalid log-level 'loud'"),
        (("--dns", "nowhere"), "invalid IP address: nowhere"),
        (("--default-address-pool", "base=10.0.0.0/16,size=8"), "size 8 does not fit 10.0.0.0/16"),
        (("--default-address-pool", "10.0.0.0/16"), "is the form"),
        (("--default-network-opt", "bridge"), "driver=key=value is the form"),
        (("--tlscert", "x"), "go together"),
    ],
)
def test_a_mistake_is_one_clear_sentence(tmp_path: Path, argv: tuple[str, ...], error: str) -> None:
    with pytest.raises(Invalid, match=error):
        told("--config", written(tmp_path / "c", {}), *argv)


def test_an_unknown_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="unknown keys: icc2"):
        told("--config", written(tmp_path / "c", {"icc2": True}))


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="No such file"):
        told("--config", str(tmp_path / "missing"))


def test_every_flag_is_documented() -> None:
    text = DOCS.read_text()
    assert [flag for _, flag, help_text, _ in KEYS if f"| `{flag}` |" not in text or help_text not in text] == []
