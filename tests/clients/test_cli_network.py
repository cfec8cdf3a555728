"""`docker network …` against our daemon, as it reads against Docker's."""

import json
import re

import pytest
from tests.clients.conftest import Ground

DAEMON = "Error response from daemon: "


def test_the_default_networks_are_there(ground: Ground) -> None:
    told = ground.docker("network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}")
    assert str(told) == "bridge bridge local\nhost host local\nnone null local"


def test_a_network_is_created_listed_inspected_and_removed(ground: Ground) -> None:
    ident = ground.docker("network", "create", "--label", "a=b", "--subnet", "10.77.0.0/24", "n1").out.strip()
    assert re.fullmatch("[0-9a-f]{64}", ident)
    assert ground.docker("network", "ls", "-q", "--no-trunc", "-f", "label=a=b").out.strip() == ident
    (shown,) = json.loads(ground.docker("network", "inspect", "n1").out)
    assert (shown["Id"], shown["Labels"], shown["IPAM"]["Config"]) == (
        ident,
        {"a": "b"},
        [{"Subnet": "10.77.0.0/24"}],
    )
    assert str(ground.docker("network", "rm", "n1")) == "n1"
    assert str(ground.docker("network", "inspect", "n1")) == f"[]\n{DAEMON}network n1 not found\n-> 1"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("create bridge", "operation is not permitted on predefined bridge network"),
        ("create -d nosuch x", 'plugin "nosuch" not found'),
        (
            "create --subnet 10.0.0.1/24 x",
            "invalid network config:\ninvalid subnet 10.0.0.1/24: it should be 10.0.0.0/24",
        ),
        ("create --ipv4=false x", "IPv4 or IPv6 must be enabled"),
        ("create -o com.docker.network.driver.mtu=-1 x", "invalid MTU number: -1"),
        ("connect bridge nosuch", "No such container: nosuch"),
        ("disconnect bridge nosuch", "No such container: nosuch"),
        ("rm bridge", "bridge is a pre-defined network and cannot be removed\nexit status 1"),
        ("ls -f foo=x", "invalid filter 'foo'"),
    ],
)
def test_a_refusal_reads_as_dockers(ground: Ground, words: str, told: str) -> None:
    done = ground.docker("network", *words.split())
    assert (done.status, done.err.strip()) == (1, DAEMON + told)


def test_a_container_is_connected_and_disconnected_while_it_runs(ground: Ground) -> None:
    ground.docker("network", "create", "--subnet", "10.78.0.0/24", "n1")
    ground.docker("run", "-d", "--name", "c1", "host", "sleep", "600")
    assert str(ground.docker("network", "connect", "--ip", "10.78.0.9", "--alias", "al", "n1", "c1")) == ""
    form = "{{range $n, $e := .NetworkSettings.Networks}}{{$n}}={{$e.IPAddress}} {{end}}"
    assert "n1=10.78.0.9" in ground.docker("inspect", "-f", form, "c1").out
    told = ground.docker("network", "connect", "n1", "c1")
    assert told.err.strip() == DAEMON + "endpoint with name c1 already exists in network n1"
    told = ground.docker("network", "rm", "n1")
    assert 'network n1 has active endpoints (name:"c1" id:' in told.err
    assert str(ground.docker("network", "disconnect", "n1", "c1")) == ""
    assert "n1=" not in ground.docker("inspect", "-f", form, "c1").out
    assert "is not connected to network n1" in ground.docker("network", "disconnect", "n1", "c1").err


def test_a_networks_name_may_be_how_anothers_id_begins(ground: Ground) -> None:
    name = ground.docker("network", "create", "n1").out[:3]
    ground.docker("network", "create", name)
    ground.docker("run", "-d", "--name", "c1", "--network", "n1", "--network", name, "host", "sleep", "600")
    assert str(ground.docker("network", "disconnect", "n1", "c1")) == ""
    form = "{{range $n, $e := .NetworkSettings.Networks}}{{$n}} {{end}}"
    assert ground.docker("inspect", "-f", form, "c1").out.split() == [name]
    assert str(ground.docker("network", "disconnect", name, "c1")) == ""


def test_connecting_a_stopped_container_is_a_wish(ground: Ground) -> None:
    ground.docker("network", "create", "n1")
    ground.docker("create", "--name", "c1", "host", "sleep", "600")
    assert str(ground.docker("network", "connect", "n1", "c1")) == ""
    form = "{{range $n, $e := .NetworkSettings.Networks}}{{$n}}={{len $e.IPAddress}} {{end}}"
    assert ground.docker("inspect", "-f", form, "c1").out.split() == ["bridge=0", "n1=0"]
    ground.docker("start", "c1")
    assert "=0" not in ground.docker("inspect", "-f", form, "c1").out


def test_a_missing_network_is_found_missing_at_the_start(ground: Ground) -> None:
    assert ground.docker("create", "--name", "c1", "--network", "nosuch", "host", "true").status == 0
    told = ground.docker("start", "c1")
    assert (told.status, told.err.splitlines()[0]) == (
        1,
        DAEMON + "failed to set up container networking: network nosuch not found",
    )


def test_a_stopped_container_is_taken_off_a_network_that_is_gone(ground: Ground) -> None:
    ground.docker("network", "create", "n1")
    ident = ground.docker("create", "--name", "c1", "--network", "n1", "host", "sleep", "600").out.strip()
    ground.docker("network", "rm", "n1")
    assert str(ground.docker("network", "disconnect", "n1", "c1")) == ""
    assert str(ground.docker("inspect", "-f", "{{len .NetworkSettings.Networks}}", "c1")) == "0"
    told = ground.docker("network", "disconnect", "-f", "n1", "c1")
    assert told.err.strip() == f"{DAEMON}container {ident} is not connected to the network n1"
    assert str(ground.docker("start", "c1")) == "c1"
    told = ground.docker("network", "disconnect", "n1", "c1")
    assert told.err.strip() == f"{DAEMON}network n1 not found"
    told = ground.docker("network", "disconnect", "-f", "n1", "c1")
    assert told.err.strip() == f"{DAEMON}container {ident} is not connected to the network n1"


@pytest.mark.parametrize("words", ["stop -t0", "kill", "rm -f"])
def test_who_does_not_run_has_no_name(ground: Ground, words: str) -> None:
    ground.docker("network", "create", "--internal", "--subnet", "10.78.0.0/24", "n1")
    ground.docker("run", "-d", "--name", "asker", "--network", "n1", "host", "sleep", "600")
    ground.docker("run", "-d", "--name", "c1", "--network", "n1", "--network-alias", "al", "host", "sleep", "600")
    for name in ("c1", "al"):
        assert ground.docker("exec", "asker", "getent", "ahostsv4", name).out.startswith("10.78.0.")
    ground.docker(*words.split(), "c1")
    ground.docker("wait", "c1")
    # Nothing else happens that the resolver would hear of.
    told = [str(ground.docker("exec", "asker", "getent", "ahostsv4", name)) for name in ("c1", "al")]
    assert told == ["-> 2", "-> 2"]


def test_prune_says_what_went(ground: Ground) -> None:
    ground.docker("network", "create", "idle")
    assert str(ground.docker("network", "prune", "-f")) == "Deleted Networks:\nidle"
