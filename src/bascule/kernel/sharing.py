"""Dividing connections among a service's endpoints: the rule set of a namespace, as text. Pure.

Two maps a family. `among_ip` says for an address among how many its connections are divided, as the chain that does
it; `members_ip` says for the address and a number from nought who it is. An endpoint that comes or goes is an
element or two of each; a chain is a number of endpoints, is made when first there are as many, and stays.

The number is drawn at random: a counter would be shared by all addresses that are divided among as many, and a
program that asks two services in turn would always meet the same endpoint of each.

Translation is in the asker's own namespace, before routing: the packet leaves with its own source and the
endpoint's address, so neither bridges nor other hosts know of a service. What is routed through (an entry, or
containers inside a container) is translated as well, and what an entry passes on has the entry's address, so that
answers come back to it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from string import Template

from bascule.model.addresses import FAMILIES, IPAddress, family, nft_family
from bascule.model.endpoint import Proto

TABLE = "bascule-services"
Shares = Mapping[IPAddress, Sequence[IPAddress]]
Only = Sequence[tuple[Proto, int]]
"""What passes through on its way to a member; nothing said: all."""
Key = tuple[str, str]
"""Of an element: the map's name and the key as nft writes it."""
MOST = 4096
"""How many endpoints an address is divided among at most; those behind are left out."""

_BEGIN = f"add table inet {TABLE}\ndelete table inet {TABLE}\n"
_MAPS = Template(
    """\
	map among_$ip {
		type $addr : verdict
		comment "among how many"
	}
	map members_$ip {
		typeof $ip daddr . numgen random mod 4096 : $ip daddr
		comment "and who they are"
	}
"""
)
_CHAINS = """\
	chain divide {
		ip daddr vmap @among_ip comment "services"
		ip6 daddr vmap @among_ip6 comment "services"
	}
	chain output {
		type nat hook output priority -100; policy accept;
		jump divide comment "what is asked from here"
	}
	chain prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		jump divide comment "what is asked from behind"
	}
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ct status dnat fib saddr type != local masquerade comment "answers come back this way"
	}
"""

_PUBLISHED = "published ports, and nothing else"
_PURPOSES = ("what is asked from here", "what is asked from behind", "answers come back this way")


def arranged(before: Sequence[IPAddress], now: Sequence[IPAddress]) -> tuple[IPAddress, ...]:
    """*now* in an order that differs little from *before*: who stays keeps his number where that can be."""
    wanted = list(dict.fromkeys(now))[:MOST]
    new = [one for one in wanted if one not in before]
    slots = list(before)
    for at in reversed(range(len(slots))):
        if slots[at] in wanted:
            continue
        # Whoever is behind has been looked at and stays.
        put = new.pop(0) if new else slots.pop()
        if at < len(slots):
            slots[at] = put
    return (*slots, *new)


def elements(shares: Shares) -> dict[Key, str]:
    """The elements that say *shares*, with their values."""
    found: dict[Key, str] = {}
    for front, members in shares.items():
        if members:
            ip = nft_family(family(front))
            found[f"among_{ip}", str(front)] = f"goto among-{len(members)}-{ip}"
            for number, member in enumerate(members):
                found[f"members_{ip}", f"{front} . {number}"] = str(member)
    return found


def chains(shares: Shares) -> dict[str, str]:
    """The chains that *shares* need, as nft adds them."""
    found = {}
    for front, members in shares.items():
        if members:
            ip = nft_family(family(front))
            name = f"among-{len(members)}-{ip}"
            which = f"{ip} daddr . numgen random mod {len(members)} map @members_{ip}"
            found[name] = (
                f"add chain inet {TABLE} {name}\n"
                f'add rule inet {TABLE} {name} dnat {ip} to {which} comment "one of them"'
            )
    return found


def whole(shares: Shares, only: Only = ()) -> str:
    """One transaction that leaves exactly *shares*, whatever was there; no table where they are none."""
    if not elements(shares) and not only:
        return _BEGIN
    maps = "".join(_MAPS.substitute(ip=nft_family(v), addr=f"ipv{v}_addr") for v in FAMILIES)
    lines = [*chains(shares).values(), *_added(elements(shares).items())]
    return f"{_BEGIN}table inet {TABLE} {{\n{maps}{_CHAINS}{_closed(only)}}}\n" + "\n".join(lines) + "\n"


def _closed(only: Only) -> str:
    """An entry passes on what is published, and is no way between its networks."""
    if not only:
        return ""
    ports = ", ".join(f"{proto} . {port}" for proto, port in only)
    return f"""\
	chain forward {{
		type filter hook forward priority filter; policy drop;
		ct state established,related accept
		ct status dnat meta l4proto . th dport {{ {ports} }} accept comment "{_PUBLISHED}"
	}}
"""


def change(before: Shares, now: Shares, known: Iterable[str]) -> str:
    """One transaction that makes *now* of *before*, where the chains *known* are there; "" for nothing."""
    old, new = elements(before), elements(now)
    there = set(known)
    gone = [key for key, value in old.items() if new.get(key) != value]
    lines = [text for name, text in chains(now).items() if name not in there]
    lines += [f"delete element inet {TABLE} {name} {{ {key} }}" for name, key in gone]
    lines += _added((key, value) for key, value in new.items() if old.get(key) != value)
    return "\n".join(lines) + "\n" if lines else ""


def _added(some: Iterable[tuple[Key, str]]) -> Iterator[str]:
    for (name, key), value in some:
        yield f"add element inet {TABLE} {name} {{ {key} : {value} }}"


_MAP = re.compile(r"^\tmap (\w+) \{$(.*?)^\t\}$", re.M | re.S)
_ELEMENT = re.compile(r"([0-9a-f:.]+(?: \. \d+)?) : (goto among-[0-9a-z-]+|[0-9a-f:.]+)")


def read(listed: str, only: Only = ()) -> dict[Key, str]:
    """The elements of the table as nft lists it; none where a rule of it is not there."""
    if any(purpose not in listed for purpose in (*_PURPOSES, *([_PUBLISHED] if only else []))):
        return {}
    found = {}
    for name, body in _MAP.findall(listed):
        held = body.partition("elements = {")[2]
        found.update({(name, key): value for key, value in _ELEMENT.findall(held)})
    return found
