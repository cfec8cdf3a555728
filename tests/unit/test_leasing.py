"""Leases as addresses of an endpoint, and what is said where there is no client to ask with."""

import os
import select
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bascule.dhcp.client import _Client
from bascule.engine.leases import Wanted
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


@pytest.mark.skipif(not (shutil.which("udhcpc") or shutil.which("busybox")), reason="no udhcpc")
def test_a_client_that_ends_without_a_lease_is_begun_again_ever_later(tmp_path: Path) -> None:
    client = _Client(tmp_path / "e", 4)
    # There is no such namespace, so it ends at once.
    client.begin(Wanted("e", 4, str(tmp_path / "nowhere"), "eth0", "00" * 16, "box"), once=False)
    now, pauses = time.time(), []

    def ended() -> float:
        select.select(client.descriptors(), [], [], 10)
        client.look(now)
        assert client.ended
        return round((client.next_look() or 0.0) - now)

    for _ in range(7):
        pauses.append(ended())
        now += pauses[-1] + 0.5
        client.look(now)
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    # One that was given something, and only then ended, is begun again soon.
    lease = tmp_path / "e" / "lease"
    lease.write_text("10.7.0.5/24\n10.7.0.1\n10.7.0.1\n100000\n")
    # A file's time may be some milliseconds late.
    os.utime(lease, ns=(time.time_ns(), time.time_ns()))
    assert ended() == 1
    client.end()
