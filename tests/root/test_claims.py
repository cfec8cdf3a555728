"""What the host has an address in or a route to, as others change it behind our back."""

from tests.root.conftest import Host

from bascule.kernel.linux import LinuxKernel
from bascule.model.addresses import ip_interface
from bascule.model.links import Address, Bridge
from bascule.model.spans import network
from bascule.model.thing import Thing

FOREIGN = "ip link add f0 type veth peer name f1; ip link set f1 up; ip link set f0 up"


def claims(kernel: LinuxKernel) -> str:
    """But for those of any host."""
    found = map(network, kernel.routes())
    return " ".join(sorted(str(net) for net in found if not net.is_loopback and not net.is_link_local))


def test_what_others_add_and_take_away_is_known_at_the_next_question(host: Host, kernel: LinuxKernel) -> None:
    assert claims(kernel) == ""
    host.sh(f"{FOREIGN}; ip addr add 10.1.0.1/24 dev f0; ip addr add fd01::1/64 dev f0 nodad")
    assert claims(kernel) == "10.1.0.0/24 fd01::/64"
    host.sh("ip route add 10.2.0.0/16 via 10.1.0.9; ip route add blackhole 10.3.0.0/16")
    assert claims(kernel) == "10.1.0.0/24 10.2.0.0/16 10.3.0.0/16 fd01::/64"
    host.sh(
        "ip route del blackhole 10.3.0.0/16; ip route add 10.4.0.0/16 dev f0 table 7; ip addr del fd01::1/64 dev f0"
    )
    assert claims(kernel) == "10.1.0.0/24 10.2.0.0/16 10.4.0.0/16"


def test_routes_that_go_without_a_word_with_their_link_are_gone(host: Host, kernel: LinuxKernel) -> None:
    host.sh(f"{FOREIGN}; ip addr add 10.1.0.1/24 dev f0; ip route add 10.2.0.0/16 via 10.1.0.9")
    assert claims(kernel) == "10.1.0.0/24 10.2.0.0/16"
    host.sh("ip link set f0 down")
    assert claims(kernel) == "10.1.0.0/24"
    host.sh("ip link set f0 up")
    assert claims(kernel) == "10.1.0.0/24"
    host.sh("ip link del f0")
    assert claims(kernel) == ""


def test_one_of_two_routes_to_a_network_may_go(host: Host, kernel: LinuxKernel) -> None:
    host.sh(f"{FOREIGN}; ip addr add 10.1.0.1/24 dev f0")
    host.sh("ip route add 10.2.0.0/16 dev f0 metric 1; ip route add 10.2.0.0/16 dev f0 metric 2")
    assert "10.2.0.0/16" in claims(kernel)
    host.sh("ip route del 10.2.0.0/16 dev f0 metric 1")
    assert "10.2.0.0/16" in claims(kernel)
    host.sh("ip route del 10.2.0.0/16 dev f0 metric 2")
    assert "10.2.0.0/16" not in claims(kernel)


def test_more_changes_than_the_kernel_keeps_for_us_are_not_missed(host: Host, kernel: LinuxKernel) -> None:
    host.sh(f"{FOREIGN}; ip addr add 10.1.0.1/24 dev f0")
    assert claims(kernel) == "10.1.0.0/24"
    host.sh(
        "for n in $(seq 2000); do echo route add 10.$((100 + n / 250)).$((n % 250)).0/24 dev f0; done | ip -batch -"
    )
    assert len(claims(kernel).split()) == 2001
    host.sh("ip route flush dev f0 proto boot")
    assert claims(kernel) == "10.1.0.0/24"


def test_what_goes_with_a_link_of_ours_is_gone(host: Host, kernel: LinuxKernel) -> None:
    things: list[Thing] = [
        Bridge("br-own", mac="02:00:00:00:00:01"),
        Address("br-own", ip_interface("10.5.0.1/24")),
    ]
    kernel.routes()
    kernel.add(things)
    assert claims(kernel) == "10.5.0.0/24"
    host.sh("ip route add 10.6.0.0/16 via 10.5.0.9")
    assert claims(kernel) == "10.5.0.0/24 10.6.0.0/16"
    kernel.remove(things[::-1])
    assert claims(kernel) == ""
    kernel.add(things)
    assert claims(kernel) == "10.5.0.0/24"
