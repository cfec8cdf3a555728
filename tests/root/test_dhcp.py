"""Addresses from a real DHCP server on the segment: dnsmasq in a namespace, behind the uplink of a bridge."""

import os
import re
import select
import shutil
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv6Address
from pathlib import Path

import pytest
from tests.root.dhcp_ground import OPTIONS, ROUTER, Server, answers, clients, macvlan, network, shown
from tests.root.ground import DaemonGround, Refused, compared, until

from bascule.kernel import namespaces
from bascule.wire.probes import ETH_P_ARP

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo make test-root"),
    pytest.mark.skipif(not shutil.which("dnsmasq"), reason="no dnsmasq (apt-get install dnsmasq-base)"),
]


@pytest.fixture
def ground() -> Iterator[DaemonGround]:
    made = DaemonGround(Path(f"/dev/shm/bdhcp-{os.getpid()}"), f"--bridge=bd{os.getpid()}")
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture
def server(ground: DaemonGround) -> Iterator[Server]:
    made = Server(ground)
    try:
        made.start()
        yield made
    finally:
        made.close()


def test_an_endpoint_has_the_address_that_the_server_gave_it(ground: DaemonGround, server: Server) -> None:
    network(ground)
    ground.run("box", "lan", "sleep", "600", Hostname="boxer")
    end = shown(ground, "box")
    assert re.fullmatch(
        r"10\.7\.0\.(5\d|60)/24 10\.7\.0\.1", f"{end['IPAddress']}/{end['IPPrefixLen']} {end['Gateway']}"
    )
    assert sorted(end["DriverOpts"]) == ["bascule.dhcp.server", "bascule.dhcp.until"]
    inside = ground.sandbox("box")
    assert f"inet {end['IPAddress']}/24" in ground.sh("ip -o addr show dev eth0", inside)
    assert ground.sh("ip route show default", inside).strip() == "default via 10.7.0.1 dev eth0"
    # The other machine reaches it by its own address, and knows its name.
    ground.sh(f"ping -q -c 1 -W 5 {end['IPAddress']}", server.path)
    assert f"{end['IPAddress']} boxer" in (server.directory / "leases").read_text()


def test_a_disconnect_and_an_end_give_the_address_back(ground: DaemonGround, server: Server) -> None:
    network(ground)
    ground.run("box", "bridge", "sleep", "600")
    ground.ask("POST", "/networks/lan/connect", {"Container": "box"})
    assert server.count("DHCPRELEASE") == 0
    ground.ask("POST", "/networks/lan/disconnect", {"Container": "box"})
    until(lambda: server.count("DHCPRELEASE") == 1)
    ground.ask("POST", "/networks/lan/connect", {"Container": "box"})
    ground.ask("DELETE", "/containers/box?force=1")
    until(lambda: server.count("DHCPRELEASE") == 2)
    assert clients(ground) == []
    assert list((ground.directory / "run/dhcp").iterdir()) == []


def test_a_container_gets_its_address_again_after_a_restart(ground: DaemonGround, server: Server) -> None:
    network(ground)
    ground.run("box", "lan", "sleep", "600")
    before = shown(ground, "box")
    ground.ask("POST", "/containers/box/restart?t=0")
    after = shown(ground, "box")
    assert [after[key] for key in ("IPAddress", "MacAddress")] == [
        before[key] for key in ("IPAddress", "MacAddress")
    ]
    assert server.count("DHCPRELEASE") == 1


@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
def test_a_lease_is_kept_over_the_daemons_restart(ground: DaemonGround, server: Server, killed: bool) -> None:
    network(ground)
    ground.run("box", "lan", "sleep", "600")
    before, (client,) = shown(ground, "box"), clients(ground)
    ground.kill() if killed else ground.stop()
    # It renews while no daemon is there.
    asked = server.count("DHCPACK")
    os.kill(client, signal.SIGUSR1)
    until(lambda: server.count("DHCPACK") == asked + 1)
    ground.start()
    assert clients(ground) == [client]
    after = shown(ground, "box")
    assert (after["IPAddress"], after["EndpointID"]) == (before["IPAddress"], before["EndpointID"])
    until(lambda: shown(ground, "box")["DriverOpts"] != before["DriverOpts"], lambda: "the renewed lease is shown")
    ground.ask("DELETE", "/containers/box?force=1")
    until(lambda: server.count("DHCPRELEASE") == 1)


