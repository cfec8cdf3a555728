"""WireGuard's keys, in base64 as it has them."""

import base64

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey


def private(chance: bytes) -> str:
    """The key that 32 bytes of *chance* make, as the kernel gives it back: some bits are fixed (RFC 7748, section
    5)."""
    k = int.from_bytes(chance, "little") & ~7 & ~(1 << 255) | (1 << 254)
    return base64.b64encode(k.to_bytes(32, "little")).decode()


def public(secret: str) -> str:
    """That of a private key."""
    own = X25519PrivateKey.from_private_bytes(base64.b64decode(secret))
    return base64.b64encode(own.public_key().public_bytes_raw()).decode()
