"""The rule set, as text: what is judged, in which order, and why.

Two tables.  `inet` judges what is routed and translates addresses; `bridge` sees every frame that enters by a
port of ours.  The rules never change while networks come and go; what changes are elements of hash sets and
maps (never intervals, which cost milliseconds a deletion at thousands of elements), so neither a packet's cost
nor an attach's grows with their number.

Order is cost and meaning at once, and the two must be changed together with docs/firewall.md:
- `bascule-user` is the administrator's: consulted first, never written by us.  Names that begin with it are
  his, in both tables; every other chain, set and map of the tables is ours.
- A lookup that answers for most packets comes first: `together` for bridged traffic that passes the IP hooks
  (bridge-nf-call-iptables=1), `lawful_mac` and `lawful_ip` for frames.
- `hairpin_ip` and `hairpin_ip6` hold "link . link" of every network.  nft cannot compare two registers, so
  `iifname . oifname @hairpin_ip` says "back over the same bridge" and `iifname . iifname @hairpin_ip` "from a
  network of ours".
- Where a frame passes the IP hooks and is translated back to its own bridge, br_netfilter forwards it as a frame
  (net/bridge/br_netfilter_hooks.c: bridged_dnat): it is neither routed nor masqueraded, neighbours see each
  other's address, and an endpoint does not reach itself, nor one that it is kept apart from, by the host's
  address.  net.bridge.bridge-nf-call-iptables=0 is the remedy, and faster; a bridge's own nf_call_iptables=0
  does not overrule the host's 1.
- iifname is known in postrouting since Linux 5.7 (28f8bfd1ac94).
- nft 1.0.6 has no word for an advertisement's target, hence `@th,64,128`: sixteen bytes behind the eight of
  the ICMPv6 header (RFC 4861, section 4.4); `@th,128,64` is its lower half, `@nh,128,64` that of a source address.

Nothing is written from unchecked text: `element_line` refuses what could end a string or a line.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from string import Template

from bascule.kernel.nftsets import SETS, TABLES, Kind, TableFamily
from bascule.model.addresses import FAMILIES, nft_family
from bascule.model.errors import Invalid
from bascule.model.firewall import Element

USER = "bascule-user"

# What a part of an element may look like: a quoted link name (IFNAMSIZ 16), an address, a number, a word.
_PART = re.compile(r'"[^"\\\s*{}]{1,15}"|[0-9A-Za-z:.]{1,45}|goto to-[a-z-]{1,20}')


@dataclass(frozen=True, slots=True)
class Leftover:
    """A chain, set or map that an earlier version left in one of the tables."""

    family: TableFamily
    kind: Kind
    name: str


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain of ours; *hook* is empty where only others jump to it.  A rule is its text and its purpose."""

    family: TableFamily
    name: str
    hook: str = ""
    rules: tuple[tuple[str, str], ...] = ()

    def declaration(self) -> str:
        return f"\tchain {self.name} {{ {self.hook} }}" if self.hook else f"\tchain {self.name} {{ }}"

    def __str__(self) -> str:
        lines = [f"\tchain {self.name} {{"]
        if self.hook:
            lines.append(f"\t\t{self.hook}")
        lines += [f'\t\t{text} comment "{purpose}"' for text, purpose in self.rules]
        return "\n".join([*lines, "\t}"])


Row = tuple[str, str]
# The link groups of engines: each has an even one of its own for its links, and the odd one above for its trash.
GROUPS = range(0x0BA5_0000, 0x0BA6_0000)
# A bit that others are not known to use (Kubernetes has 0x4000 and 0x8000, Tailscale 0xff0000, Docker none).
MARK = 0x1000_0000


def _both(*rows: Row) -> Iterator[Row]:
    """The rows once a family: $ip is nft's word for its header, $proto for itself."""
    for version in FAMILIES:
        for text, purpose in rows:
            yield Template(text).substitute(ip=nft_family(version), proto=f"ipv{version}"), purpose


ESTABLISHED: Row = ("ct state established,related accept", "answers")
PUBLISHED: Row = ("ct status dnat accept", "published ports")
TRUSTED: Row = ("iifname . oifname @trusted accept", "trusted interfaces route to every port")
LINKED: Row = ("$ip saddr . $ip daddr . meta l4proto . th dport @linked_$ip accept", "linked though kept apart")
# Only bridged packets are neighbour discovery here (it wants hop limit 255, RFC 4861), and only where
# bridge-nf-call-ip6tables sends them through the IP hooks.
# Behind eight bytes of UDP and four of VXLAN is the VNI (RFC 7348, section 5).
SEALED = "udp dport @underlay @th,96,24 @sealed"
DISCOVERY: Row = ("icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept", "neighbours find each other")