def test_a_client_that_dies_is_begun_again(ground: DaemonGround, server: Server) -> None:
    network(ground)
    ground.run("box", "lan", "sleep", "600")
    before, (client,) = shown(ground, "box"), clients(ground)
    os.kill(client, signal.SIGKILL)
    until(lambda: clients(ground) not in ([], [client]))
    until(lambda: server.count("DHCPACK") == 2)
    assert shown(ground, "box")["IPAddress"] == before["IPAddress"]


FAR = "--dhcp-option=3,10.99.0.1"
ALONE = "--dhcp-option=1,255.255.255.255"


@pytest.mark.parametrize("more", [[FAR], [FAR, ALONE], [ALONE]], ids=["far", "far and alone", "alone"])
def test_a_router_outside_of_the_subnet_is_on_the_link(
    ground: DaemonGround, server: Server, more: list[str]
) -> None:
    """As hosters have it."""
    ground.sh("ip addr add 10.99.0.1/32 dev lan0", server.path)
    server.stop()
    server.start(50, 60, *more)
    network(ground)
    ground.run("box", "lan", "sleep", "600")
    router = "10.99.0.1" if FAR in more else "10.7.0.1"
    end, inside = shown(ground, "box"), ground.sandbox("box")
    assert (end["Gateway"], end["IPPrefixLen"]) == (router, 32 if ALONE in more else 24)
    routes = [line.strip() for line in ground.sh("ip route", inside).splitlines()]
    assert routes[0] == f"default via {router} dev eth0"
    assert f"{router} dev eth0 scope link" in routes
    ground.sh(f"ping -q -c 1 -W 5 {router}; ping -q -c 1 -W 5 10.7.0.1", inside)


def test_another_address_and_router_are_taken_over(ground: DaemonGround, server: Server) -> None:
    ground.sh("ip addr add 10.99.0.1/32 dev lan0", server.path)
    network(ground)
    ground.run("box", "lan", "sleep", "600")
    (client,), inside = clients(ground), ground.sandbox("box")

    def has(begins: str, router: str) -> None:
        until(lambda: shown(ground, "box")["IPAddress"].startswith(begins), ground.said)
        address = shown(ground, "box")["IPAddress"]
        assert [word for word in ground.sh("ip -o -4 addr show dev eth0", inside).split() if "/24" in word] == [
            f"{address}/24"
        ]
        assert shown(ground, "box")["Gateway"] == router
        assert ground.sh("ip route show default", inside).strip() == f"default via {router} dev eth0"
        ground.sh(f"ping -q -c 1 -W 5 {router}", inside)

    def renewed(first: int, *more: str) -> None:
        server.stop()
        server.start(first, first + 5, *more)
        os.kill(client, signal.SIGUSR1)
        until(lambda: server.count("DHCPACK") == 1, server.said)

    # Another address, another router, and both.
    renewed(150)
    has("10.7.0.15", "10.7.0.1")
    renewed(150, FAR)
    until(lambda: shown(ground, "box")["Gateway"] == "10.99.0.1", ground.said)
    has("10.7.0.15", "10.99.0.1")
    assert ground.count("router 10.99.0.1") == 1, ground.said()
    ground.kill()
    renewed(170)
    ground.start()
    has("10.7.0.17", "10.7.0.1")
    assert ground.sh("ip route show 10.99.0.1", inside) == ""
    assert "Status" not in ground.ask("GET", "/networks/lan")
    # And the watch goes on.
    renewed(180, FAR)
    has("10.7.0.18", "10.99.0.1")


def heard(server: Server) -> socket.socket:
    """What is said of addresses on the segment from now on."""
    ears = namespaces.in_namespace(
        server.path, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ARP))
    )
    ears.bind(("lan0", ETH_P_ARP))
    return ears


