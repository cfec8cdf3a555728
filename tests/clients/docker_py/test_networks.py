"""docker-py's networks."""

from typing import Any

import docker
import pytest
from docker.types import IPAMConfig, IPAMPool
from tests.clients.docker_py.conftest import Both, Box, refusal, running, without
from tests.clients.peer import IMAGE

POOL4 = IPAMPool(
    subnet="10.79.0.0/24", iprange="10.79.0.128/25", gateway="10.79.0.254", aux_addresses={"printer": "10.79.0.5"}
)
POOL6 = IPAMPool(subnet="fd79::/64", gateway="fd79::99")


def test_a_network_is_made_with_everything_that_can_be_said(client: docker.DockerClient) -> None:
    net = client.networks.create(
        "n1",
        driver="bridge",
        options={"com.docker.network.driver.mtu": "1400"},
        ipam=IPAMConfig(driver="default", pool_configs=[POOL4, POOL6], options={"k": "v"}),
        check_duplicate=True,
        internal=True,
        labels={"a": "b", "empty": ""},
        enable_ipv6=True,
        attachable=True,
        scope="local",
        ingress=False,
    )
    assert net.name == "n1"
    assert len(net.id) == 64
    assert net.short_id == net.id[:12]
    net.reload()
    assert without(net.attrs, "Id", "Created") == {
        "Name": "n1",
        "Id": True,
        "Created": True,
        "Scope": "local",
        "Driver": "bridge",
        "EnableIPv4": True,
        "EnableIPv6": True,
        "IPAM": {
            "Driver": "default",
            "Options": {"k": "v"},
            "Config": [
                {
                    "Subnet": "10.79.0.0/24",
                    "IPRange": "10.79.0.128/25",
                    "Gateway": "10.79.0.254",
                    "AuxiliaryAddresses": {"printer": "10.79.0.5"},
                },
                {"Subnet": "fd79::/64", "Gateway": "fd79::99"},
            ],
        },
        "Internal": True,
        "Attachable": True,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {},
        "Options": {"com.docker.network.driver.mtu": "1400"},
        "Labels": {"a": "b", "empty": ""},
    }


def test_a_network_of_which_nothing_is_said_is_shown_alike(both: Both) -> None:
    def made(client: docker.DockerClient) -> list[str]:
        net = client.networks.create("plain")
        return [f"{key}: {value}" for key, value in without(net.attrs, "Id", "Created").items()]

    assert both.difference(made) == ""


def test_the_default_networks_are_shown_alike(both: Both) -> None:
    def shown(client: docker.DockerClient) -> list[str]:
        nets = [without(net.attrs, "Id", "Created") for net in client.networks.list()]
        for net in nets:
            # The bridge's own name is an option of the daemon.
            net["Options"].pop("com.docker.network.bridge.name", None)
        return sorted(str(net) for net in nets)

    assert both.difference(shown) == ""


FILTERS: list[tuple[dict[str, Any], str]] = [
    ({}, "bridge host n1 n2 n3 none"),
    ({"names": ["n1"]}, "n1"),
    ({"names": ["n1", "n3"]}, "n1 n3"),
    ({"names": ["n"]}, "n1 n2 n3 none"),
    ({"filters": {"name": "^n[12]$"}}, "n1 n2"),
    ({"filters": {"driver": "bridge"}}, "bridge n1 n2 n3"),
    ({"filters": {"driver": ["host", "null"]}}, "host none"),
    ({"filters": {"label": "a"}}, "n1 n2"),
    ({"filters": {"label": "a=b"}}, "n1"),
    ({"filters": {"label": ["a", "c=d"]}}, "n2"),
    ({"filters": {"type": "custom"}}, "n1 n2 n3"),
    ({"filters": {"type": "builtin"}}, "bridge host none"),
    ({"filters": {"scope": "local"}}, "bridge host n1 n2 n3 none"),
    ({"filters": {"scope": "swarm"}}, ""),
    ({"filters": {"id": "zz"}}, ""),
    ({"names": ["n1"], "greedy": True}, "n1"),
]