def _inet_chains() -> Iterator[Chain]:
    def chain(name: str, hook: str, *rules: Row) -> Chain:
        return Chain("inet", name, hook, rules)

    # RFC 1122, 3.2.1.3: such addresses must not appear outside a host.  The bridges have route_localnet for
    # ports published at 127.0.0.1, and without this rule a neighbour would reach them, and the host's own (S2).
    yield chain(
        "raw-prerouting",
        "type filter hook prerouting priority raw; policy accept;",
        ('ip daddr 127.0.0.0/8 iifname != "lo" drop', "loopback is reached from this host only"),
        ('ip saddr 127.0.0.0/8 iifname != "lo" drop', "nobody else is this host"),
    )
    yield from _nat_chains()
    yield chain(
        "input",
        "type filter hook input priority filter; policy accept;",
        # Before the answers: whoever sends to a tunnel's port could have been let in before it was one.
        *_both(("meta nfproto $proto udp dport @underlay $ip saddr != @vtep_$ip drop", "no host of ours (S7)")),
        (f"{SEALED} iifname != @sealers drop", "encrypted networks come encrypted (S6)"),
        ("iifname @sealers meta l4proto != udp drop", "tunnels alone come out of tunnels"),
        ("iifname @sealers udp dport != @underlay drop", "tunnels alone come out of tunnels"),
        ESTABLISHED,
        (
            "iifname @internal_from fib daddr type local fib daddr . iif type != local drop",
            "internal networks reach the host by their gateway only",
        ),
    )
    yield chain(
        "sealing",
        "type filter hook output priority filter; policy accept;",
        (f"{SEALED} oifname != @sealers drop", "encrypted networks leave encrypted (S6)"),
    )
    yield from _forward_chains()


def _translated() -> Chain:
    # Where bridge-nf-call-iptables sends bridged packets through the IP hooks, what a container sent to a published
    # port of a neighbour on its own bridge is not routed but bridged on (net/bridge/br_netfilter_hooks.c,
    # br_nf_pre_routing_finish), and the bridge family has no connection tracking to tell it from what the two must
    # not say to each other.
    return Chain(
        "inet",
        "translated",
        "type filter hook prerouting priority dstnat + 1; policy accept;",
        (
            *_both(
                (
                    "meta nfproto $proto ct status dnat iifname . iifname @hairpin_$ip fib daddr . iif oif exists"
                    f" meta mark set meta mark | {MARK:#x}",
                    "asked for by the host's address",
                )
            ),
        ),
    )


def _nat_chains() -> Iterator[Chain]:
    def chain(name: str, hook: str, *rules: Row) -> Chain:
        return Chain("inet", name, f"type nat hook {hook}; policy accept;" if hook else "", rules)

    # Local addresses only: what merely passes is never translated (S9).
    to_publish: Row = ("fib daddr type local jump publish", "only what is addressed to this host")
    yield chain("prerouting", "prerouting priority dstnat", to_publish)
    yield _translated()
    yield chain(
        "output",
        "output priority -100",
        # IPv6 has no route_localnet: the answer comes back translated to ::1 and is dropped, because it came by
        # another link than lo (measured on Linux 6.18).  A process carries those.
        ("ip6 daddr ::1 accept", "carried by the proxy, not translated"),
        to_publish,
    )
    ports = "meta nfproto $proto meta l4proto { tcp, udp, sctp } dnat $ip to"
    yield chain(
        "publish",
        "",
        *_both(
            (f"{ports} $ip daddr . meta l4proto . th dport map @publish_at_$ip", "ports published at this address"),
            (f"{ports} meta l4proto . th dport map @publish_$ip", "ports published at every address"),
        ),
    )
    yield chain(
        "postrouting",
        "postrouting priority srcnat",
        ("ct status dnat ip saddr 127.0.0.0/8 masquerade", "ports published at loopback"),
        *_both(
            (
                "ct status dnat meta nfproto $proto iifname . oifname @hairpin_$ip masquerade",
                "back into the network it came from",
            ),
            ("meta nfproto $proto iifname . oifname @hairpin_$ip accept", "neighbours see each other's address"),
            ("meta nfproto $proto iifname @masquerade_$ip masquerade", "leaves with the host's address"),
            ("meta nfproto $proto snat $ip to iifname map @snat_$ip", "leaves with a given address"),
        ),
    )


