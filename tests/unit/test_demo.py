"""The demo's picture, drawn from what `network inspect` answers."""

from typing import Any

from demo.picture import draw


def network(name: str, subnet: str, *containers: tuple[str, str], internal: bool = False) -> dict[str, Any]:
    return {
        "Name": name,
        "Driver": "bridge",
        "Internal": internal,
        "IPAM": {"Config": [{"Subnet": subnet}]},
        "Containers": {
            who: {"Name": who, "IPv4Address": f"{where}/16", "IPv6Address": ""} for who, where in containers
        },
    }


def test_the_picture_shows_each_network_with_its_containers_and_where_else_they_are() -> None:
    app = network("app", "172.18.0.0/16", ("web", "172.18.0.2"), ("far", "172.18.0.3"))
    other = network("other", "172.19.0.0/16", ("far", "172.19.0.2"))
    assert (
        draw([app, other])
        == """\
host
├─ app      bridge   172.18.0.0/16
│     ├─ far      172.18.0.3  (also on other)
│     └─ web      172.18.0.2
└─ other    bridge   172.19.0.0/16
      └─ far      172.19.0.2  (also on app)"""
    )


def test_an_internal_network_is_marked_and_an_empty_one_has_no_branches() -> None:
    vault = network("vault", "172.20.0.0/16", internal=True)
    none = {"Name": "none", "Driver": "null", "IPAM": {"Config": None}, "Containers": None}
    assert (
        draw([vault, none])
        == """\
host
├─ vault    bridge   172.20.0.0/16  no way out
└─ none     null"""
    )
