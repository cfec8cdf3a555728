"""The rule set as text: golden files, and what must hold of every rule.

After a change: BASCULE_GOLDEN=write pytest tests/unit/test_nft.py, look at the difference, and `make docs`.
"""

import os
from pathlib import Path

import pytest
from docs import generate_firewall

from bascule.daemon import link_group
from bascule.kernel import nft, nftsets
from bascule.model.addresses import identifier, ip_address
from bascule.model.errors import Invalid
from bascule.model.firewall import (
    Apart,
    Closed,
    Element,
    Forward,
    Internal,
    Lawful,
    Linked,
    Masquerade,
    Open,
    Port,
    Publish,
    Rule,
    Sealed,
    Sealer,
    Together,
    Trusted,
    Underlay,
    Vtep,
    elements,
)
from bascule.model.settings import Settings

GOLDEN = Path(__file__).with_name("golden")
A4, A6 = ip_address("172.18.0.2"), ip_address("fd00:18::2")
B4, B6 = ip_address("172.18.0.3"), ip_address("fd00:18::3")
EVERYWHERE = ip_address("0.0.0.0")
BRIDGE = "br-0123456789ab"

NETWORK: list[Rule] = [
    Together(BRIDGE),
    *(Forward(BRIDGE, version) for version in (4, 6)),
    *(Masquerade(BRIDGE, version) for version in (4, 6)),
    Port("ve-a"),
    Lawful("ve-a", "02:42:ac:12:00:02", (A4, A6)),
    Publish("tcp", EVERYWHERE, 8080, A4, 80),
    Publish("tcp", ip_address("::"), 8080, A6, 80),
    Publish("udp", ip_address("127.0.0.1"), 53, A4, 53),
    Port("ve-b"),
    Lawful("ve-b", "02:42:ac:12:00:03", (B4, B6)),
    Linked(B4, A4, "tcp", 5432),
]
EVERY_KIND: list[Rule] = [
    *NETWORK,
    Internal("br-int"),
    Apart("ve-c"),
    Linked(B6, A6, "sctp", 1),
    Forward("br-r", 4, "routed"),
    Forward("br-u", 6, "nat-unprotected"),
    Masquerade("br-r", 4, ip_address("192.0.2.9")),
    Masquerade("br-r", 6, ip_address("2001:db8::9")),
    Publish("sctp", ip_address("2001:db8::1"), 9, A6, 9),
    Publish("tcp", ip_address("192.0.2.1"), 9, A4, 9),
    Open(A4, "tcp", 9),
    Open(A6, "tcp", 9),
    Trusted("eth0", BRIDGE),
    Closed(4),
    Closed(6),
    Sealed(4096),
    Sealer("bascule-wg"),
    Lawful("v", "02:00:00:00:00:02", (A6,), advertise=True),
    Underlay(4789),
    Vtep(A4),
    Vtep(A6),
]


def golden(name: str, text: str) -> None:
    """*text* is what the file says."""
    path = GOLDEN / name
    if os.environ.get("BASCULE_GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text()


def every(rules: list[Rule]) -> list[Element]:
    return [element for rule in rules for element in elements(rule)]


def test_the_rules_are_those_of_the_golden_file() -> None:
    golden("firewall-rules.nft", nft.rules("bascule"))


def test_the_elements_of_a_network_are_those_of_the_golden_file() -> None:
    golden("firewall-elements.nft", "".join(nft.element_line("bascule", e) + "\n" for e in every(NETWORK)))


def test_the_transaction_is_that_of_the_golden_file() -> None:
    leftovers = [nft.Leftover("inet", "chain", "older"), nft.Leftover("inet", "map", "forward_to")]
    golden("firewall-transaction.nft", nft.ruleset("other", every(NETWORK[:2]), leftovers, "# the administrator's"))


def test_the_page_quotes_the_golden_files() -> None:
    assert generate_firewall.PAGE.read_text() == generate_firewall.text(), "run: make docs"


def test_every_set_that_a_rule_touches_is_declared_with_as_many_parts() -> None:
    wrong = [
        str(element)
        for element in every(EVERY_KIND)
        if len(nftsets.SETS[element.family, element.set].key) != len(element.key)
        or len(nftsets.SETS[element.family, element.set].value) != len(element.value)
    ]
    assert wrong == []


def test_every_set_is_touched_by_some_rule_and_asked_by_some_chain() -> None:
    touched = {(element.family, element.set) for element in every(EVERY_KIND)}
    assert sorted(set(nftsets.SETS) - touched) == []
    asked = {
        (c.family, word[1:]) for c in nft.CHAINS for text, _ in c.rules for word in text.split() if word[0] == "@"
    }
    assert sorted(set(nftsets.SETS) - asked) == []


def test_every_rule_ends_in_its_purpose() -> None:
    lines = [line for line in nft.rules("bascule").splitlines() if line.startswith("\t\t")]
    assert [line for line in lines if not line.endswith('"') and "policy accept;" not in line] == []


def test_every_chain_that_is_jumped_to_is_there() -> None:
    names = {(chain.family, chain.name) for chain in nft.CHAINS} | {("inet", nft.USER)}
    targets = {
        (chain.family, text.split(word, 1)[1].split()[0])
        for chain in nft.CHAINS
        for text, _ in chain.rules
        for word in (" jump ", " goto ", "jump ")
        if word in text
    }
    verdicts = {("inet", e.value[0].removeprefix("goto ")) for e in every(EVERY_KIND) if e.set == "forward_to"}
    assert sorted((targets | verdicts) - names) == []


def test_nothing_is_ever_deleted_but_leftovers() -> None:
    text = nft.ruleset("bascule", every(EVERY_KIND))
    assert [line for line in text.splitlines() if line.startswith("delete") or "flush table" in line] == []
    assert f"flush chain inet bascule {nft.USER}" not in text


@pytest.mark.parametrize(
    "evil", ['"a"b"', '"a b"', '"a\n"', '"abcdefghijklmnop"', "tcp; flush ruleset", "}", "", '"br-*"', "goto x; y"]
)
def test_no_text_gets_in_by_a_name(evil: str) -> None:
    with pytest.raises(Invalid):
        nft.element_line("bascule", Element("bridge", "ports", (evil,)))


def test_no_set_has_intervals() -> None:
    assert "flags" not in nft.rules("bascule")


def test_an_advertised_address_follows_from_the_mac() -> None:
    """RFC 4291, appendix A: the example there, and a MAC of ours."""
    assert f"{identifier('34:56:78:9a:bc:de'):x}" == "365678fffe9abcde"
    held = Lawful("v", "02:42:ac:12:00:02", (A6,), advertise=True)
    assert """nft add element bridge bascule lawful_own '{ "v" . 0x42acfffe120002 }'""" in str(held).splitlines()


def test_the_groups_of_every_engine_are_among_those_that_others_let_pass() -> None:
    groups = [link_group(Settings(data_root=f"/somewhere/{number}")) for number in range(1000)]
    assert [group for group in groups if group % 2 or {group, group + 1} - set(nft.GROUPS)] == []
    assert len(set(groups)) > 900
