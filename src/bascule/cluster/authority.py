"""Certificates of a cluster with a store of its own: who signs them, and what is signed.

The authority is made with the cluster and lives on the hosts that have a member of the store.  A node's certificate
says its id and its address, is for both ends of a connection (an etcd member is either, and asks itself by its own
gateway), and ends soon: a host that has left cannot have another.  See docs/decisions/033.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bascule.cluster import token
from bascule.cluster.home import Home
from bascule.model.addresses import IPAddress
from bascule.model.errors import Forbidden, Invalid

T = TypeVar("T")
# Not the common name: to etcd that is a user's, whom its gateway does not serve.
_ID = NameOID.SERIAL_NUMBER
_AUTHORITY_LIVES = timedelta(days=20 * 365)
# A host whose clock is behind takes a fresh certificate, too; on some machines it begins here at each start.
_ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)
_USES = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Signed:
    """A certificate as people of the cluster look at it; *pem* is its text."""

    pem: str
    ident: str
    since: datetime
    until: datetime
    public: bytes


class Authority:
    """Signs; *key* and *cert* are PEM."""

    def __init__(self, cert: str, key: str) -> None:
        self.cert = cert
        self._cert = x509.load_pem_x509_certificate(cert.encode())
        self._key = _private(key)

    def sign(self, request: str, address: IPAddress, life: timedelta, at: datetime) -> str:
        """A certificate for who made *request*, at *address*, from *at* on.  Raises Invalid."""
        asked = _request(request)
        made = (
            _begun(asked.subject, self._cert.subject, at, life)
            .public_key(asked.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage("digital_signature", "key_agreement"), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(address)]), critical=False)
        )
        return _pem(made.sign(self._key, hashes.SHA256()))

    def renew(self, cert: str, request: str, life: timedelta, at: datetime) -> tuple[str, str]:
        """A certificate like *cert*, which may have ended, for who has its key; and whose it is.  Raises Forbidden
        where *cert* is not ours or *request* is another's, Invalid."""
        old, asked = _certificate(cert), _request(request)
        try:
            old.verify_directly_issued_by(self._cert)
        except (InvalidSignature, ValueError, TypeError) as why:
            raise Forbidden("this certificate is not one of this cluster's") from why
        if _public(old) != _public(asked) or old.subject != asked.subject:
            raise Forbidden("who asks does not have the key of this certificate")
        names = old.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (address,) = names.get_values_for_type(x509.IPAddress)
        if not isinstance(address, IPAddress):
            raise Invalid("this certificate has no address")
        return self.sign(request, address, life, at), _ident(old)


def found_authority(at: datetime) -> tuple[str, str]:
    """A new authority's certificate and key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bascule cluster")])
    made = (
        _begun(name, name, at, _AUTHORITY_LIVES)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
    )
    return _pem(made.sign(key, hashes.SHA256())), _text(key)


def new_key() -> str:
    return _text(ec.generate_private_key(ec.SECP256R1()))


def sign_peer(home: Home, ident: str, address: IPAddress) -> None:
    """*home* has a certificate for its host's member of etcd, to whose members no others speak: for as long as the
    node's own, whose end was agreed on with others, whatever this host's clock says."""
    signer = Authority(home.read("peers.pem"), home.read("peers.key"))
    life = read(home.read("node.pem")).until - now()
    asked = request(ident, home.read("node.key"))
    home.write("peer.pem", signer.sign(asked, address, life, now()))


def request(ident: str, key: str) -> str:
    """What node *ident*, who has *key*, asks an authority to sign; PEM."""
    subject = x509.Name([x509.NameAttribute(_ID, ident)])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(_private(key), hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode()


def read(pem: str) -> Signed:
    """Raises Invalid."""
    cert = _certificate(pem)
    return Signed(pem, _ident(cert), cert.not_valid_before_utc, cert.not_valid_after_utc, _public(cert))


def asker(pem: str) -> str:
    """The id of the node that made a request.  Raises Invalid."""
    return _ident(_request(pem))


def digest(pem: str) -> str:
    """As a token says it.  Raises Invalid."""
    return token.digest(_certificate(pem).public_bytes(serialization.Encoding.DER))


# ---- how


def _begun(subject: x509.Name, issuer: x509.Name, at: datetime, life: timedelta) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_ALWAYS)
        .not_valid_after(at + life)
    )


def _usage(*told: str) -> x509.KeyUsage:
    names = (*_USES, "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{name: name in told for name in names})


def _private(pem: str) -> ec.EllipticCurvePrivateKey:
    key = _parsed(pem, "key", lambda text: serialization.load_pem_private_key(text, None))
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Invalid("the key is not one of an elliptic curve")
    return key


def _request(pem: str) -> x509.CertificateSigningRequest:
    asked = _parsed(pem, "request for a certificate", x509.load_pem_x509_csr)
    if not asked.is_signature_valid:
        raise Invalid("request for a certificate: who made it does not have its key")
    return asked


def _certificate(pem: str) -> x509.Certificate:
    return _parsed(pem, "certificate", x509.load_pem_x509_certificate)


def _parsed(pem: str, what: str, parse: Callable[[bytes], T]) -> T:
    try:
        return parse(pem.encode())
    except (ValueError, TypeError) as why:
        raise Invalid(f"{what}: {why}") from why


def _ident(of: x509.Certificate | x509.CertificateSigningRequest) -> str:
    found = of.subject.get_attributes_for_oid(_ID)
    if len(found) != 1:
        raise Invalid("a certificate of a cluster has one name")
    return str(found[0].value)


def _public(of: x509.Certificate | x509.CertificateSigningRequest) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return of.public_key().public_bytes(serialization.Encoding.DER, form)


def _text(key: ec.EllipticCurvePrivateKey) -> str:
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()


def _pem(cert: x509.Certificate) -> str:
    return cert.public_bytes(serialization.Encoding.PEM).decode()