def arps(ears: socket.socket) -> Iterator[tuple[str, str]]:
    """Who told or asked of whom: the sender's address, and the target's."""
    while select.select([ears], [], [], 0)[0]:
        frame = ears.recv(256)
        yield socket.inet_ntoa(frame[28:32]), socket.inet_ntoa(frame[38:42])


@pytest.mark.parametrize("driver", ["bridge", "macvlan"])
def test_a_leases_address_is_asked_for_before_and_told_after(
    ground: DaemonGround, server: Server, driver: str
) -> None:
    macvlan(ground) if driver == "macvlan" else network(ground)
    with heard(server) as ears:
        ground.run("box", "lan", "sleep", "600")
        # Connecting is over, and with it all that is to be said.
        own, said = shown(ground, "box")["IPAddress"], list(arps(ears))
    assert said.index(("0.0.0.0", own)) < said.index((own, own))
    assert said.count((own, own)) == 1


def test_both_can_be_switched_off(ground: DaemonGround, server: Server) -> None:
    options = {"bascule.duplicate_detection": "off", "com.docker.network.advertise_addr_nmsgs": "0"}
    macvlan(ground, Options={"parent": "up9", **options})
    with heard(server) as ears:
        ground.run("box", "lan", "sleep", "600")
        own = shown(ground, "box")["IPAddress"]
        ground.sh("ping -q -c 1 -W 1 10.7.0.77 || true", ground.sandbox("box"))
        said = list(arps(ears))
    assert (own, "10.7.0.77") in said
    assert {("0.0.0.0", own), (own, own)} & set(said) == set()


def test_an_address_that_somebody_has_is_declined(ground: DaemonGround, server: Server) -> None:
    server.stop()
    # The server itself does not ask.
    server.start(50, 51, "--no-ping")
    for address in ("10.7.0.50", "10.7.0.51"):
        ground.sh(f"ip addr add {address}/32 dev br-lan")
    network(ground)
    with pytest.raises(Refused, match="no address could be had on eth0 within 10 seconds"):
        ground.run("box", "lan", "sleep", "600")
    assert server.count("DHCPDECLINE") == 2
    ground.sh("ip addr del 10.7.0.51/32 dev br-lan")
    server.stop()
    (server.directory / "leases").unlink()
    server.start(50, 51, "--no-ping")
    ground.ask("POST", "/containers/box/start")
    assert shown(ground, "box")["IPAddress"] == "10.7.0.51"


@pytest.mark.parametrize("good", ["infinite", "30d"])
def test_a_long_lease_is_in_nobodys_way(ground: DaemonGround, server: Server, good: str) -> None:
    server.stop()
    server.start(good=good)
    network(ground)
    ground.run("box", "lan", "sleep", "600")
    assert (shown(ground, "box")["DriverOpts"]["bascule.dhcp.until"] == "forever") == (good == "infinite")
    ground.run("other", "lan", "sleep", "600")
    ground.stop()
    ground.start()
    ground.run("third", "lan", "sleep", "600")
    assert len({shown(ground, name)["IPAddress"] for name in ("box", "other", "third")}) == 3


def test_a_silent_server_is_an_error_and_leaves_nothing(ground: DaemonGround, server: Server) -> None:
    network(ground)
    server.stop()
    ground.run("box", "bridge", "sleep", "600")
    untouched = ground.summary()
    with pytest.raises(Refused, match=r"500 .*network lan: no DHCP server answered on eth1 within 4 seconds"):
        ground.ask("POST", "/networks/lan/connect", {"Container": "box"})
    until(lambda: ground.summary() == untouched, lambda: compared(untouched, ground.summary()))
    with pytest.raises(Refused, match=r"500 .*failed to set up container networking: network lan: no DHCP server"):
        ground.run("other", "lan", "true")
    assert clients(ground) == []


