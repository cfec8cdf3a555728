"""IPv6 addresses from a real DHCPv6 server on the segment, with a router and without one."""

import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.root.dhcp_ground import ROUTER, Server, answers, clients, macvlan, network, shown
from tests.root.ground import DaemonGround, Refused, compared, until

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo make test-root"),
    pytest.mark.skipif(not shutil.which("dnsmasq"), reason="no dnsmasq (apt-get install dnsmasq-base)"),
    pytest.mark.skipif(not shutil.which("dhcpcd"), reason="no dhcpcd (apt-get install dhcpcd-base)"),
]

STATEFUL = "--dhcp-range=fd07::100,fd07::1ff,64,2m"
IPV6 = {"EnableIPv6": True}
IPV6_ALONE = {"EnableIPv4": False, "EnableIPv6": True}


@pytest.fixture
def ground() -> Iterator[DaemonGround]:
    made = DaemonGround(Path(f"/dev/shm/bdhcp6-{os.getpid()}"), f"--bridge=bd{os.getpid()}")
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture
def server(ground: DaemonGround) -> Iterator[Server]:
    """It gives addresses of both families, and its router says so."""
    made = Server(ground)
    try:
        ground.sh("ip addr add fd07::1/64 dev lan0 nodad", made.path)
        made.start(50, 60, "--enable-ra", STATEFUL)
        yield made
    finally:
        made.close()


def address(ground: DaemonGround) -> str:
    """The box's IPv6 address, when the server has given it one."""
    until(lambda: bool(re.fullmatch("fd07::1..", shown(ground, "box")["GlobalIPv6Address"])), ground.said)
    return str(shown(ground, "box")["GlobalIPv6Address"])


def asking(ground: DaemonGround) -> list[str]:
    """The IPv6 clients' processes, by what leads each and what it forks."""
    return [words for words in ground.processes().values() if "dhcpcd" in words]


def leading(ground: DaemonGround) -> int:
    """The process of the one IPv6 client that does the asking, when it has begun to."""

    def found() -> list[int]:
        return [pid for pid, words in ground.processes().items() if re.fullmatch(r"dhcpcd: eth\d \[ip6\]", words)]

    until(lambda: len(found()) == 1, lambda: str(asking(ground)))
    return found()[0]


def test_an_endpoint_has_the_addresses_that_servers_gave_it(ground: DaemonGround, server: Server) -> None:
    macvlan(ground, **IPV6)
    ground.run("box", "lan", "sleep", "600", Hostname="boxer")
    own = address(ground)
    end = shown(ground, "box")
    assert end["GlobalIPv6PrefixLen"] == 128
    assert re.fullmatch(r"10\.7\.0\.(5\d|60)", end["IPAddress"])
    assert sorted(end["DriverOpts"]) == [
        f"bascule.{which}.{what}" for which in ("dhcp", "dhcpv6") for what in ("server", "until")
    ]
    (member,) = ground.ask("GET", "/networks/lan")["Containers"].values()
    assert member["IPv6Address"] == f"{own}/128"
    # The other machine reaches it by that, and knows its name.
    until(lambda: answers(ground, server, own))
    assert f" {own} boxer " in (server.directory / "leases").read_text()
    until(lambda: "default via fe80:" in ground.sh("ip -6 route show default", ground.sandbox("box")))


def test_a_disconnect_gives_all_addresses_back(ground: DaemonGround, server: Server) -> None:
    macvlan(ground, **IPV6)
    ground.run("box", "bridge", "sleep", "600")
    ground.ask("POST", "/networks/lan/connect", {"Container": "box"})
    address(ground)
    ground.ask("POST", "/networks/lan/disconnect", {"Container": "box"})
    until(lambda: server.count("DHCPRELEASE") == 2, server.said)
    assert asking(ground) == []
    assert list((ground.directory / "run/dhcp").iterdir()) == []


def test_a_container_gets_its_addresses_again_after_a_restart(ground: DaemonGround, server: Server) -> None:
    macvlan(ground, **IPV6)
    ground.run("box", "lan", "sleep", "600")
    before = address(ground)
    ground.ask("POST", "/containers/box/restart?t=0")
    assert address(ground) == before
    assert server.count("DHCPRELEASE") == 2


@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
def test_a_lease_is_kept_over_the_daemons_restart(ground: DaemonGround, server: Server, killed: bool) -> None:
    macvlan(ground, **IPV6)
    ground.run("box", "lan", "sleep", "600")
    own, before, client = address(ground), shown(ground, "box"), leading(ground)
    ground.kill() if killed else ground.stop()
    # It renews while no daemon is there.
    asked = server.count("DHCPRENEW")
    os.kill(client, signal.SIGUSR1)
    until(lambda: server.count("DHCPRENEW") > asked, server.said)
    ground.start()
    assert leading(ground) == client
    after = shown(ground, "box")
    assert (after["GlobalIPv6Address"], after["EndpointID"]) == (own, before["EndpointID"])
    until(lambda: shown(ground, "box")["DriverOpts"] != before["DriverOpts"], lambda: "the renewed lease is shown")
    ground.ask("DELETE", "/containers/box?force=1")
    until(lambda: server.count("DHCPRELEASE") == 2, server.said)
    assert asking(ground) == []


def test_a_client_that_dies_leaves_nothing_and_is_begun_again(ground: DaemonGround, server: Server) -> None:
    macvlan(ground, **IPV6)
    ground.run("box", "lan", "sleep", "600")
    own, asked = address(ground), server.count("DHCPREPLY")
    lone = sorted(asking(ground))
    os.kill(leading(ground), signal.SIGKILL)
    until(lambda: server.count("DHCPREPLY") > asked, ground.said)
    until(lambda: sorted(asking(ground)) == lone, lambda: str(asking(ground)))
    assert address(ground) == own