def test_networks_are_filtered(client: docker.DockerClient, box: Box) -> None:
    client.networks.create("n1", labels={"a": "b"})
    two = client.networks.create("n2", labels={"a": "x", "c": "d"})
    client.networks.create("n3")
    box(network="n3")
    for asked, told in FILTERS:
        found = client.networks.list(**asked)
        assert " ".join(sorted(net.name for net in found)) == told, asked
    assert [net.name for net in client.networks.list(ids=[two.id])] == ["n2"]
    assert [net.name for net in client.networks.list(ids=[two.id[:12]])] == ["n2"]


def test_members_are_told_by_get_and_by_a_greedy_list_alone(client: docker.DockerClient, box: Box) -> None:
    net = client.networks.create("n1")
    one = box(name="one", network="n1")
    assert [len(found.attrs["Containers"]) for found in client.networks.list(names=["n1"])] == [0]
    (greedy,) = client.networks.list(names=["n1"], greedy=True)
    got = client.networks.get("n1")
    assert greedy.attrs == got.attrs
    (member,) = got.attrs["Containers"].values()
    assert list(got.attrs["Containers"]) == [one.id]
    assert [found.name for found in got.containers] == ["one"]
    one.reload()
    end = one.attrs["NetworkSettings"]["Networks"]["n1"]
    assert member == {
        "Name": "one",
        "EndpointID": end["EndpointID"],
        "MacAddress": end["MacAddress"],
        "IPv4Address": f"{end['IPAddress']}/{end['IPPrefixLen']}",
        "IPv6Address": "",
    }
    assert client.networks.get(net.id, verbose=True, scope="local").name == "n1"


def test_a_container_is_connected_with_everything_that_can_be_said(client: docker.DockerClient, box: Box) -> None:
    net = client.networks.create("n1", enable_ipv6=True, ipam=IPAMConfig(pool_configs=[POOL4, POOL6]))
    other = box(name="other", network="n1")
    one = box(name="one")
    net.connect(
        one,
        aliases=["al", "ias"],
        links=[("other", "friend")],
        ipv4_address="10.79.0.77",
        ipv6_address="fd79::77",
        link_local_ips=["169.254.8.8"],
        driver_opt={"com.docker.network.endpoint.ifname": "wan0"},
    )
    one.reload()
    end = one.attrs["NetworkSettings"]["Networks"]["n1"]
    assert without(end, "EndpointID", "MacAddress") == {
        "IPAMConfig": {
            "IPv4Address": "10.79.0.77",
            "IPv6Address": "fd79::77",
            "LinkLocalIPs": ["169.254.8.8"],
        },
        "Links": ["other:friend"],
        "Aliases": ["al", "ias"],
        "MacAddress": True,
        "DriverOpts": {"com.docker.network.endpoint.ifname": "wan0"},
        "GwPriority": 0,
        "NetworkID": net.id,
        "EndpointID": True,
        "Gateway": "10.79.0.254",
        "IPAddress": "10.79.0.77",
        "IPPrefixLen": 24,
        "IPv6Gateway": "fd79::99",
        "GlobalIPv6Address": "fd79::77",
        "GlobalIPv6PrefixLen": 64,
        "DNSNames": ["one", "al", "ias", one.id[:12]],
    }
    shown = one.exec_run(["ip", "-o", "addr", "show", "dev", "wan0"]).output.decode()
    assert all(address in shown for address in ("10.79.0.77/24", "fd79::77/64", "169.254.8.8/16"))
    assert one.exec_run(["ping", "-c", "1", "-W", "2", "friend"]).exit_code == 0
    assert other.exec_run(["ping", "-c", "1", "-W", "2", "ias"]).exit_code == 0
    net.disconnect("one")
    one.reload()
    assert list(one.attrs["NetworkSettings"]["Networks"]) == ["bridge"]
    assert other.exec_run(["ping", "-c", "1", "-W", "1", "10.79.0.77"]).exit_code == 1


def test_ours_gives_a_mac_on_connect_and_tells_what_dangles(ours: docker.DockerClient) -> None:
    """Docker does the first from API 1.54 on.  Its 28.5 takes every network of a user's for dangling: it looks for
    containers in a list that it has emptied of them."""
    net = ours.networks.create("n1")
    ours.networks.create("n2")
    one = running(ours, name="one")
    net.connect(one, mac_address="02:42:0a:4f:00:4d")
    one.reload()
    assert one.attrs["NetworkSettings"]["Networks"]["n1"]["MacAddress"] == "02:42:0a:4f:00:4d"
    assert [found.name for found in ours.networks.list(filters={"dangling": True})] == ["n2"]
    one.remove(force=True)
    ours.networks.prune()


