"""What the kernel was asked is in the log at debug, as lines that one could type."""

import logging
from ipaddress import ip_interface

import pytest

from bascule.kernel.linux import LinuxKernel
from bascule.model.firewall import Forward
from bascule.model.links import Address, Bridge, Sysctl
from bascule.model.thing import Thing

THINGS: list[Thing] = [
    Bridge("br0", mac="02:00:00:00:00:01"),
    Sysctl("net/ipv6/conf/br0/accept_ra", "0"),
    Address("br0", ip_interface("10.7.0.1/24")),
    Forward("br0", 4, "nat"),
]


def test_what_is_made_and_unmade_is_told_at_debug(kernel: LinuxKernel, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "bascule.kernel"):
        kernel.guard([])
        kernel.add(THINGS)
        # It holds already, so nothing is asked for; and a refusal is the caller's to tell.
        kernel.add([*THINGS[:1], Address("nosuch", ip_interface("10.8.0.1/24"))])
        kernel.remove(THINGS[::-1])
    assert caplog.messages == [
        "nft -f - # the rule set, whole, for 0 statements",
        "ip link add br0 address 02:00:00:00:00:01 type bridge && ip link set br0 mtu 1500 addrgenmode none up",
        "sysctl -qw net/ipv6/conf/br0/accept_ra=0",
        "ip addr add 10.7.0.1/24 dev br0",
        *(lines := str(THINGS[3]).splitlines()),
        *(f"# removes: {line}" for line in lines),
        "# removes: ip addr add 10.7.0.1/24 dev br0",
        "# removes: ip link add br0 address 02:00:00:00:00:01 type bridge"
        " && ip link set br0 mtu 1500 addrgenmode none up",
    ]


def test_at_info_nothing_of_it_is_told(kernel: LinuxKernel, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "bascule.kernel"):
        kernel.guard([])
        kernel.add(THINGS)
        kernel.remove(THINGS[::-1])
    assert caplog.messages == []
