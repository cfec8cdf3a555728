"""The daemon's options: flags over the file over the defaults, and one clear sentence for each mistake."""

import json
import re
from pathlib import Path

import pytest

from bascule.configuration import KEYS, Configuration, load, parser
from bascule.configuration_file import HOLDS
from bascule.daemon import main
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
        (("--bip", "foo/33"), "invalid bip: invalid CIDR address: foo/33"),
        (("--bip", "10.1.1.1"), "invalid bip: invalid CIDR address: 10.1.1.1"),
        (("--bip", "10.1.1.1/255.255.255.0"), "invalid CIDR address"),
        (("--bip", "10.1.1.0/24"), r"failed to allocate gateway \(10.1.1.0\): Address already in use"),
        (("--bip", "10.1.1.255/24"), r"failed to allocate gateway \(10.1.1.255\): Address already in use"),
        (("--bip", "10.1.1.1/32"), "10.1.1.1/32 has no address for a container"),
        (("--bip", "0.0.0.0/0"), "containers cannot have addresses in 0.0.0.0/8"),
        (("--bip", "1.2.3.4/0"), "containers cannot have addresses in"),
        (("--bip", "127.0.0.1/8"), "containers cannot have addresses in"),
        (("--bip", "fd00::1/64"), "an IPv4 address is expected"),
        (("--bridge", "a;b"), "invalid bridge 'a;b': letters, digits"),
        (("--data-root", ""), "invalid data-root '': a directory is expected"),
        (
            ("--default-network-opt", "bridge=com.docker.network.driver.mtu=zz"),
            r"options of bridge \(com.docker.network.driver.mtu=zz\): failed to parse com.docker.network",
        ),
        (("--default-network-opt", "macvlan=macvlan_mode=zz"), "options of macvlan .* 'zz' is not valid"),
        (("--default-network-opt", "nosuch=a=b"), 'options of nosuch .*: plugin "nosuch" not found'),
    ],
)
def test_a_mistake_is_one_clear_sentence(tmp_path: Path, argv: tuple[str, ...], error: str) -> None:
    with pytest.raises(Invalid, match=error):
        told("--config", written(tmp_path / "c", {}), *argv)


@pytest.mark.parametrize("text", ["10.1.1.1/24", "10.1.1.254/24", "192.168.5.1/31", "172.30.7.9/16"])
def test_a_bip_is_any_address_that_a_host_can_have(tmp_path: Path, text: str) -> None:
    assert told("--config", written(tmp_path / "c", {}), "--bip", text).settings.bip == text


def test_a_default_option_may_be_for_internal_networks_alone(tmp_path: Path) -> None:
    key = "com.docker.network.bridge.gateway_mode_ipv4"
    config = told("--config", written(tmp_path / "c", {}), "--default-network-opt", f"bridge={key}=isolated")
    assert config.settings.default_options == {"bridge": {key: "isolated"}}


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("hosts", [5], "a list of texts"),
        ("hosts", "unix:///x", "a list of texts"),
        ("dns", [8], "a list of texts"),
        ("dns", "1.1.1.1", "a list of texts"),
        ("bridge", 5, "a text"),
        ("group", 7, "a text"),
        ("data-root", None, "a text"),
        ("labels", {"a": "b"}, "a list of texts"),
        ("default-network-opts", [], "an object"),
        ("default-network-opts", {"bridge": {"com.docker.network.driver.mtu": 1400}}, "an object"),
        ("default-address-pools", [{"base": "10.0.0.0/8", "size": "24"}], "a list of"),
        ("default-address-pools", ["base=10.0.0.0/8,size=24"], "a list of"),
        ("mtu", "1400", "a whole number"),
        ("mtu", True, "a whole number"),
        ("icc", "true", "true or false"),
        ("cluster-lease", "10", "a number of seconds"),
    ],
)
def test_a_value_of_the_wrong_type_is_told_with_file_key_and_what_is_wanted(
    tmp_path: Path, key: str, value: object, wanted: str
) -> None:
    file = written(tmp_path / "daemon.json", {key: value})
    said = f"configuration file {file}: {key}: {wanted}"
    with pytest.raises(Invalid, match=f"^{re.escape(said)}.* is wanted, not {re.escape(json.dumps(value))}$"):
        told("--config", file)


def test_every_key_has_a_type_and_no_other() -> None:
    assert [key for key, _, _, _ in KEYS] == list(HOLDS)


def test_values_of_the_right_types_are_taken(tmp_path: Path) -> None:
    file = written(
        tmp_path / "daemon.json", {"icc": False, "ip-forward-no-drop": True, "cluster-lease": 20, "labels": ["a=b"]}
    )
    config = told("--config", file)
    assert (config.settings.icc, config.settings.router, config.cluster_times[0], config.labels) == (
        False,
        True,
        20,
        ("a=b",),
    )


def test_an_unknown_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="unknown keys: icc2"):
        told("--config", written(tmp_path / "c", {"icc2": True}))


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="No such file"):
        told("--config", str(tmp_path / "missing"))


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (("--group", "nosuchgrp"), "there is no group 'nosuchgrp' to own the socket"),
        (("--runtime", "nosuch"), "no OCI runtime: nosuch is not installed"),
        (("--runtime", "sh", "--conmon", "nosuch"), "no container monitor: nosuch is not installed"),
        (
            ("--runtime=sh", "--conmon=sh", "--tlscacert=/no/ca", "--tlscert=/no/cert", "--tlskey=/no/key"),
            "TLS: cannot read /no/ca: No such file or directory",
        ),
    ],
)
@pytest.mark.parametrize("validate", [("--validate",), ()], ids=["validate", "start"])
def test_what_is_named_must_be_on_this_host(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], validate: tuple[str, ...], argv: tuple[str, ...], error: str
) -> None:
    assert (
        main(["--config", written(tmp_path / "c", {}), "--exec-root", str(tmp_path / "x"), *validate, *argv]) == 1
    )
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", f"bascule daemon: {error}\n")
    assert not (tmp_path / "x").exists()


def test_a_good_configuration_is_said_to_be_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", written(tmp_path / "c", {}), "--validate", "--runtime=sh", "--conmon=sh"]) == 0
    assert capsys.readouterr().out == "configuration OK\n"


def test_every_flag_is_documented() -> None:
    text = DOCS.read_text()
    assert [flag for _, flag, help_text, _ in KEYS if f"| `{flag}` |" not in text or help_text not in text] == []