def test_the_rest_is_answered_while_a_server_takes_its_time(ground: DaemonGround, server: Server) -> None:
    """Nobody else waits for a DHCP server."""
    network(ground)
    server.stop()
    for name in ("box", "other"):
        ground.run(name, "bridge", "sleep", "600")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ground.ask, "POST", "/networks/lan/connect", {"Container": "box"})
        until(lambda: clients(ground) != [])
        ground.ask("POST", "/networks/create", {"Name": "meanwhile"})
        ground.ask("POST", "/networks/meanwhile/connect", {"Container": "other"})
        assert not asked.done()
        with pytest.raises(Refused, match="no DHCP server"):
            asked.result()


def test_an_exhausted_server_refuses_one_more(ground: DaemonGround, server: Server) -> None:
    network(ground)
    server.stop()
    server.start(50, 50)
    ground.run("one", "lan", "sleep", "600")
    with pytest.raises(Refused, match="no DHCP server answered"):
        ground.run("two", "lan", "sleep", "600")
    ground.ask("DELETE", "/containers/one?force=1")
    ground.ask("POST", "/containers/two/start")
    assert shown(ground, "two")["IPAddress"] == "10.7.0.50"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"IPAM": {"Driver": "dhcp", "Config": [{"Subnet": "10.7.0.0/24"}]}}, "400 .*takes no subnet"),
        ({"IPAM": {"Driver": "dhcp"}, "EnableIPv4": False}, "400 .*there are to be none"),
    ],
)
def test_what_a_server_decides_is_not_asked_of_us(ground: DaemonGround, body: dict[str, object], why: str) -> None:
    with pytest.raises(Refused, match=why):
        ground.ask("POST", "/networks/create", {"Name": "lan", "Options": OPTIONS, **body})


def test_a_macvlan_endpoint_has_a_lease_too(ground: DaemonGround, server: Server) -> None:
    macvlan(ground)
    ground.run("box", "lan", "sleep", "600")
    ground.sh(f"ping -q -c 1 -W 5 {shown(ground, 'box')['IPAddress']}", server.path)
    ground.ask("DELETE", "/containers/box?force=1")
    until(lambda: server.count("DHCPRELEASE") == 1)


def test_a_lease_outlives_its_parent_link(ground: DaemonGround, server: Server) -> None:
    macvlan(ground)
    ground.run("box", "lan", "sleep", "600")
    before, (client,) = shown(ground, "box"), clients(ground)
    ground.sh("ip link del up9")
    until(lambda: ground.ask("GET", "/networks/lan").get("Status") == {"bascule.parent": "up9 is gone"})
    ground.sh("ip link add lan9 master br-lan type veth peer name up9; ip link set lan9 up; ip link set up9 up")
    until(lambda: f"inet {before['IPAddress']}/24" in ground.sh("ip -o addr", ground.sandbox("box")), ground.said)
    until(lambda: answers(ground, server, before["IPAddress"]), ground.said)
    # It renews as if nothing had been.
    asked = server.count("DHCPACK")
    os.kill(client, signal.SIGUSR1)
    until(lambda: server.count("DHCPACK") > asked, ground.said)
    assert shown(ground, "box")["IPAddress"] == before["IPAddress"]


def test_an_endpoint_has_an_address_of_the_prefix_that_a_router_advertises(
    ground: DaemonGround, server: Server
) -> None:
    ground.sh("ip addr add fd07::1/64 dev lan0 nodad", server.path)
    server.stop()
    server.start(50, 60, *ROUTER)
    macvlan(ground, EnableIPv6=True)
    ground.run("box", "lan", "sleep", "600")
    until(lambda: shown(ground, "box")["GlobalIPv6Address"] != "", lambda: server.said())
    end = shown(ground, "box")
    # It follows from the MAC, and so it is the same after a restart (RFC 4291, appendix A).
    own = bytes.fromhex(end["MacAddress"].replace(":", ""))
    ident = bytes([own[0] ^ 2]) + own[1:3] + b"\xff\xfe" + own[3:]
    assert end["GlobalIPv6Address"] == str(IPv6Address(IPv6Address("fd07::").packed[:8] + ident))
    assert end["GlobalIPv6PrefixLen"] == 64
    (member,) = ground.ask("GET", "/networks/lan")["Containers"].values()
    assert member["IPv6Address"] == f"{end['GlobalIPv6Address']}/64"
    # The router reaches it by that, and is its way out.
    until(lambda: answers(ground, server, end["GlobalIPv6Address"]))
    until(lambda: "default via fe80:" in ground.sh("ip -6 route show default", ground.sandbox("box")))
    ground.kill()
    ground.start()
    assert shown(ground, "box")["GlobalIPv6Address"] == end["GlobalIPv6Address"]


