"""What is asked of a host that becomes a member of a cluster, before anything is touched."""

import pytest

from bascule.api.shapes.cluster import JoinBody, joining
from bascule.model.errors import Invalid

TOKEN = "BSCTKN-1-" + "0" * 64 + "-" + "0" * 32


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[31mb", " ", "two three", "a/b", "..", "x" * 65])
def test_a_node_is_called_as_a_host_can_be(name: str) -> None:
    with pytest.raises(Invalid, match="invalid node name"):
        joining(JoinBody(Address="10.0.0.1", Name=name), "host", found=True)


def test_it_is_called_as_the_host_is_where_nothing_is_said() -> None:
    assert joining(JoinBody(Address="10.0.0.1"), "host-1.example", found=True).name == "host-1.example"


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "fe80::1"])
def test_its_tunnels_end_where_others_reach_them(address: str) -> None:
    with pytest.raises(Invalid, match="other hosts do not reach this one at"):
        joining(JoinBody(Address=address), "host", found=True)


def test_a_host_to_ask_and_no_token_is_refused_and_not_taken_for_a_store() -> None:
    with pytest.raises(Invalid, match=r"10\.0\.0\.2 lets nobody in without a token"):
        joining(JoinBody(Address="10.0.0.1", Remote="10.0.0.2"), "host", found=False)
    assert joining(JoinBody(Address="10.0.0.1", Remote="10.0.0.2", Token=TOKEN), "host", found=False).embedded