@pytest.mark.usefixtures("server")
def test_a_client_keeps_nothing_of_the_hosts_from_going(ground: DaemonGround) -> None:
    macvlan(ground, **IPV6)
    ground.run("other", "bridge", "sleep", "600")
    ground.run("box", "lan", "sleep", "600")
    address(ground)
    # What leads has its root in an empty directory; this one has not.
    (keeper,) = [pid for pid, words in ground.processes().items() if "[privileged proxy]" in words]
    mounts = Path(f"/proc/{keeper}/mountinfo").read_text()
    held = [line.split()[4] for line in mounts.splitlines()]
    assert "/var/lib/dhcpcd" in held
    assert [place for place in held if place.startswith(str(ground.directory))] == []


def test_a_silent_ipv6_server_is_in_nobodys_way(ground: DaemonGround, server: Server) -> None:
    server.stop()
    server.start()
    macvlan(ground, **IPV6)
    ground.run("box", "lan", "sleep", "600")
    assert re.fullmatch(r"10\.7\.0\.(5\d|60)", shown(ground, "box")["IPAddress"])
    assert shown(ground, "box")["GlobalIPv6Address"] == ""
    # It goes on asking.
    server.stop()
    server.start(50, 60, STATEFUL)
    os.kill(leading(ground), signal.SIGHUP)
    address(ground)


@pytest.mark.parametrize("router", [(), ("--enable-ra",)], ids=["no router", "router"])
def test_a_network_with_ipv6_alone_has_what_a_server_gives(
    ground: DaemonGround, server: Server, router: tuple[str, ...]
) -> None:
    server.stop()
    server.start(50, 60, STATEFUL, *router)
    macvlan(ground, **IPV6_ALONE)
    ground.run("box", "lan", "sleep", "600")
    # It is there when the container is.
    end = shown(ground, "box")
    assert re.fullmatch("fd07::1..", end["GlobalIPv6Address"])
    assert end["IPAddress"] == ""
    assert clients(ground) == []


def test_a_network_with_ipv6_alone_has_what_a_router_says(ground: DaemonGround, server: Server) -> None:
    server.stop()
    server.start(50, 60, *ROUTER)
    macvlan(ground, **IPV6_ALONE)
    ground.run("box", "lan", "sleep", "600")
    assert re.fullmatch("fd07::.*ff:fe.*", shown(ground, "box")["GlobalIPv6Address"])


def test_silence_on_a_network_with_ipv6_alone_is_an_error_and_leaves_nothing(
    ground: DaemonGround, server: Server
) -> None:
    server.stop()
    macvlan(ground, **IPV6_ALONE)
    ground.run("box", "bridge", "sleep", "600")
    untouched = ground.summary()
    with pytest.raises(
        Refused, match=r"500 .*lan: no DHCPv6 server and no router answered on eth1 within 8 seconds"
    ):
        ground.ask("POST", "/networks/lan/connect", {"Container": "box"})
    until(lambda: ground.summary() == untouched, lambda: compared(untouched, ground.summary()))
    assert asking(ground) == []
    assert list((ground.directory / "run/dhcp").iterdir()) == []


def test_a_lease_outlives_its_parent_link(ground: DaemonGround, server: Server) -> None:
    macvlan(ground, **IPV6)
    ground.run("box", "lan", "sleep", "600")
    own = address(ground)
    ground.sh("ip link del up9")
    until(lambda: ground.ask("GET", "/networks/lan").get("Status") == {"bascule.parent": "up9 is gone"})
    ground.sh("ip link add lan9 master br-lan type veth peer name up9; ip link set lan9 up; ip link set up9 up")
    until(lambda: f"inet6 {own}/128" in ground.sh("ip -o addr", ground.sandbox("box")), ground.said)
    until(lambda: answers(ground, server, own), ground.said)
    # It renews as if nothing had been.
    asked = server.count("DHCPREPLY")
    os.kill(leading(ground), signal.SIGUSR1)
    until(lambda: server.count("DHCPREPLY") > asked, server.said)
    assert address(ground) == own


def test_an_endpoint_of_a_guarded_bridge_has_what_the_segment_gives(ground: DaemonGround, server: Server) -> None:
    network(ground, **IPV6)
    ground.run("box", "lan", "sleep", "600")
    own = address(ground)
    until(lambda: answers(ground, server, own))
    until(lambda: "default via fe80:" in ground.sh("ip -6 route show default", ground.sandbox("box")))


def test_a_guarded_port_has_one_address_of_a_prefix_and_no_other(ground: DaemonGround, server: Server) -> None:
    server.stop()
    server.start(50, 60, *ROUTER)
    network(ground, **IPV6_ALONE)
    ground.run("box", "lan", "sleep", "600")
    own = shown(ground, "box")["GlobalIPv6Address"]
    assert re.fullmatch("fd07::.*ff:fe.*", own)
    until(lambda: answers(ground, server, own))
    # Somebody with the right to add addresses has another one, and one that the router's neighbours would believe.
    forged = ("fd07::5", own[:-1] + ("0" if own[-1] != "0" else "1"))
    for one in forged:
        ground.sh(f"ip addr add {one}/64 dev eth0 nodad", ground.sandbox("box"))
        assert not answers(ground, server, one)
        ground.sh(f"ip neigh replace {one} lladdr {shown(ground, 'box')['MacAddress']} dev lan0", server.path)
        assert not answers(ground, server, one)
    assert answers(ground, server, own)