# What comes from or goes to another engine's network is judged by its own rules, and not here.
_NOBODYS = f"iifgroup != {GROUPS[0]}-{GROUPS[-1]} oifgroup != {GROUPS[0]}-{GROUPS[-1]}"
# What is translated on its way would come from one of the cluster's hosts.
_TO_TUNNEL = "udp dport @underlay meta nfproto $proto $ip daddr @vtep_$ip"
_INTO_TUNNELS: tuple[Row, ...] = (
    (f"{_TO_TUNNEL} $ip saddr != @vtep_$ip drop", "tunnels begin on the cluster's hosts (S7)"),
    (f"{_TO_TUNNEL} iifname . iifname @hairpin_$ip drop", "and not in our networks (S7)"),
)
CLOSED = f"meta nfproto $proto meta nfproto @closed iifname . iifname != @hairpin_$ip {_NOBODYS} drop"


def _forward_chains() -> Iterator[Chain]:
    def to(mode: str, *rules: Row) -> Chain:
        return Chain("inet", f"to-{mode}", "", (ESTABLISHED, PUBLISHED, *_both(LINKED), DISCOVERY, *rules))

    yield to("nat", TRUSTED, ("drop", "unpublished ports"))
    # Docker keeps its networks from each other in this mode as in nat: published ports only.  The same rule
    # keeps endpoints apart (enable_icc=false) that the host would route back over their own bridge.
    yield to(
        "nat-unprotected",
        *_both(("iifname . iifname @hairpin_$ip drop", "other networks reach published ports only")),
        ("accept", "every port is open to routed traffic"),
    )
    yield to(
        "routed",
        *_both(("iifname . oifname @hairpin_$ip drop", "kept apart")),
        ("meta l4proto { icmp, icmpv6 } accept", "routed networks answer to ping"),
        *_both(("$ip daddr . meta l4proto . th dport @open_$ip accept", "open ports")),
        TRUSTED,
        ("drop", "ports that are not open"),
    )
    yield Chain(
        "inet",
        "forward",
        "type filter hook forward priority filter; policy accept;",
        (
            *_both(*_INTO_TUNNELS),
            (f"jump {USER}", "the administrator first"),
            ("iifname . oifname @together accept", "endpoints of one network"),
            ("iifname @internal_from drop", "nothing leaves an internal network"),
            ("oifname @internal_to drop", "nothing enters an internal network"),
            ("meta nfproto . oifname vmap @forward_to", "what enters, by the network's gateway mode"),
            # What conntrack cannot place is not translated either, and would show the container's own address.
            *_both(
                ("ct state invalid meta nfproto $proto iifname . iifname @hairpin_$ip drop", "leaves untranslated")
            ),
            *_both((CLOSED, "it forwards for our networks only")),
        ),
    )


def _bridge_chains() -> Iterator[Chain]:
    yield Chain(
        "bridge",
        "lawful",
        "",
        (
            ("ether type { vlan, 8021ad } drop", "tags would hide what is inside"),
            ("iifname . ether saddr != @lawful_mac drop", "forged MAC"),
            ("iifname . arp saddr ether != @lawful_mac drop", "forged MAC in ARP"),
            # 0.0.0.0 asks whether an address is free and claims none (RFC 5227, section 2.1.1).
            ("arp saddr ip != 0.0.0.0 iifname . arp saddr ip != @lawful_ip drop", "forged address in ARP"),
            ("ether type ip drop", "forged address"),
            ("ip6 saddr fe80::/10 accept", "an interface's own address"),
            ("ether type ip6 iifname . @nh,128,64 @lawful_own accept", "of a prefix that a router advertises"),
            ("ip6 saddr :: meta l4proto icmpv6 accept", "asks whether an address is free"),
            ("ether type ip6 drop", "forged address"),
        ),
    )
    yield Chain(
        "bridge",
        "prerouting",
        "type filter hook prerouting priority filter; policy accept;",
        (
            ("icmpv6 type { nd-router-advert, nd-redirect } iifname @ports drop", "routes are not theirs to give"),
            ("icmp type redirect iifname @ports drop", "routes are not theirs to give"),
            (
                "icmpv6 type nd-neighbor-advert iifname @guarded @th,64,10 != 0x3fa"
                " iifname . @th,64,128 != @lawful_target iifname . @th,128,64 != @lawful_own drop",
                "forged advertisement",
            ),
            ("ether type ip iifname . ether saddr @lawful_mac iifname . ip saddr @lawful_ip accept", "lawful"),
            ("ether type ip6 iifname . ether saddr @lawful_mac iifname . ip6 saddr @lawful_ip6 accept", "lawful"),
            ("iifname @guarded goto lawful", "held to the address the endpoint was given"),
        ),
    )
    yield from _apart_chains()


