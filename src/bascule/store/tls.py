"""What is wrong with certificates, in words: a host whose clock is wrong is told so."""

import ssl
from datetime import UTC, datetime

# openssl/x509_vfy.h
_UNTIMELY = {9: "is not good yet", 10: "has ended"}


def told(error: Exception, at: datetime | None = None, *, peer: str = "") -> str:
    """*error*, and what this host's clock says (*at*, None: now) where that may be the reason; *peer* is the host
    that it came of."""
    text = str(error) or type(error).__name__
    if isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in _UNTIMELY:
        clock = f"{at or datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        return (
            f"its certificate {_UNTIMELY[error.verify_code]} by this host's clock, which says {clock}: is it right?"
        )
    if isinstance(error, ssl.SSLError) and error.reason == "SSLV3_ALERT_CERTIFICATE_EXPIRED":
        return f"{text}: by its clock this host's certificate has ended: are both clocks right?"
    if peer and isinstance(error, ssl.SSLCertVerificationError):
        return f"{peer} has no certificate of the authority: {error.verify_message}"
    if peer and isinstance(error, ssl.SSLError):
        return f"{peer} does not take our certificate: {(error.reason or text).lower().replace('_', ' ')}"
    return text


def untimely(error: Exception) -> bool:
    """Whether it is for the time that a clock says, and asking again at once is of no use."""
    return isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in _UNTIMELY