def test_without_ipv6_what_routers_advertise_is_not_taken(ground: DaemonGround, server: Server) -> None:
    ground.sh("ip addr add fd07::1/64 dev lan0 nodad", server.path)
    macvlan(ground)
    ground.run("box", "lan", "sleep", "600")
    server.stop()
    # A router that begins tells so within seconds, unasked.
    server.start(50, 60, *ROUTER)
    until(lambda: server.count("RTR-ADVERT") > 0)
    assert ground.sh("ip -6 -o addr show dev eth0; ip -6 route show dev eth0", ground.sandbox("box")) == ""
    assert shown(ground, "box")["GlobalIPv6Address"] == ""


def test_a_router_is_no_way_out_of_an_internal_network(ground: DaemonGround, server: Server) -> None:
    ground.sh("ip addr add fd07::1/64 dev lan0 nodad", server.path)
    macvlan(ground, EnableIPv6=True, Internal=True)
    pool = {"Config": [{"Subnet": "10.8.0.0/24"}, {"Subnet": "fd08::/64"}]}
    body = {"Driver": "macvlan", "Options": {"parent": "up9"}, "EnableIPv6": True}
    ground.ask("POST", "/networks/create", {**body, "Name": "inner", "IPAM": pool, "Internal": True})
    pool = {"Config": [{"Subnet": "10.9.0.0/24"}, {"Subnet": "fd09::/64"}]}
    ground.ask("POST", "/networks/create", {**body, "Name": "outer", "IPAM": pool})
    for name, net in (("leased", "lan"), ("chosen", "inner"), ("open", "outer")):
        ground.run(name, net, "sleep", "600")
    server.stop()
    # A router that begins tells so within seconds, unasked.
    server.start(50, 60, *ROUTER)
    routes = {name: lambda name=name: ground.sh("ip -6 route", ground.sandbox(name)) for name in ("leased", "open")}
    until(lambda: "proto ra" in routes["open"](), server.said)
    # It has told all of them at once.
    until(lambda: shown(ground, "leased")["GlobalIPv6Address"].startswith("fd07::"), server.said)
    assert [line for line in routes["leased"]().splitlines() if "via" in line] == []
    assert "ra" not in ground.sh("ip -6 route", ground.sandbox("chosen")).split()
    assert "fd07:" not in ground.sh("ip -6 addr", ground.sandbox("chosen"))


def test_the_host_reaches_leases_with_an_address_on_its_own_link(ground: DaemonGround, server: Server) -> None:
    macvlan(ground, Options={"parent": "up9", "bascule.host_access": "true"})
    ground.run("box", "lan", "sleep", "600")
    own, inside = shown(ground, "box")["IPAddress"], ground.sandbox("box")
    # One that nobody else has, or the one that the host has on the parent.
    ground.sh("ip addr add 10.7.0.200/24 dev up9")
    ground.sh(f"ip addr add 10.7.0.200/32 dev bh-{ground.ask('GET', '/networks/lan')['Id'][:12]}")
    ground.sh(f"ping -q -c 1 -W 5 {own}")
    ground.sh("ping -q -c 1 -W 5 10.7.0.200", inside)
    server.stop()
    server.start(70, 75)
    (client,) = clients(ground)
    os.kill(client, signal.SIGUSR1)
    until(lambda: shown(ground, "box")["IPAddress"].startswith("10.7.0.7"), ground.said)
    ground.sh(f"ping -q -c 1 -W 5 {shown(ground, 'box')['IPAddress']}")
    assert ground.sh(f"ip route show {own}") == ""
