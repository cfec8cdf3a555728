"""Certificates of a cluster with a store of its own: who gets one, and that nobody notices when it is a new one."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.cluster.embedded import Own
from tests.etcd_server import ETCD, REASON
from tests.root.ground import until

from bascule.cluster import authority, token
from bascule.cluster.home import Home
from bascule.cluster.renewing import Renewal
from bascule.model.addresses import ip_address
from bascule.model.errors import BasculeError, Forbidden, Invalid

AT = datetime(2030, 1, 1, tzinfo=UTC)
LIFE = timedelta(hours=1)
ONE = ip_address("10.0.0.1")


def made(ident: str = "a" * 32) -> tuple[authority.Authority, str, str]:
    """An authority, a key, and the certificate of who has it."""
    signer = authority.Authority(*authority.found_authority(AT))
    key = authority.new_key()
    return signer, key, signer.sign(authority.request(ident, key), ONE, LIFE, AT)


def test_a_certificate_says_whose_it_is_and_ends_soon() -> None:
    _, _, cert = made()
    assert (authority.read(cert).ident, authority.read(cert).until) == ("a" * 32, AT + LIFE)


def test_a_certificate_that_has_ended_is_renewed_for_who_has_its_key() -> None:
    signer, key, cert = made()
    later = AT + timedelta(days=30)
    fresh, ident = signer.renew(cert, authority.request("a" * 32, key), LIFE, later)
    assert (ident, authority.read(fresh).until) == ("a" * 32, later + LIFE)


@pytest.mark.parametrize(
    ("ident", "own_key", "why"),
    [("a" * 32, False, "does not have the key"), ("b" * 32, True, "does not have the key")],
    ids=["another's key", "another's name"],
)
def test_s18_nobody_renews_the_certificate_of_another(ident: str, own_key: bool, why: str) -> None:
    signer, key, cert = made()
    with pytest.raises(Forbidden, match=why):
        signer.renew(cert, authority.request(ident, key if own_key else authority.new_key()), LIFE, AT)


def test_s18_a_certificate_of_another_cluster_is_not_renewed() -> None:
    signer, _, _ = made()
    _, key, cert = made()
    with pytest.raises(Forbidden, match="not one of this cluster's"):
        signer.renew(cert, authority.request("a" * 32, key), LIFE, AT)


@pytest.mark.parametrize(
    "text", ["", "x", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----"]
)
def test_what_is_no_request_is_refused(text: str) -> None:
    signer, _, _ = made()
    with pytest.raises(Invalid, match="request for a certificate"):
        signer.sign(text, ONE, LIFE, AT)


def test_a_token_is_read_as_it_is_written_and_does_not_show_itself() -> None:
    word = token.Token("0123456789abcdef" * 4, "fedcba9876543210" * 2)
    assert token.parse(f" {word}\n") == word
    assert word.secret not in repr(word)
    with pytest.raises(BasculeError) as refusal:
        token.parse(str(word)[:-1])
    assert word.secret[:-1] not in str(refusal.value)


MONTH = 30 * 24 * 60


@pytest.mark.parametrize(
    ("left", "had", "renewed"),
    [
        (50, 10, False),
        (29, 31, True),
        # Our clock is behind, and says that there is a month left.
        (MONTH, 10, False),
        (MONTH, 31, True),
        # It is ahead: what was signed a moment ago is old by it.
        (10, 0, True),
        (-MONTH, 0, True),
    ],
)
def test_a_certificate_is_renewed_by_its_end_or_its_age_and_not_again_soon(
    tmp_path: Path, left: int, had: int, renewed: bool
) -> None:
    """Minutes, of an hour that it is good for."""
    now, key = datetime.now(UTC), authority.new_key()
    cert, signing = authority.found_authority(now)
    signed_at = now + timedelta(minutes=left) - LIFE
    signed = authority.Authority(cert, signing).sign(authority.request("a" * 32, key), ONE, LIFE, signed_at)
    home = Home(str(tmp_path), str(tmp_path), life=LIFE.total_seconds())
    peers, peers_key = authority.found_authority(now)
    here = {"ca.pem": cert, "ca.key": signing, "root.secret": "s", "peers.pem": peers, "peers.key": peers_key}
    for name, text in {**here, "node.key": key, "node.pem": signed}.items():
        home.write(name, text)
    written = (now - timedelta(minutes=had)).timestamp()
    os.utime(home.path / "node.pem", (written, written))
    renewal = Renewal(home, "a" * 32, str(ONE), list)
    assert renewal.turn() is renewed
    assert renewal.turn() is False
    assert (home.read("node.pem") != signed) is renewed
    # The certificate for the member of etcd is made anew with it.
    assert (home.path / "peer.pem").exists() is renewed


@pytest.mark.skipif(not ETCD, reason=REASON)
def test_certificates_are_renewed_before_they_end_and_no_watch_is_lost(tmp_path: Path) -> None:
    hosts = ("one", "two")
    with Own(tmp_path, "--cluster-cert-life=12", hosts=hosts) as own:
        word = own.found()
        # One signs for itself, the other asks.
        own.join("two", word, Client=True)
        hosts = ("one", "two")
        until(lambda: own.known_at("two") == ["one"])
        own.network("one", "before", "10.50.0.0/24", hosts=hosts)
        ends = {name: _end(own, name) for name in hosts}
        lost = {name: own.daemons[name].count("watch ended") for name in hosts}
        until(
            lambda: datetime.now(UTC) > max(ends.values()) and all(_end(own, name) > ends[name] for name in hosts)
        )
        # Every certificate of the beginning has ended; whoever had only that would not be heard any more.
        own.network("two", "after", "10.51.0.0/24")
        assert {name: own.daemons[name].count("watch ended") for name in hosts} == lost
        assert [own.state("one", name) for name in hosts] == ["ready"] * 2


def _end(own: Own, name: str) -> datetime:
    return authority.read((own.home(name) / "node.pem").read_text()).until