def _apart_chains() -> Iterator[Chain]:
    yield Chain(
        "bridge",
        "between",
        "",
        (
            ("ether type arp accept", "neighbours find each other"),
            DISCOVERY,
            (f"meta mark & {MARK:#x} != 0 accept", "published ports"),
            *_both(
                LINKED,
                ("$ip saddr . $ip daddr . meta l4proto . th sport @linked_back_$ip accept", "answers to links"),
            ),
            ("drop", "kept apart"),
        ),
    )
    yield Chain(
        "bridge",
        "forward",
        "type filter hook forward priority filter; policy accept;",
        (("iifname @apart oifname @apart goto between", "ports kept apart"),),
    )


CHAINS: tuple[Chain, ...] = (*_inet_chains(), *_bridge_chains())


def element_line(table: str, element: Element) -> str:
    """One `add element` line.  Raises Invalid for a part that is no address, number, word or quoted link name."""
    for part in (*element.key, *element.value):
        if not _PART.fullmatch(part):
            raise Invalid(f"invalid firewall element in {element.set}: {part!r}")
    return f"add element {element.family} {table} {element.set} {{ {element.body} }}"


def rules(table: str) -> str:
    """The rule set without elements, as people read it."""
    return "\n".join(f"table {family} {table} {{\n{_sets(family)}\n\n{_chains(family)}\n}}\n" for family in TABLES)


def ruleset(table: str, elements: Iterable[Element], leftovers: Iterable[Leftover] = (), user: str = "") -> str:
    """One transaction that leaves exactly our chains, rules, sets and *elements*, whatever was there before.

    The administrator's chains keep their rules; *user* is text that brings them back where they are lost.
    *leftovers* are emptied and deleted first.
    """
    old = tuple(leftovers)
    out = [f"add table {family} {table}" for family in TABLES]
    # What refers goes before what is referred to: rules, then elements (verdicts name chains), then names.  What
    # bears a name of ours goes before that is declared anew, the rest after our own rules let go of it.
    out += [f"flush chain {x.family} {table} {x.name}" for x in old if x.kind == "chain"]
    out += _without(table, (x for x in old if _named_as_ours(x)))
    for family in TABLES:
        chains = "\n".join(chain.declaration() for chain in CHAINS if chain.family == family)
        out.append(f"table {family} {table} {{\n{_sets(family)}\n{chains}\n}}")
    out.append(f"add chain inet {table} {USER}")
    out += [f"flush chain {chain.family} {table} {chain.name}" for chain in CHAINS]
    out += [f"flush {declared.kind} {declared.family} {table} {declared.name}" for declared in SETS.values()]
    out += _without(table, (x for x in old if not _named_as_ours(x)))
    if user:
        out.append(user)
    for family in TABLES:
        out.append(f"table {family} {table} {{\n{_chains(family)}\n}}")
    out += [element_line(table, element) for element in elements]
    return "\n".join(out) + "\n"


def without_table(table: str) -> str:
    """Text after which there is none of this name, whether there was one or not."""
    return "".join(f"add table {family} {table}\ndelete table {family} {table}\n" for family in TABLES)


def renamed(text: str, table: str, other: str) -> str:
    """The *text* of chains and sets of *table*, for *other*."""
    return re.sub(rf"^((?:add chain|table) \w+) {re.escape(table)}(?= )", rf"\1 {other}", text, flags=re.MULTILINE)


def _named_as_ours(leftover: Leftover) -> bool:
    at = (leftover.family, leftover.name)
    return at in ({(c.family, c.name) for c in CHAINS} if leftover.kind == "chain" else SETS)


def _without(table: str, leftovers: Iterable[Leftover]) -> Iterator[str]:
    for x in sorted(leftovers, key=lambda x: x.kind == "chain"):
        yield f"delete {x.kind} {x.family} {table} {x.name}"


def _sets(family: TableFamily) -> str:
    return "\n".join(str(declared) for declared in SETS.values() if declared.family == family)


def _chains(family: TableFamily) -> str:
    # An administrator's chain is declared empty: adding nothing to it leaves what it has.
    own = [str(chain) for chain in CHAINS if chain.family == family]
    return "\n\n".join(([f"\tchain {USER} {{\n\t}}"] if family == "inet" else []) + own)
