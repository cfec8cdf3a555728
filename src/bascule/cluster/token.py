"""The word that lets a host into a cluster with a store of its own: who the cluster is, and a secret.  Pure."""

import hashlib
import re
from dataclasses import dataclass, field

from bascule.model.errors import Invalid

_FORM = re.compile(r"BSCTKN-1-([0-9a-f]{64})-([0-9a-f]{32})")


@dataclass(frozen=True, slots=True)
class Token:
    """*digest* is that of the certificate of the cluster's authority: who joins knows by it whom it speaks to,
    before it says the secret."""

    digest: str
    secret: str = field(repr=False)

    def __str__(self) -> str:
        return f"BSCTKN-1-{self.digest}-{self.secret}"


def parse(text: str) -> Token:
    """Raises Invalid, which does not repeat it."""
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise Invalid('this is no token to join by: "bascule cluster token" on a host of the cluster prints it')
    return Token(found[1], found[2])


def digest(der: bytes) -> str:
    return hashlib.sha256(der).hexdigest()
