"""This node's certificate: when it is renewed, and by whom.

No clock is trusted alone, for any host's may be wrong. A certificate is renewed when half of its life is over by
our clock, or we have had it for so long, which a clock that is behind does not show; and not again for a while,
whatever a clock says that is ahead. All hosts that sign are asked, and of what they say we take what ends in the
middle, or later than the middle: a host whose clock is behind signs what has ended already for all others, and one
whose clock is ahead what lives longer than it should.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

from bascule.cluster import authority
from bascule.cluster.authority import Signed
from bascule.cluster.door import ask, text
from bascule.cluster.home import Home
from bascule.model.addresses import ip_address
from bascule.model.errors import BasculeError, Failed

log = logging.getLogger("bascule.cluster")
# Parts of a life: when it is renewed, how long it is not renewed again, and how long after a try that failed.
_HALF, _REST, _AGAIN = 0.5, 0.25, 0.01
# Seconds: and no longer than that.
_AGAIN_MOST = 60.0


class Renewal:
    """*doors* are the hosts that sign, *ident* is this node's id."""

    def __init__(self, home: Home, ident: str, address: str, doors: Callable[[], Sequence[str]]) -> None:
        self._home = home
        self._ident = ident
        self._address = address
        self._doors = doors
        self._since = time.monotonic()
        self._renewed = self._tried = float("-inf")

    def begin(self) -> bool:
        """As `turn`, before anybody reads the certificate: nobody is asked where it can be helped."""
        if not self._home.signs():
            return self.turn()
        known = self._known()
        if known.until > authority.now():
            return False
        self._take(self._sign(known))
        return True

    def turn(self) -> bool:
        """The certificate is good for a while; whether it is another one than before.  Raises what whoever signs
        refuses with."""
        known = self._known()
        if not self._due(known):
            return False
        self._tried = time.monotonic()
        own = [self._sign(known)] if self._home.signs() else []
        there = sorted([*own, *self._asked(known, needed=not own)], key=lambda one: one.until)
        self._take(there[len(there) // 2])
        return True

    def _known(self) -> Signed:
        return authority.read(self._home.read("node.pem"))

    def _due(self, known: Signed) -> bool:
        life, now, clock = self._home.life, time.monotonic(), authority.now()
        if now - self._renewed < life * _REST or now - self._tried < min(life * _AGAIN, _AGAIN_MOST):
            return False
        written = (self._home.path / "node.pem").stat().st_mtime
        had = max(now - self._since, clock.timestamp() - written)
        return had >= life * _HALF or (known.until - clock).total_seconds() <= life * _HALF

    def _take(self, fresh: Signed) -> None:
        self._home.write("node.pem", fresh.pem)
        if self._home.signs():
            authority.sign_peer(self._home, self._ident, ip_address(self._address))
        self._renewed = self._since = time.monotonic()
        log.info("this node's certificate is renewed, and good until %s", fresh.until)

    def _request(self) -> str:
        return authority.request(self._ident, self._home.read("node.key"))

    def _sign(self, known: Signed) -> Signed:
        signer = authority.Authority(self._home.read("ca.pem"), self._home.read("ca.key"))
        life = timedelta(seconds=self._home.life)
        return authority.read(signer.renew(known.pem, self._request(), life, authority.now())[0])

    def _asked(self, known: Signed, *, needed: bool) -> list[Signed]:
        """What other hosts sign that is of use, [] where nobody does; *needed*: raises then why."""
        found: list[Signed] = []
        why: BasculeError = Failed("nobody of this cluster is known who signs certificates")
        for host in self._others():
            try:
                body = {"cert": known.pem, "request": self._request()}
                said = ask(host, "/v1/renew", body, authority=self._home.read("ca.pem"))
                fresh = authority.read(text(said, "cert"))
            except BasculeError as refusal:
                why = refusal
                continue
            if not needed or fresh.until > known.until or self._long(fresh):
                found.append(fresh)
            else:
                why = Failed(
                    f"{host} signs certificates that end at {fresh.until}, before ours: is its clock right?"
                )
        if needed and not found:
            raise why
        return found

    def _others(self) -> Iterator[str]:
        return (host for host in self._doors() if host != self._address)

    def _long(self, fresh: Signed) -> bool:
        return (fresh.until - authority.now()).total_seconds() > self._home.life * _HALF
