"""Writes docs/firewall.md from the golden files of the rule set: `python docs/generate_firewall.py`."""

from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE / "firewall.md"
GOLDEN = HERE.parent / "tests" / "unit" / "golden"
ABOUT = """\
# The firewall

This page is written by `docs/generate_firewall.py`; its listings are the golden files that `tests/unit/test_nft.py`
holds `kernel/nft.py` to, and that `tests/root/test_firewall.py` compares with what `nft list` shows.

    src/bascule/model/firewall.py      what can be said (Publish, Forward, Lawful, ...), and which elements say it
    src/bascule/kernel/nft.py          the rule set as text                                          pure
    src/bascule/kernel/nftsets.py      its sets and maps                                             pure
    src/bascule/wire/nftelements.py    elements as netlink messages                                  pure
    src/bascule/kernel/tables.py       our tables in the kernel: load, change, tell what differs
    src/bascule/kernel/watch.py        hears when somebody else changes them
    src/bascule/kernel/firewall.py     what should be there; puts it back
    src/bascule/kernel/conntrack.py    forgets the connections of an address

Two tables, `inet bascule` and `bridge bascule` (another name for another engine on the same host). Their rules
never change; networks, endpoints and published ports are elements of hash sets and maps, so that neither a packet
nor an attach pays for their number. Other people's tables are never touched. A base chain of theirs whose policy is
drop overrules our accept: it is found and named.

## The administrator's chain

`inet bascule`'s chain `bascule-user` is asked first for everything that is forwarded; its rules are never
written by Bascule, are kept by every rewrite, and are put back after a flush by somebody else. Chains and sets
whose names begin with `bascule-user` are the administrator's too. All else in the two tables is ours, and what we
did not put there goes.

    nft add rule inet bascule bascule-user ip saddr 203.0.113.0/24 drop
    nft add rule inet bascule bascule-user iifname eth0 oifname "br-*" ct state new tcp dport != 443 drop

An `accept` there lets a packet past all of our rules, isolation included.

## Who reaches whom

| from | to | |
| --- | --- | --- |
| an endpoint | an endpoint of its network | yes; `enable_icc=false`: only what is linked, or published |
| an endpoint | an endpoint of another network | published ports; what a routed network opens, and ping |
| an endpoint | outside | yes, with the host's address where the network is translated; internal networks never |
| an endpoint of an internal network | the host | its own gateway only |
| a neighbour of the host | a published port | yes; published at one address: by that address only |
| a neighbour that routes to a network | nat | nothing, published or not, unless it comes by a trusted interface |
| | nat-unprotected | every port |
| | routed | open ports and ping |
| the host | an endpoint | yes |
| the host | a published port, by 127.0.0.1 | yes; ::1: by the [proxy](decisions/004-proxy.md) |
| anybody else | a port published at 127.0.0.1 | no |
| a host that is not in the cluster | the port of overlay networks | no |
| anybody | an encrypted overlay network, not by a link that encrypts | no, and nothing of it leaves |
| transit through the host | somebody else's port of the same number | untouched |
| | any | as before us: nothing where this host did not forward, everything where it did |
| | another Bascule's network | as its own rules say: its links are known by their link group |

An endpoint's frames must have the MAC and the addresses that it was given, in Ethernet, IP, ARP and neighbour
advertisements; it may not advertise routers or redirect. What is not held to it: its IPv6 link-local address
(it chooses that itself), and what other protocols than IP and ARP say inside.

## When somebody flushes it

`nft flush ruleset`, a reload of the distribution's rules, an edit inside our tables: whatever differs is noticed
by the kernel's own notice of the transaction, compared, and replaced whole in one transaction, within milliseconds,
and a sentence in the log names the process. Until then what was flushed does not judge: connections that were
tracked go on. Repairs that follow closely upon one another wait longer each time, for whoever disagrees with us.

Connections that are translated (published ports, masquerading) would be reset in those milliseconds: the kernel stops
translating when its last nat chain goes. So there is a third table, `inet bascule-kept`, with one chain that decides
nothing, which only the daemon can take away (nft: `flags owner`) and which goes when the daemon ends. A file that was
written by `nft list ruleset` has it too; delete it there, for nft may not load it while the daemon runs
([decision](decisions/023-kept-chain.md)).

## Bridged frames and the IP hooks

Where `br_netfilter` is loaded, `net.bridge.bridge-nf-call-iptables` is 1 unless somebody says otherwise, and every
bridged frame passes the IP hooks too. All of the above holds there, but for two things that br_netfilter does
its own way: by the host's address an endpoint does not reach a port that it has published itself, nor (with
`enable_icc=false`) one of a neighbour that it is kept apart from.
`sysctl net.bridge.bridge-nf-call-iptables=0` (and `ip6tables`) gives both back, and a fifth more
throughput; a bridge's own `nf_call_iptables` does not overrule it.
"""


def text() -> str:
    """The whole page."""
    rules = (GOLDEN / "firewall-rules.nft").read_text()
    elements = (GOLDEN / "firewall-elements.nft").read_text()
    return (
        f"{ABOUT}\n## The rules\n\n```text\n{rules}```\n\n"
        "## What a network adds\n\n"
        "A bridge network of both families with two endpoints; the first has a port published, the second reaches"
        f" one of it by a link.\n\n```text\n{elements}```\n"
    )


if __name__ == "__main__":
    PAGE.write_text(text())
