"""Leases as addresses of an endpoint, and what is said where there is no client to ask with."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bascule.engine.leasing import with_lease
from bascule.model.addresses import ip_address, ip_interface
from bascule.model.endpoint import Endpoint, Lease

V4 = Lease(ip_interface("10.7.0.5/24"), ip_address("10.7.0.1"), "10.7.0.1", 120, 1)
V6 = Lease(ip_interface("fd07::5/128"), None, "0001", 120, 1)
BARE = Endpoint(id="e", network="n", sandbox="s", name="box", created=1)


def test_each_family_has_its_own_lease() -> None:
    both = with_lease(with_lease(BARE, 6, V6), 4, V4)
    assert (both.addresses, both.gateways) == ((V4.address, V6.address), (V4.gateway,))
    assert (both.lease(4), both.lease(6)) == (V4, V6)


def test_a_lease_that_ran_out_takes_its_own_address_along() -> None:
    both = with_lease(with_lease(BARE, 4, V4), 6, V6)
    assert with_lease(both, 6, None) == with_lease(BARE, 4, V4)
    assert with_lease(with_lease(both, 6, None), 4, None) == BARE


def test_another_lease_replaces_the_one_of_its_family() -> None:
    other = replace(V6, address=ip_interface("fd07::6/128"))
    assert with_lease(with_lease(BARE, 6, V6), 6, other).addresses == (other.address,)


@pytest.mark.parametrize(("version", "package"), [(4, "udhcpc or busybox-static"), (6, "dhcpcd-base")])
def test_a_client_that_is_not_installed_is_named_with_its_package(
    tmp_path: Path, version: int, package: str
) -> None:
    ask = (
        "from bascule.dhcp.client import DhcpClient; from bascule.engine.leases import Wanted\n"
        f"DhcpClient({str(tmp_path)!r}).resume(Wanted('e', {version}, '/n', 'eth0', '00' * 16, 'box'))"
    )
    said = subprocess.run(
        [sys.executable, "-c", ask], capture_output=True, text=True, env={**os.environ, "PATH": "/nowhere"}
    )
    assert f"and there is none (apt-get install {package})" in said.stderr
    assert list((tmp_path / "dhcp").iterdir()) == []