def test_a_container_that_does_not_run_is_connected_when_it_starts(client: docker.DockerClient) -> None:
    client.networks.create("n1")
    net = client.networks.create("n2")
    made = client.containers.create(IMAGE, ["sleep", "1000"], network="n1", name="one")
    net.connect("one", aliases=["al"])
    net.reload()
    assert net.containers == []
    made.start()
    net.reload()
    assert [found.name for found in net.containers] == ["one"]
    net.disconnect(made.id, force=True)
    net.reload()
    assert net.containers == []


def test_networks_are_pruned_by_label(client: docker.DockerClient, box: Box) -> None:
    for name, labels in (("n1", {"keep": "1"}), ("n2", {}), ("n3", {})):
        client.networks.create(name, labels=labels)
    box(network="n3")
    assert client.networks.prune({"label!": ["keep"]}) == {"NetworksDeleted": ["n2"]}
    assert client.networks.prune({"until": "1h"}) == {"NetworksDeleted": None}
    assert client.networks.prune() == {"NetworksDeleted": ["n1"]}


def test_what_is_refused_is_refused_alike(both: Both) -> None:
    def told(client: docker.DockerClient) -> list[str]:
        net = client.networks.create("n1", ipam=IPAMConfig(pool_configs=[POOL4]))
        plain = client.networks.create("n2")
        one = running(client, name="one", network="n1")
        running(client, name="two", network="n1")
        calls: list[Any] = [
            lambda: client.networks.create("n1"),
            lambda: client.networks.create("bridge"),
            lambda: client.networks.create(""),
            lambda: client.networks.create("n3", driver="host"),
            lambda: client.networks.create("n3", scope="swarm"),
            lambda: client.networks.create("n3", ingress=True),
            lambda: client.networks.create("n3", ipam=IPAMConfig(pool_configs=[IPAMPool(subnet="10.79.0.0/25")])),
            lambda: client.networks.create("n3", ipam=IPAMConfig(pool_configs=[IPAMPool(subnet="10.3.0.1/24")])),
            lambda: client.networks.create("n3", ipam=IPAMConfig(pool_configs=[IPAMPool(gateway="10.3.0.1")])),
            lambda: client.networks.create("n3", options={"com.docker.network.driver.mtu": "x"}),
            lambda: client.networks.get("nosuch"),
            lambda: client.networks.get(""),
            lambda: client.networks.list(filters={"nosuch": "x"}),
            lambda: client.networks.list(filters={"type": "x"}),
            lambda: client.networks.list(filters={"dangling": "x"}),
            lambda: client.networks.prune({"name": "x"}),
            lambda: client.api.remove_network("nosuch"),
            lambda: client.api.remove_network("bridge"),
            lambda: net.connect("nosuch"),
            lambda: net.connect("one"),
            lambda: net.connect("one", ipv4_address="10.3.0.1"),
            lambda: plain.connect("one", ipv4_address="10.79.0.9"),
            lambda: plain.connect("one", mac_address="x"),
            lambda: plain.connect("one", link_local_ips=["x"]),
            lambda: plain.disconnect("one"),
            lambda: plain.disconnect("nosuch"),
            lambda: client.networks.get("host").connect("one"),
            lambda: client.networks.get("none").connect("one"),
            lambda: client.networks.get("bridge").connect("one", aliases=["x"]),
            lambda: client.networks.get("bridge").connect("one", ipv4_address="172.17.0.9"),
        ]
        names = {net.id: "N1", plain.id: "N2", one.id: "ONE"}
        found = [refusal(call) for call in calls]
        for ident, name in names.items():
            found = [text.replace(ident, name) for text in found]
        return found

    assert both.difference(told) == ""


def test_a_network_in_use_is_not_removed(client: docker.DockerClient, box: Box) -> None:
    net = client.networks.create("n1")
    one = box(name="one", network="n1")
    assert "network n1 has active endpoints" in refusal(net.remove)
    one.remove(force=True)
    net.remove()
    with pytest.raises(docker.errors.NotFound, match="network n1 not found"):
        client.networks.get("n1")
