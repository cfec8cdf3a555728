"""LinuxKernel, seen by `ip`."""

from ipaddress import ip_address, ip_interface

from tests.root.conftest import Host

from bascule.kernel.linux import LinuxKernel
from bascule.model.links import Address, Bridge, Namespace, Route, Up, Veth
from bascule.model.thing import Thing


def attach(host: Host, name: str = "c1", number: int = 2) -> list[Thing]:
    ns = host.container(name)
    return [
        Namespace(ns),
        Veth(f"v{name}", "eth0", ns, mac=f"02:00:00:00:00:{number:02x}", master="br0"),
        Address("eth0", ip_interface(f"10.7.0.{number}/24"), ns),
        Address("eth0", ip_interface(f"fd07::{number}/64"), ns),
        Up("eth0", ns),
        Route("eth0", None, ip_address("10.7.0.1"), ns=ns),
        Route("eth0", None, ip_address("fd07::1"), ns=ns),
    ]


NETWORK: list[Thing] = [
    Bridge("br0", mac="02:00:00:00:00:01"),
    Address("br0", ip_interface("10.7.0.1/24")),
    Address("br0", ip_interface("fd07::1/64")),
]


def test_a_container_on_a_bridge_reaches_its_gateway(host: Host, kernel: LinuxKernel) -> None:
    things = [*NETWORK, *attach(host)]
    assert kernel.add(things) == ["made"] * len(things)
    assert kernel.missing(things) == []
    host.sh("ping -c1 -W2 10.7.0.1 && ping -c1 -W2 fd07::1", host.container("c1"))
    assert kernel.add(things) == ["held"] * len(things)
    print(kernel.dump())
    assert kernel.remove(things[::-1]) == []
    kernel.settle()
    assert kernel.missing(things) == things
    assert kernel.dump() == ""
