"""What a host is told whose clock, or another's, is wrong: by real certificates over a real connection."""

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from bascule.cluster import authority
from bascule.model.addresses import ip_address
from bascule.store.tls import told, untimely

NOW = datetime.now(UTC)
LIFE = timedelta(days=7)


def met(place: Path, signed_at: datetime) -> OSError:
    """How a client fares with a server whose certificate was signed then."""
    cert, key = authority.found_authority(signed_at)
    own = authority.new_key()
    signed = authority.Authority(cert, key).sign(
        authority.request("a" * 32, own), ip_address("127.0.0.1"), LIFE, signed_at
    )
    (place / "cert").write_text(signed)
    (place / "key").write_text(own)
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server.load_cert_chain(place / "cert", place / "key")
    client.load_verify_locations(cadata=cert)
    here, there = socket.socketpair()

    def serve() -> None:
        with there, pytest.raises(ssl.SSLError):
            server.wrap_socket(there, server_side=True)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with here, client.wrap_socket(here, server_hostname="127.0.0.1"):
            raise AssertionError("it is believed")
    except OSError as error:
        return error
    finally:
        thread.join()


def test_a_certificate_that_has_ended_may_be_our_clocks_fault(tmp_path: Path) -> None:
    error = met(tmp_path, NOW - timedelta(days=30))
    assert untimely(error)
    assert told(error, datetime(2030, 1, 2, 3, 4, tzinfo=UTC)) == (
        "its certificate has ended by this host's clock, which says 2030-01-02 03:04 UTC: is it right?"
    )


def test_what_is_no_matter_of_time_is_told_as_it_is() -> None:
    error = OSError(111, "Connection refused")
    assert not untimely(error)
    assert told(error) == "[Errno 111] Connection refused"
    assert told(TimeoutError()) == "TimeoutError"


def test_a_fresh_certificate_is_good_on_a_host_whose_clock_is_behind() -> None:
    cert, key = authority.found_authority(NOW)
    request = authority.request("a" * 32, authority.new_key())
    signed = authority.Authority(cert, key).sign(request, ip_address("192.0.2.1"), LIFE, NOW)
    for one in (cert, signed):
        since = x509.load_pem_x509_certificate(one.encode()).not_valid_before_utc
        assert since == datetime(1970, 1, 1, tzinfo=UTC)
